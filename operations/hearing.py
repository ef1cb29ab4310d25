"""Who hears whom, as far as a session's record knows: it changes with what Twilio tells, never before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from conferral.operations import words
from conferral.operations.reader import Fields
from conferral.operations.standing import listed, next_dialed

_LOOKED_AT = ("status", "call_sid", "held", "muted", "in_room", "waits", "tune", "supervises", "coaches", "early_media")
#: What somebody hears whose phone is still being called.
_NOT_THERE = {
    "dialing": "{party} is being called and hears nobody yet",
    "ringing": "{party}'s phone rings",
    "confirming": "{party} is asked to press 1 and hears nobody yet",
}
#: Tunes as people hear them.
_TUNES = {"ringback": "ringing", "music": "music", "": "nothing"}

Of = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Heard:
    """What one party hears."""

    party: str
    #: Names of the parties that are heard.
    hears: tuple[str, ...]
    #: The same in a sentence, with whatever is heard in place of people.
    words: str


def hearing(fields: Fields) -> tuple[Heard, ...]:
    """What each party hears that has not left; nothing of a session that has ended.

    Args:
        fields: The session's hash.
    """
    if fields.get("state") in (None, "ended"):
        return ()
    everybody = {
        party: {name: fields.get(f"party.{party}.{name}", "") for name in _LOOKED_AT} for party in words.parties(fields)
    }
    there = {party: of for party, of in everybody.items() if of["status"] != "left"}
    in_room = [of for of in there.values() if of["in_room"] == "true"]
    if fields.get("phase") == "ringing" and len(in_room) == 1 and in_room[0]["tune"]:
        # A conference of one has not begun, however he has joined it.
        in_room[0]["waits"] = "true"
    later = next_dialed(fields)
    return tuple(
        Heard(party, (), f"{party} is dialed next")
        if party == later
        else _outside(party, there)
        if is_caller(fields, party)
        else _heard(party, there)
        for party in there
    )


def is_caller(fields: Fields, party: str) -> bool:
    """Whether somebody has called whose own call counts as ringing until anybody answers: nobody waits for him."""
    came_in = party == "customer" and fields.get("direction") == "inbound"
    of = f"party.{party}"
    return came_in and fields.get(f"{of}.status") == "ringing" and not fields.get(f"{of}.dial_id")


def _heard(party: str, there: Mapping[str, Of]) -> Heard:
    of = there[party]
    if of["status"] != "connected":
        told = _NOT_THERE.get(of["status"], "{party} hears nobody")
        return Heard(party, (), told.format(party=party))
    if of["held"] == "true":
        # Without a tune of ours Twilio plays music of its own.
        return Heard(party, (), f"{party} is on hold and hears {_TUNES.get(of['tune'] or 'music', of['tune'])}")
    if of["waits"] == "true":
        return Heard(party, (), f"{party} waits and hears {_TUNES.get(of['tune'], of['tune'])}")
    if of["in_room"] != "true":
        return _outside(party, there)
    hears = tuple(other for other in there if other != party and _reaches(there[other], of))
    rings = tuple(other for other, one in there.items() if one["early_media"] == "true" and one["status"] == "ringing")
    return Heard(party, hears, _sentence(party, hears, rings) + _heard_by(party, of, there))


def _outside(party: str, there: Mapping[str, Of]) -> Heard:
    """Somebody whose call is up outside of the conference: in the bridge, or on the way."""
    other = {"customer": "agent", "agent": "customer"}.get(party, "")
    pair = there.get(other)
    if pair is None:
        return Heard(party, (), f"{party} hears nobody")
    if pair["in_room"] == "true":
        return Heard(party, (), f"{party} is on the way into the conference and hears nobody")
    if pair["status"] == "connected":
        return Heard(party, (other,), f"{party} hears {other}")
    if pair["status"] == "ringing":
        return Heard(party, (), f"{party} hears {other}'s phone ring")
    return Heard(party, (), f"{party} hears nobody: {_NOT_THERE.get(pair['status'], '').format(party=other)}")


def _reaches(other: Of, listener: Of) -> bool:
    """Whether somebody in the conference is heard by another one there."""
    is_in = other["status"] == "connected" and other["in_room"] == "true" and other["waits"] != "true"
    if not is_in or other["held"] == "true" or other["muted"] == "true":
        return False
    # Whoever coaches is heard by the one who is coached alone.
    return not other["coaches"] or other["coaches"] == listener["call_sid"]


def _sentence(party: str, hears: Sequence[str], rings: Sequence[str]) -> str:
    heard = [*hears, *(f"{other}'s phone ring" for other in rings)]
    return f"{party} hears {listed(heard) or 'nobody'}"


def _heard_by(party: str, of: Of, there: Mapping[str, Of]) -> str:
    """By whom somebody is heard, where it is not by all."""
    if of["muted"] == "true":
        return f"; nobody hears {party}"
    if not of["coaches"]:
        return ""
    coached = next((other for other, one in there.items() if one["call_sid"] == of["coaches"]), "the agent")
    return f"; only {coached} hears {party}"
