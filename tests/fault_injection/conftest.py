"""Servers and worlds for faults."""

from collections.abc import Iterator

import pytest

from tests.support.redis_server import RedisServer


@pytest.fixture
def durable_redis(redis_program) -> Iterator[RedisServer]:
    """A server of the test's own, with an append-only file: it may be killed, stopped, filled and emptied."""
    with RedisServer(redis_program, append_only=True) as server:
        yield server


@pytest.fixture
def own_redis(redis_program) -> Iterator[RedisServer]:
    """A server of the test's own, without persistence."""
    with RedisServer(redis_program) as server:
        yield server
