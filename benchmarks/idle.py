"""How much CPU does an idle worker use, without calls and with many?"""

import asyncio
import time
from dataclasses import dataclass
from random import Random

from redis.asyncio import Redis

from benchmarks.support import calls
from benchmarks.support.figures import Figures
from benchmarks.support.programs import Program, conferral
from offhook import Sandbox

#: With many sessions, no sweep comes: the local Twilio knows none of their calls.
_NO_SWEEP = {"CONFERRAL_SWEEP_INTERVAL": "3600"}


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int
    round_s: float
    #: Time for the start, in seconds.
    warm_up_s: float
    sessions: int


SIZES = {
    "full": Size(3, 20.0, 8.0, 10_000),
    "quick": Size(2, 5.0, 4.0, 10_000),
    "tiny": Size(1, 0.2, 0.2, 10),
}


async def _idle(name: str, worker: Program, size: Size, figures: Figures) -> None:
    await asyncio.sleep(size.warm_up_s)
    for _ in range(size.rounds):
        used_s, began_s = worker.cpu_s(), time.monotonic()
        await asyncio.sleep(size.round_s)
        figures.add(f"{name}.percent", 100 * (worker.cpu_s() - used_s) / (time.monotonic() - began_s))
    figures.add(f"{name}.memory_bytes", worker.memory_bytes())


async def measure(size: Size, _chance: Random, redis_url: str, redis: "Redis[bytes]") -> Figures:
    """Measure a worker without calls, its sweeps included; then one with sessions whose parties talk."""
    figures, recorded = Figures(), await calls.record(redis_url, redis)
    async with Sandbox() as sandbox:
        account = {"TWILIO_ACCOUNT_SID": sandbox.account_sid, "TWILIO_AUTH_TOKEN": sandbox.auth_token}
        async with conferral("worker", redis_url, sandbox.url, **account) as worker:
            await _idle("worker", worker, size, figures)
        async with conferral("worker", redis_url, sandbox.url, **account, **_NO_SWEEP) as worker:
            await calls.connect(redis, recorded, range(size.sessions), worker)
            await _idle("loaded", worker, size, figures)
    return figures
