"""One request to Redis at a time, in a way that whoever waits for it can stop waiting."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class RequestRunner(Protocol):
    """A way of waiting for a request."""

    async def __call__(self, request: Coroutine[Any, Any, T], /) -> T:
        """What came of the request."""
        ...


async def cancellable(request: Coroutine[Any, Any, T], /) -> T:
    """Waits for a request; a cancellation of whoever waits always arrives.

    On Python 3.11 one can get lost inside the Redis client, and a program would wait on for what it has given up.
    """
    task = asyncio.ensure_future(request)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        # Short either way: no request outlives the time-out of its connection.
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
        raise
    return task.result()


class RedisLimiter:
    """Waits for requests, so many of them at once: beyond its bound a pool of connections refuses."""

    def __init__(self, limit: int) -> None:
        self._slots = asyncio.Semaphore(limit)

    async def __call__(self, request: Coroutine[Any, Any, T], /) -> T:
        """What came of the request."""
        try:
            await self._slots.acquire()
        except asyncio.CancelledError:
            request.close()
            raise
        try:
            return await cancellable(request)
        finally:
            self._slots.release()
