"""When Twilio's time passes, and who waits for a change."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import inf
from typing import Literal

from offhook.clock import monotonic_s
from offhook.twilio_time import TwilioTime

Clock = Literal["running", "waiting", "virtual"]
QUIET_S = 0.05  #: Real seconds without a request, after which a virtual clock jumps.


class Pace:
    """Lets Twilio's time pass or stand still, as the option `clock` says.

    `running`: it always passes. `waiting`: it passes while a test waits, or a request is under way. `virtual`: it jumps
    to what is due next while a test waits; while a WebSocket is open, it is as with `waiting`.
    """

    def __init__(self, time: TwilioTime, clock: Callable[[], Clock], is_idle: Callable[[], bool]) -> None:
        self._time = time
        self._clock = clock
        self._is_idle = is_idle
        self._waits: set[object] = set()
        self._requests = 0
        self._sockets = 0
        self._last_request_s = -inf
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
        self.update()
        try:
            yield
        finally:
            self._requests -= 1
            self._last_request_s = monotonic_s()
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
        clock = self._clock()
        is_needed = clock == "running" or bool(self._waits or self._requests)
        if is_needed and (clock != "virtual" or self._sockets):
            self._time.run()
        else:
            self._time.stand_still()

    @property
    def jumps(self) -> bool:
        """Whether the time jumps while a test waits."""
        return self._clock() == "virtual" and not self._sockets

    async def next_change(self, known: int, timeout_s: float, since_s: float) -> None:
        """Wait until there are more changes than known; time passes meanwhile.

        `since_s` is when the test began to wait.
        """
        until_s = monotonic_s() + timeout_s
        with self.waiting():
            while self.changes == known:
                left_s = until_s - monotonic_s()
                if self.jumps and self._time.next_due_s is not None:
                    if (quiet_in_s := self._quiet_in_s(since_s)) <= 0:  # first, also if this wait is over
                        self._time.jump_to_next()
                        continue
                    left_s = min(left_s, quiet_in_s)
                if monotonic_s() >= until_s:
                    return
                changed = self.changed
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(left_s, 0)):
                        await changed.wait()

    async def advance(self, seconds: float) -> None:
        """Pass so much time at once; RuntimeError if it doesn't jump."""
        until_s, since_s = self._time.now_s + seconds, monotonic_s()
        while True:
            if not self.jumps:
                why = "a WebSocket is open" if self._clock() == "virtual" else f"the clock is {self._clock()!r}"
                raise RuntimeError(f"advance needs the option clock='virtual', and no WebSocket: {why}")
            if (quiet_in_s := self._quiet_in_s(since_s)) > 0:
                await asyncio.sleep(quiet_in_s)
            elif (due_s := self._time.next_due_s) is not None and due_s <= until_s:
                self._time.jump_to_next()
            else:
                break
        self._time.jump(until_s)

    def _quiet_in_s(self, since_s: float) -> float:
        """Return in how many real seconds it may jump, if no request comes.

        `since_s` is when the test began to wait.
        """
        if self._requests or not self._is_idle():
            return QUIET_S
        return max(self._last_request_s, since_s) + QUIET_S - monotonic_s()
