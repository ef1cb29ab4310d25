"""The pace of placing calls, which all workers share: who may dial next."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import structlog

from conferral.runtime.errors import StoreError
from conferral.runtime.outage import note_unreachable

log = structlog.get_logger()

#: Pause after Redis could not be reached, seconds.
PAUSE_S = 0.2


class Pace:
    """Those of this worker who wait for their turn to dial. The first of them asks Redis, for all others wait anyway.

    Dials for which a caller waits come first, here and among the workers.
    """

    def __init__(
        self, ask: Callable[[bool], Awaitable[float]], *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Binds what is needed.

        Args:
            ask: Asks for a turn, told whether a caller waits; 0.0 when it is given, else when to ask again, seconds.
            sleep: How time is waited out.
        """
        self._ask = ask
        self._sleep = sleep
        self._urgent: deque[asyncio.Event] = deque()
        self._others: deque[asyncio.Event] = deque()

    @property
    def waiting(self) -> int:
        """Dials that wait for their turn (count)."""
        return len(self._urgent) + len(self._others)

    async def turn(self, *, urgent: bool) -> None:
        """Returns when it is this dial's turn. Whoever does not want it any more cancels."""
        line = self._urgent if urgent else self._others
        has_become_first = asyncio.Event()
        line.append(has_become_first)
        try:
            while True:
                while self._first() is not has_become_first:
                    has_become_first.clear()
                    await has_become_first.wait()
                wait_s = await self._asked(urgent)
                if wait_s <= 0:
                    return
                # An urgent one that comes meanwhile asks by itself; this one then finds that it is not the first.
                await self._sleep(wait_s)
        finally:
            line.remove(has_become_first)
            if (first := self._first()) is not None:
                first.set()

    def _first(self) -> asyncio.Event | None:
        for line in (self._urgent, self._others):
            if line:
                return line[0]
        return None

    async def _asked(self, urgent: bool) -> float:
        try:
            return await self._ask(urgent)
        except StoreError as error:
            note_unreachable(error, task="dial_pace")
            return PAUSE_S
