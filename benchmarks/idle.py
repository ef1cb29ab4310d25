"""How much of a core does an idle worker use, compared with two task queues?"""

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


SIZES = {
    "full": Size(rounds=5, round_s=6.0, warm_up_s=8.0),
    "quick": Size(rounds=2, round_s=2.0, warm_up_s=4.0),
    "tiny": Size(rounds=1, round_s=0.2, warm_up_s=0.2),
}


async def measure(size: Size, _chance: Random) -> Figures:
    """Measure all of them at the same time; each has its own Redis."""
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
            before = {name: await child.used() for name, child in children.items()}
            began_s = time.monotonic()
            await asyncio.sleep(size.round_s)
            for name, child in children.items():
                cpu_s = (await child.used())["cpu_s"] - before[name]["cpu_s"]
                figures.add(f"{name}.percent", 100 * cpu_s / (time.monotonic() - began_s))
    return figures
