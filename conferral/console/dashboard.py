"""Figures that all pages share."""

from collections import deque

from conferral.console.messages import encode_message, to_json_value
from conferral.console.redis_access import RedisAccess
from conferral.console.session_feed import SessionFeed
from conferral.operations import health, statistics
from conferral.operations.dead_letters import DeadLetters
from conferral.operations.health import Health
from conferral.operations.statistics import TransferStats
from conferral.runtime.web.server import SharedResult

#: Interval for reading the last hour's outcomes, seconds.
TRANSFER_STATS_EVERY_S = 5.0
#: Window for rates, in seconds; processes publish their counters every other second.
RATES_OVER_S = 10.0


class Dashboard:
    """Reads what all pages share; it may raise StoreError."""

    def __init__(self, feed: SessionFeed, redis: RedisAccess) -> None:
        self._feed = feed
        self._redis = redis
        #: The message with the summary above the list of sessions.
        self.summary = SharedResult(self._read_summary)
        self._transfer_stats = SharedResult(self._read_transfer_stats, TRANSFER_STATS_EVERY_S)
        #: The message with the health of workers, partitions, and Redis.
        self.health = SharedResult(self._read_health)
        self._recent_health: deque[Health] = deque()

    async def _read_summary(self) -> bytes:
        return encode_message(
            "summary",
            counts=statistics.count_sessions((kept.session, kept.attention) for kept in list(self._feed.live())),
            hour=await self._transfer_stats(),
            dead=await self._redis.run(lambda reader: DeadLetters(reader.client, reader.keys).count()),
            lost_workers=await self._redis.run(health.read_lost_workers),
        )

    async def _read_transfer_stats(self) -> TransferStats:
        return await self._redis.run(lambda reader: statistics.read_last_hour(reader, self._feed.now_ms()))

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
