"""When a ring, a gate, or a read is overdue, exactly."""

import pytest

from conferral.statemachine.effects import ReadCalls
from conferral.statemachine.events import ConvertOverdue, RingOverdue
from conferral.statemachine.policy import Policy
from tests.statemachine.conference_scenarios import as_conference, called
from tests.statemachine.scenario import BOB, OUTBOUND, Scenario
from tests.statemachine.transfer_scenarios import dialing

POLICY = Policy(ring_timeout_ms=20_000, ring_slack_ms=7_000)
RING_MS = 27_000


def due_in_ms(story: Scenario, timer: str) -> int:
    return story.session.timers[timer] - story.now_ms


def test_agent_of_an_inbound_call_is_overdue_after_the_ring_time_and_the_slack():
    assert due_in_ms(Scenario(POLICY).comes_in(), "ring") == RING_MS


def test_customer_of_an_outbound_call_is_overdue_as_long_after_the_agent_was_let_in():
    story = Scenario(POLICY, session_id=OUTBOUND).calls_out().placed("agent").call("agent", "ringing").gate("agent")
    story.later(5_000).gate("agent", "accepted").expect_timers("ring")
    assert due_in_ms(story, "ring") == RING_MS


def test_agent_of_a_call_that_was_bridged_after_all_is_overdue_as_long_after_that():
    story = called(POLICY).later(5_000).call("agent", "initiated", dial="").expect("bridged", phase="ringing")
    assert due_in_ms(story, "ring") == RING_MS


def test_next_agent_is_overdue_as_long_after_the_end_of_the_one_before():
    story = (
        as_conference(Scenario(POLICY).comes_in(other_agents=(BOB,)))
        .later(5_000)
        .dial_ends("busy", call_status="ringing")
    )
    assert due_in_ms(story, "ring") == RING_MS


def test_call_that_the_gate_lets_in_is_known_though_the_answer_to_its_dial_is_lost():
    story = Scenario(session_id=OUTBOUND).calls_out().gate("agent", "accepted").expect("bridged", phase="ringing")
    agent = story.session.parties["agent"]
    assert (agent.call_sid, agent.answered, agent.status) == (story.legs["agent"].call_sid, True, "connected")


@pytest.mark.parametrize(("confirm", "due_ms"), [(False, 6_200), (True, 5_000)])
def test_target_has_the_time_of_the_briefing_to_join_unless_it_was_heard_before_the_key(confirm, due_ms):
    story = dialing("warm", brief="A new order.", confirm=confirm).placed("target").call("target", "ringing")
    story.gate("target").gate("target", "accepted").expect("transferring")
    assert due_in_ms(story, "dial") == due_ms


@pytest.mark.parametrize(("brief", "due_ms"), [("", 60_000), ("A new order.", 61_200)])
def test_target_in_the_gate_has_a_minute_and_the_time_of_the_briefing(brief, due_ms):
    story = dialing("warm", brief=brief, confirm=True).placed("target").call("target", "ringing").gate("target")
    assert due_in_ms(story, "dial") == due_ms


@pytest.mark.parametrize("timer", [RingOverdue, ConvertOverdue])
def test_read_knows_of_everything_up_to_the_event_that_ordered_it(timer):
    """What changes afterwards makes its answer outdated."""
    story = Scenario().comes_in() if timer is RingOverdue else Scenario().answered().convert()
    (read,) = (effect for effect in story.fires(timer).last.effects if isinstance(effect, ReadCalls))
    assert read.read_version == story.session.version
