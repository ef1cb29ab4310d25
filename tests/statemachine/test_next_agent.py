"""`/voice/inbound` with several agents: the action's document rings the next when one does not answer."""

import pytest

from conferral.statemachine.conference_attributes import ConferenceAttributes
from conferral.statemachine.events import LeaveOverdue, RingOverdue
from tests.statemachine.conference_scenarios import DAVE, SECOND_CALL, as_conference
from tests.statemachine.scenario import ALICE, BOB, CONFERENCE, Scenario
from tests.statemachine.transfer_scenarios import FLAGS


def rings(*others):
    return as_conference(Scenario().comes_in(other_agents=others or (BOB,)).call("agent", "ringing"))


def second_rings():
    """The first was busy, as a callback said; the second rings."""
    story = rings().call("agent", "busy").dial_ends("busy", call_status="ringing").expect("bridged", phase="ringing")
    story.expect_timers("ring").next_agent().call("agent", "ringing", agent_number=1)
    return story.expect("bridged", phase="ringing").expect_timers("ring")


# ---- the way it should go ----------------------------------------------------------------------------------------


def test_next_agent_rings_without_a_request_of_ours():
    story = second_rings()
    agent = story.session.parties["agent"]
    assert (agent.call_sid, agent.address, agent.status) == (SECOND_CALL, BOB, "ringing")
    story.call("agent", "in-progress", agent_number=1).expect("bridged", phase="connected").expect_timers()


def test_call_with_the_next_agent_can_be_converted():
    story = second_rings().call("agent", "in-progress", agent_number=1).convert().expect("converting", "move agent")
    assert story.last.effects[0].call_sid == SECOND_CALL
    story.joins("agent").joins("customer").expect("conferenced", *FLAGS)


@pytest.mark.parametrize("status", ["busy", "no-answer", "failed"])
def test_dial_that_ends_unanswered_leads_to_the_next(status):
    story = rings().dial_ends(status, call_status="in-progress").expect("bridged", phase="ringing")
    assert story.session.parties["agent"].address == BOB
    assert story.session.timers["ring"] - story.now_ms == 40_000


def test_first_agent_who_has_talked_is_not_followed_by_the_next():
    story = as_conference(Scenario().comes_in(other_agents=(BOB,))).call("agent", "in-progress").dial_ends("completed")
    story.expect("bridged").call("customer", "completed").call("agent", "completed")
    story.expect("ended", reason="agent-left")


def test_last_agent_names_the_reason():
    story = second_rings().call("agent", "no-answer", agent_number=1)
    story.dial_ends("no-answer", call_status="ringing", agent_number=1).expect("ended", reason="agent-no-answer")


def test_three_are_rung_one_after_the_other():
    story = rings(BOB, DAVE).dial_ends("busy", call_status="ringing").dial_ends("busy", agent_number=1)
    assert story.session.parties["agent"].address == DAVE
    story.dial_ends("busy", agent_number=2).expect("bridged").fires(LeaveOverdue).expect("ended", reason="agent-busy")


def test_agent_who_talks_and_leaves_ends_it_though_others_were_not_tried():
    story = rings(BOB, DAVE).dial_ends("busy").next_agent().call("agent", "in-progress", agent_number=1)
    story.dial_ends("completed", agent_number=1).call("customer", "completed")
    story.call("agent", "completed", agent_number=1).expect("ended", reason="agent-left")


# ---- callbacks in any order --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status, phase", [
    ("initiated", "ringing"), ("ringing", "ringing"), ("in-progress", "connected"),
])  # fmt: skip
def test_callback_of_the_next_agent_may_come_before_the_action_of_the_first(status, phase):
    story = rings().call("agent", "busy").next_agent().call("agent", status, agent_number=1)
    story.expect("bridged", phase=phase)
    assert story.session.parties["agent"].call_sid == SECOND_CALL
    story.dial_ends("busy", call_status="ringing").expect("bridged", outcome="stale", phase=phase)
    story.call("former agent", "busy", token="late").expect("bridged", outcome="stale", phase=phase)
    assert story.session.parties["agent"].address == BOB


def test_late_callbacks_of_the_first_agent_do_not_touch_the_next():
    story = rings().dial_ends("busy", call_status="ringing").call("agent", "busy").expect("bridged", outcome="stale")
    story.next_agent().call("agent", "ringing", agent_number=1).call("former agent", "completed")
    story.expect("bridged", outcome="stale").expect_timers("ring")
    assert story.session.parties["agent"].status == "ringing"


def test_duplicate_action_does_not_ring_an_agent_again():
    story = rings(BOB, DAVE).dial_ends("busy", call_status="ringing")
    story.dial_ends("busy", call_status="ringing").expect("bridged", outcome="stale")
    assert story.session.agent_number == 1


def test_next_agent_may_report_nothing_but_the_end_of_their_call():
    story = rings().call("agent", "busy").next_agent().call("agent", "no-answer", agent_number=1).expect("bridged")
    story.dial_ends("no-answer", agent_number=1).expect("ended", reason="agent-no-answer")


# ---- callbacks that are lost -------------------------------------------------------------------------------------


