"""How many effects talk to Twilio at the same time, and who goes first."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from conferral.runtime.clock import Clock
from conferral.worker.request_shares import Share

#: Of the slots that are handed out while others wait too, each so many-th goes to a look (count).
LOOKS_TURN = 4
#: How often those who wait in a pause are looked at, seconds: the time of some may be up.
LOOK_EVERY_S = 0.25


class Limits(Protocol):
    """How many may be in; changes over time."""

    @property
    def slots(self) -> int:
        """All together (count)."""
        ...

    @property
    def ordinary_slots(self) -> int:
        """Others than endings (count)."""
        ...

    @property
    def pause_s(self) -> float:
        """For how long nobody but endings may begin, seconds."""
        ...


@dataclass(frozen=True, slots=True)
class _Waiting:
    #: True with a slot, False when the time was up before there was one.
    turn: asyncio.Future[bool]
    until_s: float


class Lanes:
    """A limit with lanes: endings come before everything else, and a part of the slots is theirs alone.

    Where there are more than Twilio takes, whoever acts comes before whoever only looks: a look is asked for again and
    again while something is in doubt, and a caller's agent would be rung after all of them.
    """

    def __init__(
        self, limits: Limits, clock: Clock, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Binds what is needed.

        Args:
            limits: How many may be in.
            clock: For the time until which somebody wants to wait.
            sleep: How pauses are waited out.
        """
        self._limits = limits
        self._clock = clock
        self._sleep = sleep
        self._endings = 0
        self._ordinaries = 0
        self._waiting_endings: deque[_Waiting] = deque()
        self._waiting_ordinaries: deque[_Waiting] = deque()
        self._waiting_looks: deque[_Waiting] = deque()
        #: Slots that were handed out to others while a look waited (count).
        self._passed = 0
        self._pause: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> Share:
        """Slots in use, by lane."""
        return Share(self._ordinaries, self._endings)

    def wake(self) -> None:
        """The limits may have grown."""
        self._hand_out()

    @property
    def taken(self) -> int:
        """Slots in use."""
        return self._endings + self._ordinaries

    @asynccontextmanager
    async def slot(self, *, ending: bool, look: bool = False, until_s: float = math.inf) -> AsyncIterator[bool]:
        """Waits for a slot and holds it; tells whether it had to wait. First come, first served within a lane.

        Args:
            ending: Whether it is for an ending.
            look: Whether nothing is changed by it, and it is for no ending.
            until_s: When nothing is to be sent any more, monotonic seconds: in a pause whoever's time is up is let
                through without a slot.
        """
        turn = asyncio.get_running_loop().create_future()
        lane = self._waiting_endings if ending else self._waiting_looks if look else self._waiting_ordinaries
        lane.append(_Waiting(turn, until_s))
        self._hand_out()
        has_waited = not turn.done()
        try:
            has_slot = await turn
        except asyncio.CancelledError:
            # The slot may have been handed over in the same turn of the loop; a cancelled future was not served.
            if turn.done() and not turn.cancelled() and turn.result():
                self._give_back(ending)
            raise
        try:
            yield has_waited
        finally:
            if has_slot:
                self._give_back(ending)

    def close(self) -> None:
        """Waits for no pause any more."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _give_back(self, ending: bool) -> None:
        if ending:
            self._endings -= 1
        else:
            self._ordinaries -= 1
        self._hand_out()

    def _hand_out(self) -> None:
        while self.taken < self._limits.slots and (turn := _next(self._waiting_endings)):
            self._endings += 1
            turn.set_result(True)
        while (
            self.taken < self._limits.slots
            and self._ordinaries < self._limits.ordinary_slots
            and (turn := self._next_ordinary())
        ):
            self._ordinaries += 1
            turn.set_result(True)
        # Nobody inside wakes those outside when nobody is inside.
        if self._anybody_waits and self._pause is None and self._limits.pause_s > 0:
            self._pause = asyncio.get_running_loop().create_task(self._wait_for_pause(), name="pause-of-requests")

    async def _wait_for_pause(self) -> None:
        while self._anybody_waits and (pause_s := self._limits.pause_s) > 0:
            await self._sleep(min(pause_s, LOOK_EVERY_S))
            self._let_late_pass()
        self._pause = None
        self._hand_out()

    def _let_late_pass(self) -> None:
        now_s = self._clock.monotonic_s()
        for lane in (self._waiting_ordinaries, self._waiting_looks):
            for waiting in [waiting for waiting in lane if waiting.until_s <= now_s]:
                lane.remove(waiting)
                if not waiting.turn.done():
                    waiting.turn.set_result(False)

    @property
    def _anybody_waits(self) -> bool:
        return bool(self._waiting_ordinaries or self._waiting_looks)

    def _next_ordinary(self) -> asyncio.Future[bool] | None:
        """Whoever acts; a look when nobody does, or when it is a look's turn."""
        looks, acts = self._waiting_looks, self._waiting_ordinaries
        self._passed = self._passed + 1 if looks else 0
        if self._passed >= LOOKS_TURN and (turn := _next(looks)):
            self._passed = 0
            return turn
        return _next(acts) or _next(looks)


def _next(waiting: deque[_Waiting]) -> asyncio.Future[bool] | None:
    """The longest waiting one, past those that were cancelled."""
    while waiting:
        turn = waiting.popleft().turn
        if not turn.done():
            return turn
    return None
