"""Twilio's time, and what is due in it."""

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from math import inf


class Timer:
    """What is due once, unless it is canceled."""

    def __init__(self, due_s: float, act: Callable[[], object]) -> None:
        self.due_s = due_s  #: In Twilio's time.
        self.act = act
        self.is_canceled = False

    def cancel(self) -> None:
        """Do nothing when it is due."""
        self.is_canceled = True


class TwilioTime:
    """Twilio's time, `speed` times as fast as a loop's; it may stand still.

    Each timer acts at its own time, in order: the time goes on only then, so a loop that is late changes no order. What
    is due now acts also while the time stands still.
    """

    def __init__(self, speed: Callable[[], float], epoch_s: float) -> None:
        self._speed = speed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timers: list[tuple[float, int, Timer]] = []  #: A heap; of equal times, the one set first comes first.
        self._count = count()
        self._handle: asyncio.TimerHandle | None = None
        self._since_s: float | None = None  #: The loop's time at `_from_s`; None while it stands still.
        self._limit_s = inf  #: What is due then has not acted yet.
        self._is_acting = False
        self.epoch_s = self._from_s = self._read_s = epoch_s  #: Seconds since 1970 when it started.

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Count with this loop's time; without one, it stands still."""
        self._loop = loop

    def restart(self, epoch_s: float) -> None:
        """Start over, from seconds since 1970."""
        self.epoch_s = self._read_s = epoch_s
        self._set(epoch_s)
        self._arm()

    @property
    def now_s(self) -> float:
        """Seconds since 1970; never less than before."""
        self._read_s = max(self._read_s, self._from_s, min(self._reached_s(), self._limit_s))
        return self._read_s

    @property
    def next_due_s(self) -> float | None:
        """When something is due next; None: never."""
        self._drop_canceled()
        return self._timers[0][0] if self._timers else None

    def run(self) -> None:
        """Let it pass."""
        if self._since_s is None and self._loop is not None:
            self._since_s = self._loop.time()
            self._arm()

    def stand_still(self) -> None:
        """Let it stand still."""
        if self._since_s is not None:
            self._from_s, self._since_s = self.now_s, None
            self._disarm()
            self._arm()

    def jump(self, to_s: float) -> None:
        """Let it be `to_s`, unless it is later; what is due until then acts first."""
        while (due_s := self.next_due_s) is not None and due_s <= to_s:
            self.jump_to_next()
        if self._reached_s() < to_s:
            self._set(to_s)
            self._arm()

    def jump_to_next(self) -> None:
        """Jump to what is due next, and let it act."""
        self._drop_canceled()
        due_s, _, timer = heappop(self._timers)
        if self._reached_s() < due_s:
            self._set(due_s)
        self._limit_s, self._is_acting = due_s, True  # until it has acted
        try:
            timer.act()
        finally:
            self._is_acting = False
            self._arm()

    def call_later(self, after_s: float, act: Callable[[], object]) -> Timer:
        """Act after so many seconds of Twilio's time."""
        return self.call_at(self.now_s + after_s, act)

    def call_at(self, due_s: float, act: Callable[[], object]) -> Timer:
        """Act at a time."""
        timer = Timer(due_s, act)
        heappush(self._timers, (due_s, next(self._count), timer))
        self._arm()
        return timer

    def _reached_s(self) -> float:
        """Return what the loop's time says, also if something is due before."""
        if self._since_s is None or self._loop is None:
            return self._from_s
        return self._from_s + (self._loop.time() - self._since_s) * self._speed()

    def _set(self, now_s: float) -> None:
        self._disarm()
        self._from_s = now_s
        if self._since_s is not None and self._loop is not None:
            self._since_s = self._loop.time()

    def _drop_canceled(self) -> None:
        while self._timers and self._timers[0][2].is_canceled:
            heappop(self._timers)

    def _arm(self) -> None:
        """Have the loop wake it up when something is due."""
        if self._is_acting:
            return
        due_s = self.next_due_s
        if due_s != self._limit_s:
            self._disarm()
        self._limit_s = inf if due_s is None else due_s
        if due_s is None or self._handle is not None or self._loop is None:
            return
        left_s = max(due_s - self._reached_s(), 0)
        if left_s == 0 or self._since_s is not None:
            self._handle = self._loop.call_later(left_s / self._speed(), self._on_due)

    def _disarm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _on_due(self) -> None:
        self._handle = None
        if self.next_due_s == self._limit_s:  # else it was canceled
            self.jump_to_next()  # also if the loop is a little early, because it rounds
        else:
            self._arm()
