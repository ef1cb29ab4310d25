"""The phones: whose they are, their calls, what sounds in them, and what whoever plays them can do now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypedDict

from conferral.sandbox.exchange import Call, Participant
from conferral.sandbox.phones import Phone, phone_address
from conferral.sandbox.switchboard import Switchboard
from conferral.sandbox.views import sounds
from conferral.sandbox.views.times import iso

PHONES_MAX = 24
"""How many are shown: those that somebody plays, that have a call or a name go first, then the newest ones."""
CALLS_MAX = 4
"""Of how many of its newest calls, those that are over too, a phone tells its story."""
SENTENCES_MAX = 30
"""How many sentences tell who hears whom."""
LINES_MAX = 40
"""How many lines that story has at most, the newest ones."""


class Leg(TypedDict):
    """A call of a phone, not over yet."""

    sid: str
    other: str
    """Who is at the other end: the name or address."""
    is_incoming: bool
    """Whether it came to the phone, as against having been placed from it."""
    status: str
    activity: str
    sound: str
    """The kind of what sounds: `ring` for a phone that rings, else as in `sounds.bubble`."""
    words: str
    hears: list[str]
    """Addresses of the phones that are heard."""
    is_speaking: bool
    wants_keys: bool
    room: str
    """How it takes part in a conference: `on hold`, `muted`; empty for as usual, or in none."""
    cannot: dict[str, str]
    """Why an act is not possible now, by act; empty for one that is."""


class Line(TypedDict):
    """One line of a phone's story."""

    at: str
    words: str
    call: str


class PhoneView(TypedDict):
    """A phone."""

    address: str
    name: str
    by_hand: bool
    acts: bool
    """Whether it does something by itself when it is dialled next."""
    does: str
    """What it does by itself, when nobody plays it; empty where it only rings."""
    legs: list[Leg]
    story: list[Line]
    cannot_call: str


def name_of(sandbox: Switchboard, address: str) -> str:
    """What people call whoever has this address."""
    phone = sandbox.phones.get(address)
    if phone is not None and phone.name:
        return phone.name
    return address.removeprefix("client:") or sounds.SOMEBODY


def at_the_phone(call: Call) -> str:
    """The address of the phone that a leg leads to: the caller's, or the one that was dialled."""
    return phone_address(call.from_ if call.direction == "inbound" else call.to)


def everybody(sandbox: Switchboard) -> list[str]:
    """Who hears whom now, a sentence for each who is on the line, the oldest calls first."""
    said: list[str] = []
    for call in sandbox.exchange.live_calls():
        if len(said) == SENTENCES_MAX:
            break
        heard = sandbox.exchange.hearing.now(call.sid)
        if heard is not None:
            said.append(sounds.sentence(name_of(sandbox, at_the_phone(call)), heard, _names(sandbox, heard.parties)))
    return said


def phones(sandbox: Switchboard) -> tuple[list[PhoneView], int]:
    """The phones to show, in the order in which they came, and how many more there are."""
    live: dict[str, list[Call]] = {}
    for call in sandbox.exchange.live_calls():
        live.setdefault(at_the_phone(call), []).append(call)
    every = list(sandbox.phones.values())
    important = [phone for phone in every if phone.by_hand or phone.name or phone.address in live]
    taken = {phone.address for phone in important[:PHONES_MAX]}
    for phone in reversed(every):
        if len(taken) < PHONES_MAX:
            taken.add(phone.address)
    shown = [_phone(sandbox, phone, live.get(phone.address, [])) for phone in every if phone.address in taken]
    return shown, len(every) - len(shown)


def _phone(sandbox: Switchboard, phone: Phone, live: list[Call]) -> PhoneView:
    newest = sorted((*phone.call_sids[-CALLS_MAX:], *phone.placed_sids[-CALLS_MAX:]), key=_age(sandbox))[-CALLS_MAX:]
    script = phone.once[0] if phone.once else phone.default
    story = sorted((line for sid in newest for line in _story(sandbox, sid)), key=lambda line: line["at"])
    return PhoneView(
        address=phone.address,
        name=name_of(sandbox, phone.address),
        by_hand=phone.by_hand,
        acts=not phone.by_hand and script.acts,
        does=str(script) if script.acts else "",
        legs=[_leg(sandbox, call) for call in live],
        story=story[-LINES_MAX:],
        cannot_call="it is on the line" if live else "",
    )


