"""An agent on a phone who must press 1 before a bridge connects the caller, so that no voicemail takes the call."""

from conferral.statemachine.events import Add, Call, CallsOverdue, GateDecided, Hold
from conferral.statemachine.parts import AGENTS_CONFIRM_FOR_S, CONFIRM_FOR_S, DialOptions
from conferral.statemachine.policy import Policy
from conferral.statemachine.record import replace
from tests.statemachine.conference_scenarios import called
from tests.statemachine.scenario import AGENT_CALL, ALICE, BOB, CAROL, OUTBOUND, Scenario
from tests.statemachine.transfer_scenarios import dialing
from tests.support.people import AGENT_PHONE


def asked(**given) -> Scenario:
    """The agent has answered, and hears what to press."""
    given = {"agent_address": AGENT_PHONE, "options": DialOptions(confirm=True)} | given
    story = Scenario().comes_in(**given).call("agent", "ringing").call("agent", "in-progress")
    return story.expect("bridged", phase="ringing")


def decides(story: Scenario, decision: str, agent_number: int = 0) -> Scenario:
    dial = f"agent-{agent_number}"
    return story.take(GateDecided(**story.common(), dial=dial, call_sid=AGENT_CALL, decision=decision))


def confirm_for_s(story: Scenario, party: str = "agent") -> int:
    return story.session.parties[party].options.confirm_for_s


def test_agents_of_a_number_are_asked_for_a_shorter_time_than_others():
    for given, found_s in ((0, AGENTS_CONFIRM_FOR_S), (30, 30)):
        options = DialOptions(confirm=True, confirm_for_s=given)
        assert confirm_for_s(asked(options=options)) == found_s
        for story in (
            called(agent_address=AGENT_PHONE, options=options),
            called(Policy(confirm_phones=True), agent_address=AGENT_PHONE, options=replace(options, confirm=False)),
        ):
            assert confirm_for_s(story.joins("customer", starts=False)) == found_s
    for given, found_s in ((0, CONFIRM_FOR_S), (30, 30)):
        options = {"confirm": True, "confirm_for_s": given}
        assert confirm_for_s(dialing("warm", **options), "target") == found_s
        story = Scenario(session_id=OUTBOUND)
        assert confirm_for_s(story.command(Call, "call-1", agent=AGENT_PHONE, customer=CAROL, **options)) == found_s


def test_a_decision_is_awaited_for_a_minute_after_the_questions():
    story = asked(options=DialOptions(confirm=True, confirm_for_s=60))
    assert story.fires(CallsOverdue).now_ms - story.session.agent.answered_at_ms == 120_000


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
    story.transfer("warm", BOB, fallback=("voicemail",)).expect_command("transfer-1", "rejected")
    asked().transfer("blind", BOB).expect_command("transfer-1", "rejected")


def test_a_read_connects_the_two_once_the_gate_must_have_decided():
    """Redis lost the decision: they talk."""
    story = asked().fires(CallsOverdue).expect("bridged", "look").reads(customer="in-progress", agent="in-progress")
    story.expect("bridged", phase="connected")
