"""When Twilio's time passes, and who waits for a change."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import inf
from typing import Literal

from offhook.clock import monotonic_s
from offhook.twilio_time import TwilioTime

Clock = Literal["running", "waiting", "virtual"]
QUIET_S = 0.05  #: Real seconds without a request, after which the time may jump.
SLICE_S = QUIET_S / 5  #: A look counts no more than that: a machine that paused has requests which wait.
TURNS = 10  #: Of the loop, in which what has arrived becomes a request.


class Pace:
    """Lets Twilio's time pass or stand still, as the option `clock` says.

    `running`: it always passes. `waiting`: it passes while a test waits, or a request is under way. `virtual`: it jumps
    to what is due next while a test waits; while a WebSocket is open, it is as with `waiting`. During `advance`,
    `waiting` is as `virtual`.
    """

    def __init__(self, time: TwilioTime, clock: Callable[[], Clock], is_idle: Callable[[], bool]) -> None:
        self._time = time
        self._clock = clock
        self._is_idle = is_idle
        self._waits: set[object] = set()
        self._requests = 0
        self._sockets = 0
        self._advances = 0
        self._quiet_s = 0.0  #: How long there was no request, since the last test began to wait.
        self._quiet_since_s = -inf  #: When it did.
        self._counted_s = -inf
        self.changes = 0  #: How many changes there were.
        self.changed = asyncio.Event()  #: Set at the next change; a new one each time.

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A test waits, at most until the next change: it has to look first."""
        wait = object()
        self._waits.add(wait)
        self.update()
        try:
            yield
        finally:
            self._waits.discard(wait)
            self.update()

    @contextmanager
    def request(self) -> Iterator[None]:
        """A request of the program is under way, or one to it."""
        self._requests += 1
        self._quiet_s = 0.0
        self.update()
        try:
            yield
        finally:
            self._requests -= 1
            self._quiet_s = 0.0
            self.update()

    @contextmanager
    def socket(self) -> Iterator[None]:
        """A WebSocket is open: what is at its other end lives in real time."""
        self._sockets += 1
        self.update()
        try:
            yield
        finally:
            self._sockets -= 1
            self.update()
            self.wake_up()  # it may jump again

    def on_change(self) -> None:
        """Wake up all who wait; time stands still until they have looked."""
        self.changes += 1
        self._waits.clear()
        self.update()
        self.wake_up()

    def wake_up(self) -> None:
        """Wake up all who wait, without a change."""
        self.changed.set()
        self.changed = asyncio.Event()

    def update(self) -> None:
        """Let the time pass, or stand still."""
        if not self.jumps and (self._clock() == "running" or self._waits or self._requests):
            self._time.run()
        else:
            self._time.stand_still()

    @property
    def jumps(self) -> bool:
        """Whether the time jumps while a test waits."""
        clock = self._clock()
        return (clock == "virtual" or (clock == "waiting" and self._advances > 0)) and not self._sockets

    def in_words(self) -> str:
        """Return whether the time passes, and what it waits for."""
        if (clock := self._clock()) == "running":
            return f"Twilio's time always passes ({clock=})"
        due_s = self._time.next_due_s
        due = (
            "nothing is due" if due_s is None else f"the next event is due in {round(due_s - self._time.now_s, 2):g} s"
        )
        socket = "; a WebSocket is open" if self._sockets else ""
        return f"Twilio's time stands still between waits ({clock=}); {due}{socket}"

    async def next_change(self, known: int, timeout_s: float, since_s: float) -> None:
        """Wait until there are more changes than known; time passes meanwhile.

        `since_s` is when the test began to wait.
        """
        until_s = monotonic_s() + timeout_s
        with self.waiting():
            while self.changes == known:
                left_s = until_s - monotonic_s()
                if self.jumps and self._time.next_due_s is not None:
                    if await self._may_jump(since_s):  # first, also if this wait is over
                        if self.changes == known and self._time.next_due_s is not None:
                            self._time.jump_to_next()
                        continue
                    left_s = min(left_s, SLICE_S)
                if monotonic_s() >= until_s:
                    return
                changed = self.changed
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(left_s, 0)):
                        await changed.wait()

    async def advance(self, seconds: float, timeout_s: float) -> None:
        """Pass so much time at once; RuntimeError if it doesn't jump.

        Raise TimeoutError if requests let nothing happen for `timeout_s` real seconds.
        """
        if not 0 <= seconds < inf:
            raise ValueError(f"advance takes seconds from 0 on, not {seconds!r}")
        self._advances += 1
        self.update()
        try:
            await self._advance_to(self._time.now_s + seconds, timeout_s)
        finally:
            self._advances -= 1
            self.update()

    async def _advance_to(self, until_s: float, timeout_s: float) -> None:
        since_s = jumped_s = monotonic_s()
        while True:
            if not self.jumps:
                why = "the clock is 'running'" if self._clock() == "running" else "a WebSocket is open"
                raise RuntimeError(f"advance needs the option clock='waiting' or 'virtual', and no WebSocket: {why}")
            if await self._may_jump(since_s):
                if (due_s := self._time.next_due_s) is None or due_s > until_s:
                    break
                self._time.jump_to_next()
                jumped_s = monotonic_s()
            elif monotonic_s() >= jumped_s + timeout_s:
                raise TimeoutError(f"advance: requests went on for {timeout_s:g} s")
            else:
                await asyncio.sleep(SLICE_S)
        self._time.jump(until_s)

    async def _may_jump(self, since_s: float) -> bool:
        """Whether it jumps, and there was no request for long enough.

        `since_s` is when the test began to wait.
        """
        now_s = monotonic_s()
        if self._requests or not self._is_idle() or since_s > self._quiet_since_s:
            self._quiet_s, self._quiet_since_s = 0.0, max(since_s, self._quiet_since_s)
        else:
            self._quiet_s += min(now_s - self._counted_s, SLICE_S)
        self._counted_s = now_s
        for _ in range(TURNS if self._quiet_s >= QUIET_S else 0):
            await asyncio.sleep(0)
        return self._quiet_s >= QUIET_S and self.jumps
