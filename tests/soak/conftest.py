"""Redis for runs of whole services: with an append-only file, as in production."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.soak import soak_environment
from tests.support.redis_cluster import ClusterServers
from tests.support.redis_server import RedisServer


@pytest.fixture(autouse=True)
def figures_are_shown(report_figure: Callable[[str], None]) -> Iterator[None]:
    """At the end of the run, of tests that passed too."""
    soak_environment.tellers.append(report_figure)
    yield
    soak_environment.tellers.remove(report_figure)


@pytest.fixture
def durable_redis(redis_program: Path) -> Iterator[RedisServer]:
    with RedisServer(redis_program, append_only=True) as server:
        yield server


@pytest.fixture
def cluster(redis_program: Path) -> Iterator[ClusterServers]:
    with ClusterServers(redis_program, node_timeout_ms=1_500) as servers:
        yield servers
