"""Calls whose customer waits, is on hold, or is parked, and since when. For team leads."""

from typing import NamedTuple

from conferral.statemachine.states import State
from conferral.storage.codecs.session_view import SessionView
from conferral.storage.codecs.timestamps import to_iso

#: Phases in which a customer has no one to talk to.
_WAITING = {"ringing": "waiting", "parked": "parked", "park": "parked", "retrieve": "parked", "recall": "waiting"}


class HeldCall(NamedTuple):
    """A waiting customer."""

    #: `waiting`, `parked`, or `on hold`.
    kind: str
    #: ISO 8601; empty if unknown.
    since: str


def held_call(session: SessionView) -> HeldCall | None:
    """Return how the customer of a live session is kept waiting; None if they aren't."""
    if session.state in (State.CONFERENCED, State.TRANSFERRING) and (kind := _WAITING.get(session.phase)):
        return HeldCall(kind, to_iso(session.state_since_ms))
    held_ms = [party.held_since_ms for party in session.parties.values() if party.held]
    return HeldCall("on hold", to_iso(min(held_ms))) if held_ms and not session.is_ended else None