def _age(sandbox: Switchboard) -> Callable[[str], float]:
    return lambda sid: sandbox.exchange.state.calls[sid].created_at_s


def _names(sandbox: Switchboard, sids: Iterable[str]) -> list[str]:
    calls = sandbox.exchange.state.calls
    known = (calls.get(sid) for sid in sids)  # who was heard may be forgotten by now
    return sorted(
        sounds.SOMEBODY if call is None or call.is_foreign else name_of(sandbox, at_the_phone(call)) for call in known
    )


def _leg(sandbox: Switchboard, call: Call) -> Leg:
    heard = sandbox.exchange.hearing.now(call.sid)
    is_incoming = call.direction != "inbound"
    other = name_of(sandbox, phone_address(call.from_ if is_incoming else call.to or call.application_sid))
    if heard is not None:
        sound, words = sounds.bubble(heard, _names(sandbox, heard.parties))
    elif call.status == "ringing":
        sound, words = "ring", f"ring ring! {other} is calling"
    else:
        sound, words = "silence", "it is being dialled"
    room = sandbox.exchange.state.conferences.get(call.conference_sid)
    me = room.participants.get(call.sid) if room is not None else None
    hears = heard.parties if heard is not None else frozenset[str]()
    return Leg(
        sid=call.sid,
        other=other,
        is_incoming=is_incoming,
        status=call.status,
        activity=call.activity,
        sound=sound,
        words=words,
        hears=sorted(at_the_phone(sandbox.exchange.state.calls[sid]) for sid in hears),
        is_speaking=me is not None and me.is_speaking,
        wants_keys=call.activity == "gathering",
        room=", ".join(_condition(me)) if me is not None else "",
        cannot=_cannot(call, me),
    )


def _condition(me: Participant) -> Iterator[str]:
    """How somebody takes part in a conference, where it isn't as usual."""
    if me.is_in:
        if me.hold:
            yield "on hold"
        if me.muted:
            yield "muted"
        if me.coaching:
            yield "coaching"


def _cannot(call: Call, me: Participant | None) -> dict[str, str]:
    """Why whoever holds the phone can't do something, for each act of the control routes."""
    rings = call.direction != "inbound" and call.status in {"queued", "ringing"}
    not_ringing = "" if rings else "you have picked up already" if call.direction != "inbound" else "you are calling"
    not_on_the_line = "pick up first" if rings else "" if call.status == "in-progress" else "nobody has answered yet"
    if me is None or not me.is_in:
        silent = "only conferences notice it"
    elif me.muted or me.hold:
        silent = "nobody hears you: you are " + ("on hold" if me.hold else "muted")
    else:
        silent = ""
    return {
        "answer": not_ringing,
        "reject": not_ringing,
        "hangup": "refuse it, or pick up first" if rings else "",
        "press": not_on_the_line,
        "speak": not_on_the_line or silent,
    }


def _story(sandbox: Switchboard, sid: str) -> Iterator[Line]:
    """What whoever holds the phone has met with in one call, in order."""
    call = sandbox.exchange.state.calls[sid]
    if call.direction == "inbound":
        yield Line(at=iso(call.created_at_s), words=f"you call {call.to or call.application_sid}", call=sid)
    else:
        caller = name_of(sandbox, phone_address(call.from_))
        yield Line(at=iso(call.created_at_s), words=f"{caller} calls you", call=sid)
        if call.answered_at_s is not None:
            yield Line(at=iso(call.answered_at_s), words="you have picked up", call=sid)
    for heard in sandbox.exchange.hearing.intervals(sid)[-LINES_MAX:]:
        words = sounds.bubble(heard.heard, _names(sandbox, heard.heard.parties))[1]
        yield Line(at=iso(heard.since_s), words=words, call=sid)
    if call.ended_at_s is not None:
        yield Line(at=iso(call.ended_at_s), words=f"the call is over: {call.status}", call=sid)
