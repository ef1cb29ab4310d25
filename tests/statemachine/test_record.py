"""Stories of recordings: by command, of the customer's call from its answer, and of a conference from its start."""

import pytest

from conferral.statemachine.events import StageOverdue
from conferral.statemachine.policy import Policy
from tests.statemachine.command_scenarios import (
    Orders,
    consulting_recorded,
    ordering,
    recorded,
    recorded_conference,
)
from tests.statemachine.scenario import OUTBOUND, Scenario
from tests.statemachine.transfer_scenarios import conferenced, talking


def running() -> Orders:
    """The customer's call is recorded by command."""
    story = ordering().record("start").expect("conferenced", "record customer").recorded()
    return story.expect_command("record-start", "accepted", "done").expect_recording("in-progress")


def pausing() -> Orders:
    """A consult begins, and Twilio was asked to pause the conference's recording."""
    return recorded_conference().transfer("consult").confirms("agent").confirms("customer")


@pytest.mark.parametrize("action", ["start", "pause", "stop"])
def test_record_command_of_unknown_outcome_fails(action):
    story = (ordering() if action == "start" else running()).record(action, "it").not_known_to_be_recorded()
    story.expect_command("it", "accepted", "failed", reason="unknown: Twilio gave no answer").expect_no_orders()


def test_recording_that_is_gone_is_over():
    story = running().record("pause").not_recorded(gone=True).expect_recording("completed")
    story.record("stop").expect_refused("record-stop", "not recording")


@pytest.mark.parametrize("begin", [
    lambda: Scenario().answered(), lambda: Scenario().answered().convert(), conferenced, lambda: talking("warm"),
], ids=["bridged", "converting", "conferenced", "transferring"])  # fmt: skip
def test_recording_is_not_changed_while_another_change_is_under_way(begin):
    story = ordering(begin).record("start").record("stop", "late")
    story.expect_refused("late", "another change to the recording is in progress")
    story.recorded().expect_command("record-start", "accepted", "done").expect_recording("in-progress")
    story.record("stop", "again").recorded().expect_command("again", "accepted", "done").expect_recording("stopped")


def test_command_already_in_effect_is_done():
    running().record("resume").expect("conferenced").expect_command("record-resume", "done")
    running().record("pause").recorded().record("pause", "again").expect_command("again", "done")


def recorded_outbound() -> Orders:
    """An operator's call in which the customer has just answered."""
    story = Orders(Policy(record="customer"), session_id=OUTBOUND).calls_out().placed("agent").gate("agent")
    return story.gate("agent", "accepted").call("customer", "ringing").call("customer", "in-progress")


@pytest.mark.parametrize("begin", [lambda: recorded("customer"), recorded_outbound],
                         ids=["inbound", "outbound"])  # fmt: skip
def test_recording_that_is_refused_again_is_left_alone(begin):
    story = begin().not_recorded().convert()
    for name in ("agent", "customer") if story.session.direction == "inbound" else ("customer", "agent"):
        story.joins(name)
        if "record customer" in story.words():
            story.not_recorded().expect("converting")
    story.expect("conferenced", "flag customer", "flag agent").confirms("customer", "agent").expect_timers()


def test_recording_unknown_to_the_session_is_started_once_converted():
    story = recorded("customer").not_known_to_be_recorded().expect("bridged").convert().joins("agent")
    story.expect("converting", "record customer")


@pytest.mark.parametrize("how", ["not_recorded", "not_known_to_be_recorded"])
def test_recording_that_can_neither_be_paused_nor_stopped_fails_the_transfer(how):
    story = getattr(getattr(pausing(), how)(), how)().expect("transferring", "paused recording").fires(StageOverdue)
    story.expect("transferring", "unhold customer").expect_attempts()
    story.expect_command("transfer-1", "accepted", "failed", reason="recording-failed").confirms("customer")
    story.expect("conferenced", "flag customer", "flag agent").expect_concluded(
        ("transfer", "failed", "recording-failed")
    )


def test_recording_first_reported_while_the_customer_is_put_on_hold_is_paused_for_the_consult():
    story = ordering(conferenced).transfer("consult").confirms("agent").expect("transferring", "hold customer")
    story.recording("in-progress").expect("transferring", "paused recording")
    story.confirms("customer").expect("transferring").recorded().expect("transferring", "dial target")


def test_unanswered_pause_fails_the_transfer_and_recording_resumes_once_paused():
    story = pausing().fires(StageOverdue).expect("transferring", "unhold customer")
    story.confirms("customer").expect("conferenced", "flag customer", "flag agent").recorded()
    story.expect("conferenced", "in-progress recording")


@pytest.mark.parametrize("begin", [recorded_conference, lambda: recorded_conference().record("pause").recorded()],
                         ids=["running", "paused"])  # fmt: skip
def test_recording_cannot_be_resumed_in_a_consult(begin):
    story = begin().transfer("consult").confirms("agent")
    if "paused recording" in story.words():
        story.recorded()
    story.confirms("customer").expect("transferring", "dial target")
    why = "agent and target are talking without the customer"
    story.takes_part("target").record("resume").expect_refused("record-resume", why)


def test_recording_of_the_customers_call_is_resumed_in_a_consult():
    story = ordering(conferenced).record("start").recorded().record("pause").recorded()
    story.transfer("consult").confirms("agent", "customer").takes_part("target").record("resume")
    story.expect("transferring", "in-progress recording").expect_command("record-resume", "accepted")


@pytest.mark.parametrize("how", ["not_recorded", "not_known_to_be_recorded"])
def test_recording_that_a_command_fails_to_stop_in_a_consult_resumes_afterward(how):
    story = getattr(consulting_recorded().record("stop").expect("transferring", "stopped recording"), how)()
    story.expect("transferring").merge().confirms("customer").expect("transferring", "in-progress recording")
