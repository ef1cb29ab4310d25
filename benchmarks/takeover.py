"""How long do a killed worker's calls wait until another worker decides their events again?"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from random import Random

from benchmarks.support import backlog
from benchmarks.support.children import Child
from benchmarks.support.figures import Figures, percentile
from benchmarks.support.redis_load import pinned_client
from benchmarks.support.settings import KEYS
from conferral.storage.connection.client import Client

#: Workers that share the partitions.
WORKERS = 2
#: Interval at which leases are read, and at which events are stored, in seconds.
_POLL_S = 0.005
_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    #: Live sessions, and how often a worker is killed with so many.
    kills: dict[int, int]
    events_per_s: int = 1_000
    #: Time between two kills, for caches and leases to settle, in seconds.
    pause_s: float = 1.0


SIZES = {
    "full": Size(kills={1_000: 15, 50_000: 5}),
    "quick": Size(kills={200: 2}),
    "tiny": Size(kills={20: 1}, events_per_s=200, pause_s=0.1),
}


@dataclass(frozen=True)
class PartitionLease:
    """Who holds a partition, and the number of its last commit."""

    holder: str
    commit: int

    def is_held_by(self, worker: Child) -> bool:
        """Whether a process holds it: the process id is part of its name."""
        return f"-{worker.pid}-" in self.holder


def new_worker(redis_url: str, settings: Mapping[str, str] | None = None) -> Child:
    """Return a worker whose calls send no requests."""
    return Child("worker", redis_url=redis_url, api_url=backlog.NO_API, settings=settings or {})


async def leases(client: Client) -> list[PartitionLease]:
    """Read every partition's lease."""
    pipeline = client.pipeline()
    for partition in range(KEYS.partitions):
        pipeline.hmget(KEYS.lease(partition), "holder", "commit")
    return [PartitionLease((holder or b"").decode(), int(commit or 0)) for holder, commit in await pipeline.execute()]


async def shared(client: Client, workers: list[Child]) -> None:
    """Wait until the workers hold equally many partitions, and no one else holds any."""
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            found = await leases(client)
            counts = [sum(lease.is_held_by(worker) for lease in found) for worker in workers]
            if sum(counts) == len(found) and max(counts) - min(counts) <= 1:
                return
            await backlog.pause()


def traffic(
    client: Client, sessions: int, rate_per_s: float, chance: Random
) -> AbstractAsyncContextManager[backlog.Traffic]:
    """Store callbacks of random sessions at a steady rate meanwhile."""
    first = chance.randrange(10, 1_000_000)
    return backlog.traffic(
        client, rate_per_s, lambda number: backlog.stale(chance.randrange(sessions), first + number), _POLL_S
    )


async def killed(client: Client, victim: Child) -> float:
    """Kill a worker; return the seconds until every one of its partitions has a commit of another holder."""
    waiting = {partition for partition, lease in enumerate(await leases(client)) if lease.is_held_by(victim)}
    # The commit number of each partition when it had another holder.
    taken: dict[int, int] = {}
    began_s = time.monotonic()
    await victim.kill()
    async with asyncio.timeout(_PATIENCE_S):
        while waiting:
            await asyncio.sleep(_POLL_S)
            for partition, lease in enumerate(await leases(client)):
                if partition not in waiting or not lease.holder or lease.is_held_by(victim):
                    continue
                if lease.commit > taken.setdefault(partition, lease.commit):
                    waiting.remove(partition)
    return time.monotonic() - began_s


async def _kills(redis_url: str, client: Client, sessions: int, kills: int, size: Size, chance: Random) -> list[float]:
    found = []
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(new_worker(redis_url)) for _ in range(WORKERS)]
        await shared(client, workers)
        await backlog.connect(client, range(sessions), *workers)
        for _ in range(kills):
            async with traffic(client, sessions, size.events_per_s, chance):
                await asyncio.sleep(size.pause_s)
                found.append(await killed(client, workers.pop(0)))
            workers.append(await stack.enter_async_context(new_worker(redis_url)))
            await backlog.all_decided(client, *workers)
            await shared(client, workers)
    return found


async def measure(size: Size, chance: Random) -> Figures:
    """Kill the older worker of two again and again, with few and with many sessions."""
    figures = Figures()
    async with pinned_client() as (redis_url, client):
        for sessions, kills in size.kills.items():
            await client.flushall()
            found = await _kills(redis_url, client, sessions, kills, size, chance)
            for took_s in found:
                figures.add(f"live_{sessions}.takeover_s", took_s)
            for share, name in ((0.5, "p50_s"), (0.99, "p99_s")):
                figures.add(f"live_{sessions}.{name}", percentile(found, share))
    return figures
