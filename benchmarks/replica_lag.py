"""How much longer do a callback and a command take while the only replica lags?"""

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

from redis.asyncio import Redis

from benchmarks import ingest
from benchmarks.support import calls, machine
from benchmarks.support.fake_twilio import FakeTwilio
from benchmarks.support.figures import Figures
from benchmarks.support.programs import NO_TWILIO, conferral
from tests.support.ports import HOST
from tests.support.replicated_redis import ReplicatedServers, started

#: How far the replica is behind, by the figures' names, seconds.
LAGS_S = {"none": 0.0, "100_ms": 0.1, "500_ms": 0.5}
#: What takes longer is lost, seconds.
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int
    steps: int


SIZES = {"full": Size(rounds=3, steps=15), "quick": Size(rounds=1, steps=5), "tiny": Size(rounds=1, steps=2)}


async def _answered_s(port: int, request: bytes) -> float:
    """Return how long webhooks take to answer a callback with success."""
    reader, writer = await asyncio.open_connection(HOST, port)
    began_s = time.monotonic()
    writer.write(request)
    async with asyncio.timeout(PATIENCE_S):
        line = await reader.readline()
    took_s = time.monotonic() - began_s
    writer.close()
    assert line.split()[1].startswith(b"2"), line
    return took_s


async def _callbacks_s(servers: ReplicatedServers, size: Size) -> dict[str, list[float]]:
    """Return how long callbacks take, one by one, for each lag."""
    found = {}
    settings = {"CONFERRAL_PUBLIC_URL": ingest.PUBLIC_URL}
    async with conferral("webhooks", servers.url, NO_TWILIO, **settings) as webhooks:
        for at, (name, lag_s) in enumerate(LAGS_S.items()):
            servers.relay.reply_delay_s = lag_s
            requests = [ingest.request(at * (size.steps + 1) + one, 0, "ringing") for one in range(size.steps + 1)]
            # The first opens the connection, and asks for replicas.
            found[name] = [await _answered_s(webhooks.port, request) for request in requests][1:]
    servers.relay.reply_delay_s = 0.0
    return found


async def _commands_s(
    servers: ReplicatedServers, recorded: calls.RecordedCall, redis: "Redis[bytes]", size: Size
) -> dict[str, list[float]]:
    """Return how long commands take from publication to the REST request, one by one, for each lag."""
    found = {}
    async with FakeTwilio() as twilio:
        settings = {"CONFERRAL_CONVERT_TIMEOUT": "60"}  # no one joins: no repairs meanwhile
        async with conferral("worker", servers.url, twilio.url, **settings) as worker:
            await calls.connect(redis, recorded, range(len(LAGS_S) * (size.steps + 1)), worker)
            numbers = iter(range(len(LAGS_S) * (size.steps + 1)))
            for name, lag_s in LAGS_S.items():
                servers.relay.reply_delay_s = lag_s
                took_s = []
                for _ in range(size.steps + 1):
                    sids = calls.call_sids(next(numbers))
                    began_s = time.monotonic()
                    await redis.xadd("conferral:commands", {"type": "convert", "session": sids[0]})
                    async with asyncio.timeout(PATIENCE_S):
                        took_s.append(await twilio.posted(*sids) - began_s)
                found[name] = took_s[1:]
            servers.relay.reply_delay_s = 0.0
    return found


async def measure(size: Size, _chance: Random, redis_url: str, redis: "Redis[bytes]") -> Figures:
    """Hold back what the primary sends to its replica; nothing else runs. Each round has fresh servers."""
    figures = Figures()
    recorded = await calls.record(redis_url, redis)
    for _ in range(size.rounds):
        with tempfile.TemporaryDirectory() as folder:
            async with started(machine.redis_program(), Path(folder)) as servers:
                await servers.attach()
                callbacks_s = await _callbacks_s(servers, size)
                client = Redis.from_url(servers.url, socket_timeout=calls.PATIENCE_S)
                await client.flushall()
                commands_s = await _commands_s(servers, recorded, client, size)
                await client.aclose()
        for name in LAGS_S:
            figures.add_percentiles(f"callback_{name}.", callbacks_s[name])
            figures.add_percentiles(f"command_{name}.", commands_s[name])
    return figures
