"""Poll until a condition holds, and cancel tasks reliably."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

POLL_EVERY_S = 0.04
#: Time for a canceled task to clean up before it is canceled again, in seconds.
CANCEL_AGAIN_S = 1.0


async def poll_until(holds: Callable[[], Awaitable[bool]], timeout_s: float) -> bool:
    """Poll until it holds; False on timeout. Each poll limits its own time."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + timeout_s
    while not await holds():
        if loop.time() >= deadline_s:
            return False
        await asyncio.sleep(POLL_EVERY_S)
    return True


async def cancel_all(tasks: Iterable["asyncio.Task[Any]"]) -> None:
    """Cancel tasks, repeatedly, until they have ended.

    Up to Python 3.11, `asyncio.wait_for`, which redis-py uses to send, swallows a cancellation that arrives in the same
    loop iteration as the awaited result (cpython issue 81839).
    """
    going = {task for task in tasks if not task.done()}
    while going:
        for task in going:
            task.cancel()
        _, going = await asyncio.wait(going, timeout=CANCEL_AGAIN_S)
