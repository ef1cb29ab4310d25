"""Calls whose customer waits, is on hold, or is parked, and since when. For team leads."""

from typing import NamedTuple

from conferral.operations import wording
from conferral.operations.session_queries import Fields

#: Phases in which a customer has no one to talk to.
_WAITING = {"ringing": "waiting", "parked": "parked", "park": "parked", "retrieve": "parked", "recall": "waiting"}


class HeldCall(NamedTuple):
    """A waiting customer."""

    #: `waiting`, `parked`, or `on hold`.
    kind: str
    #: ISO 8601; empty if unknown.
    since: str


def held_call(fields: Fields) -> HeldCall | None:
    """Return how the customer of a live session is kept waiting; None if they aren't.

    Args:
        fields: The session's hash.
    """
    state, phase = fields.get("state", ""), fields.get("phase", "")
    if state in ("conferenced", "transferring") and (kind := _WAITING.get(phase)):
        return HeldCall(kind, fields.get("state_since", ""))
    if state == "ended":
        return None
    held = [one for one in wording.party_names(fields) if fields.get(f"party.{one}.held") == "true"]
    if not held:
        return None
    return HeldCall("on hold", min(fields.get(f"party.{one}.held_since", "") for one in held))
