"""Pace of dials (CPS): permits that all workers share."""

import asyncio
from bisect import insort
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count

from conferral.runtime.errors import StoreError
from conferral.runtime.log import log_unreachable

#: Pause after Redis was unreachable, seconds.
PAUSE_S = 0.2
#: Requests a permit, given whether a caller waits; returns 0.0, or the seconds to wait before asking again.
RequestPermit = Callable[[bool], Awaitable[float]]


@dataclass(order=True)
class _Waiter:
    """One dial; the first in order asks Redis, the others wait."""

    is_patient: bool
    number: int
    is_first: asyncio.Event = field(default_factory=asyncio.Event, compare=False)


class DialPace:
    """Dials wait here for their permits, those for which a caller waits first."""

    def __init__(self, request_permit: RequestPermit, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._request_permit = request_permit
        self._sleep = sleep
        self._waiting: list[_Waiter] = []
        self._numbers = count()

    async def wait(self, *, urgent: bool) -> None:
        """Wait for a permit."""
        own = _Waiter(not urgent, next(self._numbers))
        insort(self._waiting, own)
        self._waiting[0].is_first.set()
        try:
            while True:
                await own.is_first.wait()
                if not (wait_s := await self._try_permit(urgent)):
                    return
                await self._sleep(wait_s)
                if self._waiting[0] is not own:  # an urgent one has come
                    own.is_first.clear()
        finally:
            self._waiting.remove(own)
            if self._waiting:
                self._waiting[0].is_first.set()

    async def _try_permit(self, urgent: bool) -> float:
        """Request a permit; return 0.0, or the seconds to wait for the next try."""
        try:
            return await self._request_permit(urgent)
        except StoreError as error:
            log_unreachable(error, task="dial_rate")
            return PAUSE_S
