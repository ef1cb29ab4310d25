"""The pace of placing calls, which all workers share: who may dial next."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import structlog

from conferral.runtime.errors import StoreError
from conferral.runtime.outage import log_unreachable

log = structlog.get_logger()

#: Pause after Redis could not be reached, seconds.
PAUSE_S = 0.2


class DialRateLimiter:
    """Those of this worker who wait for their turn to dial. The first of them asks Redis, for all others wait anyway.

    Dials for which a caller waits come first, here and among the workers.
    """

    def __init__(
        self,
        request_permit: Callable[[bool], Awaitable[float]],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Binds what is needed.

        Args:
            request_permit: Asks for a permit, given whether a caller waits; returns 0.0, or seconds to wait.
            sleep: How time is waited out.
        """
        self._request_permit = request_permit
        self._sleep = sleep
        self._urgent: deque[asyncio.Event] = deque()
        self._normal: deque[asyncio.Event] = deque()

    @property
    def waiting(self) -> int:
        """Dials that wait for their turn (count)."""
        return len(self._urgent) + len(self._normal)

    async def acquire(self, *, urgent: bool) -> None:
        """Returns when it is this dial's turn. Whoever does not want it any more cancels."""
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
                # An urgent one that comes meanwhile asks by itself; this one then finds that it is not the first.
                await self._sleep(wait_s)
        finally:
            queue.remove(is_first)
            if (first := self._first()) is not None:
                first.set()

    def _first(self) -> asyncio.Event | None:
        for queue in (self._urgent, self._normal):
            if queue:
                return queue[0]
        return None

    async def _try_acquire(self, urgent: bool) -> float:
        try:
            return await self._request_permit(urgent)
        except StoreError as error:
            log_unreachable(error, task="dial_rate")
            return PAUSE_S
