"""Timers that have expired."""

from typing import ClassVar

from conferral.statemachine.events.base import Event


class TimerExpired(Event, frozen=True, kw_only=True):
    """Base class of expired timers. Each timer is an event class of its own, so that the table can name it."""

    #: The timer's name.
    timer: ClassVar[str] = ""

    #: When it was due, Unix milliseconds; distinguishes it from a timer that was set again since.
    due_ms: int

    def __init_subclass__(cls) -> None:
        cls.timer = cls.name.removesuffix("_overdue")


class RingOverdue(TimerExpired, frozen=True):
    """The agent should have answered or failed by now, but no callback said so."""

    name: ClassVar[str] = "ring_overdue"


class LeaveOverdue(TimerExpired, frozen=True):
    """One side of the bridge is over and the other side's callback is missing, or a read gave no result."""

    name: ClassVar[str] = "leave_overdue"


class ConvertOverdue(TimerExpired, frozen=True):
    """The two parties are not both in the conference after `CONFERRAL_CONVERT_TIMEOUT`."""

    name: ClassVar[str] = "convert_overdue"


class RepairOverdue(TimerExpired, frozen=True):
    """The repair of a conversion did not bring both parties in."""

    name: ClassVar[str] = "repair_overdue"


class LoneOverdue(TimerExpired, frozen=True):
    """A participant has been alone for `CONFERRAL_LONE_GRACE`."""

    name: ClassVar[str] = "lone_overdue"


class DialOverdue(TimerExpired, frozen=True):
    """No callback about a dialed party came for too long."""

    name: ClassVar[str] = "dial_overdue"


class ConfirmOverdue(TimerExpired, frozen=True):
    """The callback of a participant update (hold, unhold, `EndConferenceOnExit`) is missing."""

    name: ClassVar[str] = "confirm_overdue"


class StageOverdue(TimerExpired, frozen=True):
    """What a transfer's stage waits for did not happen in time."""

    name: ClassVar[str] = "stage_overdue"


class OpeningOverdue(TimerExpired, frozen=True):
    """The party that should wait in the conference from the start has not joined."""

    name: ClassVar[str] = "opening_overdue"


class PendingCommandOverdue(TimerExpired, frozen=True):
    """Twilio has not confirmed a command in time."""

    name: ClassVar[str] = "pending_command_overdue"


class ParkOverdue(TimerExpired, frozen=True):
    """A call was parked for too long."""

    name: ClassVar[str] = "park_overdue"


class AgeOverdue(TimerExpired, frozen=True):
    """The session is older than a day."""

    name: ClassVar[str] = "age_overdue"
