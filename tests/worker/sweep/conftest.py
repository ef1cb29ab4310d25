"""A sea for each test."""

from collections.abc import AsyncIterator

import pytest

from conferral.runtime.clock import SystemClock
from tests.support.memory_redis import MemoryServer
from tests.worker.sweep.sweep_harness import SweepHarness


@pytest.fixture(params=["redis", pytest.param("memory", marks=pytest.mark.soak)])
async def sea(request: pytest.FixtureRequest) -> AsyncIterator[SweepHarness]:
    is_in_memory = request.param == "memory"
    sea = SweepHarness(MemoryServer(SystemClock().wall_ms) if is_in_memory else request.getfixturevalue("redis_server"))
    yield sea
    await sea.client.aclose()
