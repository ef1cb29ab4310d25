"""Priority limiter for requests: endings (hang-ups) first, reads last."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from conferral.runtime.clock import Clock
from conferral.worker.executor.adaptive_limit import AdaptiveLimit, RequestSlots

#: While reads wait, they get every n-th ordinary slot.
READ_TURN_EVERY = 4
EXPIRY_POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class _Waiter:
    #: True with a slot, False if the deadline passed first.
    granted: asyncio.Future[bool]
    deadline_s: float


class PriorityLimiter:
    """A semaphore with priorities and reserved slots for endings.

    A read is repeated while a state is unknown. Without priorities, an agent would be dialed after all reads.
    """

    def __init__(
        self, limits: AdaptiveLimit, clock: Clock, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._sleep = sleep
        self._endings = 0
        self._ordinaries = 0
        self._waiting_endings: deque[_Waiter] = deque()
        self._waiting_ordinaries: deque[_Waiter] = deque()
        self._waiting_reads: deque[_Waiter] = deque()
        #: To changes while a read waited, count.
        self._grants_since_read = 0
        self._pause_task: asyncio.Task[None] | None = None

    @property
    def in_use_by_kind(self) -> RequestSlots:
        """Slots in use, by kind of request."""
        return RequestSlots(self._ordinaries, self._endings)

    @property
    def in_use(self) -> int:
        """Slots in use, count."""
        return self._endings + self._ordinaries

    @asynccontextmanager
    async def slot(self, *, ending: bool, read: bool = False, deadline_s: float = math.inf) -> AsyncIterator[bool]:
        """Hold a slot; yield whether it had to wait. FIFO within a priority.

        `read` is for reads that no ending depends on. During a pause, a waiter past `deadline_s` (monotonic) gets
        through without a slot.
        """
        granted = asyncio.get_running_loop().create_future()
        queue = self._waiting_endings if ending else self._waiting_reads if read else self._waiting_ordinaries
        queue.append(_Waiter(granted, deadline_s))
        self.grant()
        has_waited = not granted.done()
        try:
            has_slot = await granted
        except asyncio.CancelledError:
            # The slot may have been granted in the same loop iteration.
            if not granted.cancelled() and granted.result():
                self._release(ending)
            raise
        try:
            yield has_waited
        finally:
            if has_slot:
                self._release(ending)

    def close(self) -> None:
        """Stop waiting for a pause to end."""
        if self._pause_task is not None:
            self._pause_task.cancel()
            self._pause_task = None

    def _release(self, ending: bool) -> None:
        if ending:
            self._endings -= 1
        else:
            self._ordinaries -= 1
        self.grant()

    def grant(self) -> None:
        """Grant free slots to waiters, as after the limits may have grown."""
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
        # With no slot in use, no release would wake the waiters.
        if self._has_waiters and self._pause_task is None and self._limits.pause_s > 0:
            self._pause_task = asyncio.get_running_loop().create_task(self._wait_out_pause(), name="pause-of-requests")

    async def _wait_out_pause(self) -> None:
        """Expire waiters until the circuit breaker's pause ends, then grant slots."""
        while self._has_waiters and (pause_s := self._limits.pause_s) > 0:
            await self._sleep(min(pause_s, EXPIRY_POLL_S))
            self._expire_waiters()
        self._pause_task = None
        self.grant()

    def _expire_waiters(self) -> None:
        """Let waiters past their deadline through without a slot, to give up."""
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
        reads, changes = self._waiting_reads, self._waiting_ordinaries
        self._grants_since_read = self._grants_since_read + 1 if reads else 0
        if self._grants_since_read >= READ_TURN_EVERY and (granted := _pop_waiter(reads)):
            self._grants_since_read = 0
            return granted
        return _pop_waiter(changes) or _pop_waiter(reads)


def _pop_waiter(waiting: deque[_Waiter]) -> asyncio.Future[bool] | None:
    while waiting:
        granted = waiting.popleft().granted
        if not granted.done():
            return granted
    return None
