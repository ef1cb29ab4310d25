"""Do cost and memory stay flat with many live sessions and a steady load, though a worker is killed?"""

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
from benchmarks.support.settings import KEYS
from conferral.statemachine.events import Event
from conferral.storage.connection.client import Client

_TICK_S = 0.01
#: Ended sessions leave Redis soon, so that its memory can become steady.
SETTINGS = {"CONFERRAL_SESSION_TTL": "60"}
#: In a shorter run, memory still grows, in seconds.
STEADY_AFTER_S = 300.0
#: How much more the last third may use than the first: of CPU time for an event, and of memory.
_GROWTH_MAX = {"cpu_us": 1.2, "workers_bytes": 1.1, "redis_bytes": 1.1}


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    sessions: int
    events_per_s: int
    duration_s: float
    #: A window's cost and memory are one measurement; the worker is killed in the middle of all of them.
    window_s: float


SIZES = {
    "full": Size(sessions=50_000, events_per_s=2_000, duration_s=600.0, window_s=20.0),
    "quick": Size(sessions=2_000, events_per_s=500, duration_s=30.0, window_s=2.0),
    "tiny": Size(sessions=70, events_per_s=100, duration_s=3.0, window_s=0.5),
}


class Calls:
    """Endless calls: each event of one moment is the next of calls that began at different times."""

    def __init__(self, sessions: int) -> None:
        self.events_of_a_call = len(backlog.whole(0))
        #: Calls that begin between two events of one call.
        self._apart = max(1, sessions // self.events_of_a_call)
        self._begun = 0

    def next(self, calls: int) -> list[Event]:
        """Return the events until so many more calls have begun."""
        found = []
        for first in range(self._begun, self._begun + calls):
            for step in range(self.events_of_a_call):
                number = first - step * self._apart
                if number >= 0:
                    found.append(backlog.whole(number)[step])
        self._begun += calls
        return found

    def fill(self) -> list[Event]:
        """Return the events until as many calls are live as always from then on."""
        return self.next(self._apart * (self.events_of_a_call - 1))


@dataclass(frozen=True)
class _Window:
    cpu_s: float
    events: int
    worker_bytes: float
    redis_bytes: float
    waiting: int


class _Run:
    def __init__(self, stack: AsyncExitStack, redis_url: str, client: Client, size: Size) -> None:
        self._stack = stack
        self._redis_url = redis_url
        self._client = client
        self.size = size
        self._calls = Calls(size.sessions)
        self._stored = 0
        self._is_over = asyncio.Event()
        self.workers: list[Child] = []
        self.windows: list[_Window] = []

    async def start_worker(self) -> None:
        worker = takeover.new_worker(self._redis_url, SETTINGS)
        self.workers.append(await self._stack.enter_async_context(worker))

    async def fill(self) -> None:
        """Begin as many calls as are live from then on."""
        events = self._calls.fill()
        for start in range(0, len(events), 10_000):
            await backlog.store(self._client, events[start : start + 10_000])
            await backlog.all_decided(self._client, *self.workers)

    async def feed(self) -> None:
        """Store events at the steady rate until `stop`."""
        began_s = time.monotonic()
        while not self._is_over.is_set():
            due = int((time.monotonic() - began_s) * self.size.events_per_s)
            calls = (due - self._stored) // self._calls.events_of_a_call
            events = self._calls.next(calls)
            await backlog.store(self._client, events)
            self._stored += len(events)
            await asyncio.sleep(_TICK_S)

    async def watch(self) -> None:
        """Measure window by window, and kill the first worker in the middle."""
        windows = round(self.size.duration_s / self.size.window_s)
        for number in range(windows):
            if number == windows // 2:
                await takeover.killed(self._client, self.workers.pop(0))
                await self.start_worker()
            before, decided = await self._cpu_s(), await self._decided()
            await asyncio.sleep(self.size.window_s)
            used = [await worker.used() for worker in self.workers]
            memory = await self._client.info("memory")
            self.windows.append(_Window(
                cpu_s=sum(one["cpu_s"] for one in used) - before,
                events=await self._decided() - decided,
                worker_bytes=sum(one["memory_bytes"] for one in used),
                redis_bytes=memory["used_memory"],
                waiting=await backlog.left(self._client),
            ))  # fmt: skip
        self._is_over.set()

    async def _decided(self) -> int:
        return self._stored - await backlog.left(self._client)

    async def _cpu_s(self) -> float:
        return float(sum([(await worker.used())["cpu_s"] for worker in self.workers]))


def _judge(run: _Run, figures: Figures) -> None:
    for window in run.windows:
        figures.add("cpu_us", window.cpu_s / max(1, window.events) * 1e6)
        figures.add("events_per_s", window.events / run.size.window_s)
        figures.add("workers_bytes", window.worker_bytes)
        figures.add("redis_bytes", window.redis_bytes)
        figures.add("waiting_count", window.waiting)
    # The third after the kill contains the takeover, and its end.
    third = max(1, len(run.windows) // 3)
    for name, most in _GROWTH_MAX.items():
        rounds = figures.rounds[name]
        first, last = sorted(rounds[:third]), sorted(rounds[-third:])
        growth = last[len(last) // 2] / first[len(first) // 2]
        figures.add(f"{name}_growth_times", growth)
        if growth > most and run.size.duration_s >= STEADY_AFTER_S:
            figures.problems.append(f"{name}: {growth:.2f} times as much in the last third as in the first")


async def measure(size: Size, _chance: Random) -> Figures:
    """Fill, feed, kill one of two workers, and judge."""
    figures = Figures()
    async with pinned_client() as (redis_url, client), AsyncExitStack() as stack:
        run = _Run(stack, redis_url, client, size)
        for _ in range(2):
            await run.start_worker()
        await takeover.shared(client, run.workers)
        await run.fill()
        await asyncio.gather(run.feed(), run.watch())
        await backlog.all_decided(client, *run.workers)
        dead = await client.xlen(KEYS.dead)
    _judge(run, figures)
    figures.add("sessions_count", size.sessions)
    figures.add("dead_letters_count", dead)
    if dead:
        figures.problems.append(f"{dead} dead letters")
    return figures
