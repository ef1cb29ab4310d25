"""Figures that all pages share."""

from collections import deque

from conferral.console.messages import encode_message, to_json_value
from conferral.console.redis_access import RedisAccess
from conferral.console.session_feed import SessionFeed
from conferral.operations import health, statistics
from conferral.operations.dead_letters import DeadLetters
from conferral.operations.health import Health, LostWorkers
from conferral.operations.statistics import SessionCounts, TransferStats
from conferral.runtime.web.server import SharedResult

#: Interval for reading the last hour's outcomes, seconds.
TRANSFER_STATS_EVERY_S = 5.0
#: Window for rates, in seconds; processes publish their counters every other second.
RATES_OVER_S = 10.0


class Dashboard:
    """Reads what all pages share. Every method may raise StoreError."""

    def __init__(self, feed: SessionFeed, redis: RedisAccess) -> None:
        self._feed = feed
        self._redis = redis
        self._counts = SharedResult(self._count_sessions)
        self._transfer_stats = SharedResult(self._read_transfer_stats, TRANSFER_STATS_EVERY_S)
        self._dead = SharedResult(self._count_dead)
        self._lost_workers = SharedResult(self._read_lost_workers)
        self._health = SharedResult(self._read_health)
        self._recent_health: deque[Health] = deque()

    async def summary(self) -> bytes:
        """Return the message with the summary above the list of sessions."""
        return encode_message(
            "summary",
            counts=await self._counts(),
            hour=await self._transfer_stats(),
            dead=await self._dead(),
            lost_workers=await self._lost_workers(),
        )

    async def health(self) -> bytes:
        """Return the message with the health of workers, partitions, and Redis."""
        return await self._health()

    async def _count_sessions(self) -> SessionCounts:
        return statistics.count_sessions((kept.session, kept.attention) for kept in list(self._feed.live()))

    async def _read_transfer_stats(self) -> TransferStats:
        return await self._redis.run(lambda reader: statistics.read_last_hour(reader, self._feed.now_ms()))

    async def _count_dead(self) -> int:
        return await self._redis.run(lambda reader: DeadLetters(reader.client, reader.keys).count())

    async def _read_lost_workers(self) -> LostWorkers | None:
        return await self._redis.run(health.read_lost_workers)

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
