"""The bridge and its conversion: what flows and exploration do not reach."""

import pytest

from conferral.statemachine.events import AgeOverdue, CallsOverdue, ConvertOverdue, ReadOverdue
from conferral.statemachine.parts import ConferenceAttributes
from tests.statemachine.command_scenarios import ordering, recorded
from tests.statemachine.conference_scenarios import as_conference
from tests.statemachine.scenario import AGENT_CALL, BOB, CONFERENCE, CUSTOMER, OUTBOUND, Scenario
from tests.statemachine.transfer_scenarios import FLAGS
from tests.support.people import LAWYER

HANG_UP_BOTH = ("hang up customer", "hang up agent")


def test_late_and_doubled_callbacks_change_nothing():
    story = Scenario().answered()
    parties = story.session.parties
    story.call("agent", "ringing").expect("bridged", outcome="stale")
    story.call("agent", "initiated", sequence=0).expect("bridged", outcome="stale")
    assert story.session.parties == parties


def test_callbacks_in_reverse_order_lead_to_the_same_place():
    story = Scenario().comes_in()
    story.call("agent", "in-progress", sequence=2).call("agent", "ringing", sequence=1).call(
        "agent", "initiated", sequence=0
    )
    story.expect("bridged", phase="connected")


def test_late_answer_does_not_bring_back_a_caller_who_has_left():
    story = Scenario().comes_in().call("agent", "ringing").dial_ends("completed").call("customer", "completed")
    story.call("agent", "in-progress").expect("bridged")
    assert story.session.customer.is_gone
    story.call("agent", "completed").expect("ended", reason="agent-left")


def test_convert_is_refused_once_one_of_the_two_has_hung_up():
    story = Scenario().answered().call("agent", "completed").convert().expect("bridged", outcome="refused")
    assert story.reports["convert-1"][0][1].startswith("one of the two parties has hung up")


def test_end_whose_hang_up_is_refused_has_failed():
    story = Scenario().answered().end()
    story.fails("hang_up_call", "customer", status=401, code=20003, effect_id=story.last.effects[0].effect_id)
    assert story.reports["end-1"][-1] == ("failed", "Twilio refused (HTTP 401, code 20003)")


def test_session_older_than_a_day_is_ended_once_a_read_shows_no_one():
    Scenario().answered().fires(AgeOverdue).reads().expect("ended", *HANG_UP_BOTH, reason="too-old")


def test_end_of_unknown_outcome_has_failed():
    story = Scenario().answered().end()
    story.is_unknown("hang_up_call", "customer", story.last.effects[0].effect_id)
    assert story.reports["end-1"][-1] == ("failed", "unknown: Twilio gave no answer")


REDIRECT_AGENT = "move agent"
REDIRECT_CUSTOMER = "move customer"


def converting() -> Scenario:
    return Scenario().answered().convert().expect("converting", REDIRECT_AGENT).expect_timers("convert")


def redirected() -> Scenario:
    """Converting, and Twilio has taken the redirect."""
    story = converting()
    return story.succeeds("redirect_call", "agent", story.session.open_redirects[0]).expect("converting")


def test_refused_redirect_after_the_dial_ended_leads_to_a_read():
    converting().dial_ends("completed").fails("redirect_call", "agent", status=400).expect("converting", "look")


def test_read_some_time_after_the_repair_was_answered_changes_nothing():
    story = redirected().joins("agent").fires(ConvertOverdue)
    seen = {"conference": CONFERENCE, "inside": ("agent",), "customer": "in-progress", "agent": "in-progress"}
    story.reads(**seen).expect("converting", REDIRECT_CUSTOMER)
    story.succeeds("redirect_call", "customer", story.last.effects[0].effect_id)
    story.later(4_999).reads(**seen).expect("converting").expect_timers("read")


def test_leave_that_is_older_than_the_join_changes_nothing():
    story = converting().joins("agent", sequence=3).leaves("agent", sequence=2, status="in-progress", reason="x")
    story.expect("converting", outcome="stale")
    assert [party.name for party in story.session.participants] == ["agent"]


def story_redirect(story: Scenario) -> str:
    return story.session.open_redirects[0]


def test_redirect_under_way_is_waited_for_before_anything_is_given_up():
    story = converting()
    redirect = story_redirect(story)
    story.fires(ReadOverdue).expect("converting", "look").fails("read_calls", status=500)
    story.fires(ConvertOverdue).expect("converting", "look").expect_timers("convert", "read")
    story.succeeds("redirect_call", "agent", redirect).joins("agent").joins("customer").expect("conferenced", *FLAGS)


