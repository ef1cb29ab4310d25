"""How much longer does a commit take because a replica must have it, with nothing else running?"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from redis.asyncio import Redis

from benchmarks.support import calls, machine
from benchmarks.support.figures import Figures
from benchmarks.support.programs import POLL_S, Program
from tests.support.ports import HOST, free_port
from tests.support.redis_server import RedisServer


@dataclass(frozen=True)
class Size:
    """Sample sizes."""

    rounds: int
    commits: int


SIZES = {"full": Size(rounds=5, commits=3_000), "quick": Size(rounds=2, commits=1_000),
         "tiny": Size(rounds=1, commits=10)}  # fmt: skip


@contextmanager
def _server(port: int = 0) -> Iterator[RedisServer]:
    """Run a Redis with an append-only file on the load's core."""
    with RedisServer(machine.redis_program(), append_only=True, port=port) as server:
        assert server.process is not None
        machine.pin(server.process.pid, machine.OTHER_CORE)
        yield server


async def _follow(primary: RedisServer, replica: RedisServer) -> None:
    """Make a replica, and wait until it has everything."""
    with primary.client() as one, replica.client() as other:
        one.config_set("repl-diskless-sync-delay", 0)
        other.replicaof(HOST, primary.port)
        async with asyncio.timeout(calls.PATIENCE_S):
            while one.info("replication").get("slave0", {}).get("state") != "online":
                await asyncio.sleep(POLL_S)


async def measure(size: Size, _chance: Random, _redis_url: str, _redis: "Redis[bytes]") -> Figures:
    """Commit in turns on a lone server and on one with a replica; each round has a fresh program."""
    figures = Figures()
    with _server() as alone, _server(free_port()) as primary, _server() as replica, tempfile.TemporaryDirectory() as to:
        await _follow(primary, replica)
        file = Path(to) / "durations.json"
        for _ in range(size.rounds):
            for server in (alone, primary):
                with server.client() as client:
                    client.flushall()
            program = (sys.executable, "-m", "benchmarks.support.commits")
            async with Program(*program, str(size.commits), file, alone.url, primary.url) as commits:
                await commits.finished()
            for name, durations_s in zip(("alone", "replica"), json.loads(file.read_text("utf-8")), strict=True):
                figures.add_percentiles(f"{name}.", durations_s)
    for shown in ("p50_ms", "p99_ms"):
        figures.add_difference(f"added.{shown}", f"replica.{shown}", f"alone.{shown}")
    return figures
