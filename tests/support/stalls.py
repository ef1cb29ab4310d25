"""When this process could not go on although it wanted to: on a busy machine bounds on time are widened by that."""

import asyncio
import time
from collections import deque

#: How often the loop is checked, seconds; a delay of less than twice this is not recorded.
_EVERY_S = 0.005


class Stalls:
    """Notes how late the event loop is; everything between the phones of a story runs on it."""

    def __init__(self) -> None:
        #: End of each, by `time.monotonic()`, and its length, seconds.
        self._noted: deque[tuple[float, float]] = deque(maxlen=10_000)

    async def watch(self) -> None:
        """Notes them until it is cancelled."""
        loop = asyncio.get_running_loop()
        began_s = time.monotonic()

        def note() -> None:
            nonlocal began_s, following
            now_s = time.monotonic()
            late_s = now_s - began_s - _EVERY_S
            if late_s > _EVERY_S:
                self._noted.append((now_s, late_s))
            began_s = now_s
            following = loop.call_later(_EVERY_S, note)

        # A call of the loop takes half the time of a task that sleeps, and there are 200 each second.
        following = loop.call_later(_EVERY_S, note)
        try:
            await loop.create_future()
        finally:
            following.cancel()

    def lost_s(self, from_s: float, to_s: float) -> float:
        """How long it stood still between two moments of `time.monotonic()`, seconds."""
        return sum(max(0.0, min(end_s, to_s) - max(end_s - length_s, from_s)) for end_s, length_s in self._noted)
