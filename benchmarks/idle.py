"""How much CPU and memory does an idle worker use?"""

import asyncio
import time
from dataclasses import dataclass
from random import Random

from redis.asyncio import Redis

from benchmarks.support.figures import Figures
from benchmarks.support.programs import conferral
from conferral.sandbox import Sandbox


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int
    round_s: float
    #: Time for the start, in seconds.
    warm_up_s: float


SIZES = {"full": Size(3, 20.0, 8.0), "quick": Size(2, 5.0, 4.0), "tiny": Size(1, 0.2, 0.2)}


async def measure(size: Size, _chance: Random, redis_url: str, _redis: "Redis[bytes]") -> Figures:
    """Measure a worker without calls, its sweeps included."""
    figures = Figures()
    async with Sandbox() as sandbox:
        account = {"TWILIO_ACCOUNT_SID": sandbox.account_sid, "TWILIO_AUTH_TOKEN": sandbox.auth_token}
        async with conferral("worker", redis_url, sandbox.url, **account) as worker:
            await asyncio.sleep(size.warm_up_s)
            for _ in range(size.rounds):
                used_s, began_s = worker.cpu_s(), time.monotonic()
                await asyncio.sleep(size.round_s)
                figures.add("worker.percent", 100 * (worker.cpu_s() - used_s) / (time.monotonic() - began_s))
            figures.add("worker.memory_bytes", worker.memory_bytes())
    return figures
