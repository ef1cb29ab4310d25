"""Limits concurrent Redis requests, and their time."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from conferral.runtime.errors import StoreUnreachableError

T = TypeVar("T")


class RedisLimiter:
    """Limits concurrent requests; the connection pool raises beyond.

    `deadline_s` is for the turn and the answer together; None for no limit.
    """

    def __init__(self, limit: int, deadline_s: float | None = None) -> None:
        self._deadline_s = deadline_s
        self._slots = asyncio.Semaphore(limit)

    async def __call__(self, request: Coroutine[Any, Any, T], /) -> T:
        """Return a request's result, or raise StoreUnreachableError if it is late."""
        try:
            async with asyncio.timeout(self._deadline_s), self._slots:
                return await request
        except TimeoutError:
            raise StoreUnreachableError("Redis did not answer in time") from None
        finally:
            request.close()  # it may never have had a turn


#: For callers that run one request after another.
UNLIMITED = RedisLimiter(2**31)
