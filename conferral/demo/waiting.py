"""Waits until something holds, not longer than agreed."""

import asyncio
from collections.abc import Awaitable, Callable

LOOK_EVERY_S = 0.04


async def until(holds: Callable[[], Awaitable[bool]], timeout_s: float) -> bool:
    """Looks again and again; False when the time was up first."""
    try:
        async with asyncio.timeout(timeout_s):
            # What is waited for happens in other processes: there is nobody here who could set an event.
            while not await holds():  # noqa: ASYNC110
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        return False
    return True
