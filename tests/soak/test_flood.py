"""Webhooks at several times what Redis takes: answers in time, memory flat, what has no effect left out first."""

import asyncio
import os
import re
import signal
import sys
import time
from asyncio.subprocess import DEVNULL
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import pytest

from conferral.runtime.clock import SystemClock
from conferral.storage.connection.client import make_client
from conferral.storage.keys import Keys
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.tcp_relay import Relay
from tests.webhooks.webhook_helpers import ENVIRON, fields, signed

pytestmark = [pytest.mark.soak, pytest.mark.redis, pytest.mark.processes, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
#: What each connection to Redis carries, bytes a second: with the publisher's four some hundred events.
REDIS_BYTES_PER_S = 60_000
FLOOD_S = 20.0
#: Twilio gives up after this, seconds.
TWILIO_WAITS_S = 15.0
#: Connections by what is sent over them, each as soon as the answer before is there.
CONNECTIONS = {"/voice/inbound": 200, "/callbacks/call": 200, "/callbacks/conference": 100}
VOICE = "/voice/inbound"


@dataclass
class Answers:
    """What was answered to one kind of request."""

    statuses: Counter[int] = field(default_factory=Counter)
    slowest_s: float = 0.0
    without_document: int = 0


def request(path: str, number: int) -> bytes:
    """As Twilio sends it; each of another call."""
    caller, agent = f"CA{number:032x}", f"CA{number + (1 << 64):032x}"
    if path == VOICE:
        target, form = path, fields("call_arrives", CallSid=caller, CallToken="%7B" + "t" * 3_000 + "%7D")
    elif path == "/callbacks/call":
        target, form = f"{path}?session={caller}&party=agent&v=1", fields("agent_rings", CallSid=agent)
    else:
        target, form = f"{path}?session={caller}&v=1", fields("customer_speaks", CallSid=agent)
    body = urlencode(form).encode()
    head = {"Host": "example.com", "Content-Length": str(len(body)), **signed(target, form)}
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Caller(asyncio.Protocol):
    """One connection."""

    def __init__(self, requests: list[bytes], first: int, answers: Answers, stop: asyncio.Event, voice: bool) -> None:
        self._requests, self._next, self._answers = requests, first, answers
        self._stop, self._voice = stop, voice
        self._received = b""
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def connection_lost(self, _error: Exception | None) -> None:
        self.gone.set_result(None)

    def _send(self) -> None:
        if self._stop.is_set():
            self._transport.close()
            return
        self._sent_at_s = time.monotonic()
        self._transport.write(self._requests[self._next % len(self._requests)])
        self._next += 1

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if not end or len(body) < (int(length[1]) if length else 0):
            return
        answers = self._answers
        answers.slowest_s = max(answers.slowest_s, time.monotonic() - self._sent_at_s)
        answers.statuses[int(head.split(b" ", 2)[1])] += 1
        if self._voice and not (b"<Dial" in body and b"</Response>" in body):
            answers.without_document += 1
        self._received = b""
        self._send()


@asynccontextmanager
async def webhooks_process(redis_url: str) -> AsyncIterator[tuple[int, int]]:
    """The webhooks as they are run; their port and process id."""
    port = free_port()
    environ = {**os.environ, **ENVIRON, "REDIS_URL": redis_url, "CONFERRAL_LOG_FORMAT": "json", "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "conferral", "webhooks", "--port", str(port), env=environ, stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        async with asyncio.timeout(60):
            while await ready(port) != (200, []):
                assert process.returncode is None
                await asyncio.sleep(0.05)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            assert await process.wait() == 0


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
        if shed := re.match(r'conferral_events_shed_total\{reason="(\w+)"\} (\S+)', line):
            found[f"shed {shed[1]}"] += float(shed[2])
        elif unstored := re.match(r"conferral_webhook_store_errors_total\{.*\} (\S+)", line):
            found["without store"] += float(unstored[1])
    return dict(found)


def memory_mib(process_id: int) -> float:
    lines = Path(f"/proc/{process_id}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


async def flood(port: int, process_id: int) -> tuple[dict[str, Answers], list[float]]:
    """Sends for a while; what came back, and the process's memory each second, MiB."""
    answers, stop, callers = {path: Answers() for path in CONNECTIONS}, asyncio.Event(), []
    loop = asyncio.get_running_loop()
    for path, count in CONNECTIONS.items():
        requests = [request(path, number) for number in range(2_000)]
        for number in range(count):
            _, caller = await loop.create_connection(
                lambda path=path, number=number, requests=requests: Caller(  # type: ignore[misc]
                    requests, number * 5, answers[path], stop, path == VOICE
                ),
                "127.0.0.1",
                port,
            )
            callers.append(caller)
    memory, until_s = [], time.monotonic() + FLOOD_S
    while time.monotonic() < until_s:
        await asyncio.sleep(0.9)
        memory.append(memory_mib(process_id))
    stop.set()
    async with asyncio.timeout(2 * TWILIO_WAITS_S):
        await asyncio.gather(*(caller.gone for caller in callers))
    return answers, memory


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
async def test_flood_is_answered_in_time_whatever_redis_takes(
    redis_program: Path, report_figure: Callable[[str], None]
) -> None:
    clock = SystemClock()
    with RedisServer(redis_program) as redis:
        async with Relay(redis.socket) as relay, webhooks_process(relay.url) as (port, process_id):

            async def slowly(data: bytes) -> None:
                await asyncio.sleep(len(data) / REDIS_BYTES_PER_S)  # a delay: the speed of the link

            relay.on_request = slowly
            began_s = clock.monotonic_s()
            answers, memory = await flood(port, process_id)
            took_s = clock.monotonic_s() - began_s
            relay.on_request = None
            client, keys = make_client(redis.url), Keys("conferral", 16)
            stored = sum([await client.xlen(keys.events(number)) for number in range(keys.partitions)])
            await client.aclose()
            counts = await counted(port)
            async with asyncio.timeout(60):
                while await ready(port) != (200, []):
                    await asyncio.sleep(0.05)

    sent = sum(answers[path].statuses.total() for path in CONNECTIONS)
    for path, of in answers.items():
        shown = ", ".join(f"{count} x {status}" for status, count in sorted(of.statuses.items()))
        report_figure(f"{path}: {shown}; slowest {of.slowest_s:.2f} s")
    report_figure(f"{sent / took_s:.0f} requests a second, {stored / took_s:.0f} events stored a second; {counts}")
    report_figure(f"memory {memory[len(memory) // 4]:.0f} MiB after a quarter of the time, {memory[-1]:.0f} at the end")

    assert answers[VOICE].statuses.keys() == {200}
    assert answers[VOICE].without_document == 0
    assert answers["/callbacks/call"].statuses.keys() <= {204, 503}
    assert answers["/callbacks/call"].statuses[503] > 0, "more was sent than Redis takes"
    assert answers["/callbacks/conference"].statuses.keys() <= {204, 503}
    assert max(of.slowest_s for of in answers.values()) < TWILIO_WAITS_S
    assert counts["shed waiting"] > 0
    assert counts["without store"] >= answers["/callbacks/call"].statuses[503]
    acknowledged = answers["/callbacks/call"].statuses[204] + answers["/callbacks/conference"].statuses[204]
    assert stored >= acknowledged - sum(count for name, count in counts.items() if name.startswith("shed"))
    assert sent > 2 * stored, "several times what Redis takes"
    assert memory[-1] < 1.3 * memory[len(memory) // 4] + 10
