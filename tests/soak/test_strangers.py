"""More than a thousand strangers' connections: callers are answered, and so are health checks and the console."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from tests.soak.services import HOST, Services
from tests.soak.test_flood import memory_mib, ready
from tests.support.proxies import proxy
from tests.support.redis_server import RedisServer
from tests.support.strangers import CALLER_WAITS_S, KINDS, Kind, calls, strangers
from tests.webhooks.webhook_helpers import ENVIRON

pytestmark = [
    pytest.mark.soak,
    pytest.mark.redis,
    pytest.mark.processes,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc"),
]
CONNECTIONS, PER_SECOND = 1_200, 200
LASTS_S, CALLS_PER_SECOND = 30, 10
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
        yield services, console


def repeated_lines(text: str) -> list[str]:
    """Kinds of log lines about strangers that occur more than once within the run, which takes less than a minute.

    A line with a call is about a caller, whose request was signed: after the start of Redis, Twilio is asked for each.
    """
    lines = [one for one in map(json.loads, text.splitlines()) if "call_sid" not in one]
    names = "event", "url_path", "reason", "where", "exception"
    kinds = Counter(" ".join(str(line[name]) for name in names if name in line) for line in lines)
    return [f"{number} times {kind}" for kind, number in kinds.items() if number > 1 or "Traceback" in kind]


async def judge(redis_program: Path, folder: Path, kind: Kind, target: str) -> None:
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
                attacked = console if target == "console" else behind or webhooks
                async with strangers(attacked, kind, connections=CONNECTIONS, per_second=PER_SECOND):
                    number = LASTS_S * CALLS_PER_SECOND
                    answers = await calls(behind or webhooks, number=number, per_second=CALLS_PER_SECOND)
                probing.cancel()
            texts = [services.text(name) for name in ("webhooks-0", "console")]

    resets = {what: count for what, count in answers.counts.items() if what not in ("dialed", "late")}
    assert answers.dialed_share >= 0.95, answers.counts
    assert resets == {}
    assert probes.asked > LASTS_S
    assert probes.failed == {}
    assert max(probes.memory) < before_mib + MEMORY_MIB
    assert [repeated_lines(text) for text in texts] == [[], []]


@pytest.mark.parametrize("kind", ["bodies", "pipelined", "unread", "heads"])
async def test_callers_are_answered_among_strangers(redis_program: Path, tmp_path: Path, kind: str) -> None:
    await judge(redis_program, tmp_path, KINDS[kind], "webhooks")


@pytest.mark.parametrize("program", ["caddy", "nginx"])
async def test_so_they_are_behind_a_shipped_proxy(redis_program: Path, tmp_path: Path, program: str) -> None:
    await judge(redis_program, tmp_path, KINDS["bodies"], program)


async def test_console_answers_among_strangers(redis_program: Path, tmp_path: Path) -> None:
    await judge(redis_program, tmp_path, KINDS["signing in"], "console")
