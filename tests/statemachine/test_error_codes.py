"""Twilio's error code: with every reason that a refusal of Twilio's leads to, and with no other."""

from conferral.statemachine.events import PendingCommandOverdue, StageOverdue
from tests.statemachine.command_scenarios import ordering
from tests.statemachine.scenario import BOB, CAROL, Scenario
from tests.statemachine.test_record import pausing
from tests.statemachine.transfer_scenarios import dialing, ringing, talking


def codes(story: Scenario) -> dict[str, str]:
    """The codes of the last reports, by command."""
    assert story.last is not None
    return {report.command_id: report.code for report in story.last.reports}


def test_refused_target_leaves_its_code_in_command_transfer_and_outcome() -> None:
    story = dialing("warm").refused("target", code=21216)
    assert story.session.transfer is not None
    assert (story.session.transfer.reason, story.session.transfer.code) == ("failed", "21216")
    assert codes(story) == {"transfer-1": "21216"}
    story.expect_concluded(("transfer", "failed", "failed"))
    assert story.conclusions[-1].code == "21216"


def test_ring_group_has_the_code_of_the_target_whose_reason_it_has() -> None:
    story = dialing("warm", BOB, CAROL)
    story.refused("target-2", code=21215).placed("target-1").call("target-1", "busy")
    assert story.session.transfer is not None
    assert (story.session.transfer.reason, story.session.transfer.code) == ("failed", "21215")


def test_transfer_that_was_only_not_answered_has_no_code() -> None:
    story = ringing("warm").call("target", "no-answer")
    assert (codes(story), story.conclusions[-1].code) == ({"transfer-1": ""}, "")


def test_refused_hold_fails_a_consult_with_its_code() -> None:
    story = ordering().transfer("consult").confirms("agent")
    story.update_refused("customer", code=20001).fires(StageOverdue)
    assert story.session.transfer is not None
    assert (story.session.transfer.reason, story.session.transfer.code) == ("hold-failed", "20001")


def test_recording_that_twilio_will_not_stop_fails_a_consult_with_its_code() -> None:
    story = pausing().not_recorded().not_recorded(code=21220).fires(StageOverdue)
    assert story.session.transfer is not None
    assert (story.session.transfer.reason, story.session.transfer.code) == ("recording-failed", "21220")
    assert codes(story) == {"transfer-1": "21220"}


def test_refused_hold_fails_the_command_with_its_code() -> None:
    story = ordering().hold("customer").update_refused("customer", code=20001).fires(PendingCommandOverdue)
    assert codes(story) == {"hold-1": "20001"}


def test_added_party_that_twilio_refuses_fails_add_with_the_code() -> None:
    story = ordering().add().confirms("customer", "agent")
    story.refused("lawyer", code=21211)
    assert set(codes(story).values()) == {"21211"}


def test_refused_conversion_fails_what_waited_for_it_with_the_code() -> None:
    story = Scenario().answered().transfer("warm")
    (effect_id,) = story.session.open_redirects
    story.fails("redirect_call", "agent", effect_id=effect_id, code=20001)
    assert codes(story) == {"transfer-1": "20001"}
    assert story.conclusions[-1].code == "20001"


def test_agent_whom_twilio_could_not_dial_ends_the_session_with_the_code() -> None:
    story = Scenario().comes_in().call("agent", "failed").dial_ends("failed", code=13224)
    assert (story.session.end_reason, story.conclusions[-1].code) == ("agent-failed", "13224")


def test_refused_call_ends_with_the_code_of_its_command() -> None:
    story = Scenario(session_id="CS1").calls_out()
    story.refused("agent", code=21219)
    assert codes(story) == {"call-1": "21219"}
    assert (story.session.end_reason, story.conclusions[-1].code) == ("agent-failed", "21219")


def test_completed_transfer_after_a_refused_one_has_no_code() -> None:
    story = talking("warm")
    assert story.session.transfer is not None
    assert story.session.transfer.code == ""
