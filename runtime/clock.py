"""The only place that reads the time."""

import time
from typing import Protocol


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
        """Seconds since some point in the past."""
        return time.monotonic()

    def wall_ms(self) -> int:
        """Unix milliseconds."""
        return time.time_ns() // 1_000_000


class StoreClock:
    """Redis's clock, as estimated from its answers and this machine's monotonic clock.

    All workers decide by one clock that way, and a step of this machine's wall clock changes nothing.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_ms = float(clock.wall_ms()) - clock.monotonic_s() * 1000

    def observe(self, store_now_ms: int) -> None:
        """Takes a reading of Redis's TIME, Unix milliseconds."""
        self._offset_ms = store_now_ms - self._clock.monotonic_s() * 1000

    def now_ms(self) -> int:
        """Redis's time now, Unix milliseconds."""
        return int(self._clock.monotonic_s() * 1000 + self._offset_ms)
