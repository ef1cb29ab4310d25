"""Tells waiters of changes of the model or the request log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Changes:
    """`event` is set at the next change; it is a new one each time."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def notify(self) -> None:
        """Wake up waiters."""
        self.event.set()
        self.event = asyncio.Event()

    async def wait_until(self, predicate: Callable[[], object], timeout_s: float, what: object) -> None:
        """Wait until the predicate holds; it is evaluated after each change.

        Args:
            timeout_s: Real seconds.
            what: Described in the error.

        Raises:
            TimeoutError: it didn't hold in time.
        """
        deadline = time.monotonic() + timeout_s
        while not predicate():
            changed = self.event
            try:
                async with asyncio.timeout(max(deadline - time.monotonic(), 0)):
                    await changed.wait()
            except TimeoutError:
                if predicate():
                    return
                raise TimeoutError(f"not within {timeout_s} s; {what!r}") from None
