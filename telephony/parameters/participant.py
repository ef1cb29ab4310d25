"""What a request changes of those who are in a conference: hold, mute, flags, coaching, and what is announced to them.

Source: Twilio docs, Participants subresource, "Update a Participant"; Conference resource, "Update a Conference".
"""

import re
from typing import Any

from conferral.runtime.errors import ProviderRefusedError
from conferral.statemachine.effects import PlayAnnouncement, UpdateParticipant
from conferral.statemachine.events import ParticipantSeen
from conferral.statemachine.states import SuperviseMode
from conferral.telephony.callback_urls import Announcement, CallbackUrls, Wait, wait_audio_named

#: Our participant labels.
_LABEL = re.compile(r"[a-z][A-Za-z0-9_-]{0,50}-[1-9][0-9]{0,5}", re.ASCII)
#: Of a participant who is on the way in. Source: Twilio docs, Participants subresource, `status`.
_RINGING_STATUSES = frozenset({"queued", "connecting", "ringing"})

#: Longer labels are none of ours; of 250 participants, they would fill an entry.
LABEL_MAX = 64


def is_label(text: str) -> bool:
    """Whether a participant's label has the form of ours."""
    return _LABEL.fullmatch(text) is not None


def update_parameters(effect: UpdateParticipant, urls: CallbackUrls) -> dict[str, Any]:
    """What is asked for of one participant; what is not named stays as it is.

    Raises:
        ProviderRefusedError: the supervisor is to whisper, and no call is named that hears it; or the mode is one that
            only a newer version knows. Status and code are 0.
    """
    changes: dict[str, Any] = {}
    if effect.hold is not None:
        changes["hold"] = effect.hold
    if effect.hold and effect.wait_audio:
        wait = Wait(effect.session_id, effect.party, wait_audio_named(effect.wait_audio))
        changes |= {"hold_url": urls.wait(wait), "hold_method": "POST"}
    if effect.end_on_exit is not None:
        # Twilio may ignore the flag without Hold. It is ordered only of parties that are not on hold.
        # Source: twilio/twilio-go, issue 259.
        changes = {"hold": False} | changes | {"end_conference_on_exit": effect.end_on_exit}
    if effect.muted is not None:
        changes["muted"] = effect.muted
    if effect.supervises:
        if effect.supervises not in tuple(SuperviseMode):
            raise ProviderRefusedError
        changes |= _supervise_parameters(SuperviseMode(effect.supervises), effect.coaches)
    return changes


def _supervise_parameters(mode: SuperviseMode, coaches: str) -> dict[str, Any]:
    """Muting and coaching in one request: in between, nobody hears what was meant for somebody else."""
    if mode is SuperviseMode.WHISPER:
        if not coaches:
            raise ProviderRefusedError
        return {"muted": False, "coaching": True, "call_sid_to_coach": coaches}
    return {"muted": mode is SuperviseMode.MONITOR, "coaching": False}


def announcement_parameters(effect: PlayAnnouncement, urls: CallbackUrls) -> dict[str, Any]:
    """What is played: what the command names, or our own document, which says the command's sentence.

    Our own answers POST, and the two ways alike; somebody else's may be a mere file, which is asked for by GET.
    """
    if effect.url:
        return {"announce_url": effect.url, "announce_method": "GET"}
    announcement = Announcement(effect.session_id, effect.command_id)
    return {"announce_url": urls.announcement(announcement), "announce_method": "POST"}


def parse_participant(seen: Any) -> ParticipantSeen:
    """A participant as a list shows it."""
    return ParticipantSeen(
        call_sid=seen.call_sid or "",
        label=seen.label if seen.label and len(seen.label) <= LABEL_MAX else "",
        held=seen.hold is True,
        muted=seen.muted is True,
        end_on_exit=seen.end_conference_on_exit is True,
        coaches=(seen.call_sid_to_coach or "") if seen.coaching is True else "",
        is_ringing=seen.status in _RINGING_STATUSES,
        start_on_enter=seen.start_conference_on_enter is not False,
    )
