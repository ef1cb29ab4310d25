"""Rare refusals before and during a transfer, and messages whose callbacks come in another state."""

import pytest

from conferral.statemachine.events import RecordingChanged, Remove
from tests.statemachine.command_scenarios import RECORDING, ordering, recorded
from tests.statemachine.scenario import BOB, Scenario
from tests.statemachine.transfer_scenarios import conferenced, dialing

NO_FALLBACK = "only a blind transfer takes a fallback: others use CONFERRAL_TRANSFER_FALLBACK, if the agent is gone"


@pytest.mark.parametrize("is_converting", [False, True])
def test_late_message_of_an_earlier_visit_is_reported(is_converting):
    story = Scenario().answered()
    story = story.convert() if is_converting else story
    event = RecordingChanged(
        **story.common(), recording_sid=RECORDING, status="completed", of_voicemail=True, duration_s=7
    )
    assert [record.kind for record in story.take(event).conclusions] == ["voicemail"]


@pytest.mark.parametrize("is_converting", [False, True])
def test_transfer_with_the_agent_takes_no_fallback(is_converting):
    story = ordering(Scenario().answered().convert) if is_converting else ordering(conferenced)
    story.transfer("warm", BOB, fallback=("end",)).expect_refused("transfer-1", NO_FALLBACK)


def test_removed_target_cancels_the_transfer():
    story = dialing("warm").placed("target").call("target", "ringing").command(Remove, "remove-1", party="target")
    story.expect("transferring", "hang up target")


def test_recording_that_does_not_run_is_not_stopped_during_a_transfer():
    ordering(dialing, "warm").record("stop").expect_refused("record-stop", "not recording")


def test_recording_of_the_conference_that_has_failed_is_not_started_during_a_transfer():
    story = recorded("true").convert().joins("agent").joins("customer").recording("failed", sid=RECORDING)
    story.transfer("warm", BOB)
    assert story.session.state == "transferring"
    why = "the conference's recording was stopped and can't be restarted"
    story.record("start").expect_refused("record-start", why)
