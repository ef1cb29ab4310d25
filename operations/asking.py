"""One request to Redis at a time, in a way that whoever waits for it can stop waiting."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Ask(Protocol):
    """A way of waiting for a request."""

    async def __call__(self, request: Coroutine[Any, Any, T], /) -> T:
        """What came of the request."""
        ...


async def stoppable(request: Coroutine[Any, Any, T], /) -> T:
    """Waits for a request; a cancellation of whoever waits always arrives.

    On Python 3.11 one can get lost inside the Redis client, and a program would wait on for what it has given up.
    """
    asked = asyncio.ensure_future(request)
    try:
        await asyncio.wait({asked})
    except asyncio.CancelledError:
        asked.cancel()
        # Short either way: no request outlives the time-out of its connection.
        await asyncio.wait({asked})
        if not asked.cancelled():
            asked.exception()
        raise
    return asked.result()


class Turns:
    """Waits for requests, so many of them at once: beyond its bound a pool of connections refuses."""

    def __init__(self, at_once: int) -> None:
        self._turns = asyncio.Semaphore(at_once)

    async def __call__(self, request: Coroutine[Any, Any, T], /) -> T:
        """What came of the request."""
        try:
            await self._turns.acquire()
        except asyncio.CancelledError:
            request.close()
            raise
        try:
            return await stoppable(request)
        finally:
            self._turns.release()