def test_leg_that_was_moved_late_is_waited_for_before_the_call_is_ended():
    story = converting().fires(ReadOverdue).expect("converting", "look").later(500)
    story.succeeds("redirect_call", "agent", story_redirect(story)).later(1_000)
    shown = {"conference": CONFERENCE, "inside": ("customer",), "customer": "in-progress", "agent": "in-progress"}
    story.reads(**shown).expect("converting").fires(ReadOverdue).expect("converting", "look")
    story.reads(**shown).expect("converting").fires(ReadOverdue).expect("converting", "look")
    story.reads(**shown).expect("converting", REDIRECT_AGENT)
    story.succeeds("redirect_call", "agent", story.last.effects[0].effect_id).later(5_000)
    story.fires(ReadOverdue).reads(**shown).expect("ended", "end room", "hang up agent")


def test_conversion_that_is_taken_up_after_one_that_was_given_up_has_a_repair_of_its_own():
    story = converting()
    story.is_unknown("redirect_call", "agent", story_redirect(story))
    story.fires(ConvertOverdue).expect("bridged")
    story.joins("agent").expect("converting").fires(ReadOverdue)
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("agent",))
    story.expect("converting", REDIRECT_CUSTOMER)


def test_leg_is_not_moved_again_while_both_talk_and_its_first_move_may_still_happen():
    story = converting()
    began_ms = story.now_ms
    story.later(6_000).is_unknown("redirect_call", "agent", story_redirect(story), attempts=1)
    story.expect("converting", "look")
    story.reads(customer="in-progress", agent="in-progress").expect("converting").fires(ConvertOverdue)
    why = "Twilio did not move the parties in time"
    story.expect("bridged").expect_command("convert-1", "accepted", "failed", reason=why)
    assert story.now_ms - began_ms == 10_000
    story.dial_ends("completed").expect("bridged")
    story.joins("agent").joins("customer").expect("conferenced", "flag customer")


def test_late_move_of_a_leg_that_was_moved_again_takes_it_out_of_the_conference_and_back_in():
    """The same command again: its redirect works at once, and the first one acts later."""
    story = converting()
    story.is_unknown("redirect_call", "agent", story_redirect(story), attempts=1).fires(ConvertOverdue)
    story.expect("bridged").convert("again").expect("converting", "move agent")
    story.succeeds("redirect_call", "agent", story_redirect(story)).dial_ends("completed")
    story.joins("agent").joins("customer").expect("conferenced", "flag customer").confirms("customer")
    story.later(20_000).leaves("agent", status="in-progress", reason="participant_updated_via_api")
    story.expect("conferenced", "look").later(500).joins("agent").expect("conferenced")
    assert "lone" not in story.session.timers


def test_leg_whose_move_was_repeated_may_leave_the_conference_without_ending_it():
    story = converting()
    story.succeeds("redirect_call", "agent", story_redirect(story), attempts=2).dial_ends("completed")
    story.joins("agent").joins("customer").expect("conferenced", "flag customer")


def test_redirect_without_an_answer_after_both_joined_leads_to_a_read():
    story = converting()
    redirect = story_redirect(story)
    story.joins("agent").joins("customer").expect("conferenced", *FLAGS)
    story.is_unknown("redirect_call", "agent", redirect).expect("conferenced", "look")


OTHER_NUMBER = "+14155550160"


def test_end_of_an_earlier_agent_whose_call_was_never_known_does_not_end_the_next_one():
    story = as_conference(Scenario().comes_in(other_agents=(BOB,))).dial_ends("busy", call_status="ringing")
    story.call("agent", "busy").expect("bridged", outcome="stale", phase="ringing").expect_timers("calls")
    agent = story.session.parties["agent"]
    assert (agent.address, agent.status, agent.call_sid) == (BOB, "dialing", "")


def test_unknown_word_for_the_status_of_a_call_changes_nothing():
    story = Scenario().comes_in().call("agent", "ringing")
    before = story.session.parties
    story.call("agent", "paging").expect("bridged", phase="ringing").expect_timers("calls")
    assert story.session.parties == before


def test_action_that_is_requested_again_does_not_put_off_the_end():
    story = Scenario().comes_in().dial_ends("no-answer", call_status="ringing").expect_timers("calls")
    due_ms = story.session.timers["calls"]
    story.later(1_000).dial_ends("no-answer", call_status="ringing").expect("bridged", outcome="stale")
    assert story.session.timers["calls"] == due_ms


