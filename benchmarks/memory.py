"""How much memory does a live session take in a worker and in Redis?"""

from dataclasses import dataclass
from random import Random

from redis.asyncio import Redis

from benchmarks.support import calls
from benchmarks.support.figures import Figures
from benchmarks.support.programs import NO_TWILIO, conferral


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int
    sessions: int
    #: Sessions that a worker loads before its memory is first measured: what any number of them takes.
    warm_up: int


SIZES = {"full": Size(3, 20_000, 2_500), "quick": Size(2, 5_000, 1_000), "tiny": Size(1, 200, 20)}
#: What the webhooks write for each leg: the session of a call, for a week.
_WEEK_S = 604_800


async def _in_redis(redis_url: str, redis: "Redis[bytes]", recorded: calls.RecordedCall, sessions: int) -> float:
    """Return the bytes of a session whose parties talk, with its log and its calls' entries in the index."""
    async with conferral("worker", redis_url, NO_TWILIO) as worker:
        await calls.connect(redis, recorded, range(1), worker)
        empty = (await redis.info("memory"))["used_memory"]
        await calls.connect(redis, recorded, range(1, sessions), worker)
        pipeline = redis.pipeline(transaction=False)
        for number in range(1, sessions):
            for sid in calls.call_sids(number):
                pipeline.set(f"conferral:call:{sid}", calls.call_sids(number)[0], ex=_WEEK_S)
        await pipeline.execute()
        return float((await redis.info("memory"))["used_memory"] - empty) / (sessions - 1)


async def _in_worker(redis_url: str, redis: "Redis[bytes]", recorded: calls.RecordedCall, size: Size) -> float:
    """Return the bytes by which a fresh worker grows for each session that it loads, by one event each."""
    async with conferral("worker", redis_url, NO_TWILIO) as worker:

        async def load(numbers: range) -> int:
            for start in range(numbers.start, numbers.stop, size.warm_up):
                some = range(start, min(start + size.warm_up, numbers.stop))
                await calls.store(redis, [recorded.repeated(number) for number in some])
                await calls.all_decided(redis, worker)
            return worker.memory_bytes()

        before = await load(range(size.warm_up))
        return (await load(range(size.warm_up, size.sessions)) - before) / (size.sessions - size.warm_up)


async def measure(size: Size, _chance: Random, redis_url: str, redis: "Redis[bytes]") -> Figures:
    """Store sessions once, then let a fresh worker load them in each round."""
    figures = Figures()
    recorded = await calls.record(redis_url, redis)
    figures.add("redis_bytes", await _in_redis(redis_url, redis, recorded, size.sessions))
    for _ in range(size.rounds):
        figures.add("worker_bytes", await _in_worker(redis_url, redis, recorded, size))
    figures.add("sessions_count", size.sessions)
    return figures
