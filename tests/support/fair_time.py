"""Time that the machine's other work does not eat: tests time calls, and calls must not fail since a machine is busy.

The loop's clock stands still while this process, or one that its tests wait for, such as Redis, is ready to run and has
no processor. What runs in the loop, the product, the sandbox and its phones, is timed by that clock, so it has the time
that it would have on a quiet machine. Work of our own counts in full.
"""

import asyncio
import contextlib
import os
import selectors
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

from conferral.runtime.clock import StoreClock, SystemClock
from conferral.statemachine.events.base import Event
from conferral.worker import wiring
from offhook.service import Sandbox

#: How often the kernel is asked, seconds at least.
_EVERY_S = 0.003
#: The least share of real time that passes: several processes may have waited at once, and are added up here.
_LEAST = 0.25

_others: set[int] = set()


def watch_process(pid: int) -> None:
    """Makes time stand still, from now on, while a process waits that tests wait for."""
    _others.add(pid)


def forget_process(pid: int) -> None:
    """Ends that."""
    _others.discard(pid)


class ProcessorWait:
    """How long the main thread of a process was ready to run and had no processor, by Linux's account.

    Elsewhere it is 0. Source: docs.kernel.org/scheduler/sched-stats.html, /proc/<pid>/schedstat.
    """

    def __init__(self, pid: int) -> None:
        self._file: int | None = None
        with contextlib.suppress(OSError):
            self._file = os.open(f"/proc/{pid}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        self._before_ns = self._read_ns()

    def more_s(self) -> float:
        """How much has come to it since this was asked last, seconds."""
        now_ns = self._read_ns()
        more_ns, self._before_ns = now_ns - self._before_ns, now_ns
        return max(0, more_ns) / 1e9

    def _read_ns(self) -> int:
        if self._file is not None:
            with contextlib.suppress(OSError):  # it has ended
                return int(os.pread(self._file, 100, 0).split()[1])
        return 0

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


class _QuickSelector(selectors.DefaultSelector):
    """Lets time pass several times as fast while no one has anything to do."""

    def __init__(self, pace: float, waited_s: Callable[[], float]) -> None:
        super().__init__()
        self._pace = pace
        self._waited_s = waited_s
        #: By how much the loop's clock is ahead because of that, seconds.
        self.ahead_s = 0.0
        #: Moments by the machine's clock, and how far ahead it was then. It grew evenly in between.
        self._moments_s, self._aheads_s = [0.0], [0.0]

    def ahead_at_s(self, moment_s: float) -> float:
        """By how much it was ahead at a moment of the machine's clock."""
        after = bisect_right(self._moments_s, moment_s)
        ahead_s = self._aheads_s[after - 1]
        if after == len(self._moments_s):
            return ahead_s
        share = (moment_s - self._moments_s[after - 1]) / (self._moments_s[after] - self._moments_s[after - 1])
        return ahead_s + share * (self._aheads_s[after] - ahead_s)

    def select(self, timeout: float | None = None) -> Any:
        """See `selectors`."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        began_s = time.monotonic()
        self._note()
        found = super().select(timeout / self._pace)
        passed_s = time.monotonic() - began_s
        idle_s = passed_s - self._waited_s() if passed_s >= _EVERY_S else passed_s
        self.ahead_s += max(0.0, min(idle_s * (self._pace - 1), timeout - passed_s))
        self._note()
        return found

    def _note(self) -> None:
        now_s = time.time()
        if now_s > self._moments_s[-1]:
            self._moments_s.append(now_s)
            self._aheads_s.append(self.ahead_s)


class FairLoop(asyncio.SelectorEventLoop):
    """An event loop with that clock.

    Args:
        others: Processes that tests wait for.
        pace: How many times as fast time passes while no one has anything to do. What others time, such as Redis, it
            doesn't change.
    """

    def __init__(self, others: set[int] = _others, pace: float = 1.0) -> None:
        self._own = ProcessorWait(os.getpid())
        self._others = others
        self._waits: dict[int, ProcessorWait] = {}
        self._asked_s = time.monotonic()
        #: By how much its clock is behind the machine's, and what is still to be taken off, seconds.
        self._behind_s = self._owed_s = 0.0
        #: The latest time returned: later deductions must not turn the clock back.
        self._latest_s = 0.0
        self._quick = _QuickSelector(pace, self._more_s) if pace > 1 else None
        super().__init__(self._quick)

    def time(self) -> float:
        """Seconds; on a quiet machine those of `time.monotonic()`."""
        now_s = time.monotonic()
        passed_s = now_s - self._asked_s
        if passed_s >= _EVERY_S:
            self._asked_s = now_s
            self._more_s()
            paid_s = min(self._owed_s, passed_s * (1 - _LEAST))
            self._owed_s -= paid_s
            self._behind_s += paid_s
        time_s = now_s - self._behind_s + self.ahead_s
        if time_s > self._latest_s:
            self._latest_s = time_s
        return self._latest_s

    def ahead_at_s(self, moment_s: float) -> float:
        """How far ahead it was at a moment of the machine's clock."""
        return self._quick.ahead_at_s(moment_s) if self._quick is not None else 0.0

    @property
    def ahead_s(self) -> float:
        """How far its time has come ahead of the machine's because no one had anything to do."""
        return self._quick.ahead_s if self._quick is not None else 0.0

    def _more_s(self) -> float:
        more_s = self._own.more_s() + self._others_more_s()
        self._owed_s += more_s
        return more_s

    def _others_more_s(self) -> float:
        if self._waits.keys() != self._others:
            for pid in self._others - self._waits.keys():
                self._waits[pid] = ProcessorWait(pid)
            for pid in self._waits.keys() - self._others:
                self._waits.pop(pid).close()
        return sum(wait.more_s() for wait in self._waits.values())

    def close(self) -> None:
        super().close()
        for wait in (self._own, *self._waits.values()):
            wait.close()
        self._waits.clear()


def ahead_s(loop: asyncio.AbstractEventLoop) -> float:
    """How far its time has come ahead of the machine's because no one had anything to do."""
    return loop.ahead_s if isinstance(loop, FairLoop) else 0.0


class LoopClock(SystemClock):
    """A loop's time, instead of the machine's."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def monotonic_s(self) -> float:
        return self._loop.time()

    def wall_ms(self) -> int:
        """It is ahead of the machine's by what the loop is."""
        return super().wall_ms() + round(ahead_s(self._loop) * 1000)


class LoopSandbox(Sandbox):
    """A sandbox whose time a test may change."""

    def catch_up(self) -> None:
        """Sets its calendar to the machine's, if it is behind.

        A worker takes its partitions' time from Redis, once. Callbacks with an earlier time count as out of date.
        """
        self.time.jump(time.time() + ahead_s(asyncio.get_running_loop()))

    def skip(self, seconds: float) -> None:
        """Lets that much time pass at once; what falls due in it happens in order."""
        self.time.jump(self.now_s + seconds)


class SteadyStoreClock(StoreClock):
    """A partition's time, which does not follow Redis's, since that goes on while the loop's stands still."""

    def follow(self, by_ms: float) -> None:
        pass


_stored_at_ms = Event.arrived_at_ms.fget


def _arrived_at_ms(event: Event) -> int:
    """When Redis stored an event's entry, by the loop's time: Redis stamps it by its own clock, which falls behind."""
    stored_ms = _stored_at_ms(event)
    with contextlib.suppress(RuntimeError):  # no loop runs
        if isinstance(loop := asyncio.get_running_loop(), FairLoop):
            stored_ms += round(loop.ahead_at_s(stored_ms / 1000) * 1000)
    return stored_ms


_steady_systems = 0
_steady = contextlib.ExitStack()


@contextlib.contextmanager
def steady_partition_time() -> Iterator[None]:
    """Gives the workers of this process such a time; several systems may overlap in any way."""
    global _steady_systems
    if not _steady_systems:
        _steady.enter_context(patch.object(wiring, "StoreClock", SteadyStoreClock))
        _steady.enter_context(patch.object(Event, "arrived_at_ms", property(_arrived_at_ms)))
    _steady_systems += 1
    try:
        yield
    finally:
        _steady_systems -= 1
        if not _steady_systems:
            _steady.close()
