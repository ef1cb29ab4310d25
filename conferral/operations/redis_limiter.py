"""Limits concurrent Redis requests; a waiting caller can always cancel."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from conferral.runtime.errors import StoreUnreachableError

T = TypeVar("T")


class RequestRunner(Protocol):
    """A way to run a request."""

    async def __call__(self, request: Coroutine[Any, Any, T], /) -> T:
        """Return the result."""


async def cancellable(request: Coroutine[Any, Any, T], /) -> T:
    """Await a request so that canceling the caller always works."""
    # On Python 3.11, the Redis client can swallow a cancellation, and the caller would keep waiting.
    return await _result_of(asyncio.ensure_future(request))


async def _result_of(task: "asyncio.Task[T]", timeout_s: float | None = None) -> T:
    """Await a task; raise StoreUnreachableError after a timeout: it runs on."""
    try:
        done, _ = await asyncio.wait({task}, timeout=timeout_s)
    except asyncio.CancelledError:
        task.cancel()
        # Short: a socket timeout ends every request.
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # mark as retrieved: otherwise, asyncio would log it
        raise
    if not done:
        raise StoreUnreachableError("Redis did not answer in time")
    return task.result()


class RedisLimiter:
    """Limits concurrent requests; the connection pool raises beyond.

    `deadline_s` is for the turn and the answer together; None for no limit.
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
        return await _result_of(task, None if until_s is None else until_s - now_s())

    def _release_slot(self, task: "asyncio.Task[Any]") -> None:
        self._running.discard(task)
        self._slots.release()
        if not task.cancelled():
            task.exception()  # the waiting caller has the error, or is gone

    async def close(self) -> None:
        """Wait for running requests."""
        if self._running:
            await asyncio.wait(self._running)
