"""The only place that reads the time."""

import time
from typing import Protocol

#: From how big a difference on Redis's clock has been set anew, milliseconds; what is smaller is drift, and followed.
#: `renew_lease-1.lua` knows the same number.
CLOCK_JUMP_MS = 1_000
#: The clock that counts time asleep too; None where there is none.
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class Clock(Protocol):
    """Where the time comes from."""

    def monotonic_s(self) -> float:
        """Seconds that only ever grow; for durations and deadlines."""
        ...

    def wall_ms(self) -> int:
        """Unix milliseconds by this machine's clock; for display and for what leaves the process."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def monotonic_s(self) -> float:
        """Seconds since some point in the past, those that the machine was asleep included.

        A lease runs out while its holder's machine sleeps, and a call goes on; so where there is a clock that counts
        such time (Linux), it is asked. Source: clock_gettime(2), CLOCK_BOOTTIME.
        """
        return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)

    def wall_ms(self) -> int:
        """Unix milliseconds."""
        return time.time_ns() // 1_000_000


class StoreClock:
    """A time that begins as Redis's and then goes on evenly: when Redis's clock is set anew, this one is not.

    It goes by Redis's answers and this machine's monotonic clock, so all workers have one time, and a step of this
    machine's wall clock changes nothing. Redis's drift is followed, a step of its clock is not: whatever was timed to
    happen in two seconds happens in two seconds.
    """

    def __init__(self, clock: Clock, *, offset_ms: float = 0.0) -> None:
        """Starts by the wall clock, until Redis was asked.

        Args:
            clock: Of this machine.
            offset_ms: By how much this time is ahead of Redis's from the first reading on, milliseconds.
        """
        self._clock = clock
        self._initial_offset_ms = offset_ms
        self._is_synced = False
        #: Redis's time less our monotonic clock's, milliseconds.
        self._store_offset_ms = float(clock.wall_ms()) - clock.monotonic_s() * 1000
        #: This time less our monotonic clock's, milliseconds.
        self._own_offset_ms = self._store_offset_ms

    def observe(self, store_now_ms: int, requested_at_s: float | None = None) -> int:
        """Takes a reading of Redis's TIME.

        Args:
            store_now_ms: What it showed, Unix milliseconds.
            requested_at_s: When the question was sent, monotonic seconds: it was read between then and now. None: now.

        Returns:
            By how much Redis's clock was set anew since the reading before, milliseconds; 0 when it was not.
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
        """From here on it is Redis's time again; for when nothing is timed by it."""
        self._own_offset_ms = self._store_offset_ms

    @property
    def offset_ms(self) -> int:
        """By how much this time is ahead of what Redis's clock shows, milliseconds; 0 until that was set anew."""
        return round(self._own_offset_ms - self._store_offset_ms)

    def now_ms(self) -> int:
        """The time now, Unix milliseconds: Redis's, had nobody set it anew."""
        return int(self._clock.monotonic_s() * 1000 + self._own_offset_ms)

    def store_now_ms(self) -> int:
        """What Redis's clock shows now, Unix milliseconds; to compare with times that Redis itself has written."""
        return int(self._clock.monotonic_s() * 1000 + self._store_offset_ms)
