"""How long does a REST request take from the published command, idle and under load, compared with task queues?"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from random import Random

from benchmarks import backlog
from benchmarks.children import Child
from benchmarks.fake_twilio import FakeTwilio
from benchmarks.figures import Figures
from benchmarks.machine import OTHER_CORE, PEERS
from benchmarks.redis_load import pinned_redis
from conferral.storage.commands import command_stream
from conferral.storage.connection.client import Client, make_client

PATIENCE_S = 10.0
#: Sessions whose callbacks are the load; their numbers don't overlap with those of the commands.
NOISY = range(1_000_000, 1_000_500)
#: Interval at which the load's events are stored, in seconds.
_TICK_S = 0.005


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int
    #: Commands of each round, idle.
    commands: int
    #: The same for the others, and for each load.
    other_commands: int
    #: Mean pause between two commands, in seconds; nothing else runs meanwhile.
    pause_s: float
    #: Events per second that the same worker decides meanwhile.
    loads: tuple[int, ...]


SIZES = {
    "full": Size(rounds=5, commands=2_000, other_commands=200, pause_s=0.005, loads=(500, 1_000, 2_000, 4_000, 6_000)),
    "quick": Size(rounds=2, commands=200, other_commands=50, pause_s=0.008, loads=(500, 2_000)),
    "tiny": Size(rounds=1, commands=3, other_commands=3, pause_s=0.005, loads=(200,)),
}
Publish = Callable[[int], Awaitable[float]]


async def _samples(twilio: FakeTwilio, publish: Publish, commands: int, size: Size, chance: Random) -> list[float]:
    """Send commands one by one; each request must arrive before the next command."""
    found = []
    # One extra, because the first request opens the connection.
    for number in range(commands + 1):
        await asyncio.sleep(size.pause_s * chance.uniform(0.5, 1.5))
        began_s = await publish(number)
        async with asyncio.timeout(PATIENCE_S):
            found.append(await twilio.arrivals.get() - began_s)
    return found[1:]


def _publish(client: Client) -> Publish:
    async def publish(number: int) -> float:
        began_s = time.monotonic()
        command = {"type": "convert", "session": backlog.call_sids(number)[0]}
        await command_stream.publish(client, backlog.KEYS, command)
        return began_s

    return publish


async def _idle(kind: str, redis_url: str, client: Client, size: Size, chance: Random) -> list[float]:
    commands = size.commands if kind == "worker" else size.other_commands
    async with FakeTwilio() as twilio, Child(kind, redis_url=redis_url, api_url=twilio.url) as child:
        if kind == "worker":
            await backlog.connect(client, child, range(commands + 1))
        found = await _samples(twilio, _publish(client), commands, size, chance)
        child.check()
        return found


async def _peer(name: str, redis_url: str, size: Size, chance: Random) -> list[float]:
    order = {"redis_url": redis_url, "events": 0}
    async with (
        FakeTwilio() as twilio,
        Child("publisher", peer=name, core=OTHER_CORE, **order) as publisher,
        Child("worker", peer=name, api_url=twilio.url, **order),
    ):

        async def publish(_number: int) -> float:
            return float((await publisher.used("publish"))["published_at_s"])

        return await _samples(twilio, publish, size.other_commands, size, chance)


@asynccontextmanager
async def _load(client: Client, rate_per_s: int) -> AsyncIterator[None]:
    """Store callbacks of other sessions at a steady rate meanwhile."""
    is_over = asyncio.Event()

    async def store() -> None:
        sequence, stored, began_s = count(10), 0, time.monotonic()
        while not is_over.is_set():
            due = int((time.monotonic() - began_s) * rate_per_s)
            numbers = (NOISY[number % len(NOISY)] for number in range(stored, due))
            await backlog.store(client, [backlog.stale(number, next(sequence)) for number in numbers])
            stored = due
            await asyncio.sleep(_TICK_S)

    storing = asyncio.ensure_future(store())
    try:
        yield
    finally:
        is_over.set()
        await storing


async def _loaded(redis_url: str, client: Client, size: Size, chance: Random, figures: Figures) -> None:
    """One worker, with one load after the other."""
    per_load = size.other_commands + 1
    async with FakeTwilio() as twilio, Child("worker", redis_url=redis_url, api_url=twilio.url) as worker:
        await backlog.connect(client, worker, [*NOISY, *range(per_load * len(size.loads))])
        for index, rate_per_s in enumerate(size.loads):
            publish = _publish(client)

            async def of_this_load(number: int, first: int = index * per_load, publish: Publish = publish) -> float:
                return await publish(first + number)

            before, began_s = await worker.used(), time.monotonic()
            async with _load(client, rate_per_s):
                found = await _samples(twilio, of_this_load, size.other_commands, size, chance)
            cpu_s = (await worker.used())["cpu_s"] - before["cpu_s"]
            figures.add_percentiles(f"load_{rate_per_s}", found)
            figures.add(f"load_{rate_per_s}.cpu_percent", 100 * cpu_s / (time.monotonic() - began_s))
            await backlog.all_decided(client, worker)


async def measure(size: Size, chance: Random) -> Figures:
    """Alternate between all of them; each round has fresh processes."""
    figures = Figures()
    with pinned_redis() as redis:
        client = make_client(redis.url)
        for _ in range(size.rounds):
            for kind in ("relay", "worker"):
                await client.flushall()
                figures.add_percentiles(kind, await _idle(kind, redis.url, client, size, chance))
            for name in PEERS:
                await client.flushall()
                figures.add_percentiles(name, await _peer(name, redis.url, size, chance))
            await client.flushall()
            await _loaded(redis.url, client, size, chance, figures)
        await client.aclose()
    return figures
