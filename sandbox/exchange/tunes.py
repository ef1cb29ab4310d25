"""What plays to somebody who waits, is held, or hears an announcement: music, silence, or a document.

A document may hold Play, Say, Pause and Redirect; when it ends, a wait or hold document is requested again.

Source: Twilio docs: TwiML <Conference> (waitUrl); Participant resource (HoldUrl, AnnounceUrl).
"""

from __future__ import annotations

from typing import Literal

from conferral.sandbox.exchange.inputs import Params
from conferral.sandbox.exchange.model import Conference, Participant, Source, Tune
from conferral.sandbox.exchange.texts import resolve
from conferral.sandbox.exchange.twiml import Verb, seconds
from conferral.sandbox.exchange.work import Work

Slot = Literal["wait", "hold", "announce"]
RESTING = -1
"""The position in a document that is requested again a little later."""


def begin(
    work: Work, conference: Conference, call_sid: str, slot: Slot, url: str | None, method: str, *, owner_sid: str = ""
) -> Tune:
    """A tune from an address: None is Twilio's music, empty is silence, anything else is fetched.

    `owner_sid` is whose timer runs, where it isn't the call's: the conference's for an announcement to all.
    """
    work.stop_timer(owner_sid or call_sid, slot)
    if url is None:
        return Tune("music")
    if not url:
        return Tune("silence")
    tune = Tune("document", Source(url, method), asked_url=url)
    request(work, conference, call_sid, slot, tune)
    return tune


def request(work: Work, conference: Conference, call_sid: str, slot: Slot, tune: Tune) -> None:
    """Ask for the document on behalf of a call in the room."""
    tune.position = 0
    call = work.call(call_sid)
    tune.generation = work.state.fetches_made + 1
    tune.requested_at_s = work.now_s
    extra: Params = (("ConferenceSid", conference.sid), ("FriendlyName", conference.name))
    if tune.source is not None:
        work.fetch(call, tune.source, slot, extra, generation=tune.generation, conference_sid=conference.sid)


def loaded(work: Work, tune: Tune, owner_sid: str, slot: Slot, verbs: tuple[Verb, ...], base_url: str) -> bool:
    """The document has come; it plays from its start. False when it is over at once."""
    tune.verbs, tune.position, tune.base_url = verbs, 0, base_url
    return _play(work, tune, owner_sid, slot)


def next_verb(work: Work, tune: Tune, owner_sid: str, slot: Slot) -> bool:
    """The verb being played is over. False when the document is."""
    tune.position += 1
    return _play(work, tune, owner_sid, slot)


def _play(work: Work, tune: Tune, owner_sid: str, slot: Slot) -> bool:
    if tune.position >= len(tune.verbs) or redirects(tune):
        return False
    lasts_s = seconds(tune.verbs[tune.position], work.rules.say_s_per_character, work.rules.play_s)
    if lasts_s is not None:
        work.set_timer(owner_sid, slot, lasts_s)
    return True


def again(work: Work, conference: Conference, call_sid: str, slot: Slot, tune: Tune, owner_sid: str) -> None:
    """A document has ended: request it, or what it redirects to, now or a little later."""
    if redirects(tune):
        redirect = tune.verbs[tune.position]
        tune.source = Source(resolve(tune.base_url, redirect.text), redirect.get("method", "POST").upper())
    elif not work.rules.wait_documents_loop:
        tune.kind = "silence"
        return
    tune.verbs = ()
    rest_s = tune.requested_at_s + work.rules.wait_document_pause_s - work.now_s
    if rest_s > 0:
        work.set_timer(owner_sid, slot, rest_s)
        tune.position = RESTING
    else:
        request(work, conference, call_sid, slot, tune)


def is_resting(tune: Tune) -> bool:
    """Whether the document has ended and is requested once its timer is due."""
    return tune.position == RESTING


def redirects(tune: Tune) -> bool:
    """Whether the document has come to a Redirect."""
    verb = playing(tune)
    return verb is not None and verb.name == "Redirect"


def playing(tune: Tune) -> Verb | None:
    """The verb of its document that is heard at this moment; None while none is."""
    return tune.verbs[tune.position] if 0 <= tune.position < len(tune.verbs) else None


def slot_of(participant: Participant, slot: Slot) -> Tune | None:
    """The participant's tune of this kind."""
    return {"wait": participant.wait, "hold": participant.held, "announce": participant.announcement}[slot]
