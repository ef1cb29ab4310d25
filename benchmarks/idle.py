"""How much CPU and memory does an idle worker use, compared with two task queues?"""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random

from benchmarks.support.children import Child
from benchmarks.support.fake_twilio import FakeTwilio
from benchmarks.support.figures import Figures
from benchmarks.support.machine import PEERS
from benchmarks.support.redis_load import pinned_redis


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int
    round_s: float
    #: Time for the start, in seconds.
    warm_up_s: float
    #: Time before each measurement, in seconds.
    settle_s: float


SIZES = {
    "full": Size(rounds=5, round_s=6.0, warm_up_s=8.0, settle_s=1.0),
    "quick": Size(rounds=2, round_s=2.0, warm_up_s=4.0, settle_s=0.5),
    "tiny": Size(rounds=1, round_s=0.2, warm_up_s=0.2, settle_s=0.1),
}


async def measure(size: Size, _chance: Random) -> Figures:
    """Measure one after the other, while the task queues that are not measured are stopped: all share a core.

    The worker always runs, since a stop would cost it its leases. Each has its own Redis.
    """
    figures = Figures()
    async with AsyncExitStack() as stack:
        children = {}
        twilio = await stack.enter_async_context(FakeTwilio(is_idle=True))
        for name in ("worker", *PEERS):
            redis = stack.enter_context(pinned_redis())
            child = Child("worker", peer="" if name == "worker" else name, redis_url=redis.url, api_url=twilio.url)
            children[name] = await stack.enter_async_context(child)
        await asyncio.sleep(size.warm_up_s)
        for _ in range(size.rounds):
            for name in children:
                async with AsyncExitStack() as stopped:
                    for other in set(PEERS) - {name}:
                        await stopped.enter_async_context(children[other].paused())
                    await asyncio.sleep(size.settle_s)  # one that was stopped catches up
                    figures.add(f"{name}.percent", await _percent(children[name], size.round_s))
        for name, child in children.items():
            figures.add(f"{name}.memory_bytes", (await child.used())["memory_bytes"])
    return figures


async def _percent(child: Child, duration_s: float) -> float:
    before, began_s = await child.used(), time.monotonic()
    await asyncio.sleep(duration_s)
    used = (await child.used())["cpu_s"] - before["cpu_s"]
    return float(100 * used / (time.monotonic() - began_s))
