"""How many effects talk to Twilio at the same time, and who goes first."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Lanes:
    """A limit with two lanes: endings come before everything else, and a part of the slots is theirs alone."""

    def __init__(self, *, slots: int, reserved_for_endings: int) -> None:
        """Sets the limit.

        Args:
            slots: How many may be in at the same time (count).
            reserved_for_endings: How many of them nothing but endings may take (count, less than `slots`).
        """
        if not 0 <= reserved_for_endings < slots:
            raise ValueError(reserved_for_endings)
        self._slots = slots
        self._ordinary_slots = slots - reserved_for_endings
        self._endings = 0
        self._ordinaries = 0
        self._waiting_endings: deque[asyncio.Future[None]] = deque()
        self._waiting_ordinaries: deque[asyncio.Future[None]] = deque()

    @property
    def taken(self) -> int:
        """Slots in use."""
        return self._endings + self._ordinaries

    @asynccontextmanager
    async def slot(self, *, ending: bool) -> AsyncIterator[bool]:
        """Waits for a slot and holds it; tells whether it had to wait. First come, first served within a lane."""
        turn = asyncio.get_running_loop().create_future()
        (self._waiting_endings if ending else self._waiting_ordinaries).append(turn)
        self._hand_out()
        has_waited = not turn.done()
        try:
            await turn
        except asyncio.CancelledError:
            # The slot may have been handed over in the same turn of the loop; a cancelled future was not served.
            if turn.done() and not turn.cancelled():
                self._give_back(ending)
            raise
        try:
            yield has_waited
        finally:
            self._give_back(ending)

    def _give_back(self, ending: bool) -> None:
        if ending:
            self._endings -= 1
        else:
            self._ordinaries -= 1
        self._hand_out()

    def _hand_out(self) -> None:
        while self.taken < self._slots and (turn := _next(self._waiting_endings)):
            self._endings += 1
            turn.set_result(None)
        while (
            self.taken < self._slots
            and self._ordinaries < self._ordinary_slots
            and (turn := _next(self._waiting_ordinaries))
        ):
            self._ordinaries += 1
            turn.set_result(None)


def _next(waiting: deque[asyncio.Future[None]]) -> asyncio.Future[None] | None:
    """The longest waiting one, past those that were cancelled."""
    while waiting:
        turn = waiting.popleft()
        if not turn.done():
            return turn
    return None