def test_call_whose_caller_id_was_refused_does_not_open_the_gate_when_it_shows_up_after_all():
    story = Scenario(session_id=OUTBOUND).calls_out(caller_id=OTHER_NUMBER).expect("bridged", "dial agent to the gate")
    assert story.last.effects[0].options.caller_id == OTHER_NUMBER
    story.refused("agent", code=21212).expect("bridged", "dial agent to the gate", phase="ringing")
    assert story.last.effects[0].options.caller_id == ""
    dial_id = story.session.parties["agent"].dial_id
    story.gate("former agent").expect("bridged", phase="ringing")
    story.gate("former agent", "accepted").expect("bridged", phase="ringing")
    agent = story.session.parties["agent"]
    assert (agent.dial_id, agent.call_sid, agent.answered) == (dial_id, "", False)


def test_party_can_not_be_added_to_a_full_call():
    story = ordering(Scenario().comes_in, attributes=ConferenceAttributes(max_participants=2)).call(
        "agent", "in-progress"
    )
    story.add().expect_refused("add-1", "the conference is full", allowed=("convert", "transfer", "end"))


def test_recording_over_the_bridge_is_neither_started_nor_resumed_while_it_runs():
    story = ordering(Scenario().answered).record("start").recorded()
    story.record("start", "again").expect_refused("again", "already recording")
    story.record("resume").expect("bridged").expect_command("record-resume", "done")
    story.record("pause").expect("bridged", "paused recording").recorded()
    story.record("pause", "again-2").expect("bridged").expect_command("again-2", "done")


def test_recording_of_a_conference_that_has_failed_is_not_started_over_the_bridge():
    """Its callback overtook the join that shows the conference."""
    story = recorded("true").recording("absent").expect("bridged").expect_recording("absent")
    story.record("start").expect_refused(
        "record-start", "the conference's recording was stopped and can't be restarted"
    )


@pytest.mark.parametrize("action, changes", [("pause", ("stopped", "paused")), ("stop", ())])
def test_recording_of_the_conference_goes_on_as_the_one_over_the_bridge_unless_that_is_over(action, changes):
    story = recorded("true").record("start").recorded().record(action).recorded().convert().joins("agent")
    story.joins("customer").expect("conferenced", *(f"{change} recording" for change in changes), *FLAGS)


@pytest.mark.parametrize("address", [LAWYER, CUSTOMER])
def test_refused_add_does_not_take_the_name(address):
    story = ordering(Scenario().answered).add("agent", to=address).add("lawyer", "add-2", to=address)
    story.expect("converting", "move agent").expect_command("add-2", "accepted")


def test_convert_that_comes_too_late_asks_who_hung_up_and_ends_the_call():
    """21220: the agent's leg is gone. The read shows who left, and the customer is on the way into the conference."""
    story = converting().fails("redirect_call", "agent", gone=True, code=21220).expect("converting", "look")
    story.reads(customer="in-progress", agent="completed").expect("converting")
    story.joins("customer").expect("ended", "end room", "hang up customer", reason="agent-left")
    assert story.reports["convert-1"][-1] == ("failed", "agent-left")


def test_lost_joins_are_found_by_the_conversion_read():
    story = converting().fires(ReadOverdue).expect("converting", "look")
    story.reads(customer="in-progress", agent="in-progress", conference=CONFERENCE, inside=("customer", "agent"))
    story.expect("conferenced", *FLAGS).expect_timers("read").expect_command("convert-1", "accepted", "done")
    assert story.session.conference_sid == CONFERENCE


@pytest.mark.parametrize("how", ["callback", "action"])
def test_customer_who_hangs_up_while_converting_ends_it_without_grace(how):
    story = converting().joins("agent")
    if how == "callback":
        story.call("customer", "completed")
    else:
        story.dial_ends("completed", call_status="completed")
    story.expect("ended", "end room", reason="customer-left")
    story.expect_command("convert-1", "accepted", "failed")


def test_answer_whose_callback_was_lost_is_found_when_the_ring_time_is_over():
    story = Scenario().comes_in().fires(CallsOverdue).expect("bridged", "look")
    story.reads(customer="in-progress", agent="in-progress").expect("bridged", phase="connected")
    assert story.session.parties["agent"].call_sid == AGENT_CALL
    story.convert().expect("converting", "move agent")
