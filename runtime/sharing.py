"""One answer for everyone who asks at about the same time: health checks and metrics are open to anyone."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

#: How long an answer is given to everyone who asks, seconds.
KEPT_S = 1.0


class Shared(Generic[T]):
    """Asks once for everyone who waits, and again only after a second."""

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        """Ask nothing yet.

        Args:
            ask: Finds the answer; has to return within a bounded time.
        """
        self._ask = ask
        self._asking: asyncio.Task[T] | None = None
        self._asked_at_s = 0.0

    async def __call__(self) -> T:
        """The answer to a question that was asked at most a second ago, or that is being asked.

        Raises:
            Exception: whatever the question raised, for everyone who shares it.
        """
        loop = asyncio.get_running_loop()
        asking = self._asking
        if asking is None or (asking.done() and loop.time() - self._asked_at_s >= KEPT_S):
            self._asked_at_s = loop.time()
            asking = self._asking = loop.create_task(self._asked())
        return await asyncio.shield(asking)

    async def _asked(self) -> T:
        return await self._ask()
