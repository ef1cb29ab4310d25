"""Rate limit of log lines: a flood of one kind gets a line per interval, with the count since the line before."""

import math
from collections import Counter
from collections.abc import Hashable

from conferral.runtime.clock import Clock


class LogRateLimit:
    """Counts what happens, by kind, and says when to log it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._unlogged: Counter[Hashable] = Counter()
        #: When each kind was last logged, monotonic seconds.
        self._logged_at_s: dict[Hashable, float] = {}

    def count(self, kind: Hashable, every_s: float) -> int:
        """Count one; return how many the caller must log now, 0 if the last line is less than `every_s` seconds ago."""
        self._unlogged[kind] += 1
        now_s = self._clock.monotonic_s()
        if now_s - self._logged_at_s.get(kind, -math.inf) < every_s:
            return 0
        self._logged_at_s[kind] = now_s
        return self._unlogged.pop(kind)
