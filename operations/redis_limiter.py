"""Bounded concurrency of Redis requests, and waits that can be canceled reliably."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class RequestRunner(Protocol):
    """A way to run a request."""

    async def __call__(self, request: Coroutine[Any, Any, T], /) -> T:
        """Return the request's result."""
        ...


async def cancellable(request: Coroutine[Any, Any, T], /) -> T:
    """Await a request so that canceling the caller always works.

    On Python 3.11, the Redis client can swallow a cancellation, and the caller would keep waiting.
    """
    task = asyncio.ensure_future(request)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        # This wait is short: a socket timeout ends every request.
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
        raise
    return task.result()


class RedisLimiter:
    """Runs requests with bounded concurrency, because the connection pool raises an error beyond its limit."""

    def __init__(self, limit: int) -> None:
        self._slots = asyncio.Semaphore(limit)

    async def __call__(self, request: Coroutine[Any, Any, T], /) -> T:
        """Return the request's result."""
        try:
            await self._slots.acquire()
        except asyncio.CancelledError:
            request.close()
            raise
        try:
            return await cancellable(request)
        finally:
            self._slots.release()
