"""This worker's share of the account-wide budget of concurrent requests to Twilio.

Redis assigns the shares. A worker gets only what no other worker holds, so any number of workers stay within the
budget. Shares are requested ahead of time, so no request to Twilio waits for Redis.
"""

import asyncio
from collections.abc import Callable, Collection

from conferral.runtime.errors import StoreError
from conferral.runtime.lifecycle import pause
from conferral.runtime.outage import log_unreachable
from conferral.storage import scripts
from conferral.storage.connection.client import store_errors
from conferral.worker.core import WorkerCore
from conferral.worker.executor.adaptive_limit import RequestSlots
from conferral.worker.executor.priority_limiter import PriorityLimiter

#: Refresh interval, seconds; also about how long a new worker waits for what others hold.
REFRESH_EVERY_S = 0.5
#: Refresh interval while some worker still has to return part of its share, and while workers take turns, seconds.
REFRESH_SOON_S = 0.1
#: Duration of a turn when there are more workers than requests in a pool, milliseconds. Each worker refreshes several
#: times per turn, so those whose turn is over release first.
TURN_MS = 500
#: Lifetime of a share without a refresh, milliseconds: as long as a lease.
TTL_MS = 5_000


class RequestShares:
    """Refreshes this worker's share from Redis."""

    def __init__(
        self,
        core: WorkerCore,
        budget: RequestSlots,
        *,
        limiter: Callable[[], PriorityLimiter],
        dead_workers: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._core = core
        self._clock = core.clock
        self._budget = budget
        #: Returns what grants the share's slots to requests.
        self._limiter = limiter
        #: Returns the names of workers known to have died. Their shares are free before they expire: 5 s with a third
        #: fewer requests at a time delay every caller.
        self._dead_workers = dead_workers
        self._share = self._fallback = RequestSlots(0, 0)
        #: When `_fallback` replaces the share, monotonic seconds.
        self._expires_at_s = float("-inf")
        #: Number of workers that share the budget.
        self.workers = 1

    @property
    def current(self) -> RequestSlots:
        """The share in force now.

        On a cluster, the node that holds the shares may be unresponsive while all others answer. Calls on those must go
        on, so an expired share falls back to the budget divided by the last known number of workers.
        """
        return self._share if self._clock.monotonic_s() < self._expires_at_s else self._fallback

    async def run(self, stop: asyncio.Event) -> None:
        """Refresh until the stop."""
        while not stop.is_set():
            wait_s = REFRESH_SOON_S
            try:
                wait_s = await self.refresh()
            except StoreError as error:
                log_unreachable(error, task="request_shares")
            await pause(stop, wait_s)

    async def refresh(self) -> float:
        """Refresh the share once; return the time until the next refresh, seconds.

        Raises:
            StoreError: Redis is unreachable or refuses; the current share stays valid until it expires.
        """
        requested_at_s = self._clock.monotonic_s()
        # Until the answer arrives, no more than this can be in flight.
        current, in_use = self.current, self._by_pool(self._limiter().in_use_by_kind)
        holds = RequestSlots(max(current.ordinary, in_use.ordinary), max(current.endings, in_use.endings))
        name, dead = self._core.name, sorted(self._dead_workers())
        arguments: list[scripts.Argument] = [name, *self._budget, *holds, TTL_MS, TURN_MS, *dead]
        with store_errors():
            answer = await scripts.share_requests(self._core.client, [self._core.keys.request_shares], arguments)
        # What this worker may hold now, and what it should hold once all workers have returned their excess.
        granted, fair = RequestSlots(int(answer[0]), int(answer[1])), RequestSlots(int(answer[2]), int(answer[3]))
        self.workers = int(answer[4])
        self._share = RequestSlots(min(granted.ordinary, fair.ordinary), min(granted.endings, fair.endings))
        self._fallback = RequestSlots(
            max(1, self._budget.ordinary // self.workers), self._budget.endings // self.workers
        )
        self._expires_at_s = requested_at_s + TTL_MS / 1000
        self._limiter().grant()
        takes_turns = self.workers > min(self._budget)
        return REFRESH_SOON_S if takes_turns or granted != fair else REFRESH_EVERY_S

    async def release(self) -> None:
        """Give the share back."""
        self._share = self._fallback = RequestSlots(0, 0)
        try:
            with store_errors():
                await self._core.client.hdel(self._core.keys.request_shares, self._core.name)
        except StoreError as error:
            log_unreachable(error, task="request_shares")

    def _by_pool(self, in_use: RequestSlots) -> RequestSlots:
        """Convert slots counted by kind of request: endings beyond their own pool use ordinary slots."""
        endings = min(in_use.endings, self._share.endings)
        return RequestSlots(in_use.ordinary + in_use.endings - endings, endings)
