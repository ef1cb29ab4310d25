"""Timers that have expired."""

from typing import ClassVar

from conferral.statemachine.events.base import Event


class TimerExpired(Event, frozen=True, kw_only=True):
    """Base class of expired timers. The table names each timer's own class."""

    #: The timer's name.
    timer: ClassVar[str] = ""

    #: When it was due, Unix milliseconds; distinguishes it from a timer that was set again since.
    due_ms: int

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.timer = cls.name.removesuffix("_overdue")


class RingOverdue(TimerExpired, frozen=True):
    """The agent should have answered or failed, but no callback said so."""


class LeaveOverdue(TimerExpired, frozen=True):
    """One side's end is not followed by the other's, or a read gave no result."""


class ConvertOverdue(TimerExpired, frozen=True):
    """A party has not joined within `CONFERRAL_CONVERT_TIMEOUT`."""


class RepairOverdue(TimerExpired, frozen=True):
    """The repair of a conversion did not bring both parties in."""


class LoneOverdue(TimerExpired, frozen=True):
    """A participant has been alone for `CONFERRAL_LONE_GRACE`."""


class DialOverdue(TimerExpired, frozen=True):
    """No callback about a dialed party came for too long."""


class ConfirmOverdue(TimerExpired, frozen=True):
    """The callback of a participant update is missing."""


class StageOverdue(TimerExpired, frozen=True):
    """What a transfer's stage waits for did not happen in time."""


class OpeningOverdue(TimerExpired, frozen=True):
    """The party that should wait in the conference has not joined."""


class PendingCommandOverdue(TimerExpired, frozen=True):
    """Twilio has not confirmed a command in time."""


class ParkOverdue(TimerExpired, frozen=True):
    """A call was parked for too long."""


class AgeOverdue(TimerExpired, frozen=True):
    """The session is older than a day."""
