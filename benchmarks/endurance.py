"""Do cost and memory stay flat with many live sessions and a steady load, though a worker is killed?"""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random
from statistics import median

from redis.asyncio import Redis

from benchmarks import takeover
from benchmarks.support import calls
from benchmarks.support.figures import Figures
from benchmarks.support.programs import NO_TWILIO, Program, conferral

#: Ended sessions leave Redis soon, so that its memory can become steady.
SETTINGS = {"CONFERRAL_SESSION_TTL": "60"}
#: In a shorter run, memory still grows, in seconds.
STEADY_AFTER_S = 300.0
#: How much more the last third may use than the first: of CPU time for an event, and of memory. The worker that is left
#: holds all sessions for a while, and keeps that memory.
_GROWTH_MAX = {"cpu_us": 1.2, "workers_bytes": 1.5, "redis_bytes": 1.1}
_TICK_S = 0.01


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    sessions: int
    events_per_s: int
    duration_s: float
    #: A window's cost and memory are one measurement; a worker is killed in the middle of all of them.
    window_s: float


SIZES = {
    "full": Size(sessions=50_000, events_per_s=2_000, duration_s=600.0, window_s=20.0),
    "quick": Size(sessions=2_000, events_per_s=500, duration_s=30.0, window_s=2.0),
    "tiny": Size(sessions=70, events_per_s=100, duration_s=3.0, window_s=0.5),
}


class Calls:
    """Endless calls: as many begin as end."""

    def __init__(self, recorded: calls.RecordedCall, sessions: int) -> None:
        self._recorded = recorded
        self._sessions = sessions
        self._ended = 0
        self.stored = 0

    def live(self) -> range:
        """Return the calls that are connected now."""
        return range(self._ended, self._ended + self._sessions)

    async def turn(self, redis: "Redis[bytes]", count: int) -> None:
        """End the oldest calls, and begin as many."""
        begun, self._ended = self.live().stop, self._ended + count
        entries = self._recorded.answered(range(begun, begun + count))
        for number in range(self._ended - count, self._ended):
            entries += self._recorded.copy(number, self._recorded.ended)
        await calls.store(redis, entries)
        self.stored += len(entries)


async def _feed(redis: "Redis[bytes]", load: Calls, events: int, size: Size, is_over: asyncio.Event) -> None:
    began_s = time.monotonic()
    while not is_over.is_set():
        due = int((time.monotonic() - began_s) * size.events_per_s)
        await load.turn(redis, max(0, due - load.stored) // events)
        await asyncio.sleep(_TICK_S)


def _judge(figures: Figures, duration_s: float) -> None:
    for name, most in _GROWTH_MAX.items():
        rounds = figures.rounds[name]
        third = max(1, len(rounds) // 3)
        growth = median(rounds[-third:]) / median(rounds[:third])
        figures.add(f"{name}_growth_times", growth)
        if growth > most and duration_s >= STEADY_AFTER_S:
            figures.problems.append(f"{name}: {growth:.2f} times as much in the last third as in the first")


async def measure(size: Size, _chance: Random, redis_url: str, redis: "Redis[bytes]") -> Figures:
    """Connect all sessions, feed two workers, kill one in the middle, and judge."""
    figures, recorded = Figures(), await calls.record(redis_url, redis)
    load, is_over = Calls(recorded, size.sessions), asyncio.Event()
    async with AsyncExitStack() as stack:

        async def started() -> Program:
            return await stack.enter_async_context(conferral("worker", redis_url, NO_TWILIO, **SETTINGS))

        workers = [await started() for _ in range(takeover.WORKERS)]
        await takeover.shared(redis)
        await calls.connect(redis, recorded, load.live(), *workers)
        feeding = asyncio.ensure_future(_feed(redis, load, recorded.events, size, is_over))
        windows = round(size.duration_s / size.window_s)
        for window in range(windows):
            if window == windows // 2:
                await workers.pop(0).kill()
                workers.append(await started())
            cpu_s, left = sum(one.cpu_s() for one in workers), sum(await calls.undecided(redis)) - load.stored
            await asyncio.sleep(size.window_s)
            waiting = sum(await calls.undecided(redis))
            cpu_s, decided = sum(one.cpu_s() for one in workers) - cpu_s, left - waiting + load.stored
            figures.add("cpu_us", cpu_s / max(1, decided) * 1e6)
            figures.add("events_per_s", decided / size.window_s)
            figures.add("workers_bytes", sum(one.memory_bytes() for one in workers))
            figures.add("redis_bytes", (await redis.info("memory"))["used_memory"])
            figures.add("waiting_count", waiting)
        is_over.set()
        await feeding
        await calls.all_decided(redis, *workers)
        figures.add("dead_letters_count", await redis.xlen("conferral:dead"))
    _judge(figures, size.duration_s)
    figures.add("sessions_count", size.sessions)
    if any(figures.rounds["dead_letters_count"]):
        figures.problems.append("there are dead letters")
    return figures
