"""Concurrency limit of the API's requests to Redis, so that they never delay callbacks.

The API has its own client with few connections, so that a client that lists a thousand sessions takes nothing from a
caller who waits for an answer. Every request has a deadline.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from conferral.runtime.errors import StoreUnreachableError

_T = TypeVar("_T")

#: How long an API request waits for Redis (seconds).
DEADLINE_S = 2.0
#: Concurrent requests to Redis (count); the client needs as many connections.
CONCURRENT_MAX = 8


class RedisLimiter:
    """Limits concurrent requests to Redis, and how long each is waited for."""

    def __init__(self, deadline_s: float = DEADLINE_S) -> None:
        self._deadline_s = deadline_s
        self._slots = asyncio.Semaphore(CONCURRENT_MAX)
        #: Running requests; some may no longer have a waiting client.
        self._running: set[asyncio.Task[Any]] = set()

    async def __call__(self, request: Coroutine[Any, Any, _T], /) -> _T:
        """Return the result of a request to Redis.

        It is not canceled at the deadline, which could leave a connection with an unread answer; its own timeout ends
        it soon after.

        Raises:
            StoreUnreachableError: No answer in time.
            StoreError: Raised by the request.
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
            task.exception()  # the waiting client has the error, or is gone

    async def close(self) -> None:
        """Wait for running requests."""
        if self._running:
            await asyncio.wait(self._running)
