"""`retrieve`: someone retrieves a parked call; one that fails leaves it parked."""

import pytest

from conferral.statemachine.events import ConfirmOverdue, DialOverdue, OpeningOverdue, ParkOverdue, StageOverdue
from conferral.statemachine.policy import Policy
from tests.statemachine.call_legs import unanswered
from tests.statemachine.conference_scenarios import (
    DAVE,
    as_conference,
    parked,
    parked_from_bridge,
    received,
    retrieving,
)
from tests.statemachine.scenario import ALICE, BOB, CAROL, CONFERENCE, CUSTOMER_CALL, OTHER_CONFERENCE
from tests.statemachine.transfer_scenarios import FLAGS, conferenced

BOTH = pytest.mark.parametrize("begin", [parked, parked_from_bridge])
FAILED = ("accepted", "failed")


def answers(story):
    """The retriever leaves the gate, and a customer who waits on hold is taken off it."""
    unhold = ["unhold customer"] if story.session.parties["customer"].held else []
    story.placed("agent").call("agent", "ringing").gate("agent").gate("agent", "accepted")
    return story.expect("transferring", *unhold)


# ---- the way it should go ----------------------------------------------------------------------------------------


def test_retrieve_from_a_conference_holds_the_customer_until_the_retriever_answers():
    story = answers(retrieving().expect_held("customer")).joins("agent").expect("transferring")
    story.expect_command("retrieve-1", "accepted").confirms("customer").expect(
        "conferenced", "flag customer", "flag agent", phase=""
    )
    story.expect_command("retrieve-1", "accepted", "done").expect_parties(
        customer="connected", agent_1="left", agent="connected"
    )
    story.confirms("customer", "agent").expect_timers()
    reported = [("transfer", "completed", "", "park"), ("transfer", "completed", "", "retrieve")]
    assert [(one.kind, one.result, one.reason, one.mode) for one in story.outcome_records] == reported
    story.expect_attempts((BOB, "answered"))


def test_retrieve_from_a_separate_conference_starts_it_with_the_retriever():
    story = answers(retrieving(parked_from_bridge)).joins("agent").expect("conferenced", *FLAGS, phase="")
    story.expect_command("retrieve-1", "accepted", "done").confirms("customer", "agent").expect_timers()
    assert not story.session.parties["customer"].waits_for_start


@BOTH
def test_retriever_is_the_agent_with_another_label_and_call(begin):
    story = retrieving(begin)
    agent = story.session.parties["agent"]
    assert (agent.address, agent.label, agent.call_sid) == (BOB, "agent-2", "")
    former = story.session.parties["agent-1"]
    assert (former.address, former.label, former.call_sid) == (ALICE, "agent-1", story.legs["former agent"].call_sid)


@BOTH
def test_late_word_of_the_agent_who_parked_is_not_about_the_retriever(begin):
    story = retrieving(begin).leaves("former agent", token="late").expect("transferring", phase="retrieve")
    assert story.session.parties["agent"].status == "dialing"
    story.call("former agent", "completed").expect("transferring", outcome="stale")
    story.joins("former agent", starts=False, token="later").expect("transferring", "hang up a call")
    assert story.session.parties["agent-1"].status == "left"
    answers(story)


@BOTH
def test_everyone_who_was_the_agent_of_a_parked_call_stays_under_a_name_of_their_own(begin):
    story = retrieving(begin).refused("agent").expect("conferenced", phase="parked")
    story.retrieve("retrieve-2", to=CAROL).placed("agent").call("agent", "busy").expect("conferenced", phase="parked")
    story.fires(ParkOverdue).expect("transferring", "dial agent to the gate", phase="recall")
    parties = story.session.parties
    found = {name: (party.address, party.status, party.label) for name, party in parties.items() if name != "customer"}
    assert found == {
        "agent-1": (ALICE, "left", "agent-1"),
        "agent-2": (BOB, "left", "agent-2"),
        "agent-3": (CAROL, "left", "agent-3"),
        "agent": (ALICE, "dialing", "agent-4"),
    }


def test_options_are_the_retrievers():
    story = retrieving(brief="a call for you", confirm=True, timeout_s=12, digits="w1")
    agent, dial = story.session.parties["agent"], story.last.effects[0]
    assert (agent.brief, agent.confirm, dial.timeout_s, dial.digits) == ("a call for you", True, 12, "w1")
    story.placed("agent").gate("agent").expect_timers("dial")
    assert story.session.parties["agent"].status == "confirming"


