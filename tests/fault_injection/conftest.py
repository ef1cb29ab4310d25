"""Servers and worlds for faults."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.fault_injection.fault_system import FaultSystem
from tests.support.marked_system import running
from tests.support.redis_server import RedisServer


@pytest.fixture
def own_redis(redis_program) -> Iterator[RedisServer]:
    """A server of the test's own, without persistence."""
    with RedisServer(redis_program) as server:
        yield server


@pytest.fixture
async def system(redis_server: RedisServer, request: pytest.FixtureRequest) -> AsyncIterator[FaultSystem]:
    """A world whose history is kept, as the nearest mark `system` wants it."""
    async with running(FaultSystem, redis_server, request) as system:
        yield system
