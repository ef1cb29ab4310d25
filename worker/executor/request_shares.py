"""This worker's share of the account's concurrent requests to Twilio.

Redis gives a worker only what no other holds. Shares are requested ahead, so no request to Twilio waits for Redis.
"""

import asyncio
from collections.abc import Callable, Collection

from conferral.runtime.clock import until_tick_s
from conferral.runtime.errors import StoreError
from conferral.runtime.lifecycle import pause
from conferral.runtime.outage import log_unreachable
from conferral.storage import scripts
from conferral.storage.connection.client import store_errors
from conferral.worker.core import WorkerCore
from conferral.worker.executor.adaptive_limit import RequestSlots
from conferral.worker.executor.priority_limiter import PriorityLimiter

#: Also about how long a new worker waits for what others hold, seconds.
REFRESH_EVERY_S = 0.5
#: The same while a worker must return some of its share, or workers take turns, seconds.
REFRESH_SOON_S = 0.1
#: Duration of a turn when workers outnumber a pool's requests, milliseconds: several refreshes, so that workers whose
#: turn is over release first.
TURN_MS = 500
#: Lifetime of a share without a refresh, milliseconds: as long as a lease.
TTL_MS = 5_000


class RequestShares:
    """This worker's share, refreshed from Redis."""

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
        self._limiter = limiter
        #: Names of dead workers, whose shares are free at once: waiting 5 s for them would delay every caller.
        self._dead_workers = dead_workers
        self._share = self._fallback = RequestSlots(0, 0)
        #: When `_fallback` replaces the share, monotonic seconds.
        self._expires_at_s = float("-inf")
        self.workers = 1

    @property
    def current(self) -> RequestSlots:
        """The share in force now.

        A cluster node that is silent must not stop the others' calls. So after expiry, the budget divided by the last
        known number of workers applies.
        """
        return self._share if self._clock.monotonic_s() < self._expires_at_s else self._fallback

    async def run(self, stop: asyncio.Event) -> None:
        """Refresh until the process stops."""
        while not stop.is_set():
            wait_s = REFRESH_SOON_S
            try:
                wait_s = await self.refresh()
            except StoreError as error:
                log_unreachable(error, task="request_shares")
            await pause(stop, until_tick_s(wait_s))

    async def refresh(self) -> float:
        """Refresh the share; return the time until the next refresh, seconds.

        After a StoreError, the share stays valid until it expires.
        """
        requested_at_s = self._clock.monotonic_s()
        # Until the answer, no more than this can be in flight.
        current, in_use = self.current, self._by_pool(self._limiter().in_use_by_kind)
        holds = RequestSlots(max(current.ordinary, in_use.ordinary), max(current.endings, in_use.endings))
        name, dead = self._core.name, sorted(self._dead_workers())
        arguments: list[scripts.Argument] = [name, *self._budget, *holds, TTL_MS, TURN_MS, *dead]
        with store_errors():
            answer = await scripts.share_requests(self._core.client, [self._core.keys.request_shares], arguments)
        # What this worker may hold now, and once all others have returned their excess.
        granted, fair = RequestSlots(int(answer[0]), int(answer[1])), RequestSlots(int(answer[2]), int(answer[3]))
        self.workers = int(answer[4])
        self._share = RequestSlots(min(granted.ordinary, fair.ordinary), min(granted.endings, fair.endings))
        ordinary, endings = self._budget
        self._fallback = RequestSlots(max(1, ordinary // self.workers), endings // self.workers)
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
        """Convert counts by kind: endings beyond their pool use ordinary slots."""
        endings = min(in_use.endings, self._share.endings)
        return RequestSlots(in_use.ordinary + in_use.endings - endings, endings)
