"""How long does a command's REST request take, and what does an event cost, while a worker is busy?"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from random import Random

from benchmarks import latency
from benchmarks.support import backlog
from benchmarks.support.children import Child
from benchmarks.support.fake_twilio import FakeTwilio
from benchmarks.support.figures import Figures
from benchmarks.support.redis_load import RedisMeter, pinned_client
from conferral.statemachine.events import Event
from conferral.storage.connection.client import Client

#: Sessions whose callbacks are the load; their numbers don't overlap with those of the commands.
NOISY = range(1_000_000, 1_000_500)
#: Loads, as percentages of the worker's own highest rate.
LOADS_PERCENT = (10, 30, 50, 70, 85)
#: Interval at which the load's events are stored, in seconds.
_TICK_S = 0.002


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int
    #: Events for the highest rate.
    events: int
    #: For each load: time without commands, for its cost, and time with commands, in seconds.
    cost_s: float
    commands_s: float
    #: Mean pause between two commands, in seconds.
    pause_s: float = 0.005


SIZES = {
    "full": Size(rounds=5, events=20_000, cost_s=1.5, commands_s=2.0),
    "quick": Size(rounds=2, events=5_000, cost_s=0.5, commands_s=0.7),
    "tiny": Size(rounds=1, events=200, cost_s=0.2, commands_s=0.2),
}


def _noise(number: int, sequence: Iterator[int]) -> Event:
    """Return a callback of one of the other sessions."""
    return backlog.stale(NOISY[number % len(NOISY)], next(sequence))


async def _highest_rate(client: Client, worker: Child, sequence: Iterator[int], size: Size, figures: Figures) -> float:
    """Return the events per second of a backlog, and add its cost."""
    meter = RedisMeter(client)
    events = [_noise(number, sequence) for number in range(size.events)]
    used, cpu_s = await backlog.decided(client, worker, events, meter)
    redis = await meter.read()
    figures.add("highest.events_per_s", size.events / (used["last_commit"]["s"] - used["first_read"]["s"]))
    figures.add("highest.cpu_us", cpu_s / size.events * 1e6)
    figures.add("highest.redis_us", redis.cpu_s / size.events * 1e6)
    return figures.rounds["highest.events_per_s"][-1]


async def _cost(client: Client, worker: Child, load: backlog.Traffic, size: Size, name: str, figures: Figures) -> None:
    """Add what an event costs at this load, without commands."""
    meter = RedisMeter(client)
    await meter.start()
    before, stored, began_s = await worker.used(), load.stored, time.monotonic()
    await asyncio.sleep(size.cost_s)
    used, redis = await worker.used(), await meter.read()
    took_s, events = time.monotonic() - began_s, max(1, load.stored - stored)
    cpu_s = used["cpu_s"] - before["cpu_s"]
    figures.add(f"{name}.events_per_s", events / took_s)
    figures.add(f"{name}.cpu_us", cpu_s / events * 1e6)
    figures.add(f"{name}.cpu_percent", 100 * cpu_s / took_s)
    figures.add(f"{name}.redis_us", redis.cpu_s / events * 1e6)


async def _latencies(
    twilio: FakeTwilio, publish: latency.Publish, numbers: Iterator[int], size: Size, chance: Random
) -> list[float]:
    """Send commands one by one for a while."""
    found = []
    until_s = time.monotonic() + size.commands_s
    while not found or time.monotonic() < until_s:
        await asyncio.sleep(size.pause_s * chance.uniform(0.5, 1.5))
        found.append(await latency.sample(twilio, publish, next(numbers)))
    return found


async def _round(redis_url: str, client: Client, size: Size, chance: Random, figures: Figures) -> None:
    """One worker: its highest rate, then one load after the other."""
    commands = round(size.commands_s / size.pause_s * 2) * len(LOADS_PERCENT)
    sequence, numbers = count(10), count()
    async with FakeTwilio() as twilio, Child("worker", redis_url=redis_url, api_url=twilio.url) as worker:
        await backlog.connect(client, [*NOISY, *range(commands)], worker)
        publish = latency.publish_with(client)
        # The first request opens the connection.
        await _latencies(twilio, publish, numbers, Size(1, 0, 0, 0), chance)
        highest_per_s = await _highest_rate(client, worker, sequence, size, figures)
        for percent in LOADS_PERCENT:
            name = f"load_{percent}"
            rate_per_s = highest_per_s * percent / 100
            async with backlog.traffic(client, rate_per_s, lambda number: _noise(number, sequence), _TICK_S) as load:
                await _cost(client, worker, load, size, name, figures)
                figures.add_percentiles(name, await _latencies(twilio, publish, numbers, size, chance))
            await backlog.all_decided(client, worker)


async def measure(size: Size, chance: Random) -> Figures:
    """Measure each load in each round; each round has a fresh worker."""
    figures = Figures()
    async with pinned_client() as (redis_url, client):
        for _ in range(size.rounds):
            await client.flushall()
            await _round(redis_url, client, size, chance, figures)
    return figures
