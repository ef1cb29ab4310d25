"""Figures that all pages share."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from conferral.console.messages import encode_message, to_json_value
from conferral.console.redis_access import RedisAccess
from conferral.console.session_feed import SessionFeed
from conferral.operations import health, statistics
from conferral.operations.dead_letters import DeadLetters
from conferral.operations.health import Health, LostWorkerDetector, LostWorkers
from conferral.operations.statistics import SessionCounts, TransferStats
from conferral.runtime.clock import Clock

T = TypeVar("T")

#: Intervals for the last hour's outcomes, and for all else.
TRANSFER_STATS_EVERY_S = 5.0
READ_EVERY_S = 1.0
#: Window for rates, in seconds; processes publish their counters every other second.
RATES_OVER_S = 10.0


class _CachedRead(Generic[T]):
    """A value that one caller at a time refreshes once it is stale."""

    def __init__(self, read: Callable[[], Awaitable[T]], every_s: float, clock: Clock) -> None:
        self._read = read
        self._every_s = every_s
        self._clock = clock
        self._lock = asyncio.Lock()
        self._stale_at_s = 0.0
        self._value: tuple[T] | None = None

    async def get(self) -> T:
        async with self._lock:
            if self._value is None or self._clock.monotonic_s() >= self._stale_at_s:
                self._value = (await self._read(),)
                self._stale_at_s = self._clock.monotonic_s() + self._every_s
            return self._value[0]


class Dashboard:
    """Reads what all pages share. Every method may raise StoreError."""

    def __init__(self, feed: SessionFeed, redis: RedisAccess, clock: Clock) -> None:
        self._feed = feed
        self._redis = redis
        self._counts = _CachedRead(self._count_sessions, READ_EVERY_S, clock)
        self._transfer_stats = _CachedRead(self._read_transfer_stats, TRANSFER_STATS_EVERY_S, clock)
        self._dead = _CachedRead(self._count_dead, READ_EVERY_S, clock)
        self._lost_worker_detector = LostWorkerDetector()
        self._lost_workers = _CachedRead(self._read_lost_workers, READ_EVERY_S, clock)
        self._health = _CachedRead(self._read_health, READ_EVERY_S, clock)
        self._recent_health: deque[Health] = deque()

    async def summary(self) -> bytes:
        """Return the message with the summary above the list of sessions."""
        return encode_message(
            "summary",
            counts=await self._counts.get(),
            hour=await self._transfer_stats.get(),
            dead=await self._dead.get(),
            lost_workers=await self._lost_workers.get(),
        )

    async def health(self) -> bytes:
        """Return the message with the health of workers, partitions, and Redis."""
        return await self._health.get()

    async def _count_sessions(self) -> SessionCounts:
        return statistics.count_sessions((kept.session, kept.attention) for kept in list(self._feed.live()))

    async def _read_transfer_stats(self) -> TransferStats:
        return await self._redis.run(lambda reader: statistics.read_last_hour(reader, self._feed.now_ms()))

    async def _count_dead(self) -> int:
        return await self._redis.run(lambda reader: DeadLetters(reader.client, reader.keys).count())

    async def _read_lost_workers(self) -> LostWorkers | None:
        return await self._redis.run(self._lost_worker_detector.read)

    async def _read_health(self) -> bytes:
        """Return health, and rates since the oldest recent snapshot."""
        found = await self._redis.run(health.read_health)
        # Drop snapshots outside of the window, including later ones after a clock was set back.
        while self._recent_health and not 0 < found.at_ms - self._recent_health[0].at_ms <= RATES_OVER_S * 1000:
            self._recent_health.popleft()
        rates = health.rates(self._recent_health[0], found) if self._recent_health else None
        self._recent_health.append(found)
        parts = to_json_value(found)
        assert isinstance(parts, dict)
        return encode_message("health", **parts, unassigned=found.unassigned, rates=rates)
