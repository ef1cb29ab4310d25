"""Guests, whom only a read shows in the conference: Redis rolled back, or their join was lost. They are parties."""

import pytest

from conferral.statemachine.effects import HangUpCall
from conferral.statemachine.events import DialOverdue, LoneOverdue, ParkOverdue
from conferral.statemachine.policy import Policy
from tests.statemachine.call_legs import Leg
from tests.statemachine.command_scenarios import Orders
from tests.statemachine.conference_scenarios import ConferenceScenario, as_conference, parked, received, waiting
from tests.statemachine.scenario import CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import conferenced, dialing, ringing, talking


def with_leg(story: Scenario, name: str, label: str, digit: str = "8", **how: object) -> ConferenceScenario:
    """A call of which the session knows nothing."""
    story.legs[name] = Leg("CA" + digit * 32, name, label, **how)
    return as_conference(story)


def rolled_back(begin=conferenced, **target: object) -> ConferenceScenario:
    """As far as known, customer and agent are in the conference; a read follows, because the agent's call is over."""
    story = as_conference(begin().later(30_000)).sweep_finds("call-missing", "agent").expect("conferenced", "look")
    return with_leg(story, "target", "target-1", **target)


def shows(story: Scenario, *inside: str, agent: str = "completed", **given: object) -> ConferenceScenario:
    return as_conference(
        story.reads(customer="in-progress", agent=agent, conference=CONFERENCE, inside=inside, **given)
    )


def is_alone(story: Scenario) -> bool:
    return "lone" in story.session.timers


# ---- the target of a transfer that is forgotten ----------------------------------------------------------------------


@pytest.mark.parametrize("begin", [conferenced, received])
def test_customer_who_was_handed_over_is_not_alone(begin):
    story = shows(rolled_back(begin), "customer", "target")
    assert not is_alone(story)
    agent = story.session.parties["agent"]
    assert (agent.call_sid, agent.takes_part, agent.desired_end_on_exit) == (story.legs["target"].call_sid, True, True)
    assert agent.wait_audio == ""
    assert story.session.parties["agent-1"].is_gone


@pytest.mark.parametrize(("leaver", "reason"), [("target", "agent-left"), ("customer", "customer-left")])
def test_either_who_hangs_up_ends_it(leaver: str, reason: str):
    story = shows(rolled_back(), "customer", "target").leaves(leaver)
    story.fires(LoneOverdue).expect("ended", "end room", reason=reason)


def test_new_agent_can_transfer_again_under_an_unused_label():
    story = shows(rolled_back(), "customer", "target")
    story.confirms("target").transfer("warm").expect("transferring", "unflag agent")
    story.confirms("target").expect("transferring", "dial target")
    assert story.last.effects[0].label == "target-2"


def test_late_callback_of_the_party_that_took_over_hangs_up_no_one():
    story = shows(rolled_back(), "customer", "target")
    story.call("target", "in-progress", dial="some-dial").expect("conferenced", outcome="stale")


def test_late_callback_of_a_guest_we_dialed_hangs_up_no_one():
    story = with_leg(rolled_back(), "lawyer", "lawyer-2", "9")
    story = with_leg(story, "second", "lawyer-3", "6")
    shows(story, "customer", "target", "lawyer", "second")
    assert story.session.parties["guest-1"].call_sid == story.legs["lawyer"].call_sid
    story.call("lawyer", "in-progress", dial="some-dial").expect("conferenced", outcome="stale")


def test_newest_of_those_of_one_name_has_it():
    story = with_leg(rolled_back(), "second", "target-4", "9")
    shows(story, "customer", "target", "second")
    parties = story.session.parties
    assert parties["agent"].call_sid == story.legs["second"].call_sid
    assert parties["guest-1"].call_sid == story.legs["target"].call_sid
    assert (story.session.dials, story.session.is_group) == (4, True)
    assert not any(party.desired_end_on_exit for party in parties.values())


