"""Redis for runs of whole services: with an append-only file, as in earnest."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.redis_cluster import ClusterServers
from tests.support.redis_server import RedisServer


@pytest.fixture
def durable_redis(redis_program: Path) -> Iterator[RedisServer]:
    with RedisServer(redis_program, append_only=True) as server:
        yield server


@pytest.fixture
def cluster(redis_program: Path) -> Iterator[ClusterServers]:
    with ClusterServers(redis_program, node_timeout_ms=1_500) as servers:
        yield servers
