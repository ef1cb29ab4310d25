"""A sea for each test."""

from collections.abc import AsyncIterator

import pytest

from tests.support.redis_server import RedisServer
from tests.worker.sweep.sea import Sea


@pytest.fixture
async def sea(redis_server: RedisServer) -> AsyncIterator[Sea]:
    sea = Sea(redis_server.url)
    await sea.hold_partitions()
    yield sea
    await sea.client.aclose()