def test_target_who_is_found_alone_is_not_made_to_end_the_conference():
    """Customer and agent have hung up: there is no one whom the target's leaving could disconnect."""
    story = as_conference(
        rolled_back().reads(customer="completed", agent="completed", conference=CONFERENCE, inside=("target",))
    )
    story.expect("conferenced").expect_timers("lone").expect_parties(customer="left", agent_1="left", agent="connected")
    assert not story.session.parties["agent"].desired_end_on_exit


# ---- on the way in ---------------------------------------------------------------------------------------------------


def test_target_who_still_rings_is_waited_for():
    story = shows(rolled_back(is_ringing=True), "customer", "target")
    story.expect_parties(customer="connected", agent_1="left", agent="ringing")
    assert not is_alone(story)
    story.joins("target").expect_parties(customer="connected", agent_1="left", agent="connected")


def test_target_ringing_too_long_is_given_up_and_the_customer_released():
    story = shows(rolled_back(is_ringing=True), "customer", "target")
    story.fires(DialOverdue).expect("conferenced", "look")
    story.rings_on("target").fires(DialOverdue).expect("conferenced", "hang up agent")
    assert is_alone(story)


def test_dialed_party_shown_ringing_by_a_read_is_not_in_the_conference():
    story = ringing("warm")
    story.legs["target"].is_ringing = True
    story.reads(customer="in-progress", agent="in-progress", target="ringing", conference=CONFERENCE,
                inside=("customer", "agent", "target"))  # fmt: skip
    assert not story.session.parties["target"].in_conference


# ---- who is no company -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{"label": "supervisor-1", "muted": True}, {"label": "supervisor-1"},
                                 {"label": "Boss", "coaches": "CA" + "a" * 32}])  # fmt: skip
def test_supervisor_is_none(how: dict[str, object]):
    story = with_leg(rolled_back(), "supervisor", digit="9", **how)
    shows(story, "customer", "supervisor")
    assert story.session.parties["supervisor"].is_supervisor
    assert is_alone(story)


def test_supervisor_remains_one_while_the_others_continue():
    story = with_leg(rolled_back(), "supervisor", "supervisor-2", "9", muted=True)
    shows(story, "customer", "target", "supervisor")
    assert story.session.parties["supervisor"].supervises == "monitor"
    assert not story.session.is_group
    story.leaves("target")
    assert is_alone(story)


def test_muted_foreign_listener_does_not_count_until_audible():
    story = with_leg(rolled_back(), "listener", "Boss", "9", muted=True)
    shows(story, "customer", "listener")
    assert is_alone(story)
    story.legs["listener"].muted = False
    story.changes("listener", kind="participant-unmute")
    assert not is_alone(story)


def test_audible_foreign_call_counts_as_a_participant():
    story = shows(rolled_back(), "customer", "guest")
    assert not is_alone(story)
    assert story.session.parties["guest-1"].call_sid == story.legs["guest"].call_sid


def test_label_with_a_phone_number_is_not_used_as_a_party_name():
    story = shows(with_leg(rolled_back(), "guest", "x1-415-555_0123-4", "9"), "customer", "guest")
    assert set(story.session.parties) == {"customer", "agent", "guest-1"}


# ---- reads and leaves ------------------------------------------------------------------------------------------------


def test_outdated_read_does_not_restore_an_unknown_participant():
    story = rolled_back()
    began = story.session.version
    story.leaves("target").expect("conferenced", outcome="unexpected")
    shows(story, "customer", "target", version=began)
    assert set(story.session.parties) == {"customer", "agent"}


def test_outdated_read_does_not_restore_a_party_that_hung_up():
    story = rolled_back()
    story.leaves("target")
    shows(story, "customer", "target")
    assert is_alone(story)


