"""Participant updates and announcements as REST parameters.

Source: Twilio docs, Participants subresource, "Update a Participant"; Conference resource, "Update a Conference".
"""

from typing import Any

from conferral.runtime.errors import ProviderRefusedError
from conferral.statemachine.effects import PlayAnnouncement, UpdateParticipant
from conferral.statemachine.events import ParticipantSeen
from conferral.statemachine.session import LABEL
from conferral.statemachine.states import SuperviseMode
from conferral.telephony.callback_urls import Announcement, CallbackUrls, Wait, wait_audio_named
from conferral.telephony.rest_requests import text_of

#: Statuses of a participant who is joining. Source: Twilio docs, Participants subresource, `status`.
_RINGING_STATUSES = frozenset({"queued", "connecting", "ringing"})
#: Longer labels are not Conferral's; with 250 participants they would fill an entry.
LABEL_MAX = 64


def is_label(text: str) -> bool:
    """Whether a participant label has Conferral's format."""
    return LABEL.fullmatch(text) is not None


def update_parameters(effect: UpdateParticipant, urls: CallbackUrls) -> dict[str, Any]:
    """Return an update's parameters; raise ProviderRefusedError if invalid."""
    changes: dict[str, Any] = {}
    if effect.hold is not None:
        changes["hold"] = effect.hold
    if effect.hold and effect.wait_audio:
        wait = Wait(effect.session_id, effect.party, wait_audio_named(effect.wait_audio))
        changes |= {"hold_url": urls.of(wait), "hold_method": "POST"}
    if effect.end_on_exit is not None:
        # Twilio may ignore the flag without Hold (twilio/twilio-go, issue 259). The party is not on hold.
        changes = {"hold": False} | changes | {"end_conference_on_exit": effect.end_on_exit}
    if effect.muted is not None:
        changes["muted"] = effect.muted
    if effect.supervises:
        if effect.supervises not in tuple(SuperviseMode):
            raise ProviderRefusedError
        changes |= _supervise_parameters(SuperviseMode(effect.supervises), effect.coaches)
    return changes


def shows_update(effect: UpdateParticipant, answer: Any) -> bool:
    """Whether the response confirms a hold, a mute, or their opposites.

    It shows an `EndConferenceOnExit` even if that had no effect (twilio/twilio-go, issue 259).
    """
    if effect.supervises or effect.end_on_exit is not None:
        return False
    return (answer.hold is effect.hold) if effect.hold is not None else (answer.muted is effect.muted)


def _supervise_parameters(mode: SuperviseMode, coaches: str) -> dict[str, Any]:
    """Set muting and coaching in one request, so that no one overhears."""
    if mode is SuperviseMode.WHISPER:
        if not coaches:
            raise ProviderRefusedError
        return {"muted": False, "coaching": True, "call_sid_to_coach": coaches}
    return {"muted": mode is SuperviseMode.MONITOR, "coaching": False}


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
