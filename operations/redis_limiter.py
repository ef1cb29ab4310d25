"""Bounded concurrency of Redis requests, and waits that can be canceled reliably."""

import asyncio
from collections import defaultdict
from collections.abc import Coroutine
from functools import partial
from typing import Any, Protocol, TypeVar

from conferral.runtime.errors import StoreUnreachableError

T = TypeVar("T")


class RequestRunner(Protocol):
    """A way to run a request."""

    async def __call__(self, request: Coroutine[Any, Any, T], node: str = "", /) -> T:
        """Return the request's result.

        Args:
            node: The node that it asks; empty for several nodes, or a single server.
        """
        ...


async def cancellable(request: Coroutine[Any, Any, T], _node: str = "", /) -> T:
    """Await a request so that canceling the caller always works.

    On Python 3.11, the Redis client can swallow a cancellation, and the caller would keep waiting.
    """
    return await _result_of(asyncio.ensure_future(request))


async def _result_of(task: "asyncio.Task[T]", timeout_s: float | None = None) -> T:
    """Await a task: a canceled caller cancels it; after a timeout, it runs on, and StoreUnreachableError is raised."""
    try:
        done, _ = await asyncio.wait({task}, timeout=timeout_s)
    except asyncio.CancelledError:
        task.cancel()
        # This wait is short: a socket timeout ends every request.
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # mark as retrieved: otherwise, asyncio would log it
        raise
    if not done:
        raise StoreUnreachableError("Redis did not answer in time")
    return task.result()


class RedisLimiter:
    """Runs requests with bounded concurrency, because the connection pool raises an error beyond its limit.

    The limit holds for each node of a cluster: requests to a silent one take no other node's turn.

    Args:
        limit: Concurrent requests to a node, and to several nodes (count); the client needs twice as many connections.
        deadline_s: How long a caller waits for its turn and the answer together, seconds; None for no limit.
    """

    def __init__(self, limit: int, deadline_s: float | None = None) -> None:
        self._deadline_s = deadline_s
        self._slots: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(limit))
        #: Running requests; some may no longer have a waiting caller.
        self._running: set[asyncio.Task[Any]] = set()

    async def __call__(self, request: Coroutine[Any, Any, T], node: str = "", /) -> T:
        """Return the result of a request to one node; empty for several nodes, or a single server.

        The request is not canceled at the deadline, which could leave a connection with an unread answer; its own
        timeout ends it soon after.

        Raises:
            StoreUnreachableError: No answer in time.
        """
        now_s = asyncio.get_running_loop().time
        until_s = None if self._deadline_s is None else now_s() + self._deadline_s
        slots = self._slots[node]
        try:
            async with asyncio.timeout_at(until_s):
                await slots.acquire()
        except TimeoutError:
            request.close()
            raise StoreUnreachableError("Redis has too much to do") from None
        except asyncio.CancelledError:
            request.close()
            raise
        task = asyncio.ensure_future(request)
        self._running.add(task)
        task.add_done_callback(partial(self._release_slot, slots))
        return await _result_of(task, None if until_s is None else until_s - now_s())

    def _release_slot(self, slots: asyncio.Semaphore, task: "asyncio.Task[Any]") -> None:
        self._running.discard(task)
        slots.release()
        if not task.cancelled():
            task.exception()  # the waiting caller has the error, or is gone

    async def close(self) -> None:
        """Wait for running requests."""
        if self._running:
            await asyncio.wait(self._running)