def test_outdated_read_does_not_restore_a_party_with_an_earlier_label():
    story = shows(with_leg(rolled_back(), "second", "target-4", "9"), "customer", "second")
    story = with_leg(story, "third", "target-3", "6").sweep_finds("call-missing", "customer")
    began = story.session.version
    story.leaves("third").expect("conferenced", outcome="stayed")
    shows(story, "customer", "second", "third", version=began).expect("conferenced", phase="")
    assert story.session.find_party(call_sid=story.legs["third"].call_sid) is None


# ---- a transfer that waits for the agent -----------------------------------------------------------------------------


def transferring() -> ConferenceScenario:
    """By all that is known the two talk; in truth a transfer was begun, so that no one's leaving ends it."""
    story = rolled_back()
    story.legs["customer"].end_on_exit = story.legs["agent"].end_on_exit = False
    return story


def test_lost_consult_continues_unheard_by_the_customer():
    story = transferring()
    story.legs["customer"].held = True
    shows(story, "customer", "agent", "target", agent="in-progress").expect("transferring", phase="consult")
    story.expect_transfer("consulting").expect_held("customer").complete().expect("transferring", "unhold customer")


def consult_rings() -> ConferenceScenario:
    story = transferring()
    story.legs["customer"].held = story.legs["target"].is_ringing = True
    shows(story, "customer", "agent", "target", agent="in-progress").expect("transferring", phase="consult")
    return as_conference(story.expect_transfer("ringing").expect_held("customer"))


def test_lost_consult_with_ringing_target_continues_unheard_by_the_customer():
    story = consult_rings().call("target", "in-progress", dial="some-dial").joins("target")
    story.expect("transferring", phase="consult").expect_transfer("consulting").expect_held("customer")
    story.complete().expect("transferring", "unhold customer")


def test_customer_talks_to_agent_again_when_the_target_of_a_lost_consult_fails():
    story = consult_rings().call("target", "busy", dial="some-dial").expect("transferring", "unhold customer")
    story.confirms("customer").expect("conferenced", "flag customer", "flag agent", phase="")


def test_consult_with_one_of_several_is_one_too():
    story = with_leg(transferring(), "second", "target-2-2", "9")
    story.legs["customer"].held = True
    shows(story, "customer", "agent", "target", "second", agent="in-progress").expect("transferring", phase="consult")
    story.expect_held("customer")
    assert story.session.parties["target"].call_sid == story.legs["second"].call_sid
    assert story.session.parties["guest-1"].takes_part


def ring_group(**second: object) -> ConferenceScenario:
    """A consult whose three targets Redis has forgotten; all of them still ring, or the second was quicker."""
    story = transferring()
    story.legs["customer"].held = story.legs["target"].is_ringing = True
    story = with_leg(story, "second", "target-2", "9", **{"is_ringing": True, **second})
    story = with_leg(story, "third", "target-3", "6", is_ringing=True)
    inside = ("customer", "agent", "target", "second", "third")
    return shows(story, *inside, agent="in-progress")


def test_all_targets_of_a_ring_group_are_recovered():
    story = ring_group().expect("transferring", phase="consult").expect_transfer("ringing").expect_held("customer")
    assert {party.call_sid for party in story.session.targets} == {
        story.legs[name].call_sid for name in ("target", "second", "third")
    }
    assert story.session.transfer.to == ",".join(party.address for party in story.session.targets)
    assert "dial" in story.session.timers


@pytest.mark.parametrize("winner", ["target", "second", "third"])
def test_recovered_ring_group_goes_to_the_target_that_answers_first(winner: str):
    story = ring_group().call(winner, "in-progress", dial="some-dial").joins(winner)
    assert story.session.parties["target"].call_sid == story.legs[winner].call_sid
    rivals = {story.legs[name].call_sid for name in ("target", "second", "third") if name != winner}
    assert {effect.call_sid for effect in story.last.effects} == rivals
    assert all(words.startswith("hang up target-") for words in story.words())
    story.expect_transfer("consulting").expect_held("customer")


