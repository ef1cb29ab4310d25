"""What Redis spends on the measured work: CPU time, commands, and the longest script."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from benchmarks.support.figures import Figures, percentile
from benchmarks.support.machine import OTHER_CORE, pin, redis_program
from conferral.storage.connection.client import Client, make_client
from tests.support.redis_server import RedisServer

#: Scripts that take less aren't recorded, in microseconds.
_SLOW_US = 100


@contextmanager
def pinned_redis() -> Iterator[RedisServer]:
    """Run a private Redis on a Unix socket, without persistence, on the core of the load generator."""
    with RedisServer(redis_program()) as redis:
        assert redis.process is not None
        pin(redis.process.pid, OTHER_CORE)
        yield redis


@asynccontextmanager
async def pinned_client() -> AsyncIterator[tuple[str, Client]]:
    """Run such a Redis; yield its URL and a client."""
    with pinned_redis() as redis:
        client = make_client(redis.url)
        yield redis.url, client
        await client.aclose()


@dataclass(frozen=True)
class RedisUsage:
    """What Redis has spent since `start`."""

    cpu_s: float
    commands: dict[str, int]
    #: Of every script; those below `_SLOW_US` count as that long.
    scripts_ms: list[float]

    def add_scripts(self, figures: Figures, name: str = "") -> None:
        """Add the longest script, and the 99th percentile, which no interrupt of the machine changes."""
        figures.add(f"{name}longest_script_ms", max(self.scripts_ms))
        figures.add(f"{name}script_p99_ms", percentile(self.scripts_ms, 0.99))

    @property
    def commands_run(self) -> int:
        """Commands, including those inside scripts (count)."""
        return sum(self.commands.values())

    @property
    def session_reads(self) -> int:
        """Reads of whole hashes, as a worker loads sessions (count)."""
        return self.commands.get("hgetall", 0) + self.commands.get("hmget", 0)


class RedisMeter:
    """Reads Redis's own counters."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._before_s = 0.0

    async def start(self) -> None:
        """Measure from now on."""
        await self._client.config_set("slowlog-log-slower-than", _SLOW_US)
        await self._client.config_set("slowlog-max-len", 100_000)
        await self._client.slowlog_reset()
        await self._client.config_resetstat()
        self._before_s = await self._cpu_s()

    async def read(self) -> RedisUsage:
        """Return what was spent since the start."""
        cpu_s = await self._cpu_s() - self._before_s
        stats = await self._client.info("commandstats")
        own = {"info", "config|set", "config|resetstat", "slowlog|reset", "xlen"}
        counts = {name.removeprefix("cmdstat_"): int(row["calls"]) for name, row in stats.items()}
        slow = await self._client.slowlog_get(100_000)
        scripts = [one["duration"] / 1000 for one in slow if one["command"].lower().startswith(b"eval")]
        short = sum(count for name, count in counts.items() if name.startswith("eval")) - len(scripts)
        return RedisUsage(
            cpu_s=cpu_s,
            commands={name: count for name, count in counts.items() if name not in own},
            scripts_ms=[*scripts, *[_SLOW_US / 1000] * short],
        )

    async def _cpu_s(self) -> float:
        found = await self._client.info("cpu")
        return float(found["used_cpu_user"]) + float(found["used_cpu_sys"])
