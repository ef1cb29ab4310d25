"""How long do a killed worker's calls wait until another worker decides their events again?"""

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random

from redis.asyncio import Redis

from benchmarks.support import calls
from benchmarks.support.figures import Figures
from benchmarks.support.programs import NO_TWILIO, POLL_S, Program, conferral

WORKERS = 2
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    sessions: int
    kills: int
    #: Most that passes between an even share and the kill, in seconds: the moment within a renewal is random.
    settle_s: float = 1.5


SIZES = {"full": Size(1_000, 15), "quick": Size(200, 3), "tiny": Size(20, 1, settle_s=0.1)}


async def shared(redis: "Redis[bytes]") -> None:
    """Wait until the workers hold equally many partitions."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = await calls.over_partitions(redis, "HGET", "lease", "holder")
            # An owner's name ends in its worker's random word.
            counts = Counter((holder or b"").rpartition(b"-")[2] for holder in found)
            if [*counts.values()] == [calls.PARTITIONS // WORKERS] * WORKERS:
                return
            await asyncio.sleep(POLL_S)


async def killed(redis: "Redis[bytes]", recorded: calls.RecordedCall, sessions: int, victim: Program) -> float:
    """Kill a worker; return the seconds until an event of every session is decided."""
    began_s = time.monotonic()
    await victim.kill()
    await calls.store(redis, [recorded.repeated(number) for number in range(sessions)])
    await calls.all_decided(redis)
    return time.monotonic() - began_s


async def measure(size: Size, chance: Random, redis_url: str, redis: "Redis[bytes]") -> Figures:
    """Kill the older one of two workers again and again."""
    figures, found = Figures(), []
    recorded = await calls.record(redis_url, redis)
    async with AsyncExitStack() as stack:

        async def started() -> Program:
            return await stack.enter_async_context(conferral("worker", redis_url, NO_TWILIO))

        workers = [await started() for _ in range(WORKERS)]
        await calls.connect(redis, recorded, range(size.sessions), *workers)
        for _ in range(size.kills):
            await shared(redis)
            await asyncio.sleep(chance.uniform(0, size.settle_s))
            found.append(await killed(redis, recorded, size.sessions, workers.pop(0)))
            workers.append(await started())
    figures.add_percentiles("takeover_", found, "s")
    figures.add("kills_count", size.kills)
    return figures
