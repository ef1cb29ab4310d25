"""An agent on a phone who must press 1 before a bridge connects the caller, so that no voicemail takes the call."""

from conferral.statemachine.events import Add, CallsOverdue, GateDecided, Hold
from conferral.statemachine.parts import DialOptions
from tests.statemachine.scenario import AGENT_CALL, ALICE, BOB, CAROL, Scenario
from tests.support.people import AGENT_PHONE


def asked(**given) -> Scenario:
    """The agent has answered, and hears what to press."""
    given = {"agent_address": AGENT_PHONE, "options": DialOptions(confirm=True)} | given
    story = Scenario().comes_in(**given).call("agent", "ringing").call("agent", "in-progress")
    return story.expect("bridged", phase="ringing")


def decides(story: Scenario, decision: str, agent_number: int = 0) -> Scenario:
    dial = f"agent-{agent_number}"
    return story.take(GateDecided(**story.common(), dial=dial, call_sid=AGENT_CALL, decision=decision))


def test_an_agent_who_hangs_up_at_the_prompt_has_not_confirmed():
    asked().dial_ends("no-answer").call("agent", "completed").expect("ended", reason="agent-no-confirmation")
    asked().call("agent", "completed").dial_ends("no-answer").expect("ended", reason="agent-no-confirmation")
    story = asked(other_agents=("+14155550189",)).transfer("consult", BOB).dial_ends("no-answer")
    story.expect_command("transfer-1", "accepted", "failed", reason="no-confirmation")


def test_a_late_decision_about_an_earlier_agent_connects_no_one():
    story = asked(other_agents=(ALICE,)).dial_ends("no-answer")
    decides(story, "accepted").expect("bridged", phase="ringing")


def test_what_needs_a_conference_waits_for_the_key():
    story = asked().convert().expect("bridged", phase="ringing").expect_command("convert-1", "accepted")
    decides(story, "accepted").expect("converting", "move agent")


def test_what_can_not_be_done_is_refused_before_the_key_is_pressed():
    story = asked().command(Add, "add-1", party="expert", to=BOB).expect_command("add-1", "accepted")
    story.command(Add, "add-2", party="expert", to=CAROL).expect_command("add-2", "rejected")
    story.command(Hold, "hold-1", party="nobody").expect_command("hold-1", "rejected")
    story.transfer("warm", BOB, fallback="voicemail").expect_command("transfer-1", "rejected")
    asked().transfer("blind", BOB).expect_command("transfer-1", "rejected")


def test_a_read_connects_the_two_once_the_gate_must_have_decided():
    """Redis lost the decision: they talk."""
    story = asked().fires(CallsOverdue).expect("bridged", "look").reads(customer="in-progress", agent="in-progress")
    story.expect("bridged", phase="connected")
