"""What do many live sessions cost: CPU time per event, memory of a worker and of Redis, pauses of the collector?"""

from dataclasses import dataclass
from itertools import count
from random import Random

from benchmarks.support import backlog
from benchmarks.support.children import Child
from benchmarks.support.figures import Figures
from benchmarks.support.redis_load import RedisMeter, pinned_client
from conferral.storage.connection.client import Client


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int
    #: Live sessions at which an event's cost is measured; the last one also measures memory.
    points: tuple[int, ...]
    #: Events measured at each point.
    events: int


SIZES = {
    "full": Size(rounds=5, points=(1_000, 10_000, 30_000, 100_000), events=10_000),
    "quick": Size(rounds=2, points=(1_000, 5_000), events=3_000),
    "tiny": Size(rounds=1, points=(10, 20), events=30),
}


async def _used_memory(client: Client) -> int:
    return int((await client.info("memory"))["used_memory"])


async def _sample(client: Client, worker: Child, numbers: range, events: int, chance: Random) -> tuple[float, float]:
    """Return microseconds of CPU, and reads of sessions, per event of randomly chosen live sessions."""
    sequence = count(chance.randrange(1_000, 1_000_000))
    meter = RedisMeter(client)
    stale = [backlog.stale(chance.choice(numbers), next(sequence)) for _ in range(events)]
    _, cpu_s = await backlog.decided(client, worker, stale, meter)
    return cpu_s / events * 1e6, (await meter.read()).session_reads / events


async def _grow(redis_url: str, client: Client, size: Size, chance: Random, figures: Figures) -> None:
    """Let one worker's sessions grow, and measure an event at each point."""
    connected = 0
    empty = await _used_memory(client)
    async with Child("worker", redis_url=redis_url, api_url=backlog.NO_API) as worker:
        for point in size.points:
            await backlog.connect(client, range(connected, point), worker)
            connected = point
            if point == size.points[-1]:
                figures.add("redis_bytes", (await _used_memory(client) - empty) / point)
            for _ in range(size.rounds):
                cpu_us, reads = await _sample(client, worker, range(point), size.events, chance)
                figures.add(f"live_{point}.cpu_us", cpu_us)
                figures.add(f"live_{point}.reads_per_event", reads)


async def _load_all(redis_url: str, client: Client, sessions: int, chance: Random, figures: Figures) -> None:
    """Let a fresh worker load every session, by one event each."""
    sequence = chance.randrange(1_000, 1_000_000)
    async with Child("worker", redis_url=redis_url, api_url=backlog.NO_API) as worker:
        await backlog.store(client, [backlog.stale(0, sequence)])
        await backlog.all_decided(client, worker)
        before = await worker.used("mark")
        for start in range(0, sessions, backlog.TOGETHER):
            numbers = range(start, min(sessions, start + backlog.TOGETHER))
            await backlog.store(client, [backlog.stale(number, sequence + 1) for number in numbers])
            await backlog.all_decided(client, worker)
        used = await worker.used()
    figures.add("worker_bytes", (used["memory_bytes"] - before["memory_bytes"]) / sessions)
    figures.add("collector_pause_ms", used["longest_pause_s"] * 1000)
    figures.add("load.cpu_us", (used["cpu_s"] - before["cpu_s"]) / sessions * 1e6)


async def measure(size: Size, chance: Random) -> Figures:
    """Grow once, then load everything in each round."""
    figures = Figures()
    async with pinned_client() as (redis_url, client):
        await _grow(redis_url, client, size, chance, figures)
        figures.add("sessions_count", size.points[-1])
        for _ in range(size.rounds):
            await _load_all(redis_url, client, size.points[-1], chance, figures)
    return figures