def test_action_that_is_late_does_not_end_a_call_whose_next_agent_rings():
    """The first was busy; a read two seconds later shows the second one's phone."""
    story = rings().call("agent", "busy").fires(LeaveOverdue).expect("bridged", "look").next_agent()
    story.reads(customer="ringing", **{"former agent": "busy"}, agent="ringing").expect("bridged", phase="ringing")
    agent = story.session.parties["agent"]
    assert (agent.call_sid, agent.address) == (SECOND_CALL, BOB)
    story.expect_timers("ring").call("agent", "in-progress", agent_number=1).expect("bridged", phase="connected")


def test_next_agent_that_answered_is_found_by_the_read():
    story = rings().call("agent", "busy").fires(LeaveOverdue).next_agent()
    story.reads(customer="in-progress", **{"former agent": "busy"}, agent="in-progress")
    story.expect("bridged", phase="connected").expect_timers()
    assert story.session.agent_number == 1


def test_read_between_two_agents_ends_nothing():
    """The action's answer is in transit; if it never arrives, Twilio hangs the caller up, and a read shows it."""
    story = rings().call("agent", "busy").fires(LeaveOverdue).reads(customer="ringing", agent="busy")
    story.expect("bridged", phase="ringing").expect_timers("leave").fires(LeaveOverdue).expect("bridged", "look")
    story.reads(customer="completed", agent="busy").expect("ended", reason="agent-busy")


def test_read_after_the_last_agent_ends_the_session():
    story = second_rings().call("agent", "busy", agent_number=1).fires(LeaveOverdue).expect("bridged", "look")
    story.reads(customer="ringing", agent="busy").expect("bridged").expect_timers("leave").fires(LeaveOverdue)
    story.reads(customer="completed", agent="busy").expect("ended", reason="agent-busy")


def test_answer_of_the_next_agent_whose_callback_was_lost_is_found():
    story = rings().dial_ends("busy", call_status="ringing").next_agent().fires(RingOverdue).expect("bridged", "look")
    story.reads(customer="in-progress", agent="in-progress").expect("bridged", phase="connected")


# ---- the caller --------------------------------------------------------------------------------------------------


def test_caller_who_hangs_up_while_the_second_rings():
    story = second_rings().dial_ends("canceled", call_status="completed", agent_number=1)
    story.expect("ended", reason="customer-left")


def test_caller_hanging_up_between_two_agents_is_detected_by_their_callback():
    rings().dial_ends("busy", call_status="ringing").call("customer", "completed").expect(
        "ended", reason="customer-left"
    )


def test_caller_who_has_gone_when_the_first_agents_dial_ends():
    story = rings().dial_ends("no-answer", call_status="completed").expect("ended")
    assert story.session.end_reason == "customer-left"


def test_commands_are_refused_until_one_has_answered():
    second_rings().convert().expect_refused("convert-1", "no one has answered yet", "end")


# ---- after the conference ----------------------------------------------------------------------------------------


def test_agent_has_no_exit_flag_when_the_caller_continues_elsewhere():
    after = ConferenceAttributes(after_url="https://example.com/survey")
    story = as_conference(Scenario().comes_in(attributes=after)).call("agent", "in-progress").convert().joins("agent")
    story.joins("customer").expect("conferenced", "flag customer").confirms("customer").expect_timers()
    story.leaves("agent").expect_timers("lone").joins("agent").expect("conferenced").expect_timers()
    story.leaves("agent").conference_ends(conference=CONFERENCE).expect("ended")
    assert story.session.parties["customer"].left_reason == "redirected-away"
    assert story.session.agents[0] == ALICE


# ---- a phone whose network refuses the caller's number -----------------------------------------------------------

PHONE = "+14155550188"
REFUSED = {"call_status": "ringing", "failed_with_callers_number": True}


def phone_rings(*others):
    return as_conference(Scenario().comes_in(agent_address=PHONE, other_agents=others)).call("agent", "initiated")


@pytest.mark.parametrize("is_reported_first", [True, False])
def test_same_agent_is_rung_again_as_the_next_agent(is_reported_first):
    story = phone_rings(BOB)
    if is_reported_first:
        story.call("agent", "failed")
    story.dial_ends("failed", **REFUSED).expect("bridged", phase="ringing").expect_timers("ring")
    if not is_reported_first:
        story.call("agent", "failed").expect("bridged", phase="ringing")  # late
    assert (story.session.agents, story.session.agent_number) == ((PHONE, PHONE, BOB), 1)
    story.next_agent().call("agent", "ringing", agent_number=1).call("agent", "in-progress", agent_number=1)
    agent = story.expect("bridged", phase="connected").session.parties["agent"]
    assert (agent.call_sid, agent.address) == (SECOND_CALL, PHONE)


def test_agent_whose_second_dial_fails_too_is_given_up():
    story = phone_rings().dial_ends("failed", **REFUSED).dial_ends("failed", call_status="ringing", agent_number=1)
    story.expect("bridged").fires(LeaveOverdue).expect("ended", reason="agent-failed")


def test_only_a_phone_is_rung_again():
    story = rings().dial_ends("failed", **REFUSED)
    assert (story.session.agents, story.session.parties["agent"].address) == ((ALICE, BOB), BOB)
