"""Many strangers' connections and requests: callers are answered, and so are health checks and the console.

Time is the loop's: it stands still while the webhooks or the console wait for a processor, as if each had its own core.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from tests.soak.services import HOST, Services
from tests.soak.test_flood import memory_mib, ready
from tests.support.fair_time import forget_process, watch_process
from tests.support.proxies import proxy
from tests.support.redis_server import RedisServer
from tests.support.strangers import CALLER_WAITS_S, KINDS, REQUESTS, Answers, calls, flood, strangers
from tests.webhooks.webhook_helpers import ENVIRON

pytestmark = [
    pytest.mark.soak,
    pytest.mark.redis,
    pytest.mark.processes,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc"),
]
#: Connections that are kept open, and opened each second.
CONNECTIONS, PER_SECOND = 1_200, 200
#: Connections of strangers who send complete requests, and how many requests they send each second.
FLOOD_CONNECTIONS, FLOOD_PER_SECOND = 480, 500
LASTS_S, CALLS_PER_SECOND = 15, 50
#: What the largest voice request adds to a usual one: bytes that a browser sends along.
LARGE = {f"field {number}": "" for number in range(100)} | {"HandoffData": "x" * 250_000}
TOKEN = "a-token-that-no-one-guesses-0123456789"
SETTINGS = {"CONFERRAL_AGENT": "client:alice", "CONFERRAL_API_TOKEN": TOKEN}
#: What strangers may cost a process, MiB: mostly the buffers of a thousand connections.
MEMORY_MIB = 150


@dataclass
class Probes:
    """What else is asked each second, and what was not answered; the most memory that the webhooks took, MiB."""

    failed: Counter[str] = field(default_factory=Counter)
    asked: int = 0
    memory: list[float] = field(default_factory=list)

    async def ask(self, urls: list[str], process_id: int) -> None:
        timeout = aiohttp.ClientTimeout(total=CALLER_WAITS_S)
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as client:
            while True:
                for url in urls:
                    self.asked += 1
                    try:
                        async with client.get(url, headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
                            await answer.read()
                            if answer.status != 200:
                                self.failed[f"{url}: {answer.status}"] += 1
                    except (TimeoutError, aiohttp.ClientError) as error:
                        self.failed[f"{url}: {type(error).__name__}"] += 1
                self.memory.append(memory_mib(process_id))
                await asyncio.sleep(1)  # a delay: the pace of health checks


@asynccontextmanager
async def running(redis_url: str) -> AsyncIterator[tuple[Services, int]]:
    """Webhooks and a console; the console's port."""
    with Services({**ENVIRON, **SETTINGS, "REDIS_URL": redis_url}) as services:
        services.start_webhooks(1)
        console = services.start_console()
        async with asyncio.timeout(60):
            for port in (services.webhook_ports[0], console):
                while await ready(port) != (200, []):
                    await asyncio.sleep(0.05)
        process_ids = [process.pid for process in services.processes.values()]
        for process_id in process_ids:
            watch_process(process_id)
        yield services, console
        for process_id in process_ids:
            forget_process(process_id)


def repeated_lines(text: str, minutes: float) -> list[str]:
    """Kinds of log lines about strangers that occur more than once a minute.

    A line with a call is about a caller, whose request was signed: after the start of Redis, Twilio is asked for each.
    """
    lines = [one for one in map(json.loads, text.splitlines()) if "call_sid" not in one]
    names = "event", "url_path", "reason", "where", "exception"
    kinds = Counter(" ".join(str(line[name]) for name in names if name in line) for line in lines)
    return [f"{number} times {kind}" for kind, number in kinds.items() if number > 1 + minutes or "Traceback" in kind]


#: Lets strangers do something to a port.
Attack = Callable[[int], AbstractAsyncContextManager[object]]


def connecting(kind: str) -> Attack:
    return lambda port: strangers(port, KINDS[kind], connections=CONNECTIONS, per_second=PER_SECOND)


def sending(request: str) -> Attack:
    return lambda port: flood(port, REQUESTS[request], connections=FLOOD_CONNECTIONS, per_second=FLOOD_PER_SECOND)


async def all_calls(port: int) -> tuple[Answers, Answers]:
    """Callers with usual requests, half of them over new connections; and some with the largest."""
    half = {"number": LASTS_S * CALLS_PER_SECOND // 2, "per_second": CALLS_PER_SECOND // 2}
    new, kept, large = await asyncio.gather(
        calls(port, **half), calls(port, **half, keep=True), calls(port, number=LASTS_S, per_second=1, more=LARGE)
    )
    return new + kept, large


async def judge(redis_program: Path, folder: Path, attack: Attack, target: str) -> None:
    """Let strangers and callers connect to the same port, and judge what came of it."""
    with RedisServer(redis_program) as redis:
        async with running(redis.url) as (services, console):
            (webhooks,), process_id = services.webhook_ports, services.webhooks[0].pid
            with ExitStack() as stack:
                behind = stack.enter_context(proxy(target, folder, webhooks)) if target in ("caddy", "nginx") else 0
                urls = [
                    f"http://{HOST}:{webhooks}/healthz",
                    f"http://{HOST}:{console}/",
                    f"http://{HOST}:{console}/readyz",
                ]
                probes, before_mib = Probes(), memory_mib(process_id)
                probing = asyncio.create_task(probes.ask(urls, process_id))
                began_s = time.monotonic()
                async with attack(console if target == "console" else behind or webhooks):
                    usual, large = await all_calls(behind or webhooks)
                minutes = (time.monotonic() - began_s) / 60
                probing.cancel()
            texts = [services.text(name) for name in ("webhooks-0", "console")]

    assert usual.counts == {"dialed": LASTS_S * CALLS_PER_SECOND // 2 * 2}, "none later than 5 s"
    assert usual.share_within(1.0) >= 0.95, sorted(usual.took_s)
    assert large.counts == {"dialed": LASTS_S}
    assert probes.asked > LASTS_S
    assert probes.failed == {}
    assert max(probes.memory) < before_mib + MEMORY_MIB
    assert [repeated_lines(text, minutes) for text in texts] == [[], []]


@pytest.mark.parametrize("kind", ["bodies", "pipelined", "unread", "heads"])
async def test_callers_are_answered_among_strangers(redis_program: Path, tmp_path: Path, kind: str) -> None:
    await judge(redis_program, tmp_path, connecting(kind), "webhooks")


@pytest.mark.parametrize("request_", ["usual", "small", "fields", "large", "callbacks", "API"])
async def test_callers_are_answered_among_requests_of_strangers(
    redis_program: Path, tmp_path: Path, request_: str
) -> None:
    await judge(redis_program, tmp_path, sending(request_), "webhooks")


@pytest.mark.parametrize(
    "attack", [connecting("bodies"), sending("usual"), sending("large")], ids=["half", "usual", "large"]
)
@pytest.mark.parametrize("program", ["caddy", "nginx"])
async def test_so_they_are_behind_a_shipped_proxy(
    redis_program: Path, tmp_path: Path, program: str, attack: Attack
) -> None:
    await judge(redis_program, tmp_path, attack, program)


@pytest.mark.parametrize("attack", [connecting("signing in"), sending("signing in")], ids=["half", "whole"])
async def test_console_answers_among_strangers(redis_program: Path, tmp_path: Path, attack: Attack) -> None:
    await judge(redis_program, tmp_path, attack, "console")
