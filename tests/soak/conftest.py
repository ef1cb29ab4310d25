"""A cluster for runs of whole services."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.redis_cluster import ClusterServers


@pytest.fixture
def cluster(redis_program: Path) -> Iterator[ClusterServers]:
    with ClusterServers(redis_program, node_timeout_ms=1_500) as servers:
        yield servers
