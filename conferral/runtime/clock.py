"""Clocks: the only module that reads the time."""

import time
from datetime import date, datetime, tzinfo
from datetime import time as time_of_day
from typing import Protocol

#: How much faster or slower the workers' time runs at most to come back to Redis's clock after that was set.
FOLLOW_MAX = 0.01
#: A session that is further ahead than this doesn't set the workers' time, milliseconds.
AHEAD_MAX_MS = 86_400_000
#: A remote clock that is so much behind its earlier readings was set back, milliseconds; less is a late reading.
REMOTE_STEP_MS = 3_000
#: How much faster or slower two clocks run at most.
REMOTE_DRIFT = 0.0002
#: The clock that includes suspended time; None if the system has none.
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class Clock(Protocol):
    """A source of time."""

    def monotonic_s(self) -> float:
        """Return monotonic seconds, for durations and deadlines."""

    def wall_ms(self) -> int:
        """Return Unix milliseconds, for display and data that leaves the process."""


class SystemClock:
    """The machine's own clocks."""

    def monotonic_s(self) -> float:
        """Return seconds since an arbitrary time, including time suspended.

        A lease expires while its owner's machine is suspended. Source: clock_gettime(2), CLOCK_BOOTTIME (Linux).
        """
        return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)

    def wall_ms(self) -> int:
        """Return Unix milliseconds."""
        return time.time_ns() // 1_000_000


class StoreClock:
    """The workers' time: starts as Redis's, then advances evenly.

    It adds this machine's monotonic clock, and follows Redis's clock by at most `FOLLOW_MAX`. So a clock that someone
    sets, or a failover to a server whose clock differs, makes no timer early or late: two seconds take two seconds.
    """

    def __init__(self, clock: Clock) -> None:
        """Start with the wall clock, until the first reading."""
        self._clock = clock
        #: This time minus our monotonic clock's, milliseconds.
        self._offset_ms = float(clock.wall_ms()) - clock.monotonic_s() * 1000
        #: When Redis's clock was last read, monotonic seconds; None before.
        self._read_at_s: float | None = None
        self._is_in_use = False

    def observe(self, store_now_ms: int, requested_at_s: float | None = None) -> None:
        """Update by a reading of Redis's TIME.

        Redis read its clock between `requested_at_s` (monotonic; None: now) and now.
        """
        now_s = self._clock.monotonic_s()
        offset_min_ms = store_now_ms - now_s * 1000
        offset_max_ms = store_now_ms - min(now_s, requested_at_s if requested_at_s is not None else now_s) * 1000
        if self._read_at_s is None:
            self._offset_ms = (offset_min_ms + offset_max_ms) / 2
        else:
            most_ms = FOLLOW_MAX * (now_s - self._read_at_s) * 1000
            apart_ms = min(max(self._offset_ms, offset_min_ms), offset_max_ms) - self._offset_ms
            self.follow(min(max(apart_ms, -most_ms), most_ms))
        self._read_at_s = now_s

    def follow(self, by_ms: float) -> None:
        """Come closer to Redis's clock."""
        self._offset_ms += by_ms

    def catch_up(self, at_ms: int) -> None:
        """Advance to a time that another worker has given a session.

        If Redis's clock was set back before this worker started, it is behind the others. A clock in use doesn't
        advance: one session's wrong time would end the waits of all others.
        """
        ahead_ms = at_ms - self.now_ms()
        if 0 < ahead_ms <= AHEAD_MAX_MS and not self._is_in_use:
            self._offset_ms += ahead_ms

    def start_use(self) -> None:
        """From now on, timers of calls run by this clock."""
        self._is_in_use = True

    def now_ms(self) -> int:
        """Return the workers' time, Unix milliseconds."""
        return int(self._clock.monotonic_s() * 1000 + self._offset_ms)


class RemoteClock:
    """Another system's clock: its best reading plus the time since.

    Readings are whole seconds, and may be late: the one that puts the clock furthest ahead is the least late. It is
    never compared with another clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: Its time minus our monotonic clock's, milliseconds.
        self._offset_ms: float | None = None
        self._observed_at_s = 0.0

    def observe(self, reading_ms: int) -> None:
        """Update the clock by a reading that has just arrived, Unix milliseconds."""
        now_s = self._clock.monotonic_s()
        offset_ms = reading_ms - now_s * 1000
        if self._offset_ms is not None and self._offset_ms - offset_ms < REMOTE_STEP_MS:
            # One of the two clocks may be slower, so an old reading loses its advantage in time.
            drift_ms = REMOTE_DRIFT * (now_s - self._observed_at_s) * 1000
            offset_ms = max(offset_ms, self._offset_ms - drift_ms)
        self._offset_ms, self._observed_at_s = offset_ms, now_s

    def now_ms(self) -> int | None:
        """Return its time, Unix milliseconds; None without a reading."""
        return None if self._offset_ms is None else int(self._clock.monotonic_s() * 1000 + self._offset_ms)


def start_of_day(day: date, zone: tzinfo | None = None) -> float:
    """Return a day's first moment, Unix seconds.

    It is in this machine's zone by default. Where the clocks skip midnight, that is later: the moment at which they do.
    """
    return datetime.combine(day, time_of_day(), zone).timestamp()
