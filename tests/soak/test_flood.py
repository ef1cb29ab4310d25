"""Webhooks at several times what Redis takes: answers in time, memory flat.

Time is the loop's: it stands still while the webhooks wait for a processor.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from yarl import URL

from conferral.storage.connection.client import make_client
from conferral.storage.keys import Keys
from tests.soak.services import Services
from tests.support.fair_time import forget_process, watch_process
from tests.support.redis_server import RedisServer
from tests.support.tcp_relay import Relay
from tests.webhooks.webhook_helpers import ENVIRON, fields, signed

pytestmark = [pytest.mark.soak, pytest.mark.redis, pytest.mark.processes, pytest.mark.timeout(240)]

#: What each connection to Redis carries, bytes a second: with the publisher's four some hundred events.
REDIS_BYTES_PER_S = 60_000
FLOOD_S = 20.0
#: Twilio gives up after this, seconds.
TWILIO_WAITS_S = 15.0
#: Connections by what is sent over them.
CONNECTIONS = {"/voice/inbound": 200, "/callbacks/call": 200, "/callbacks/conference": 100}
VOICE = "/voice/inbound"


@dataclass
class Answers:
    """What was answered to one kind of request."""

    statuses: Counter[int] = field(default_factory=Counter)
    slowest_s: float = 0.0
    without_document: int = 0


def request(path: str, number: int) -> tuple[URL, bytes, dict[str, str]]:
    """As Twilio sends it; each of another call."""
    caller, agent = f"CA{number:032x}", f"CA{number + (1 << 64):032x}"
    if path == VOICE:
        target, form = path, fields("call_arrives", CallSid=caller, CallToken="%7B" + "t" * 3_000 + "%7D")
    elif path == "/callbacks/call":
        target, form = f"{path}?session={caller}&party=agent&v=1", fields("agent_rings", CallSid=agent)
    else:
        target, form = f"{path}?session={caller}&v=1", fields("customer_speaks", CallSid=agent)
    return URL(target, encoded=True), urlencode(form).encode(), {"Host": "example.com", **signed(target, form)}


async def send(client: aiohttp.ClientSession, requests: list[Any], answers: Answers, stop: asyncio.Event) -> None:
    """One connection's requests, each as soon as the answer before is there."""
    loop = asyncio.get_running_loop()
    for url, body, headers in cycle(requests):
        if stop.is_set():
            return
        sent_at_s = loop.time()
        async with client.post(url, data=body, headers=headers) as answer:
            document = await answer.text()
        answers.slowest_s = max(answers.slowest_s, loop.time() - sent_at_s)
        answers.statuses[answer.status] += 1
        if url.path == VOICE and not ("<Dial" in document and "</Response>" in document):
            answers.without_document += 1


@asynccontextmanager
async def webhooks_of(redis_url: str) -> AsyncIterator[tuple[int, int]]:
    """The webhooks as they are run; their port and process id."""
    with Services({**ENVIRON, "CONFERRAL_AGENT": "+14155550199", "REDIS_URL": redis_url}) as services:
        services.start_webhooks(1)
        (port,), (webhooks, *_) = services.webhook_ports, services.webhooks
        async with asyncio.timeout(60):
            while await ready(port) != (200, []):
                assert webhooks.is_up
                await asyncio.sleep(0.05)
        watch_process(webhooks.pid)
        yield port, webhooks.pid
        forget_process(webhooks.pid)
        await services.stop(webhooks)


async def ready(port: int) -> tuple[int, list[str]]:
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/readyz") as answer:
            return answer.status, (await answer.json())["missing"]
    except aiohttp.ClientError:
        return 0, []


async def counted(port: int) -> dict[str, float]:
    """Sums of the metrics of load."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        text = await answer.text()
    found: Counter[str] = Counter()
    for line in text.splitlines():
        if unstored := re.match(r"conferral_webhook_store_errors_total\{.*\} (\S+)", line):
            found["without store"] += float(unstored[1])
    return dict(found)


def memory_mib(process_id: int) -> float:
    lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


async def flood(port: int, process_id: int) -> tuple[dict[str, Answers], list[float]]:
    """Sends for a while; what came back, and the process's memory each second, MiB."""
    answers, stop, memory = {path: Answers() for path in CONNECTIONS}, asyncio.Event(), list[float]()
    requests = {path: [request(path, number) for number in range(2_000)] for path in CONNECTIONS}
    connector, loop = aiohttp.TCPConnector(limit=0), asyncio.get_running_loop()
    until_s = loop.time() + FLOOD_S
    async with (
        asyncio.timeout(FLOOD_S + 2 * TWILIO_WAITS_S),
        aiohttp.ClientSession(f"http://127.0.0.1:{port}", connector=connector) as client,
        asyncio.TaskGroup() as calls,
    ):
        for path, connections in CONNECTIONS.items():
            for number in range(connections):
                own = requests[path][number * 5 :] + requests[path][: number * 5]
                calls.create_task(send(client, own, answers[path], stop))
        while loop.time() < until_s:
            await asyncio.sleep(0.9)
            memory.append(memory_mib(process_id))
        stop.set()
    return answers, memory


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
async def test_flood_is_answered_in_time_whatever_redis_takes(redis_program: Path) -> None:
    with RedisServer(redis_program) as redis:
        async with Relay(redis.socket) as relay, webhooks_of(relay.url) as (port, process_id):

            async def slowly(data: bytes) -> None:
                await asyncio.sleep(len(data) / REDIS_BYTES_PER_S)  # a delay: the speed of the link

            relay.on_request = slowly
            answers, memory = await flood(port, process_id)
            relay.on_request = None
            client, keys = make_client(redis.url), Keys("conferral", 16)
            stored = sum([await client.xlen(keys.events(number)) for number in range(keys.partitions)])
            await client.aclose()
            counts = await counted(port)
            async with asyncio.timeout(60):
                while await ready(port) != (200, []):
                    await asyncio.sleep(0.05)

    sent = sum(answers[path].statuses.total() for path in CONNECTIONS)
    assert answers[VOICE].statuses.keys() == {200}
    assert answers[VOICE].without_document == 0
    assert answers["/callbacks/call"].statuses.keys() <= {204, 503}
    assert answers["/callbacks/call"].statuses[503] > 0, "more was sent than Redis takes"
    assert answers["/callbacks/conference"].statuses.keys() <= {204, 503}
    assert max(of.slowest_s for of in answers.values()) < TWILIO_WAITS_S
    assert counts["without store"] >= answers["/callbacks/call"].statuses[503]
    acknowledged = answers["/callbacks/call"].statuses[204] + answers["/callbacks/conference"].statuses[204]
    assert stored >= acknowledged
    assert sent > 2 * stored, "several times what Redis takes"
    assert memory[-1] < 1.3 * memory[len(memory) // 4] + 10
