"""Parameters of REST requests, with the final allow-list check of a dial.

Every leg sends the same conference attributes: only the first participant's count, and any leg may be the first.
Source: Twilio docs, TwiML `<Conference>`; Call resource, "Create a Call"; Participants subresource, "Create a
Participant" and "Update a Participant"; Conference resource, "Update a Conference"; Recordings resource; Conference
Recordings subresource.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog

from conferral.runtime.errors import ProviderRefusedError, UnfinishedRecordingError
from conferral.statemachine.effects import (
    CreateCall,
    CreateParticipant,
    Dial,
    FindRecording,
    PlayAnnouncement,
    StartRecording,
    UpdateParticipant,
)
from conferral.statemachine.events import ParticipantSeen
from conferral.statemachine.ids import LABEL
from conferral.statemachine.states import FINAL_RECORDING_STATUSES, ParticipantUpdate, RecordingStatus
from conferral.telephony.addresses import AddressError, AllowList, address_with_params, parse_address
from conferral.telephony.callback_events import CONFERENCE_SOURCES, MESSAGE_SOURCE, recording_url
from conferral.telephony.callback_fields import is_number
from conferral.telephony.callback_urls import (
    Announcement,
    CallbackUrls,
    CallCallback,
    Gate,
    Wait,
    is_id,
    wait_audio_named,
)
from conferral.telephony.twilio_requests import text_of
from conferral.telephony.twiml import (
    CALL_EVENTS,
    CONFERENCE_EVENTS,
    RECORDING_EVENTS,
    TwimlBuilder,
    conference_attributes,
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CallSetup:
    """What effects need besides their own fields."""

    urls: CallbackUrls
    twiml: TwimlBuilder
    #: Default caller ID, E.164 (`TWILIO_NUMBER`).
    own_number: str = field(repr=False)
    allowed: AllowList = field(default_factory=AllowList)


@dataclass(frozen=True, slots=True)
class PlacedCall:
    """A call that was placed or searched for."""

    #: Empty if a search found none.
    call_sid: str
    #: Twilio's expected queue time before it places the call, milliseconds.
    queue_ms: int = 0


def check_dial_allowed(effect: Dial, setup: CallSetup) -> None:
    """Raise ProviderRefusedError if the allow-list does not permit a dial.

    A party that called in from an address that Twilio signed (`is_signed_address`) may be called back there, whatever
    its form and domain.
    """
    try:
        if effect.is_signed_address:
            setup.allowed.check_signed_address(effect.to)
        else:
            setup.allowed.check(parse_address(effect.to))
    except AddressError as error:
        log.warning(
            "destination_not_allowed",
            effect=effect.kind,
            effect_id=effect.effect_id,
            session_id=effect.session_id,
            party=effect.party,
            reason=error.reason,
        )
        raise ProviderRefusedError from None


def participant_parameters(effect: CreateParticipant, setup: CallSetup) -> dict[str, Any]:
    """Return the parameters of a dial straight into the conference.

    Callbacks and attributes match those of legs that join by TwiML, because only the first participant's count.
    """
    urls, session_id = setup.urls, effect.session_id
    return {
        **_common_parameters(effect, setup),
        "label": effect.label,
        "early_media": effect.early_media,
        "start_conference_on_enter": not effect.supervises,
        "end_conference_on_exit": False,
        "wait_url": "",
        **({"muted": True} if effect.supervises or effect.muted else {}),
        **conference_attributes(effect.attributes, urls.recording(session_id), by_rest=True),
        "conference_status_callback": urls.conference(session_id),
        "conference_status_callback_method": "POST",
        "conference_status_callback_event": list(CONFERENCE_EVENTS),
    }


def call_parameters(effect: CreateCall, setup: CallSetup) -> dict[str, Any]:
    """Return the parameters of a dial to the gate, with the fallback URL."""
    return {
        **_common_parameters(effect, setup),
        "url": setup.urls.of(Gate(effect.session_id, effect.effect_id)),
        "method": "POST",
        "fallback_url": setup.urls.fallback(),
        "fallback_method": "POST",
        **({"send_digits": effect.options.digits} if effect.options.digits else {}),
        # Source: Twilio docs, Answering Machine Detection, `MachineDetection`.
        **({"machine_detection": "Enable"} if effect.options.amd else {}),
    }


def _common_parameters(effect: Dial, setup: CallSetup) -> dict[str, Any]:
    return {
        "to": address_with_params(effect.to, effect.options.params),
        "from_": effect.options.caller_id or setup.own_number,
        "timeout": effect.options.timeout_s,
        "status_callback": setup.urls.of(CallCallback(effect.session_id, effect.party, effect.effect_id)),
        "status_callback_method": "POST",
        # One field per event: Twilio silently drops a list in one field (21626).
        "status_callback_event": list(CALL_EVENTS),
        **({"call_token": effect.call_token} if effect.call_token else {}),
    }


#: Statuses of a participant who is joining. Source: Twilio docs, Participants subresource, `status`.
_RINGING_STATUSES = frozenset({"queued", "connecting", "ringing"})
#: Longer labels are not Conferral's; with 250 participants they would fill an entry.
LABEL_MAX = 64


def is_label(text: str) -> bool:
    """Whether a participant label has Conferral's format."""
    return LABEL.fullmatch(text) is not None


