"""What plays to somebody who waits, is held, or hears an announcement: music, silence, or a document.

A document may hold Play, Say, Pause and Redirect; when it ends, a wait or hold document is requested again.

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
"""The position in a document that is requested again a little later."""


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
    """A tune from an address: None is Twilio's music, empty is silence, anything else is fetched.

    `owner_sid` is whose timer runs, where it isn't the call's: the conference's for an announcement to all.
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
    """Ask for the document on behalf of a call in the room."""
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
    """The document has come; it plays from its start. False when it is over at once."""
    audio.verbs, audio.position, audio.base_url = verbs, 0, base_url
    return _play(transaction, audio, owner_sid, slot)


def next_verb(transaction: Transaction, audio: WaitAudio, owner_sid: str, slot: Slot) -> bool:
    """The verb being played is over. False when the document is."""
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
    """A document has ended: request it, or what it redirects to, now or a little later."""
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
    """Whether the document has ended and is requested once its timer is due."""
    return audio.position == PAUSED


def has_redirect(audio: WaitAudio) -> bool:
    """Whether the document has come to a Redirect."""
    verb = current_verb(audio)
    return verb is not None and verb.name == "Redirect"


def current_verb(audio: WaitAudio) -> Verb | None:
    """The verb of its document that is heard at this moment; None while none is."""
    return audio.verbs[audio.position] if 0 <= audio.position < len(audio.verbs) else None


def audio_of(participant: Participant, slot: Slot) -> WaitAudio | None:
    """The participant's tune of this kind."""
    return {"wait": participant.wait_audio, "hold": participant.hold_audio, "announce": participant.announcement}[slot]
