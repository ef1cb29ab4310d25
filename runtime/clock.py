"""Clocks: the only module that reads the time."""

import time
from typing import Protocol

#: Minimum difference that counts as a step of Redis's clock, milliseconds; smaller ones are drift and are followed.
#: `renew_leases-n.lua` uses the same number.
CLOCK_JUMP_MS = 1_000
#: The clock that includes suspended time; None if the system has none.
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class Clock(Protocol):
    """A source of time."""

    def monotonic_s(self) -> float:
        """Return monotonic seconds, for durations and deadlines."""
        ...

    def wall_ms(self) -> int:
        """Return Unix milliseconds of this machine's clock, for display and for data that leaves the process."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def monotonic_s(self) -> float:
        """Return seconds since an arbitrary point in the past, including time suspended.

        A lease expires while its holder's machine is suspended, and calls continue. So this uses a clock that counts
        that time where there is one (Linux). Source: clock_gettime(2), CLOCK_BOOTTIME.
        """
        return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)

    def wall_ms(self) -> int:
        """Return Unix milliseconds."""
        return time.time_ns() // 1_000_000


class StoreClock:
    """A time that starts as Redis's and then advances evenly, whatever Redis's clock is set to.

    It combines Redis's answers with this machine's monotonic clock, so all workers share one time, and a step of this
    machine's wall clock has no effect. It follows Redis's drift, but not a step of its clock: a timer set for two
    seconds fires after two seconds.
    """

    def __init__(self, clock: Clock, *, offset_ms: float = 0.0) -> None:
        """Start with the wall clock; from the first reading of Redis's clock on, be `offset_ms` ahead of that."""
        self._clock = clock
        self._initial_offset_ms = offset_ms
        self._is_synced = False
        #: Redis's time minus our monotonic clock's, milliseconds.
        self._store_offset_ms = float(clock.wall_ms()) - clock.monotonic_s() * 1000
        #: This time minus our monotonic clock's, milliseconds.
        self._own_offset_ms = self._store_offset_ms

    def observe(self, store_now_ms: int, requested_at_s: float | None = None) -> int:
        """Note a reading of Redis's TIME.

        Args:
            store_now_ms: The reading, Unix milliseconds.
            requested_at_s: When the request was sent, monotonic seconds: Redis read its clock between then and now.
                None: now.

        Returns:
            The step of Redis's clock since the previous reading, milliseconds; 0 if there was none.
        """
        now_s = self._clock.monotonic_s()
        least_ms = store_now_ms - now_s * 1000
        most_ms = store_now_ms - min(now_s, requested_at_s if requested_at_s is not None else now_s) * 1000
        if not self._is_synced:
            self._is_synced = True
            self._store_offset_ms = (least_ms + most_ms) / 2
            self._own_offset_ms = self._store_offset_ms + self._initial_offset_ms
            return 0
        difference_ms = min(max(self._store_offset_ms, least_ms), most_ms) - self._store_offset_ms
        self._store_offset_ms += difference_ms
        if abs(difference_ms) >= CLOCK_JUMP_MS:
            return round(difference_ms)
        self._own_offset_ms += difference_ms
        return 0

    def resync(self) -> None:
        """Align with Redis's clock again; only while nothing is timed by this time."""
        self._own_offset_ms = self._store_offset_ms

    @property
    def offset_ms(self) -> int:
        """How far this time is ahead of Redis's clock, milliseconds; 0 until a step."""
        return round(self._own_offset_ms - self._store_offset_ms)

    def now_ms(self) -> int:
        """Return the time now, Unix milliseconds: Redis's, as if its clock had never been set."""
        return int(self._clock.monotonic_s() * 1000 + self._own_offset_ms)

    def store_now_ms(self) -> int:
        """Return what Redis's clock shows now, Unix milliseconds; to compare with times that Redis wrote."""
        return int(self._clock.monotonic_s() * 1000 + self._store_offset_ms)
