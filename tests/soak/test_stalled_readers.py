"""A thousand readers of event streams that connect and stall, again and again, while people are on the line."""

import asyncio
import socket
import time
from contextlib import ExitStack
from random import Random

import aiohttp
import pytest

from tests.soak.services import HOST
from tests.soak.soak_environment import SWEEP_S, soak_environment
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.soak, pytest.mark.redis, pytest.mark.processes, pytest.mark.timeout(400)]
TOKEN = "a-token-that-no-one-guesses-0123456789"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/event-stream"}
READERS = 1_000
STREAMS = 200
AT_ONCE = 30
PER_SECOND = 1.5
#: How long they stall, seconds: several times the 10 s after which one that reads nothing is disconnected.
STALLED_S = 40.0
ALONE_S = 2 + 7 + SWEEP_S + 10
SETTLE_S = 90.0


async def _stalled(port: int) -> socket.socket:
    """Return a reader that asks for all sessions and reads nothing, with the smallest buffer that there is."""
    reader, loop = socket.socket(), asyncio.get_running_loop()
    reader.setblocking(False)
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    await loop.sock_connect(reader, (HOST, port))
    head = "".join(f"{name}: {value}\r\n" for name, value in ({"Host": HOST} | HEADERS).items())
    await loop.sock_sendall(reader, f"GET /sessions HTTP/1.1\r\n{head}\r\n".encode())
    return reader


async def test_stalled_readers_harm_no_call(durable_redis: RedisServer, chance: Random) -> None:
    async with (
        soak_environment(durable_redis.url, chance, webhooks=1, CONFERRAL_API_TOKEN=TOKEN) as on,
        aiohttp.ClientSession() as client,
    ):
        (port,) = on.services.webhook_ports

        async def metric(name: str) -> int:
            async with client.get(f"http://{HOST}:{port}/metrics") as answer:
                lines = (await answer.text()).splitlines()
            return round(float(next(line.split()[1] for line in lines if line.startswith(f"{name} "))))

        traffic = on.traffic(per_second=PER_SECOND, lasts_s=AT_ONCE / PER_SECOND)
        traffic.start()
        await on.filled(AT_ONCE, 60)
        served, refused, until_s = [], 0, time.monotonic() + STALLED_S
        while time.monotonic() < until_s:
            with ExitStack() as stack:
                for _ in range(READERS // 100):
                    for reader in await asyncio.gather(*(_stalled(port) for _ in range(100))):
                        stack.callback(reader.close)
                async with asyncio.timeout(60):
                    while await metric("conferral_streams_refused_total") < refused + READERS - STREAMS:
                        await asyncio.sleep(0.1)
                served.append(await metric("conferral_streams"))
                refused = await metric("conferral_streams_refused_total")
                # Most stay until the server disconnects them, since they read nothing.
                async with asyncio.timeout(60):
                    while await metric("conferral_streams") > STREAMS // 10:
                        await asyncio.sleep(0.1)
        await on.all_hang_up(traffic)
        await on.ends(settle_s=SETTLE_S, alone_s=ALONE_S)

    deliveries = on.sandbox.request_log.deliveries
    failed = [one for one in deliveries if any(attempt.failure for attempt in one.attempts)]
    assert len(served) > 1
    assert set(served) == {STREAMS}
    assert not failed
    assert traffic.calls > AT_ONCE
    assert not traffic.never_talked
