"""Facts from the gate (call screening of a dialed call)."""

from enum import StrEnum
from typing import ClassVar

from conferral.statemachine.events.base import Event


class GateDecision(StrEnum):
    """What the gate decided about a dialed call."""

    #: The call joins the conference.
    ACCEPTED = "accepted"
    #: The party pressed a key other than 1.
    REJECTED = "rejected"
    #: The party pressed no key.
    NO_CONFIRMATION = "no-confirmation"
    #: Another party of the ring group has taken the call.
    TAKEN = "taken"
    #: No one is waiting for this call anymore.
    TOO_LATE = "too-late"


class GateReached(Event, frozen=True, kw_only=True):
    """A call placed by REST was answered and fetched the gate's document."""

    #: Id of the dial.
    dial: str
    call_sid: str


class GateDecided(Event, frozen=True, kw_only=True):
    """The gate admitted a call or turned it away."""

    logged: ClassVar[tuple[str, ...]] = ("decision",)

    dial: str
    call_sid: str
    #: A `GateDecision`.
    decision: str