#: Twilio may ignore the flag without Hold (twilio/twilio-go, issue 259); the party is not on hold.
#: Muting and coaching are one request, so that no one overhears.
_UPDATES: dict[str, dict[str, Any]] = {
    ParticipantUpdate.HOLD: {"hold": True},
    ParticipantUpdate.UNHOLD: {"hold": False},
    ParticipantUpdate.SET_END_ON_EXIT: {"hold": False, "end_conference_on_exit": True},
    ParticipantUpdate.CLEAR_END_ON_EXIT: {"hold": False, "end_conference_on_exit": False},
    ParticipantUpdate.MUTE: {"muted": True},
    ParticipantUpdate.UNMUTE: {"muted": False},
    ParticipantUpdate.MONITOR: {"muted": True, "coaching": False},
    ParticipantUpdate.WHISPER: {"muted": False, "coaching": True},
    ParticipantUpdate.BARGE: {"muted": False, "coaching": False},
}


def update_parameters(effect: UpdateParticipant, urls: CallbackUrls) -> dict[str, Any]:
    """Return an update's parameters; raise ProviderRefusedError if invalid."""
    if effect.update not in _UPDATES or (effect.update == ParticipantUpdate.WHISPER and not effect.coaches):
        raise ProviderRefusedError
    changes = _UPDATES[effect.update]
    if effect.keeps_hold:
        changes = {name: value for name, value in changes.items() if name != "hold"}
    if effect.wait_audio:
        wait = Wait(effect.session_id, effect.party, wait_audio_named(effect.wait_audio))
        changes = changes | {"hold_url": urls.of(wait), "hold_method": "POST"}
    if effect.update == ParticipantUpdate.WHISPER:
        changes = changes | {"call_sid_to_coach": effect.coaches}
    return changes


def shows_update(effect: UpdateParticipant, answer: Any) -> bool:
    """Whether the response confirms a hold, a mute, or their opposites.

    It shows an `EndConferenceOnExit` even if that had no effect (twilio/twilio-go, issue 259).
    """
    if effect.update in (ParticipantUpdate.HOLD, ParticipantUpdate.UNHOLD):
        return answer.hold is (effect.update == ParticipantUpdate.HOLD)
    if effect.update in (ParticipantUpdate.MUTE, ParticipantUpdate.UNMUTE):
        return answer.muted is (effect.update == ParticipantUpdate.MUTE)
    return False


def announcement_parameters(effect: PlayAnnouncement, urls: CallbackUrls) -> dict[str, Any]:
    """Return the parameters of an announcement: your URL, or our document."""
    if effect.url:
        return {"announce_url": effect.url, "announce_method": "GET"}  # it may be a static file
    announcement = Announcement(effect.session_id, effect.command_id)
    return {"announce_url": urls.of(announcement), "announce_method": "POST"}


