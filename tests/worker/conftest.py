"""An executor; and a Redis that is real, or in memory, since simulations need the two to be alike."""

from collections.abc import AsyncIterator

import pytest

from conferral.runtime.clock import SystemClock
from tests.support.memory_redis import MemoryServer
from tests.support.redis_clients import AnyServer
from tests.worker.executor_harness import ExecutorHarness


@pytest.fixture(params=["redis", "memory"])
def any_redis(request: pytest.FixtureRequest) -> AnyServer:
    """A Redis without any key in it: a real one, and one in memory."""
    if request.param == "memory":
        return MemoryServer(SystemClock().wall_ms)
    server: AnyServer = request.getfixturevalue("redis_server")
    return server


@pytest.fixture
async def system() -> AsyncIterator[ExecutorHarness]:
    """An executor that has nothing left to do at the end of the test."""
    system = ExecutorHarness()
    yield system
    assert system.executor.executions == []