def test_retrieved_call_can_be_parked_and_retrieved_again():
    story = answers(retrieving(parked_from_bridge)).joins("agent").confirms("customer", "agent").park("park-2")
    story.confirms("agent").confirms("customer").leaves("agent").expect("conferenced", phase="parked")
    assert story.session.parked_by == BOB
    story.retrieve("retrieve-2", to=DAVE).expect("transferring", "dial agent to the gate").takes_part("agent")
    story.confirms("customer").expect_command("retrieve-2", "accepted", "done").expect(
        "conferenced", "flag customer", "flag agent"
    )
    labels = [effect.label for effect in story.effects if hasattr(effect, "label")]
    assert len(set(labels)) == len(labels)


def test_call_received_in_a_conference_can_be_parked_and_retrieved():
    story = received().park().confirms("agent").confirms("customer").leaves("agent").retrieve()
    answers(story).joins("agent").confirms("customer").expect("conferenced", "flag customer", "flag agent")


# ---- one that fails ----------------------------------------------------------------------------------------------


@BOTH
@unanswered
def test_retriever_who_is_not_reached_leaves_the_call_parked(begin, status, sip, reason):
    story = retrieving(begin).placed("agent").call("agent", "ringing").call("agent", status, sip=sip)
    story.expect("conferenced", phase="parked").expect_timers("park")
    story.expect_command("retrieve-1", *FAILED, reason=reason)
    story.retrieve("retrieve-2").expect("transferring", "dial agent to the gate").takes_part("agent")
    if begin is parked:
        story.confirms("customer")
    story.expect_command("retrieve-2", "accepted", "done")


@pytest.mark.parametrize("decision", ["rejected", "no-confirmation"])
def test_retriever_who_does_not_press_1_leaves_it_parked(decision):
    story = retrieving(confirm=True).placed("agent").gate("agent").gate("agent", decision)
    story.expect("conferenced", phase="parked").expect_command("retrieve-1", *FAILED, reason=decision)


@BOTH
@pytest.mark.parametrize("named", ["name", "call"])
def test_retriever_who_is_removed_leaves_it_parked(begin, named):
    """No one has to wait for as long as a wrong number rings."""
    story = retrieving(begin).placed("agent").call("agent", "ringing")
    story.remove("agent" if named == "name" else story.legs["agent"].call_sid).expect("transferring", "hang up agent")
    story.call("agent", "canceled").expect("conferenced", phase="parked").expect_timers("park")
    story.expect_command("remove-1", "accepted", "done").expect_command("retrieve-1", *FAILED, reason="cancelled")


def test_retriever_who_hangs_up_at_the_gate_leaves_it_parked():
    story = retrieving(confirm=True).placed("agent").gate("agent").call("agent", "completed")
    story.expect("conferenced", phase="parked").expect_command("retrieve-1", *FAILED, reason="hung-up")


@BOTH
def test_retriever_that_hangs_up_on_joining_leaves_the_call_parked(begin):
    story = answers(retrieving(begin)).call("agent", "completed").expect("conferenced", phase="parked")
    story.expect_timers("park", *(["confirm"] if begin is parked else []))
    story.expect_command("retrieve-1", *FAILED, reason="hung-up")


def test_retriever_that_hangs_up_before_the_unhold_leaves_the_customer_with_music():
    story = answers(retrieving()).joins("agent").expect("transferring").leaves("agent")
    story.expect("conferenced", phase="parked").confirms("customer").expect("conferenced", "hold customer")
    story.confirms("customer").expect_held("customer").expect_timers("park")
    story.expect_command("retrieve-1", *FAILED, reason="hung-up")


def test_retriever_who_takes_it_and_leaves_ends_an_ordinary_call():
    story = answers(retrieving(parked_from_bridge)).joins("agent").leaves("agent").expect("conferenced", phase="")
    assert "lone" in story.session.timers


def test_retriever_that_cannot_be_dialed_leaves_the_call_parked():
    retrieving().refused("agent").expect("conferenced", phase="parked").expect_command("retrieve-1", *FAILED)


