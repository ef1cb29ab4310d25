"""Access to Redis for queries, with bounded concurrency."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from conferral.operations.session_queries import SessionQueries
from conferral.runtime.errors import StoreUnreachableError
from conferral.storage import config
from conferral.storage.connection.client import Client
from conferral.storage.keys import Keys

T = TypeVar("T")

#: Concurrent requests to Redis (count).
CONCURRENT_MAX = 6
#: Connections that the client needs, count: a request to several nodes of a cluster may use two to the same one.
CONNECTIONS_MAX = 2 * CONCURRENT_MAX


class RedisLimiter:
    """Limits concurrent requests; the connection pool raises beyond.

    Canceling a caller always works: on Python 3.11, the Redis client can swallow a cancellation, and the caller would
    keep waiting. `deadline_s` is for the turn and the answer together; None for no limit.
    """

    def __init__(self, limit: int, deadline_s: float | None = None) -> None:
        self._deadline_s = deadline_s
        self._slots = asyncio.Semaphore(limit)
        #: Running requests; some may no longer have a waiting caller.
        self._running: set[asyncio.Task[Any]] = set()

    async def __call__(self, request: Coroutine[Any, Any, T], /) -> T:
        """Return a request's result, or raise StoreUnreachableError if it is late."""
        now_s = asyncio.get_running_loop().time
        until_s = None if self._deadline_s is None else now_s() + self._deadline_s
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
        task.add_done_callback(self._release_slot)
        # At the deadline, the request runs on: canceling could leave an unread answer. Its own timeout ends it.
        return await self._result_of(task, None if until_s is None else until_s - now_s())

    async def _result_of(self, task: "asyncio.Task[T]", timeout_s: float | None) -> T:
        """Await a task; raise StoreUnreachableError after a timeout: it runs on."""
        try:
            done, _ = await asyncio.wait({task}, timeout=timeout_s)
        except asyncio.CancelledError:
            task.cancel()
            # Short: a socket timeout ends every request.
            await asyncio.wait({task})
            raise
        if not done:
            raise StoreUnreachableError("Redis did not answer in time")
        return task.result()

    def _release_slot(self, task: "asyncio.Task[Any]") -> None:
        self._running.discard(task)
        self._slots.release()
        if not task.cancelled():
            task.exception()  # the waiting caller has the error, or is gone

    async def close(self) -> None:
        """Wait for running requests."""
        if self._running:
            await asyncio.wait(self._running)


class RedisAccess:
    """Runs queries. Without `keys`, loads the configuration on first use."""

    def __init__(
        self, client: Client, prefix: str, *, keys: Keys | None = None, limiter: RedisLimiter | None = None
    ) -> None:
        self.prefix = prefix
        self.client = client
        self.limiter = limiter or RedisLimiter(CONCURRENT_MAX)
        self._keys = keys
        self._reader: SessionQueries | None = None

    async def reader(self) -> SessionQueries:
        """Return the queries; raise StoreError without Redis or its setup."""
        if self._reader is None:
            keys = self._keys
            if keys is None:
                keys = await self.limiter(config.load(self.client, self.prefix))
            self._reader = SessionQueries(self.client, keys)
        return self._reader

    async def run(self, read: Callable[[SessionQueries], Coroutine[Any, Any, T]]) -> T:
        """Run a query that callers can cancel; raise StoreError as `reader` does."""
        return await self.limiter(read(await self.reader()))

    def reload_config(self) -> None:
        """Load the configuration again on next use: it may be another Redis."""
        self._reader = None
