"""How much CPU time does Redis need for a live event, with an append-only file?"""

import asyncio
from dataclasses import dataclass
from random import Random

from redis.asyncio import Redis

from benchmarks.ingest import CONNECTIONS, PUBLIC_URL, request
from benchmarks.support import calls, load
from benchmarks.support.fake_twilio import FakeTwilio
from benchmarks.support.figures import Figures
from benchmarks.support.programs import POLL_S, conferral

#: Far below what webhooks and a worker can do: most batches have one event, which costs Redis most.
EVENTS_PER_S = 900
#: Callbacks about the agent's leg, in their order.
_STATUSES = ("initiated", "ringing", "in-progress")


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int
    calls: int


SIZES = {"full": Size(rounds=3, calls=3_000), "quick": Size(rounds=2, calls=900), "tiny": Size(rounds=1, calls=30)}


async def _cpu_s(redis: "Redis[bytes]") -> float:
    """Return the CPU seconds that Redis has used, without those of a child that rewrites its file."""
    used = await redis.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"])


async def _keep_file(redis: "Redis[bytes]") -> None:
    """Begin an append-only file, and wait until its first version is written."""
    await redis.config_set("appendonly", "yes")
    async with asyncio.timeout(calls.PATIENCE_S):
        while (await redis.info("persistence"))["aof_rewrite_in_progress"]:
            await asyncio.sleep(POLL_S)


async def measure(size: Size, _chance: Random, redis_url: str, redis: "Redis[bytes]") -> Figures:
    """Send callbacks of ringing calls at a steady pace; each is decided and stored before the round ends."""
    figures, recorded = Figures(), await calls.record(redis_url, redis)
    try:
        await _keep_file(redis)
        async with (
            FakeTwilio() as twilio,
            conferral("webhooks", redis_url, twilio.url, CONFERRAL_PUBLIC_URL=PUBLIC_URL) as webhooks,
            conferral("worker", redis_url, twilio.url) as worker,
        ):
            for number in range(size.rounds):
                numbers = range(number * size.calls, (number + 1) * size.calls)
                requests = [request(one, *status) for status in enumerate(_STATUSES) for one in numbers]
                await calls.store(redis, recorded.begun(numbers))
                await calls.all_decided(redis, worker)
                before_s = await _cpu_s(redis)
                await load.send_paced(webhooks.port, requests, connections=CONNECTIONS, per_s=EVENTS_PER_S)
                await calls.all_decided(redis, worker)
                figures.add("live_event_us", (await _cpu_s(redis) - before_s) / len(requests) * 1e6)
    finally:
        await redis.config_set("appendonly", "no")
    return figures
