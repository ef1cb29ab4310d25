"""Shared results: anyone may request health checks and metrics."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

#: How long a result is shared, seconds.
TTL_S = 1.0


class SharedResult(Generic[T]):
    """Loads a result once for all who wait, and again after a second."""

    def __init__(self, load: Callable[[], Awaitable[T]]) -> None:
        self._load = load
        self._task: asyncio.Task[T] | None = None
        self._loaded_at_s = 0.0

    async def __call__(self) -> T:
        """Return the running load's result, or one at most a second old."""
        loop = asyncio.get_running_loop()
        task = self._task
        if task is None or (task.done() and loop.time() - self._loaded_at_s >= TTL_S):
            self._loaded_at_s = loop.time()
            task = self._task = asyncio.ensure_future(self._load())
        return await asyncio.shield(task)
