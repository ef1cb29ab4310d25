"""How long does the local Twilio take from the command to its first answer?"""

import sys
import time
from dataclasses import dataclass
from random import Random

import aiohttp
from redis.asyncio import Redis

from benchmarks.support.figures import Figures
from benchmarks.support.programs import Program
from offhook import ACCOUNT_SID, AUTH_TOKEN
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
        figures.add("first_answer_s", await _first_answer_s())
    return figures


async def _first_answer_s() -> float:
    port = free_port()
    login = {"Authorization": aiohttp.encode_basic_auth(ACCOUNT_SID, AUTH_TOKEN)}
    began_s = time.monotonic()
    async with (
        Program(sys.executable, "-m", "offhook", "--port", str(port), port=port) as program,
        aiohttp.ClientSession(program.url, headers=login, raise_for_status=True) as session,
        session.get(f"/2010-04-01/Accounts/{ACCOUNT_SID}.json"),
    ):
        return time.monotonic() - began_s
