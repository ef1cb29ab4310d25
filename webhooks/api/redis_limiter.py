"""The API's way into Redis: beside the callbacks' and never in their way.

It has a client of its own with few connections, so that whoever asks for a thousand sessions takes nothing from a
caller who waits for an answer. Nothing takes longer than the deadline.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from conferral.runtime.errors import StoreUnreachableError

_T = TypeVar("_T")

#: How long an asker waits for Redis (seconds).
DEADLINE_S = 2.0
#: Requests to Redis at the same time (count); the client needs as many connections.
CONCURRENT_MAX = 8


class RedisLimiter:
    """Lets a few requests to Redis run at the same time, and none be waited for beyond the deadline."""

    def __init__(self, deadline_s: float = DEADLINE_S) -> None:
        self._deadline_s = deadline_s
        self._slots = asyncio.Semaphore(CONCURRENT_MAX)
        #: What has been begun; some of it may be waited for no more.
        self._running: set[asyncio.Task[Any]] = set()

    async def __call__(self, request: Coroutine[Any, Any, _T], /) -> _T:
        """What a request to Redis brings.

        It is not cancelled when the time is up, which could leave a connection with an answer that nobody has read;
        its own time limit ends it soon after.

        Raises:
            StoreUnreachableError: there was no answer in time.
            StoreError: as the request raises it.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self._deadline_s
        try:
            async with asyncio.timeout_at(until_s):
                await self._slots.acquire()
        except TimeoutError:
            request.close()
            raise StoreUnreachableError("Redis has too much to do") from None
        except asyncio.CancelledError:
            request.close()
            raise
        task = asyncio.ensure_future(request)
        self._running.add(task)
        task.add_done_callback(self._on_done)
        done, _ = await asyncio.wait({task}, timeout=until_s - loop.time())
        if not done:
            raise StoreUnreachableError("Redis did not answer in time")
        return task.result()

    def _on_done(self, task: "asyncio.Task[Any]") -> None:
        self._running.discard(task)
        self._slots.release()
        if not task.cancelled():
            task.exception()  # whoever waited has been told, or waits no more

    async def close(self) -> None:
        """Returns when nothing is under way."""
        if self._running:
            await asyncio.wait(self._running)
