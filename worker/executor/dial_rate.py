"""Rate limiter (CPS) for dials, shared by all workers through Redis."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from conferral.runtime.errors import StoreError
from conferral.runtime.outage import log_unreachable

PAUSE_S = 0.2


class DialRateLimiter:
    """Queues this worker's dials; only the first asks Redis for a permit.

    Urgent dials, for which a caller waits, go first, here and across workers.
    """

    def __init__(
        self,
        request_permit: Callable[[bool], Awaitable[float]],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        #: Requests a permit, given whether it is urgent; returns 0.0, or the seconds to wait.
        self._request_permit = request_permit
        self._sleep = sleep
        self._urgent: deque[asyncio.Event] = deque()
        self._normal: deque[asyncio.Event] = deque()

    @property
    def waiting(self) -> int:
        """Dials that wait for a permit, count."""
        return len(self._urgent) + len(self._normal)

    async def acquire(self, *, urgent: bool) -> None:
        """Return once the dial may be sent; cancel the call to give up."""
        queue = self._urgent if urgent else self._normal
        is_first = asyncio.Event()
        queue.append(is_first)
        try:
            while True:
                while self._first() is not is_first:
                    is_first.clear()
                    await is_first.wait()
                wait_s = await self._try_acquire(urgent)
                if wait_s <= 0:
                    return
                # By then, an urgent dial may have become the first.
                await self._sleep(wait_s)
        finally:
            queue.remove(is_first)
            if (first := self._first()) is not None:
                first.set()

    def _first(self) -> asyncio.Event | None:
        return next((queue[0] for queue in (self._urgent, self._normal) if queue), None)

    async def _try_acquire(self, urgent: bool) -> float:
        """Request a permit; return 0.0, or the seconds to wait for the next try."""
        try:
            return await self._request_permit(urgent)
        except StoreError as error:
            log_unreachable(error, task="dial_rate")
            return PAUSE_S
