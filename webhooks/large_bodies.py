"""Bounds the cost of large bodies before their signature is verified.

Junk must be read and parsed first, which costs as much as a call: up to 1 MiB, and most of a second of one core.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from conferral.webhooks.errors import RejectedError, Rejection

#: Large bodies in memory at once, count.
BODIES_MAX = 32
#: How long a request waits for a slot, seconds. Twilio gives up after 15 s.
_SLOT_DEADLINE_S = 8.0
#: How long a body may take while another request waits for a slot, seconds.
_SOON_S = 1.0


class LargeBodyLimiter:
    """Slots for large bodies."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(BODIES_MAX)
        #: Deadlines of the bodies being read, and when each read started, seconds, oldest first.
        self._reads: dict[asyncio.Timeout, float] = {}
        #: For parsing one body at a time, so that the event loop keeps half of a core.
        self.parse_lock = asyncio.Lock()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold a slot inside the block; raise RejectedError if none becomes free."""
        # Twilio sends a body at once, so the slowest is the least likely to be Twilio's: it must complete soon.
        if self._slots.locked() and self._reads:
            slowest = next(iter(self._reads))
            began_s = self._reads.pop(slowest)
            if not slowest.expired():  # otherwise, its task only has not run yet
                slowest.reschedule(max(began_s + _SOON_S, asyncio.get_running_loop().time()))
        try:
            async with asyncio.timeout(_SLOT_DEADLINE_S):
                await self._slots.acquire()
        except TimeoutError:
            raise RejectedError(503, Rejection.BUSY) from None
        try:
            yield
        finally:
            self._slots.release()

    @asynccontextmanager
    async def read_timeout(self, deadline_s: float) -> AsyncIterator[None]:
        """Raise TimeoutError if a read takes too long, or another needs its slot."""
        async with asyncio.timeout(deadline_s) as deadline:
            self._reads[deadline] = asyncio.get_running_loop().time()
            try:
                yield
            finally:
                self._reads.pop(deadline, None)
