"""Base classes of events, automatic rows, and timers."""

from typing import ClassVar

from conferral.statemachine.record import BaseRecord, snake_case

#: Twilio reports no fractions of a second.
WHOLE_SECOND_MS = 1_000


class Event(BaseRecord, frozen=True, kw_only=True):
    """Base class of events."""

    #: The class's name in snake case. Redis holds it, so a class keeps its name.
    name: ClassVar[str] = ""
    #: Why it never changes anything, so it may be dropped under load; empty for events that may.
    ignored_because: ClassVar[str] = ""

    session_id: str
    #: Id of the stream entry, `MILLISECONDS-COUNT`; set by the stream's reader.
    entry_id: str = ""
    #: Identifies a duplicate of the event; empty if `sequence` does.
    token: str = ""
    #: SID of the call or conference that `sequence` counts for.
    source: str = ""
    #: Twilio's SequenceNumber: calls count from 0, conferences from 1; None where Twilio sends none.
    sequence: int | None = None
    #: When it happened according to Twilio, in the session's time, Unix milliseconds; 0 if unknown.
    occurred_at_ms: int = 0
    #: Generated for an event that opens a session whose id your app chose; your app can't set it.
    conference_name: str = ""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.name = snake_case(cls.__name__)

    @property
    def arrived_at_ms(self) -> int:
        """When Redis stored its entry, Unix milliseconds; 0 without one."""
        head = self.entry_id.partition("-")[0]
        return int(head) if head.isdecimal() else 0

    def happened_at_ms(self, now_ms: int) -> int:
        """Return when it happened, at most `now_ms`.

        It is the time of its arrival, unless that is late: Twilio's has whole seconds, so the middle of one counts.
        """
        arrived_ms = min(now_ms, self.arrived_at_ms or now_ms)
        return min(arrived_ms, self.occurred_at_ms + WHOLE_SECOND_MS // 2) if self.occurred_at_ms else arrived_ms


class Automatic(Event, frozen=True):
    """Event of automatic rows: tried after every applied event, never stored.

    Source: W3C, State Chart XML, section 3.13 (eventless transitions).
    """


# ---- timers that have expired --------------------------------------------------------------------------------------


class TimerExpired(Event, frozen=True, kw_only=True):
    """Base class of expired timers. The table names each timer's own class."""

    #: The timer's name.
    timer: ClassVar[str] = ""

    #: When it was due, Unix milliseconds; distinguishes it from a timer that was set again since.
    due_ms: int

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.timer = cls.name.removesuffix("_overdue")


class CallsOverdue(TimerExpired, frozen=True):
    """Nothing has shown yet who answered or left, or a read gave no result."""


class ConvertOverdue(TimerExpired, frozen=True):
    """Twilio has not moved anyone out of the bridge in time."""


class ReadOverdue(TimerExpired, frozen=True):
    """What is unsettled is due: see `table.unsettled`."""


class LoneOverdue(TimerExpired, frozen=True):
    """A participant has been alone for `CONFERRAL_LONE_GRACE`."""


class DialOverdue(TimerExpired, frozen=True):
    """No callback about a dialed party came for too long."""


class StageOverdue(TimerExpired, frozen=True):
    """What a transfer's stage waits for did not happen in time."""


class PendingCommandOverdue(TimerExpired, frozen=True):
    """Twilio has not confirmed a command in time."""


class ParkOverdue(TimerExpired, frozen=True):
    """A call was parked for too long."""


class HoldOverdue(TimerExpired, frozen=True):
    """A party has been on hold for `CONFERRAL_HOLD_LIMIT`."""


class AgeOverdue(TimerExpired, frozen=True):
    """The session is older than a day."""