def test_agent_gets_the_customer_back_when_no_target_of_a_recovered_ring_group_answers():
    story = ring_group().call("target", "busy").call("second", "no-answer").expect("transferring")
    story.call("third", "no-answer").expect("transferring", "unhold customer")


def test_targets_of_a_ring_group_that_lost_to_another_are_hung_up_after_a_rollback():
    story = ring_group(is_ringing=False).expect_transfer("consulting").expect_held("customer")
    assert story.session.parties["target"].call_sid == story.legs["second"].call_sid
    assert story.session.transfer.to == story.session.parties["target"].address
    story.expect("transferring", "hang up target-1", "hang up target-2", phase="consult")
    assert {effect.call_sid for effect in story.last.effects} == {
        story.legs[name].call_sid for name in ("target", "third")
    }


@pytest.mark.parametrize("winner", ["target", "second", "third"])
def test_targets_of_a_lost_blind_transfer_stop_ringing_when_one_answers(winner: str):
    """The agent is gone, and the customer waits: the first to answer talks to the customer."""
    names = ("target", "second", "third")
    story = with_leg(rolled_back(is_ringing=True), "second", "target-2", "9", is_ringing=True)
    story = with_leg(story, "third", "target-3", "6", is_ringing=True)
    shows(story, "customer", *names).expect("conferenced", "unflag customer")
    story.call(winner, "in-progress", dial="some-dial").joins(winner)
    rivals = {story.legs[name].call_sid for name in names if name != winner}
    assert {one.call_sid for one in story.last.effects if isinstance(one, HangUpCall)} == rivals
    assert not is_alone(story)


def test_losing_targets_of_a_lost_blind_transfer_are_hung_up():
    story = with_leg(rolled_back(), "second", "target-2", "9", is_ringing=True)
    shows(story, "customer", "target", "second")
    (hang_up,) = (one for one in story.last.effects if isinstance(one, HangUpCall))
    assert hang_up.call_sid == story.legs["second"].call_sid


def test_three_who_talk_are_a_warm_transfer():
    story = shows(transferring(), "customer", "agent", "target", agent="in-progress")
    story.expect("transferring", phase="warm").complete().expect("transferring", "hang up agent")
    story.leaves("agent").expect("conferenced", "flag customer", "flag agent")


def test_agent_who_hangs_up_has_handed_over():
    story = shows(transferring(), "customer", "agent", "target", agent="in-progress")
    story.leaves("agent").expect("conferenced", "flag customer", "flag agent")


def test_three_who_talk_beside_a_guest_are_a_group():
    story = shows(transferring(), "customer", "agent", "target", "guest", agent="in-progress")
    story.expect("conferenced", phase="")
    assert story.session.is_group
    assert {"guest-1", "guest-2"} <= set(story.session.parties)


def test_two_parties_still_joining_are_in_a_transfer():
    story = with_leg(Scenario().answered().convert(), "target", "target-1")
    story.legs["customer"].held = True
    shows(story, "customer", "agent", "target", agent="in-progress")
    story.expect("transferring", phase="consult").expect_command("convert-1", "accepted", "done").expect_timers()


def test_customer_expected_to_be_moving_talks_to_the_party_that_took_over():
    story = with_leg(Scenario().answered().convert(), "target", "target-1")
    shows(story, "customer", "target").expect("conferenced", "flag customer", "flag agent")
    story.expect_command("convert-1", "accepted", "done").expect_timers("confirm")
    assert story.session.parties["agent"].call_sid == story.legs["target"].call_sid


def test_moving_customer_who_meets_only_a_supervisor_is_hung_up():
    story = with_leg(Scenario().answered().convert(), "supervisor", "supervisor-1", muted=True)
    shows(story, "customer", "supervisor").expect("ended", "end room", "hang up customer", reason="agent-left")


# ---- dials that are still to be decided again ------------------------------------------------------------------------


