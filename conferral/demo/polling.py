"""Waits until something holds, not longer than agreed; and ends what need not go on."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

POLL_EVERY_S = 0.04
#: A task that was cancelled and cleans up is left alone for so long, seconds.
CANCEL_AGAIN_S = 1.0


async def poll_until(holds: Callable[[], Awaitable[bool]], timeout_s: float) -> bool:
    """Looks again and again; False when the time was up first. Each look has a deadline of its own."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + timeout_s
    while not await holds():
        if loop.time() >= deadline_s:
            return False
        await asyncio.sleep(POLL_EVERY_S)
    return True


async def cancel_all(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancels tasks until they have ended.

    Once is not always enough: up to Python 3.11 `asyncio.wait_for`, by which redis-py sends, forgets a cancellation
    that comes in the same turn as the end of what it waits for (cpython issue 81839).
    """
    going = {task for task in tasks if not task.done()}
    while going:
        for task in going:
            task.cancel()
        _, going = await asyncio.wait(going, timeout=CANCEL_AGAIN_S)
