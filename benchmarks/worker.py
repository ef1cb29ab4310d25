"""How much CPU time does a worker need for an event, compared with a task queue that does the bare minimum?"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from redis.asyncio import Redis

from benchmarks.support import calls
from benchmarks.support.figures import Figures
from benchmarks.support.machine import OTHER_CORE
from benchmarks.support.programs import NO_TWILIO, POLL_S, Program, conferral, peer

#: The first tenth of a backlog warms the program up.
_WARM_UP = 0.1
#: Commands that Redis's log of durations keeps, count.
_COMMANDS_MAX = 1_000_000


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int
    events: int
    peer_events: int
    calls_at_once: int


SIZES = {
    "full": Size(rounds=5, events=35_000, peer_events=7_000, calls_at_once=1_000),
    "quick": Size(rounds=2, events=14_000, peer_events=2_000, calls_at_once=1_000),
    "tiny": Size(rounds=1, events=700, peer_events=140, calls_at_once=10),
}


async def _cpu_us(program: Program, count: int, left: Callable[[], Awaitable[int]]) -> float:
    """Return the CPU time for each event of a backlog, from its second tenth on."""
    began: tuple[int, float] | None = None
    async with asyncio.timeout(calls.PATIENCE_S):
        while (now := await left()) > 0:
            program.check()
            if began is None and now <= count * (1 - _WARM_UP):
                began = now, program.cpu_s()
            await asyncio.sleep(POLL_S)
    assert began is not None, "the backlog was gone before it could be measured"
    return (program.cpu_s() - began[1]) / began[0] * 1e6


async def _worker(
    redis_url: str, redis: "Redis[bytes]", recorded: calls.RecordedCall, size: Size, figures: Figures
) -> None:
    """Calls from their start to their end, stored before the worker starts."""

    async def left() -> int:
        return sum(await calls.undecided(redis))

    await calls.store(redis, recorded.whole(size.events, size.calls_at_once))
    await _time_commands(redis)
    async with conferral("worker", redis_url, NO_TWILIO) as worker:
        figures.add("worker.cpu_us", await _cpu_us(worker, size.events, left))
    figures.add("worker.core_events_per_s", 1e6 / figures.rounds["worker.cpu_us"][-1])
    figures.add_percentiles("script_", await _script_durations_s(redis))


async def _time_commands(redis: "Redis[bytes]") -> None:
    """Let Redis record how long it is busy with each command."""
    await redis.config_set("slowlog-log-slower-than", 0)
    await redis.config_set("slowlog-max-len", _COMMANDS_MAX)
    await redis.slowlog_reset()


async def _script_durations_s(redis: "Redis[bytes]") -> list[float]:
    """Return the recorded durations of scripts; record no more."""
    await redis.config_set("slowlog-log-slower-than", -1)
    recorded = await redis.slowlog_get(_COMMANDS_MAX)
    return [one["duration"] / 1e6 for one in recorded if one["command"].startswith(b"EVALSHA")]


async def _taskiq(redis_url: str, redis: "Redis[bytes]", size: Size) -> float:
    """As many steps of calls in taskiq; its worker writes one session for each."""
    tasks, environ = "benchmarks.peers.taskiq_tasks", {"REDIS_URL": redis_url}
    async with peer("python", "-m", tasks, str(size.peer_events), core=OTHER_CORE, **environ) as publisher:
        await publisher.finished()
    await redis.config_resetstat()

    async def left() -> int:
        done = (await redis.info("commandstats")).get("cmdstat_xack", {"calls": 0})["calls"]
        return size.peer_events - int(done)

    tuning = ("--workers", "1", "--max-async-tasks", "100", "--max-prefetch", "100", "--log-level", "WARNING")
    async with peer("taskiq", "worker", f"{tasks}:broker", *tuning, **environ) as worker:
        return await _cpu_us(worker, size.peer_events, left)


async def measure(size: Size, _chance: Random, redis_url: str, redis: "Redis[bytes]") -> Figures:
    """Alternate between both; each round has fresh processes and a fresh backlog."""
    figures = Figures()
    recorded = await calls.record(redis_url, redis)
    for _ in range(size.rounds):
        await redis.flushall()
        await _worker(redis_url, redis, recorded, size, figures)
        await redis.flushall()
        figures.add("taskiq.cpu_us", await _taskiq(redis_url, redis, size))
    figures.add("call.events", recorded.events)
    figures.add_ratio("taskiq_to_worker_times", "taskiq.cpu_us", "worker.cpu_us")
    return figures