def test_target_of_a_transfer_that_is_still_to_dial_is_found_by_that_dial():
    story = as_conference(conferenced()).transfer("warm").expect("transferring", "unflag agent")
    story = shows(with_leg(story, "target", "target-1"), "customer", "agent", "target", agent="in-progress")
    assert set(story.session.parties) == {"customer", "agent"}
    story.confirms("agent").expect("transferring", "dial target")
    assert story.last.effects[0].label == "target-1"


def test_dial_found_as_an_early_guest_takes_the_place_of_that_guest():
    story = as_conference(conferenced()).transfer("warm").expect("transferring", "unflag agent")
    with_leg(story, "target", "target-1").joins("target")
    assert story.session.parties["guest-1"].in_conference
    story.confirms("agent").expect("transferring", "dial target")
    story.legs["target"].call_sid = story.legs["former target"].call_sid
    story.placed("target").expect_transfer("dialing").call("target", "in-progress").expect_transfer("merged")
    assert set(story.session.parties) == {"customer", "agent", "target"}
    story.complete().expect("transferring", "hang up agent")


def test_guest_keeps_their_place_when_another_turns_out_to_be_the_target():
    story = as_conference(conferenced()).transfer("warm").expect("transferring", "unflag agent")
    story = with_leg(story, "target", "target-1").joins("target").joins("guest")
    story.confirms("agent").expect("transferring", "dial target")
    story.legs["target"].call_sid = story.legs["former target"].call_sid
    with_leg(story.placed("target"), "third", "Boss", "6").joins("third")
    calls = [story.legs[one].call_sid for one in ("target", "guest", "third")]
    assert {story.session.find_party(call_sid=sid).name for sid in calls} == {
        "target", "guest-2", "guest-3",
    }  # fmt: skip


def test_party_still_to_be_added_is_found_by_its_dial():
    story = as_conference(conferenced())
    story.__class__ = Orders
    story.add().expect("conferenced", "unflag customer", "unflag agent")
    story = shows(with_leg(story, "lawyer", "lawyer-1"), "customer", "agent", "lawyer", agent="in-progress")
    assert "lawyer" not in story.session.parties


# ---- a transfer that is known ----------------------------------------------------------------------------------------


def test_customer_talking_to_an_unknown_party_is_not_hung_up_on_transfer_failure():
    story = with_leg(talking("warm"), "lawyer", "lawyer-7", "9")
    story.policy = Policy(fallback="end")
    story.reads(
        customer="in-progress",
        agent="completed",
        target="completed",
        conference=CONFERENCE,
        inside=("customer", "lawyer"),
    )
    assert story.session.state != "ended"
    assert story.session.parties["lawyer"].takes_part
    story.leaves("lawyer")
    assert story.session.state == "ended" or is_alone(story)


def test_lost_supervisor_is_recognized_when_a_read_shows_them():
    story = with_leg(dialing("warm"), "supervisor", "supervisor-4", "9", muted=True)
    shows(story, "customer", "agent", "supervisor", agent="in-progress")
    assert story.session.parties["supervisor"].is_supervisor


# ---- someone waits, by all that is known ----------------------------------------------------------------------------


def test_caller_who_waits_talks_to_the_next_agent_already():
    story = waiting(other_agents=("client:dave",)).placed("agent")
    with_leg(story, "next", "agent-2")
    story.reads(customer="in-progress", agent="no-answer", conference=CONFERENCE, inside=("customer", "next"))
    assert (story.session.state, story.session.phase, story.session.opening) == ("conferenced", "", "")
    assert story.session.parties["agent"].call_sid == story.legs["next"].call_sid
    assert not any(word.startswith("dial") for word in story.words())


def test_retrieved_call_is_no_longer_parked():
    story = parked()
    with_leg(story, "taker", "agent-5")
    story.legs["customer"].held = False
    story.reads(customer="in-progress", conference=CONFERENCE, inside=("customer", "taker"))
    assert (story.session.phase, "park" in story.session.timers) == ("", False)
    assert "hold customer" not in story.words()


