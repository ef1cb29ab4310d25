"""Timers that are due."""

from dataclasses import dataclass
from typing import ClassVar

from conferral.statemachine.events.base import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerExpired(Event):
    """What timers have in common; each timer is an event of its own below, so that the table can name it."""

    timer: ClassVar[str] = ""

    #: When it was due, Unix milliseconds: a timer that was set again since is told by it.
    due_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RingOverdue(TimerExpired):
    """The agent should have answered or failed by now, and nothing was heard."""

    name: ClassVar[str] = "ring_overdue"
    timer: ClassVar[str] = "ring"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveOverdue(TimerExpired):
    """One side of the bridge is over and the other side's callback is still missing; or a look came to nothing."""

    name: ClassVar[str] = "leave_overdue"
    timer: ClassVar[str] = "leave"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertOverdue(TimerExpired):
    """The two are not both in the conference after `CONFERRAL_CONVERT_TIMEOUT`."""

    name: ClassVar[str] = "convert_overdue"
    timer: ClassVar[str] = "convert"


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairOverdue(TimerExpired):
    """The repair of a conversion did not help either."""

    name: ClassVar[str] = "repair_overdue"
    timer: ClassVar[str] = "repair"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoneOverdue(TimerExpired):
    """One participant has been alone for `CONFERRAL_LONE_GRACE`."""

    name: ClassVar[str] = "lone_overdue"
    timer: ClassVar[str] = "lone"


@dataclass(frozen=True, slots=True, kw_only=True)
class DialOverdue(TimerExpired):
    """Of somebody who was dialled by REST nothing was heard for too long."""

    name: ClassVar[str] = "dial_overdue"
    timer: ClassVar[str] = "dial"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmOverdue(TimerExpired):
    """A hold, an unhold or a flag was asked for and Twilio's callback is missing."""

    name: ClassVar[str] = "confirm_overdue"
    timer: ClassVar[str] = "confirm"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOverdue(TimerExpired):
    """What a transfer waits for has not come."""

    name: ClassVar[str] = "stage_overdue"
    timer: ClassVar[str] = "stage"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpeningOverdue(TimerExpired):
    """Whoever is to wait in a conference from the start has not come into it."""

    name: ClassVar[str] = "opening_overdue"
    timer: ClassVar[str] = "opening"


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingCommandOverdue(TimerExpired):
    """What a command asked for has not been confirmed."""

    name: ClassVar[str] = "pending_command_overdue"
    timer: ClassVar[str] = "pending_command"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkOverdue(TimerExpired):
    """A call was parked for too long."""

    name: ClassVar[str] = "park_overdue"
    timer: ClassVar[str] = "park"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeOverdue(TimerExpired):
    """The session is older than a day."""

    name: ClassVar[str] = "age_overdue"
    timer: ClassVar[str] = "age"