def test_retrieve_dial_of_unknown_outcome_is_searched_for_and_never_repeated():
    story = retrieving().unknown_outcome("agent").expect("transferring").expect_timers("dial").fires(DialOverdue)
    story.expect("transferring", "find agent").found("agent").expect("transferring", phase="retrieve")
    story.gate("agent").gate("agent", "accepted").joins("agent").confirms("customer").expect(
        "conferenced", "flag customer", "flag agent"
    )


def test_dial_of_the_retriever_that_is_not_found_leaves_it_parked():
    story = retrieving().unknown_outcome("agent").fires(DialOverdue).found("agent", call_sid="")
    story.expect("conferenced", phase="parked").expect_command("retrieve-1", *FAILED, reason="unknown")
    story.call("agent", "ringing").expect("conferenced", "hang up agent")


def test_retriever_without_callbacks_is_given_up():
    story = retrieving().placed("agent").fires(DialOverdue).expect("transferring", "look")
    story.reads(customer="in-progress", agent="ringing", conference=CONFERENCE, inside=("customer",)).fires(DialOverdue)
    story.expect("conferenced", "hang up agent", phase="parked").expect_timers("park")
    story.expect_command("retrieve-1", *FAILED, reason="no-answer")


def test_failed_retrieve_leaves_the_rest_of_the_time_and_no_more():
    story = parked()
    due_ms = story.session.timers["park"]
    story.later(200_000).retrieve().placed("agent").later(20_000).call("agent", "no-answer")
    assert story.session.timers["park"] == due_ms


def test_retrieve_that_outlasts_the_time_sends_it_back_at_once_when_it_fails():
    story = parked().later(299_000).retrieve().placed("agent").later(20_000).call("agent", "no-answer")
    assert story.session.timers["park"] == story.now_ms + 1
    story.fires(ParkOverdue).expect("transferring", "dial agent to the gate", phase="recall")
    assert story.session.parties["agent"].address == ALICE
    story.expect_concluded(("transfer", "completed", ""), ("transfer", "failed", "no-answer"))


# ---- the customer ------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("moment", ["dialing", "ringing", "gate", "in"])
def test_customer_who_leaves_at_any_step_ends_it_and_stops_the_retriever(begin, moment):
    story = retrieving(begin).placed("agent")
    if moment != "dialing":
        story.call("agent", "ringing")
    if moment in ("gate", "in"):
        story.gate("agent").gate("agent", "accepted")
    if moment == "in" and begin is parked:
        story.joins("agent").leaves("customer").expect("ended", "end room", reason="customer-left")
    else:
        story.leaves("customer").expect("ended", "end room", "hang up agent", reason="customer-left")
    story.expect_command("retrieve-1", *FAILED, reason="customer-left")


def test_customer_who_leaves_before_the_dial_was_placed():
    story = retrieving().call("customer", "completed").expect("ended", "end room", reason="customer-left")
    story.placed("agent").expect("ended", "hang up a call")


@BOTH
def test_customer_losing_their_conference_during_retrieve_is_led_into_another(begin):
    story = retrieving(begin).placed("agent").conference_ends().expect("transferring", phase="retrieve")
    story.legs["customer"].held = False
    story.joins("customer", conference=OTHER_CONFERENCE, starts=False).gate("agent").gate("agent", "accepted")
    story.joins("agent", conference=OTHER_CONFERENCE)
    assert story.session.conference_sid == OTHER_CONFERENCE
    if begin is parked_from_bridge:
        story.expect("conferenced", *FLAGS)


@BOTH
def test_customer_not_returning_during_retrieve_is_searched_for_and_moved(begin):
    story = retrieving(begin).placed("agent").conference_ends().fires(StageOverdue).expect("transferring", "look")
    story.reads(customer="in-progress", agent="ringing").expect("transferring", "move customer").expect_timers(
        "dial", "stage"
    )
    story.succeeds("redirect_call", "customer", story.last.effects[0].effect_id).fires(StageOverdue)
    story.reads(customer="in-progress", agent="ringing").expect("transferring")
    story.fires(StageOverdue).reads(customer="in-progress", agent="ringing", conference=OTHER_CONFERENCE)
    story.expect("ended", "end room", "hang up customer", "hang up agent", reason="convert-failed")


def test_retriever_is_not_left_alone_with_a_customer_who_is_nowhere():
    story = answers(retrieving(parked_from_bridge).conference_ends()).joins("agent", conference=OTHER_CONFERENCE)
    assert story.session.phase == "retrieve"
    story.fires(StageOverdue).expect("transferring", "look")
    story.reads(customer="in-progress", agent="in-progress", conference=OTHER_CONFERENCE, inside=("agent",))
    story.expect("transferring", "move customer").joins("customer", conference=OTHER_CONFERENCE).expect(
        "conferenced", *FLAGS
    )