# ---- what was not heard of a conference ------------------------------------------------------------------------------


def with_gap(story: ConferenceScenario) -> ConferenceScenario:
    """A callback of the conference was lost."""
    story.sequences[CONFERENCE] += 1
    return story


def test_party_alone_according_to_the_session_is_verified_after_a_missing_callback():
    story = with_leg(with_gap(as_conference(conferenced())), "target", "target-1").leaves("agent").expect("conferenced")
    story.fires(LoneOverdue).expect("conferenced", "look")
    shows(story, "customer", "target")
    assert not is_alone(story)


def test_party_confirmed_alone_by_a_read_is_hung_up():
    story = with_gap(as_conference(conferenced())).leaves("agent").fires(LoneOverdue).expect("conferenced", "look")
    shows(story, "customer").expect("conferenced")
    story.fires(LoneOverdue).expect("ended", "end room", reason="agent-left")


def test_no_one_is_released_before_the_read_is_answered():
    story = with_gap(as_conference(conferenced())).leaves("agent").fires(LoneOverdue).expect("conferenced", "look")
    story.fires(LoneOverdue).expect("conferenced")
    assert is_alone(story)


def test_read_without_the_conference_says_nothing_about_its_participants():
    story = with_gap(as_conference(conferenced())).leaves("agent").fires(LoneOverdue).expect("conferenced", "look")
    story.reads(customer="in-progress").expect("conferenced")
    story.fires(LoneOverdue).expect("conferenced", "look")
    shows(story, "customer").fires(LoneOverdue).expect("ended", "end room")


def test_party_that_may_be_alone_is_not_hung_up_while_reads_fail():
    story = with_gap(as_conference(conferenced())).leaves("agent")
    for _ in range(30):
        story.fires(LoneOverdue).expect("conferenced", "look").fails("read_calls").expect("conferenced")
    shows(story, "customer").fires(LoneOverdue).expect("ended", "end room", reason="agent-left")


def test_party_that_is_back_without_a_callback_is_company():
    """Its join is the conference's newest event: no number is missing."""
    story = as_conference(conferenced()).leaves("agent", status="in-progress", reason="participant_kicked")
    story.expect("conferenced").fires(LoneOverdue).expect("conferenced", "look")
    assert not is_alone(shows(story.later(10_000), "customer", "agent", agent="in-progress").expect("conferenced"))


def test_parked_call_stays_parked_while_every_read_fails():
    story = with_gap(parked()).changes("customer")
    for _ in range(30):
        story.fires(ParkOverdue).expect("conferenced", "look", phase="parked").fails("read_calls")
    shows(story, "customer").fires(ParkOverdue)
    assert story.session.phase == "recall"


def test_gap_recovered_by_a_read_needs_no_other_read():
    story = with_gap(as_conference(conferenced())).changes("customer").sweep_finds("call-missing", "agent")
    shows(story, "customer", "agent", agent="in-progress").leaves("agent")
    story.fires(LoneOverdue).expect("ended", "end room")


def test_parked_call_with_missing_callbacks_is_read_before_it_returns():
    story = with_leg(with_gap(parked()), "taker", "agent-5")
    story.changes("customer").fires(ParkOverdue).expect("conferenced", "look")
    story.legs["customer"].held = False
    story.reads(customer="in-progress", conference=CONFERENCE, inside=("customer", "taker"))
    assert story.session.phase == ""


def test_our_own_leg_resembling_a_guest_is_hung_up():
    """Redis has forgotten its dial; its label is one of ours."""
    story = with_leg(conferenced().transfer("warm").confirms("agent").placed("target"), "stray", "target-1").joins(
        "stray"
    )
    assert "guest-1" in story.session.parties
    story.end()
    hung_up = {effect.call_sid for effect in story.last.effects if isinstance(effect, HangUpCall)}
    assert story.legs["stray"].call_sid in hung_up
