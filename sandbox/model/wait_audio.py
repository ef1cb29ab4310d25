"""Wait audio: what waiting, held, or announced-to participants hear: music, silence, or a document.

A document may hold Play, Say, Pause, and Redirect; a wait or hold document is requested again when it ends.

Source: Twilio docs: TwiML <Conference> (waitUrl); Participant resource (HoldUrl, AnnounceUrl).
"""

from __future__ import annotations

from typing import Literal

from conferral.sandbox.model.formats import resolve
from conferral.sandbox.model.inputs import Params
from conferral.sandbox.model.state import Conference, Participant, Source, WaitAudio
from conferral.sandbox.model.transaction import Transaction
from conferral.sandbox.model.twiml_parser import Verb, duration_s

Slot = Literal["wait", "hold", "announce"]
PAUSED = -1
"""Position in a document that will be requested again shortly."""


def begin(
    transaction: Transaction,
    conference: Conference,
    call_sid: str,
    slot: Slot,
    url: str | None,
    method: str,
    *,
    owner_sid: str = "",
) -> WaitAudio:
    """Start wait audio from a URL: None is Twilio's music, empty is silence, anything else is fetched.

    `owner_sid` is the timer's owner if it isn't the call: the conference for an announcement to all.
    """
    transaction.stop_timer(owner_sid or call_sid, slot)
    if url is None:
        return WaitAudio("music")
    if not url:
        return WaitAudio("silence")
    audio = WaitAudio("document", Source(url, method), requested_url=url)
    request(transaction, conference, call_sid, slot, audio)
    return audio


def request(transaction: Transaction, conference: Conference, call_sid: str, slot: Slot, audio: WaitAudio) -> None:
    """Request the document on behalf of a participant's call."""
    audio.position = 0
    call = transaction.call(call_sid)
    audio.generation = transaction.state.fetch_count + 1
    audio.requested_at_s = transaction.now_s
    extra: Params = (("ConferenceSid", conference.sid), ("FriendlyName", conference.name))
    if audio.source is not None:
        transaction.fetch(call, audio.source, slot, extra, generation=audio.generation, conference_sid=conference.sid)


def on_document(
    transaction: Transaction, audio: WaitAudio, owner_sid: str, slot: Slot, verbs: tuple[Verb, ...], base_url: str
) -> bool:
    """Play a fetched document from its start; False if it is already over."""
    audio.verbs, audio.position, audio.base_url = verbs, 0, base_url
    return _play(transaction, audio, owner_sid, slot)


def next_verb(transaction: Transaction, audio: WaitAudio, owner_sid: str, slot: Slot) -> bool:
    """Play the next verb; False at the end of the document."""
    audio.position += 1
    return _play(transaction, audio, owner_sid, slot)


def _play(transaction: Transaction, audio: WaitAudio, owner_sid: str, slot: Slot) -> bool:
    if audio.position >= len(audio.verbs) or has_redirect(audio):
        return False
    lasts_s = duration_s(audio.verbs[audio.position], transaction.rules.say_s_per_character, transaction.rules.play_s)
    if lasts_s is not None:
        transaction.set_timer(owner_sid, slot, lasts_s)
    return True


def request_again(
    transaction: Transaction, conference: Conference, call_sid: str, slot: Slot, audio: WaitAudio, owner_sid: str
) -> None:
    """Request the document again, or its Redirect's target, now or a little later."""
    if has_redirect(audio):
        redirect = audio.verbs[audio.position]
        audio.source = Source(resolve(audio.base_url, redirect.text), redirect.get("method", "POST").upper())
    elif not transaction.rules.wait_documents_loop:
        audio.kind = "silence"
        return
    audio.verbs = ()
    pause_s = audio.requested_at_s + transaction.rules.wait_document_pause_s - transaction.now_s
    if pause_s > 0:
        transaction.set_timer(owner_sid, slot, pause_s)
        audio.position = PAUSED
    else:
        request(transaction, conference, call_sid, slot, audio)


def is_paused(audio: WaitAudio) -> bool:
    """Whether the document has ended and will be requested when its timer fires."""
    return audio.position == PAUSED


def has_redirect(audio: WaitAudio) -> bool:
    """Whether the document has reached a Redirect."""
    verb = current_verb(audio)
    return verb is not None and verb.name == "Redirect"


def current_verb(audio: WaitAudio) -> Verb | None:
    """Return the verb being played; None without one."""
    return audio.verbs[audio.position] if 0 <= audio.position < len(audio.verbs) else None


def audio_of(participant: Participant, slot: Slot) -> WaitAudio | None:
    """Return the participant's audio in this slot."""
    return {"wait": participant.wait_audio, "hold": participant.hold_audio, "announce": participant.announcement}[slot]
