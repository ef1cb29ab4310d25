"""How long does a REST request take from the published command, on an idle system?"""

import asyncio
import time
from dataclasses import dataclass
from random import Random

from redis.asyncio import Redis

from benchmarks.support import calls
from benchmarks.support.fake_twilio import FakeTwilio
from benchmarks.support.figures import Figures
from benchmarks.support.programs import conferral

#: A request that takes longer is lost, in seconds.
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int
    commands: int
    #: Mean pause between two commands, in seconds; nothing else runs meanwhile.
    pause_s: float = 0.01


SIZES = {"full": Size(rounds=5, commands=1_000), "quick": Size(rounds=2, commands=200),
         "tiny": Size(rounds=1, commands=3)}  # fmt: skip


async def measure(size: Size, chance: Random, redis_url: str, redis: "Redis[bytes]") -> Figures:
    """Convert calls one by one; each request must arrive before the next command. Each round has a fresh worker."""
    figures = Figures()
    recorded = await calls.record(redis_url, redis)
    for _ in range(size.rounds):
        await redis.flushall()
        # No one joins the conferences; without this, repairs of the conversions would interfere.
        settings = {"CONFERRAL_CONVERT_TIMEOUT": "60"}
        async with FakeTwilio() as twilio, conferral("worker", redis_url, twilio.url, **settings) as worker:
            await calls.connect(redis, recorded, range(size.commands + 1), worker)
            found = []
            for number in range(size.commands + 1):
                await asyncio.sleep(size.pause_s * chance.uniform(0.5, 1.5))
                sids = calls.call_sids(number)
                began_s = time.monotonic()
                await redis.xadd("conferral:commands", {"type": "convert", "session": sids[0]})
                async with asyncio.timeout(PATIENCE_S):
                    found.append(await twilio.posted(*sids) - began_s)
            # The first request opens the connection.
            figures.add_percentiles("command_", found[1:])
    return figures