def test_retrieve_while_the_customer_moves_to_another_conference():
    story = (
        parked().conference_ends().retrieve().expect("transferring", "dial agent to the gate").expect_timers("stage")
    )
    story.placed("agent").call("agent", "busy").expect("conferenced", phase="parked").expect_timers("opening", "park")
    story.fires(OpeningOverdue).expect("conferenced", "look")


def test_read_while_the_conference_is_lost_includes_the_retriever():
    story = retrieving(parked_from_bridge).placed("agent").conference_ends().fires(StageOverdue)
    read = story.last.effects[0]
    assert set(read.call_sids) == {CUSTOMER_CALL, story.legs["agent"].call_sid}


# ---- what Twilio does not confirm --------------------------------------------------------------------------------


def test_unhold_with_a_lost_callback_is_found_by_a_read():
    story = answers(retrieving()).joins("agent").fires(ConfirmOverdue).expect("transferring", "look")
    update = story.unconfirmed[-1]
    story.does("customer")
    story.succeeds("update_participant", "customer", update.effect_id)
    story.reads(conference=CONFERENCE, inside=("customer", "agent")).expect(
        "conferenced", "flag customer", "flag agent"
    ).expect_held()


def test_join_with_a_lost_callback_is_found_by_a_read():
    story = answers(retrieving(parked_from_bridge)).fires(DialOverdue).expect("transferring", "look")
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("customer", "agent"))
    story.expect("conferenced", *FLAGS)


# ---- commands ----------------------------------------------------------------------------------------------------


def test_retrieve_is_refused_where_nothing_is_parked():
    story = conferenced()
    parked_reason = "the call is not parked"
    received().retrieve().expect_refused("retrieve-1", parked_reason, "convert", "transfer", "end")
    assert story.session.state == "conferenced"


def test_second_retrieve_is_refused_while_one_runs():
    story = retrieving().retrieve("retrieve-2", to=DAVE).expect("transferring", outcome="refused")
    story.expect_command("retrieve-2", "rejected").expect_command("retrieve-1", "accepted")


def test_park_is_refused_while_a_retrieve_runs():
    retrieving().park("park-2").expect("transferring", outcome="refused").expect_command("park-2", "rejected")


def test_end_lets_all_of_them_go():
    story = retrieving().placed("agent").end().expect("ended", "end room", "hang up agent", reason="command")
    story.expect_command("retrieve-1", *FAILED, reason="command")


def test_time_out_that_comes_as_the_retrieve_is_taken_is_stale():
    story = parked(Policy(park_timeout_ms=10_000))
    due_ms = story.session.timers["park"]
    story.retrieve().take(ParkOverdue(session_id=CUSTOMER_CALL, entry_id="9-9", token="late", due_ms=due_ms))
    story.expect("transferring", outcome="stale", phase="retrieve")


# ---- who takes it up and leaves before that is known -------------------------------------------------------------


@pytest.mark.parametrize("reports", ["join", "start"])
def test_customer_in_a_conference_started_by_a_departed_party_is_held_for_music(reports):
    story = answers(retrieving(parked_from_bridge)).leaves("agent").expect("conferenced", phase="parked")
    if reports == "join":
        story.joins("agent").expect("conferenced", "hang up a call", "hold customer", phase="parked")
    else:
        story.conference_starts().expect("conferenced", "hold customer", phase="parked")
    story.confirms("customer").expect("conferenced", phase="parked").expect_held("customer").expect_timers("park")


def test_call_that_was_retrieved_is_no_longer_parked():
    story = retrieving().placed("agent").gate("agent").gate("agent", "accepted").joins("agent").confirms("customer")
    story.expect("conferenced", *FLAGS, phase="")
    assert (story.session.parked_by, story.session.parked_until_ms) == ("", 0)


def test_recall_of_a_parked_call_is_not_by_the_one_who_could_not_retrieve_it():
    story = as_conference(retrieving(by="desk 9").placed("agent").call("agent", "busy")).fires(ParkOverdue)
    assert (story.session.transfer.mode, story.session.transfer.by) == ("park", "")
