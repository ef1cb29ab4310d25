"""A cluster for runs of whole services, and the figures that they measure."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.soak import soak_environment
from tests.support.redis_cluster import ClusterServers


@pytest.fixture(autouse=True)
def figures_are_shown(report_figure: Callable[[str], None]) -> Iterator[None]:
    """At the end of the run, of tests that passed too."""
    soak_environment.tellers.append(report_figure)
    yield
    soak_environment.tellers.remove(report_figure)


@pytest.fixture
def cluster(redis_program: Path) -> Iterator[ClusterServers]:
    with ClusterServers(redis_program, node_timeout_ms=1_500) as servers:
        yield servers
