"""Does a worker lose partitions though it is only paused for up to two seconds, or its clock is stepped?"""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random

from benchmarks import takeover
from benchmarks.support import backlog
from benchmarks.support.children import Child
from benchmarks.support.figures import Figures
from benchmarks.support.redis_load import pinned_client
from conferral.storage.connection.client import Client

WORKERS = 3
SESSIONS = 1_000
EVENTS_PER_S = 200
#: Interval at which leases are read, in seconds.
_POLL_S = 0.05
#: By how much a worker's clock is stepped, in seconds.
STEPS_S = (-172_800.0, -3_600.0, -3.0, 3.0, 3_600.0, 172_800.0)


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    duration_s: float
    #: Longest pause, and longest time between two disturbances, in seconds.
    pause_max_s: float = 2.0
    between_max_s: float = 4.0


SIZES = {
    "full": Size(duration_s=3_600.0),
    "quick": Size(duration_s=30.0),
    "tiny": Size(duration_s=2.0, pause_max_s=0.5, between_max_s=0.5),
}


async def _watch(client: Client, is_over: asyncio.Event) -> list[str]:
    """Return the changes of holders until the end."""
    found = []
    before = await takeover.leases(client)
    while not is_over.is_set():
        await asyncio.sleep(_POLL_S)
        now = await takeover.leases(client)
        for partition, (was, held) in enumerate(zip(before, now, strict=True)):
            if was.holder != held.holder:
                found.append(f"partition {partition}: {was.holder or 'no one'}, then {held.holder or 'no one'}")
        before = now
    return found


async def _disturb(workers: list[Child], size: Size, chance: Random) -> tuple[int, int]:
    """Pause workers and step their clocks; return how often."""
    pauses = steps = 0
    until_s = time.monotonic() + size.duration_s
    while time.monotonic() < until_s:
        await asyncio.sleep(chance.uniform(0, size.between_max_s))
        worker = chance.choice(workers)
        if chance.random() < 0.5:
            steps += 1
            await worker.used(f"step {chance.choice(STEPS_S)}")
        else:
            pauses += 1
            async with worker.paused():
                await asyncio.sleep(chance.uniform(0.1, size.pause_max_s))
    return pauses, steps


async def measure(size: Size, chance: Random) -> Figures:
    """Disturb three workers under a light load; any other holder of a partition is a false takeover."""
    figures = Figures()
    async with pinned_client() as (redis_url, client), AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(takeover.new_worker(redis_url)) for _ in range(WORKERS)]
        await takeover.shared(client, workers)
        await backlog.connect(client, range(SESSIONS), *workers)
        is_over = asyncio.Event()
        watching = asyncio.ensure_future(_watch(client, is_over))
        async with takeover.traffic(client, SESSIONS, EVENTS_PER_S, chance):
            pauses, steps = await _disturb(workers, size, chance)
        is_over.set()
        changes = await watching
        await backlog.all_decided(client, *workers)
    figures.add("duration_s", size.duration_s)
    figures.add("pauses_count", pauses)
    figures.add("clock_steps_count", steps)
    figures.add("false_takeovers_count", len(changes))
    figures.problems += changes
    return figures
