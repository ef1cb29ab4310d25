"""Recordings of calls and conferences as REST parameters.

Source: Twilio docs, Recordings resource; Conference Recordings subresource.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from conferral.runtime.errors import OutcomeUnknownError, ProviderGoneError, ProviderRefusedError
from conferral.statemachine.effects import ChangeRecording, StartRecording
from conferral.statemachine.states import RecordingStatus
from conferral.telephony.callback_urls import CallbackUrls, is_id
from conferral.telephony.errors import NOT_IN_PROGRESS
from conferral.telephony.parameters.conference import RECORDING_EVENTS

#: Alias of the running recording's SID. Source: Twilio docs, Recordings resource, "Update a Recording".
CURRENT = "Twilio.CURRENT"
#: Recordings of one call that a verification reads, newest first.
RECORDINGS_MAX = 50
#: A call may be recorded for other reasons, too. Source: Twilio docs, Recordings resource, `source`.
_STARTED_BY_API = "StartCallRecordingAPI"
_LIVE = frozenset({RecordingStatus.IN_PROGRESS.value, RecordingStatus.PAUSED.value})


@dataclass(frozen=True, slots=True)
class StartedRecording:
    """A recording that has started."""

    recording_sid: str


def start_parameters(effect: StartRecording, urls: CallbackUrls) -> dict[str, Any]:
    """Return the parameters to record a call in two channels."""
    return {
        "recording_channels": "dual",
        "recording_status_callback": urls.recording(effect.session_id),
        "recording_status_callback_method": "POST",
        "recording_status_callback_event": list(RECORDING_EVENTS),
    }


def change_parameters(effect: ChangeRecording) -> dict[str, Any]:
    """Return the parameters to change a recording; paused time is skipped."""
    pause = {"pause_behavior": "skip"} if effect.status == RecordingStatus.PAUSED else {}
    return {"status": effect.status} | pause


def parse_started(sid: object) -> StartedRecording:
    """Return the recording; raise OutcomeUnknownError without a SID."""
    if not isinstance(sid, str) or not is_id(sid):
        raise OutcomeUnknownError
    return StartedRecording(sid)


def translate_start_error(error: ProviderGoneError) -> ProviderGoneError | ProviderRefusedError:
    """Return the error for a call that can't be recorded."""
    # Twilio reports a call that is ringing, or in a plain `<Dial>`, like one that is over, so the call may be live.
    if error.code != NOT_IN_PROGRESS:
        return error
    return ProviderRefusedError(http_status=error.http_status, code=error.code, retry_after_s=error.retry_after_s)


def counts_as_stopped(effect: ChangeRecording) -> bool:
    """Whether a missing recording fulfills the request."""
    # A conference's recording may be missing because the conference has not started yet.
    return effect.status == RecordingStatus.STOPPED and bool(effect.recording_sid or not effect.conference_sid)


def find_running(recordings: Iterable[Any]) -> str:
    """Return the SID of the first live recording by REST; empty for none."""
    sids = (seen.sid for seen in recordings if seen.status in _LIVE and seen.source in (None, _STARTED_BY_API))
    return next((sid for sid in sids if isinstance(sid, str) and is_id(sid)), "")
