"""Recordings as REST requests: of a call, in two channels, and of a conference that is recorded from its start.

Source: Twilio docs, Recordings resource; Conference Recordings subresource.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from conferral.runtime.errors import OutcomeUnknownError, ProviderGoneError, ProviderRefusedError
from conferral.statemachine.effects import ChangeRecording, StartRecording
from conferral.statemachine.states import RecordingStatus
from conferral.telephony.callback_urls import CallbackUrls, RecordingCallback, is_id
from conferral.telephony.errors import NOT_IN_PROGRESS
from conferral.telephony.parameters.conference import RECORDING_EVENTS

#: In place of a SID: the recording that runs. Source: Twilio docs, Recordings resource, "Update a Recording".
CURRENT = "Twilio.CURRENT"
#: Recordings of one call that a look goes through, the newest first.
RECORDINGS_MAX = 50
#: How a recording was started by a request such as ours; a call may be recorded for other reasons too.
#: Source: Twilio docs, Recordings resource, `source`.
_STARTED_BY_API = "StartCallRecordingAPI"
_LIVE = frozenset({RecordingStatus.IN_PROGRESS.value, RecordingStatus.PAUSED.value})


@dataclass(frozen=True, slots=True)
class StartedRecording:
    """A recording that has begun."""

    recording_sid: str


def start_parameters(effect: StartRecording, urls: CallbackUrls) -> dict[str, Any]:
    """Records a call in two channels, and tells us of it."""
    return {
        "recording_channels": "dual",
        "recording_status_callback": urls.recording(RecordingCallback(effect.session_id)),
        "recording_status_callback_method": "POST",
        "recording_status_callback_event": list(RECORDING_EVENTS),
    }


def change_parameters(effect: ChangeRecording) -> dict[str, Any]:
    """Pauses a recording, lets it go on or stops it. A pause leaves nothing in it, not even silence."""
    pause = {"pause_behavior": "skip"} if effect.status == RecordingStatus.PAUSED else {}
    return {"status": effect.status} | pause


def parse_started(sid: object) -> StartedRecording:
    """A recording as Twilio's answer names it.

    Raises:
        OutcomeUnknownError: it names none, so nobody knows whether it has begun.
    """
    if not isinstance(sid, str) or not is_id(sid):
        raise OutcomeUnknownError
    return StartedRecording(sid)


def translate_start_error(error: ProviderGoneError) -> ProviderGoneError | ProviderRefusedError:
    """What it means that a call can't be recorded.

    A call that is not in progress can't be, but the same is said of one that rings still, or that is in an ordinary
    `<Dial>`: it need not be over.
    """
    if error.code != NOT_IN_PROGRESS:
        return error
    return ProviderRefusedError(http_status=error.http_status, code=error.code, retry_after_s=error.retry_after_s)


def counts_as_stopped(effect: ChangeRecording) -> bool:
    """Whether a recording that is not there (any more) is what was asked for.

    A conference's recording begins with the conference: one that has not begun is not there either, and would still
    begin.
    """
    return effect.status == RecordingStatus.STOPPED and bool(effect.recording_sid or not effect.conference_sid)


def find_running(recordings: Iterable[Any]) -> str:
    """SID of the newest recording that was started by a request and runs, or is paused; empty for none.

    Args:
        recordings: Of one call, the newest first, as Twilio lists them.
    """
    sids = (seen.sid for seen in recordings if seen.status in _LIVE and seen.source in (None, _STARTED_BY_API))
    return next((sid for sid in sids if isinstance(sid, str) and is_id(sid)), "")
