"""Every test of this folder runs on the bundled Redis 6.2, on the one on PATH, and on those that the setting names.

In `make soak` they run on a Redis Cluster of three primaries and three replicas too.
"""

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import pytest

from runtime.clock import SystemClock
from streams.connection import make_client
from streams.keys import Keys
from streams.partition import PartitionAccess
from streams.store import Store
from tests.support.redis_cluster import ClusterServers
from tests.support.redis_server import RedisServer, found_programs

PROGRAMS = found_programs()


def _param(name: str, reason: str) -> Any:
    marks = [] if name in PROGRAMS else [pytest.mark.skip(reason=reason)]
    return pytest.param(name, marks=marks)


SERVERS = [
    _param("bundled", "no bundled redis-server for this platform"),
    _param("on-path", "no redis-server on PATH"),
    *(pytest.param(name) for name in PROGRAMS if name not in ("bundled", "on-path")),
]
#: On a cluster as well; each needs half a second more than on one server, so only in the long run.
CLUSTERS = [pytest.param(f"cluster of {name}", marks=[pytest.mark.soak, pytest.mark.timeout(120)]) for name in PROGRAMS]


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, RedisServer | ClusterServers]]:
    running: dict[str, RedisServer | ClusterServers] = {}
    yield running
    for server in running.values():
        server.__exit__()


@pytest.fixture(params=[*SERVERS, *CLUSTERS])
def server(request, servers) -> RedisServer | ClusterServers:
    name = request.param
    if name not in servers:
        program = PROGRAMS[name.removeprefix("cluster of ")]
        servers[name] = ClusterServers(program) if name.startswith("cluster") else RedisServer(program)
        servers[name].start()
    servers[name].reset()
    return servers[name]


@pytest.fixture
def single(server) -> RedisServer:
    """The same where a test is about one server: its socket, its process, its settings."""
    if isinstance(server, ClusterServers):
        pytest.skip("about one server, not about a cluster")
    return server


@pytest.fixture
def keys() -> Keys:
    return Keys("test", 4)


@pytest.fixture
def clock() -> SystemClock:
    return SystemClock()


@pytest.fixture
async def client(server) -> AsyncIterator[Any]:
    client = make_client(server.url)
    if isinstance(server, ClusterServers):  # of which one node is set by itself, else
        client.config_set = partial(client.config_set, target_nodes=client.ALL_NODES)
    yield client
    await client.aclose()


@pytest.fixture
async def blocking(server) -> AsyncIterator[Any]:
    client = make_client(server.url, blocking=True)
    yield client
    await client.aclose()


@pytest.fixture
def store(client, keys) -> Store:
    return Store(client, keys, session_ttl_s=3600)


@pytest.fixture
def access(client, blocking, keys) -> PartitionAccess:
    return PartitionAccess(client, blocking, keys)
