"""Conclusions that few sessions reach: who left, which step ran, and what is reported for it."""

from conferral.statemachine.events import LoneOverdue
from conferral.statemachine.step import TimerChange
from tests.statemachine.command_scenarios import added, ordering
from tests.statemachine.scenario import AGENT_CALL, BOB, CAROL
from tests.statemachine.transfer_scenarios import blind_from_bridge, conferenced, talking


def test_removing_the_agent_of_a_transfer_by_call_sid_completes_it():
    """The customer hangs up before all of it is confirmed: the target had taken over."""
    story = ordering(lambda: talking("consult")).remove(AGENT_CALL)
    assert story.session.transfer.step_name == "complete"
    story.confirms("customer").leaves("customer")
    story.expect_command("remove-1", "accepted", "done")


def test_timer_of_a_lone_party_that_fires_early_is_set_again():
    story = conferenced().leaves("agent").expect("conferenced")
    due_ms = story.session.timers["lone"]
    story.take(LoneOverdue(**story.common(token=""), due_ms=due_ms)).expect("conferenced")
    assert TimerChange("lone", due_ms) in story.last.timers


def test_party_whom_the_end_of_the_conference_has_removed_did_not_leave_first():
    """No one's leaving ends this one, which another program has ended."""
    story = added().leaves("customer", reason="moderator_ended_conference")
    assert story.session.first_to_leave == ""
    story.leaves("agent")
    assert story.session.first_to_leave == "agent"


def test_code_of_a_transfer_is_that_of_its_first_refusal():
    story = blind_from_bridge(fallback=(CAROL, BOB)).refused("target", code=21211)
    story.expect("transferring", "dial target", phase="fallback").refused("target", code=21215)
    story.expect("transferring", "dial target", phase="fallback").expect_command("transfer-1", "accepted", "failed")
    assert story.session.transfer.code == "21211"
