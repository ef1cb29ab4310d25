"""What all tests share: a real redis-server for each test process, emptied between tests."""

import random
import sys
from collections.abc import Iterator
from functools import cache

import pytest
import redis.utils

from tests.support.redis_server import RedisServer, found_programs

pytest_plugins = (
    "tests.support.measurements",
    "tests.support.garbage",
    "tests.support.groups",
    "tests.support.leak_cleanup",
    "tests.support.left_to_soak",
    "tests.support.tiers",
    "tests.support.loops",  # imports the one before
    "tests.support.plain_log",
    "tests.support.row_coverage",
    "tests.support.shared_compiling",
)
_SCENARIOS = ("scenario", "transfer_scenarios", "conference_scenarios", "command_scenarios")
# Rewrites the assertions of scenarios, so that they show differences. Here, because several packages use them.
pytest.register_assert_rewrite(*(f"tests.statemachine.{name}" for name in _SCENARIOS))

# Each client asks for it, which reads the library's metadata: 0.6 ms that thousands of clients of tests need not take.
redis.utils.get_lib_version = cache(redis.utils.get_lib_version)


@pytest.fixture
def chance(request) -> random.Random:
    """Randomness that can be repeated; a failing test shows how."""
    seed = f"{request.config.getoption('randomly_seed', 0)}:{request.node.nodeid}"
    sys.stderr.write(f"repeat with: --randomly-seed={seed.partition(':')[0]}\n")
    return random.Random(seed)


@pytest.fixture(scope="session")
def redis_program():
    programs = found_programs()
    assert programs, "no redis-server: run `make test`, which fetches one"
    named = [program for name, program in programs.items() if name not in ("bundled", "on-path")]
    return named[0] if named else programs.get("bundled") or programs["on-path"]


@pytest.fixture
def durable_redis(redis_program) -> Iterator[RedisServer]:
    """A server of the test's own, with an append-only file: it may be killed, stopped, filled and emptied."""
    with RedisServer(redis_program, append_only=True) as server:
        yield server


@pytest.fixture(scope="session")
def shared_redis(redis_program) -> Iterator[RedisServer]:
    with RedisServer(redis_program) as server:
        yield server


@pytest.fixture
def redis_server(shared_redis: RedisServer) -> RedisServer:
    """A server without any key in it."""
    shared_redis.reset(forget_scripts=False)
    return shared_redis
