"""How long does a REST request take from the published command, compared with reading it and sending at once?"""

import asyncio
import random
import time
from dataclasses import dataclass, field
from statistics import median

from benchmarks import backlog, figures
from benchmarks.children import Child
from benchmarks.fake_twilio import FakeTwilio
from benchmarks.machine import OTHER_CORE, pin, redis_server
from benchmarks.settings import KEYS
from benchmarks.worker import all_decided
from conferral.storage.commands import command_stream
from conferral.storage.connection.client import Client, make_client

PATIENCE_S = 10.0


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int = 4
    command_stream: int = 50
    #: Mean pause between two commands, in seconds; nothing else runs meanwhile.
    pause_s: float = 0.03


TINY = Size(rounds=1, commands=3, pause_s=0.005)


@dataclass
class Measured:
    """The results of one process's rounds."""

    rounds_s: list[list[float]] = field(default_factory=list)

    @property
    def all_s(self) -> list[float]:
        """Return every sample."""
        return [sample for samples in self.rounds_s for sample in samples]

    @property
    def medians_s(self) -> list[float]:
        """Return each round's median."""
        return [median(samples) for samples in self.rounds_s]


async def _sample(client: Client, twilio: FakeTwilio, call_sid: str) -> float:
    published_at_s = time.monotonic()
    await command_stream.publish(client, KEYS, {"type": "convert", "session": call_sid})
    async with asyncio.timeout(PATIENCE_S):
        return await twilio.arrivals.get() - published_at_s


async def _round(kind: str, redis_url: str, client: Client, size: Size, measured: Measured) -> None:
    chance = random.Random(size.commands)
    await client.flushall()
    # One extra call, because the first request opens the connection.
    calls = range(size.commands + 1)
    async with FakeTwilio() as twilio, Child(kind, redis_url=redis_url, api_url=twilio.url) as child:
        if kind == "worker":
            await backlog.store(client, [event for number in calls for event in backlog.answered(number)])
            await all_decided(client, child)
        samples = []
        for number in calls:
            await asyncio.sleep(size.pause_s * chance.uniform(0.5, 1.5))
            samples.append(await _sample(client, twilio, backlog.call_sids(number)[0]))
        measured.rounds_s.append(samples[1:])
        await child.used()


async def measure(size: Size) -> dict[str, Measured]:
    """Alternate between the two; each round has a fresh process."""
    measured = {"relay": Measured(), "worker": Measured()}
    with redis_server() as redis:
        assert redis.process is not None
        pin(redis.process.pid, OTHER_CORE)
        client = make_client(redis.url)
        for _ in range(size.rounds):
            for kind in measured:
                await _round(kind, redis.url, client, size, measured[kind])
        await client.aclose()
    return measured


async def report(size: Size) -> None:
    """Measure and print."""
    measured = await measure(size)
    rows = [
        [name, *figures.milliseconds(measured[kind].all_s)]
        for kind, name in (
            ("relay", "reads and sends, nothing else"),
            ("worker", "worker: routed, committed, sent"),
        )
    ]
    figures.show("idle, from XADD to the request's arrival", figures.MILLISECONDS, rows)
    worker, relay = measured["worker"].medians_s, measured["relay"].medians_s
    print(f"  p50, worker / floor: {figures.ratio(worker, relay)}")
