"""How long does the local Twilio take from the command to its first answer, and its fixture in each test?"""

import asyncio
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import aiohttp
from redis.asyncio import Redis

from benchmarks.support.figures import Figures
from benchmarks.support.programs import CUSTOMER, NUMBER, Program
from offhook import ACCOUNT_SID, AUTH_TOKEN
from offhook.testing import TwilioSandbox
from offhook.testing.served import ServerThread
from tests.support.ports import free_port


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int


SIZES = {"full": Size(10), "quick": Size(5), "tiny": Size(1)}


async def measure(size: Size, _chance: Random, _redis_url: str, _redis: "Redis[bytes]") -> Figures:
    """Start the command again and again; each time, ask for the account."""
    figures = Figures()
    await _first_answer_s()  # compiles what was never imported
    for _ in range(size.rounds):
        first_answer_s, cpu_s = await _first_answer_s()
        figures.add("first_answer_s", first_answer_s)
        figures.add("cpu_s", cpu_s)
    for fixture_ms in await asyncio.to_thread(lambda: list(_fixture_ms(size.rounds))):
        figures.add("fixture_ms", fixture_ms)
    return figures


async def _first_answer_s() -> tuple[float, float]:
    """Return how long it takes, and the processor time."""
    port = free_port()
    login = {"Authorization": aiohttp.encode_basic_auth(ACCOUNT_SID, AUTH_TOKEN)}
    began_s = time.monotonic()
    async with (
        Program(sys.executable, "-m", "offhook", "--port", str(port), port=port) as program,
        aiohttp.ClientSession(program.url, headers=login, raise_for_status=True) as session,
        session.get(f"/2010-04-01/Accounts/{ACCOUNT_SID}.json"),
    ):
        return time.monotonic() - began_s, program.cpu_s()


def _fixture_ms(rounds: int) -> Iterator[float]:
    """Yield what the fixture takes around each test."""
    server = ServerThread()
    for _ in range(rounds):
        began_s = time.monotonic()
        sandbox = TwilioSandbox(server)
        sandbox.empty()
        set_up_s = time.monotonic() - began_s
        sandbox.add_number(NUMBER)
        sandbox.phones[CUSTOMER].call(NUMBER)
        began_s = time.monotonic()
        sandbox.unexpected_alerts()
        sandbox.empty()
        yield (time.monotonic() - began_s + set_up_s) * 1_000
    server.end()
