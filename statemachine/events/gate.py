"""Facts from our gate, which stands between the answer of a dialled call and the conference."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from conferral.statemachine.events.base import Event


class GateDecision(StrEnum):
    """What became of a dialled call at our gate."""

    #: It joins.
    ACCEPTED = "accepted"
    #: Another key than 1 was pressed.
    REJECTED = "rejected"
    #: No key was pressed.
    NO_CONFIRMATION = "no-confirmation"
    #: Somebody else who rang at the same time has taken the call.
    TAKEN = "taken"
    #: Nobody waits for it any more.
    TOO_LATE = "too-late"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReached(Event):
    """A call that was placed by REST was answered and asks at our gate for its document."""

    name: ClassVar[str] = "gate_reached"

    #: Id of the dial.
    dial: str
    call_sid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GateDecided(Event):
    """The gate has let a call in, or has turned it away."""

    name: ClassVar[str] = "gate_decided"

    dial: str
    call_sid: str
    #: One of `GateDecision`.
    decision: str
