"""This worker's share of the account-wide budget of concurrent requests to Twilio.

Redis assigns the shares. A worker gets only what no other worker holds, so any number of workers stay within the
budget. Shares are requested ahead of time, so no request to Twilio waits for Redis.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import NamedTuple, Protocol

from conferral.runtime.clock import Clock
from conferral.runtime.errors import StoreError
from conferral.runtime.lifecycle import pause
from conferral.runtime.outage import log_unreachable
from conferral.storage import scripts
from conferral.storage.connection.client import Client, store_errors

#: Refresh interval, seconds; also about how long a new worker waits for what others hold.
REFRESH_EVERY_S = 0.5
#: Refresh interval while some worker still has to return part of its share, and while workers take turns, seconds.
REFRESH_SOON_S = 0.1
#: Duration of a turn when there are more workers than requests in a pool, milliseconds. Each worker refreshes several
#: times per turn, so those whose turn is over release first.
TURN_MS = 500
#: Lifetime of a share without a refresh, milliseconds: as long as a lease.
TTL_MS = 5_000


class Share(NamedTuple):
    """Concurrent requests that a worker may have in flight (count)."""

    ordinary: int
    #: Reserved for endings, which may also use the ordinary ones.
    endings: int


class Usage(Protocol):
    """Requests in flight, and a way to wake waiters; see `worker.executor.priority_limiter.PriorityLimiter`."""

    @property
    def under_way(self) -> Share:
        """Requests in flight (count)."""
        ...

    def wake(self) -> None:
        """Check whether waiters can start."""
        ...


class RequestShares:
    """Refreshes this worker's share from Redis."""

    def __init__(
        self,
        client: Client,
        key: str,
        name: str,
        clock: Clock,
        budget: Share,
        *,
        usage: Callable[[], Usage],
        dead: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._client = client
        self._key = key
        self._name = name
        self._clock = clock
        self._budget = budget
        self._usage = usage
        #: Returns the names of workers known to have died. Their shares are free before they expire: 5 s with a third
        #: fewer requests at a time delay every caller.
        self._dead = dead
        self._share = self._fallback = Share(0, 0)
        #: When `_fallback` replaces the share, monotonic seconds.
        self._expires_at_s = float("-inf")
        #: Number of workers that share the budget.
        self.workers = 1

    def __repr__(self) -> str:
        return f"<RequestShares {self.current} of {self._budget}>"

    @property
    def current(self) -> Share:
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
        holds = _maximum(self.current, self._by_pool(self._usage().under_way))
        arguments: list[scripts.Argument] = [self._name, *self._budget, *holds, TTL_MS, TURN_MS, *sorted(self._dead())]
        with store_errors():
            answer = await scripts.share_requests(self._client, [self._key], arguments)
        given, fair = Share(int(answer[0]), int(answer[1])), Share(int(answer[2]), int(answer[3]))
        self.workers = int(answer[4])
        self._share = Share(min(given.ordinary, fair.ordinary), min(given.endings, fair.endings))
        self._fallback = Share(max(1, self._budget.ordinary // self.workers), self._budget.endings // self.workers)
        self._expires_at_s = requested_at_s + TTL_MS / 1000
        self._usage().wake()
        takes_turns = self.workers > min(self._budget)
        return REFRESH_SOON_S if takes_turns or given != fair else REFRESH_EVERY_S

    async def release(self) -> None:
        """Give the share back."""
        self._share = self._fallback = Share(0, 0)
        try:
            with store_errors():
                await self._client.hdel(self._key, self._name)
        except StoreError as error:
            log_unreachable(error, task="request_shares")

    def _by_pool(self, under_way: Share) -> Share:
        """Split the requests in flight by pool: endings beyond their own pool use ordinary slots."""
        endings = min(under_way.endings, self._share.endings)
        return Share(under_way.ordinary + under_way.endings - endings, endings)


def _maximum(one: Share, other: Share) -> Share:
    return Share(max(one.ordinary, other.ordinary), max(one.endings, other.endings))
