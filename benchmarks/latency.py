"""How long does a REST request take from the published command on an idle system, compared with task queues?"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from benchmarks.support import backlog
from benchmarks.support.children import Child
from benchmarks.support.fake_twilio import FakeTwilio
from benchmarks.support.figures import Figures
from benchmarks.support.machine import OTHER_CORE, PEERS
from benchmarks.support.redis_load import pinned_client
from conferral.storage.commands import command_stream
from conferral.storage.connection.client import Client

PATIENCE_S = 10.0
#: The call of every command that a task queue gets.
PEER_CALL_SID = "CA" + "0" * 32


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


SIZES = {
    "full": Size(rounds=5, commands=2_000, other_commands=200, pause_s=0.005),
    "quick": Size(rounds=2, commands=200, other_commands=50, pause_s=0.008),
    "tiny": Size(rounds=1, commands=3, other_commands=3, pause_s=0.005),
}
Publish = Callable[[int], Awaitable[float]]


async def _samples(twilio: FakeTwilio, publish: Publish, commands: int, size: Size, chance: Random) -> list[float]:
    """Send commands one by one; each request must arrive before the next command."""
    found = []
    # One extra, because the first request opens the connection.
    for number in range(commands + 1):
        await asyncio.sleep(size.pause_s * chance.uniform(0.5, 1.5))
        found.append(await sample(twilio, publish, number))
    return found[1:]


async def sample(twilio: FakeTwilio, publish: Publish, number: int) -> float:
    """Publish a command for a call; return the seconds until its request has arrived."""
    began_s = await publish(number)
    async with asyncio.timeout(PATIENCE_S):
        return await twilio.posted(*backlog.call_sids(number), PEER_CALL_SID) - began_s


def publish_with(client: Client) -> Publish:
    """Return a function that publishes a command for a call, and returns when."""

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
            await backlog.connect(client, range(commands + 1), child)
        found = await _samples(twilio, publish_with(client), commands, size, chance)
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


async def measure(size: Size, chance: Random) -> Figures:
    """Alternate between all of them; each round has fresh processes."""
    figures = Figures()
    async with pinned_client() as (redis_url, client):
        for _ in range(size.rounds):
            for kind in ("relay", "worker"):
                await client.flushall()
                figures.add_percentiles(kind, await _idle(kind, redis_url, client, size, chance))
            for name in PEERS:
                await client.flushall()
                figures.add_percentiles(name, await _peer(name, redis_url, size, chance))
    return figures
