"""How many effects talk to Twilio at the same time, and who goes first."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from conferral.runtime.clock import Clock
from conferral.worker.executor.request_shares import Share

#: Of the slots that are handed out while others wait too, each so many-th goes to a look (count).
READ_TURN_EVERY = 4
#: How often those who wait in a pause are looked at, seconds: the time of some may be up.
EXPIRY_POLL_S = 0.25


class Limits(Protocol):
    """How many may be in; changes over time."""

    @property
    def slots(self) -> int:
        """All together (count)."""
        ...

    @property
    def ordinary_slots(self) -> int:
        """Others than endings (count)."""
        ...

    @property
    def pause_s(self) -> float:
        """For how long nobody but endings may begin, seconds."""
        ...


@dataclass(frozen=True, slots=True)
class _Waiter:
    #: True with a slot, False when the time was up before there was one.
    granted: asyncio.Future[bool]
    deadline_s: float


class PriorityLimiter:
    """A limit with lanes: endings come before everything else, and a part of the slots is theirs alone.

    Where there are more than Twilio takes, whoever acts comes before whoever only looks: a look is asked for again and
    again while something is in doubt, and a caller's agent would be rung after all of them.
    """

    def __init__(
        self, limits: Limits, clock: Clock, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Binds what is needed.

        Args:
            limits: How many may be in.
            clock: For the time until which somebody wants to wait.
            sleep: How pauses are waited out.
        """
        self._limits = limits
        self._clock = clock
        self._sleep = sleep
        self._endings = 0
        self._ordinaries = 0
        self._waiting_endings: deque[_Waiter] = deque()
        self._waiting_ordinaries: deque[_Waiter] = deque()
        self._waiting_reads: deque[_Waiter] = deque()
        #: Slots that were handed out to others while a look waited (count).
        self._grants_since_read = 0
        self._pause_task: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> Share:
        """Slots in use, by lane."""
        return Share(self._ordinaries, self._endings)

    def wake(self) -> None:
        """The limits may have grown."""
        self._grant()

    @property
    def in_use(self) -> int:
        """Slots in use."""
        return self._endings + self._ordinaries

    @asynccontextmanager
    async def slot(self, *, ending: bool, read: bool = False, deadline_s: float = math.inf) -> AsyncIterator[bool]:
        """Waits for a slot and holds it; tells whether it had to wait. First come, first served within a lane.

        Args:
            ending: Whether it is for an ending.
            read: Whether nothing is changed by it, and it is for no ending.
            deadline_s: When nothing is to be sent any more, monotonic seconds: in a pause whoever's time is up is let
                through without a slot.
        """
        granted = asyncio.get_running_loop().create_future()
        queue = self._waiting_endings if ending else self._waiting_reads if read else self._waiting_ordinaries
        queue.append(_Waiter(granted, deadline_s))
        self._grant()
        has_waited = not granted.done()
        try:
            has_slot = await granted
        except asyncio.CancelledError:
            # The slot may have been handed over in the same turn of the loop; a cancelled future was not served.
            if granted.done() and not granted.cancelled() and granted.result():
                self._release(ending)
            raise
        try:
            yield has_waited
        finally:
            if has_slot:
                self._release(ending)

    def close(self) -> None:
        """Waits for no pause any more."""
        if self._pause_task is not None:
            self._pause_task.cancel()
            self._pause_task = None

    def _release(self, ending: bool) -> None:
        if ending:
            self._endings -= 1
        else:
            self._ordinaries -= 1
        self._grant()

    def _grant(self) -> None:
        while self.in_use < self._limits.slots and (granted := _pop_waiter(self._waiting_endings)):
            self._endings += 1
            granted.set_result(True)
        while (
            self.in_use < self._limits.slots
            and self._ordinaries < self._limits.ordinary_slots
            and (granted := self._next_ordinary())
        ):
            self._ordinaries += 1
            granted.set_result(True)
        # Nobody inside wakes those outside when nobody is inside.
        if self._has_waiters and self._pause_task is None and self._limits.pause_s > 0:
            self._pause_task = asyncio.get_running_loop().create_task(self._wait_out_pause(), name="pause-of-requests")

    async def _wait_out_pause(self) -> None:
        while self._has_waiters and (pause_s := self._limits.pause_s) > 0:
            await self._sleep(min(pause_s, EXPIRY_POLL_S))
            self._expire_waiters()
        self._pause_task = None
        self._grant()

    def _expire_waiters(self) -> None:
        now_s = self._clock.monotonic_s()
        for queue in (self._waiting_ordinaries, self._waiting_reads):
            for waiter in [waiting for waiting in queue if waiting.deadline_s <= now_s]:
                queue.remove(waiter)
                if not waiter.granted.done():
                    waiter.granted.set_result(False)

    @property
    def _has_waiters(self) -> bool:
        return bool(self._waiting_ordinaries or self._waiting_reads)

    def _next_ordinary(self) -> asyncio.Future[bool] | None:
        """Whoever acts; a look when nobody does, or when it is a look's turn."""
        reads, changes = self._waiting_reads, self._waiting_ordinaries
        self._grants_since_read = self._grants_since_read + 1 if reads else 0
        if self._grants_since_read >= READ_TURN_EVERY and (granted := _pop_waiter(reads)):
            self._grants_since_read = 0
            return granted
        return _pop_waiter(changes) or _pop_waiter(reads)


def _pop_waiter(waiting: deque[_Waiter]) -> asyncio.Future[bool] | None:
    """The longest waiting one, past those that were cancelled."""
    while waiting:
        granted = waiting.popleft().granted
        if not granted.done():
            return granted
    return None