def parse_participant(seen: Any) -> ParticipantSeen:
    """Return a participant from Twilio's list; absent fields have defaults."""
    label = text_of(seen.label)
    return ParticipantSeen(
        call_sid=text_of(seen.call_sid),
        label=label if len(label) <= LABEL_MAX else "",
        held=seen.hold is True,
        muted=seen.muted is True,
        end_on_exit=seen.end_conference_on_exit is True,
        coaches=text_of(seen.call_sid_to_coach) if seen.coaching is True else "",
        is_ringing=seen.status in _RINGING_STATUSES,
        start_on_enter=seen.start_conference_on_enter is not False,
    )


#: Twilio's alias for the SID of the running recording. Source: Twilio docs, Recordings resource, "Update a Recording".
CURRENT_RECORDING = "Twilio.CURRENT"
#: Recordings of one call that a verification reads, newest first.
RECORDINGS_MAX = 50
#: A call may be recorded for other reasons, too. Source: Twilio docs, Recordings resource, `source`.
_STARTED_BY_API = "StartCallRecordingAPI"
_RUNNING = frozenset({RecordingStatus.IN_PROGRESS.value, RecordingStatus.PAUSED.value})
#: Of what someone has deleted. Source: Twilio's OpenAPI description, `recording_enum_status`.
_DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class RecordingFound:
    """A recording or a message, as in `EffectSucceeded`; empty for none."""

    recording_sid: str
    status: str = ""
    duration_s: int = 0
    of_conference: bool = False
    url: str = ""
    channels: int = 0
    started_at_ms: int = 0
    code: int = 0


def recording_parameters(effect: StartRecording, urls: CallbackUrls) -> dict[str, Any]:
    """Return the parameters to record a call in two channels.

    A configuration has its own channels.
    """
    has_own = bool(effect.configuration)
    return {
        **({"recording_configuration_id": effect.configuration} if has_own else {"recording_channels": "dual"}),
        "recording_status_callback": urls.recording(effect.session_id),
        "recording_status_callback_method": "POST",
        "recording_status_callback_event": list(RECORDING_EVENTS),
    }


def find_message(recordings: Iterable[Any]) -> RecordingFound:
    """Return the newest message of a call's `<Record>` that Twilio keeps.

    Raise UnfinishedRecordingError while Twilio has not decided whether it keeps one.
    """
    dropped = (RecordingStatus.ABSENT, RecordingStatus.FAILED)
    return _first_finished(it for it in recordings if it.source == MESSAGE_SOURCE and it.status not in dropped)


def find_recording(effect: FindRecording, recordings: Iterable[Any]) -> RecordingFound:
    """Return the newest recording; of a call, one that was started by REST.

    Raise UnfinishedRecordingError while Twilio has not finished it.
    """
    return _first_finished(it for it in recordings if not effect.call_sid or it.source == _STARTED_BY_API)


def _first_finished(recordings: Iterable[Any]) -> RecordingFound:
    for seen in recordings:
        if isinstance(seen.sid, str) and is_id(seen.sid) and seen.status != _DELETED:
            if seen.status not in FINAL_RECORDING_STATUSES:
                raise UnfinishedRecordingError
            return RecordingFound(
                seen.sid,
                status=seen.status,
                duration_s=_count_of(seen.duration),
                of_conference=seen.source in CONFERENCE_SOURCES,
                url=recording_url(text_of(getattr(seen, "media_url", None))),
                channels=_count_of(seen.channels),
                started_at_ms=round(seen.start_time.timestamp() * 1000) if isinstance(seen.start_time, datetime) else 0,
                code=_count_of(seen.error_code),
            )
    return RecordingFound("")


def _count_of(value: object) -> int:
    text = str(value) if isinstance(value, int) else text_of(value)
    return int(text) if is_number(text) else 0


def find_running_recording(recordings: Iterable[Any]) -> str:
    """Return the SID of the first live recording by REST; empty for none."""
    sids = (seen.sid for seen in recordings if seen.status in _RUNNING and seen.source in (None, _STARTED_BY_API))
    return next((sid for sid in sids if isinstance(sid, str) and is_id(sid)), "")
