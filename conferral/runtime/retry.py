"""Retries of requests that are safe to repeat, while Redis is unreachable."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

from conferral.runtime.errors import StoreError, StoreUnreachableError

_T = TypeVar("_T")


async def retry_unreachable(
    request: Callable[[], Awaitable[_T]],
    pause_s: float,
    *,
    pause_max_s: float = 0.0,
    deadline_s: float = math.inf,
    errors: type[StoreError] = StoreUnreachableError,
    on_error: Callable[[StoreError], None] = lambda _error: None,
) -> _T:
    """Run a request until it succeeds, or fails otherwise than with `errors`.

    Each pause doubles, up to `pause_max_s`. It gives up at `deadline_s`, by the loop's clock, and if `on_error` raises.
    """
    while True:
        try:
            return await request()
        except errors as error:
            if asyncio.get_running_loop().time() + pause_s >= deadline_s:
                raise
            on_error(error)
        await asyncio.sleep(pause_s)
        pause_s = max(pause_s, min(pause_max_s, pause_s * 2))
