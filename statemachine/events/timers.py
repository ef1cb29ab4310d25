"""Timers that have expired."""

from dataclasses import dataclass
from typing import ClassVar

from conferral.statemachine.events.base import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerExpired(Event):
    """Base class of expired timers. Each timer is an event class of its own, so that the table can name it."""

    #: The timer's name.
    timer: ClassVar[str] = ""

    #: When it was due, Unix milliseconds; distinguishes it from a timer that was set again since.
    due_ms: int

    def __init_subclass__(cls) -> None:
        cls.timer = cls.name.removesuffix("_overdue")


@dataclass(frozen=True, slots=True, kw_only=True)
class RingOverdue(TimerExpired):
    """The agent should have answered or failed by now, but no callback said so."""

    name: ClassVar[str] = "ring_overdue"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveOverdue(TimerExpired):
    """One side of the bridge is over and the other side's callback is missing, or a read gave no result."""

    name: ClassVar[str] = "leave_overdue"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertOverdue(TimerExpired):
    """The two parties are not both in the conference after `CONFERRAL_CONVERT_TIMEOUT`."""

    name: ClassVar[str] = "convert_overdue"


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairOverdue(TimerExpired):
    """The repair of a conversion did not help."""

    name: ClassVar[str] = "repair_overdue"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoneOverdue(TimerExpired):
    """A participant has been alone for `CONFERRAL_LONE_GRACE`."""

    name: ClassVar[str] = "lone_overdue"


@dataclass(frozen=True, slots=True, kw_only=True)
class DialOverdue(TimerExpired):
    """No callback about a dialed party came for too long."""

    name: ClassVar[str] = "dial_overdue"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmOverdue(TimerExpired):
    """The callback of a participant update (hold, unhold, `EndConferenceOnExit`) is missing."""

    name: ClassVar[str] = "confirm_overdue"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOverdue(TimerExpired):
    """What a transfer's stage waits for did not happen in time."""

    name: ClassVar[str] = "stage_overdue"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpeningOverdue(TimerExpired):
    """The party that should wait in the conference from the start has not joined."""

    name: ClassVar[str] = "opening_overdue"


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingCommandOverdue(TimerExpired):
    """Twilio has not confirmed a command in time."""

    name: ClassVar[str] = "pending_command_overdue"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkOverdue(TimerExpired):
    """A call was parked for too long."""

    name: ClassVar[str] = "park_overdue"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeOverdue(TimerExpired):
    """The session is older than a day."""

    name: ClassVar[str] = "age_overdue"
