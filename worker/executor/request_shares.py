"""This worker's share of the requests that all workers together may have under way at Twilio.

Redis gives the shares: a worker gets only what no other one holds, so any number of workers stay within the budget.
Shares are asked for ahead of time, so that no request waits for Redis.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol

from conferral.runtime.clock import Clock
from conferral.runtime.errors import StoreError
from conferral.runtime.lifecycle import pause
from conferral.runtime.outage import log_unreachable
from conferral.storage import scripts
from conferral.storage.connection.client import Client, store_errors

#: How often a share is asked for, seconds: a worker that starts waits about as long for what others hold.
REFRESH_EVERY_S = 0.5
#: The same while the share is not the fair one, because others still have to give theirs back, or this worker does; and
#: where workers take turns.
REFRESH_SOON_S = 0.1
#: How long a turn lasts where there are more workers than requests in a pool, milliseconds. Each worker asks several
#: times in a turn: those whose turn is over give back first.
TURN_MS = 500
#: How long a share counts without being asked for again, milliseconds: as long as a lease.
TTL_MS = 5_000


class Share(NamedTuple):
    """What a worker may have under way (count)."""

    ordinary: int
    #: Kept for endings, which may use the ordinary ones too.
    endings: int


class Usage(Protocol):
    """What is under way, and who waits for more; `worker.lanes.Lanes` in a worker."""

    @property
    def under_way(self) -> Share:
        """Requests under way (count)."""
        ...

    def wake(self) -> None:
        """There may be room for those who wait."""
        ...


class RequestShares:
    """Asks Redis for this worker's share, again and again."""

    def __init__(
        self,
        client: Client,
        key: str,
        name: str,
        clock: Clock,
        budget: Share,
        *,
        usage: Callable[[], Usage],
    ) -> None:
        """Bind what is needed.

        Args:
            client: For commands.
            key: Of the hash that holds all shares.
            name: This worker's.
            clock: For the time until which a share counts.
            budget: What all workers together may have under way.
            usage: What is under way here.
        """
        self._client = client
        self._key = key
        self._name = name
        self._clock = clock
        self._budget = budget
        self._usage = usage
        self._share = Share(0, 0)
        #: What counts instead once that is too old.
        self._fallback = Share(0, 0)
        self._expires_at_s = float("-inf")
        #: How many workers share the budget (count).
        self.workers = 1

    def __repr__(self) -> str:
        return f"<RequestShares {self.current} of {self._budget}>"

    @property
    def current(self) -> Share:
        """What may be under way now.

        On a cluster, the node that has the shares may be silent while all others answer. Calls on those must go on, so
        a worker whose share is too old keeps its part of the budget by the number of workers that it heard last.
        """
        return self._share if self._clock.monotonic_s() < self._expires_at_s else self._fallback

    async def run(self, stop: asyncio.Event) -> None:
        """Ask until the stop."""
        while not stop.is_set():
            wait_s = REFRESH_SOON_S
            try:
                wait_s = await self.refresh()
            except StoreError as error:
                log_unreachable(error, task="request_shares")
            await pause(stop, wait_s)

    async def refresh(self) -> float:
        """Ask once.

        Returns:
            When to ask again, seconds.

        Raises:
            StoreError: Redis does not answer, or refuses; the share counts until its time is up.
        """
        requested_at_s = self._clock.monotonic_s()
        # Until the answer, no more than this can be under way.
        holds = _maximum(self.current, self._by_pool(self._usage().under_way))
        arguments: list[scripts.Argument] = [self._name, *self._budget, *holds, TTL_MS, TURN_MS]
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
        """What is under way by pool: endings beyond their own pool use ordinary requests."""
        endings = min(under_way.endings, self._share.endings)
        return Share(under_way.ordinary + under_way.endings - endings, endings)


def _maximum(one: Share, other: Share) -> Share:
    return Share(max(one.ordinary, other.ordinary), max(one.endings, other.endings))
