"""Every test of this folder runs on the bundled Redis 6.2 and, where there is one, on the one on PATH."""

import shutil
from pathlib import Path

import pytest

from runtime.clock import SystemClock
from streams.connection import make_client
from streams.keys import Keys
from streams.partition import PartitionAccess
from streams.store import Store
from tests.support.redis_server import BUNDLED, RedisServer


def _needs(is_there: bool, reason: str) -> list[pytest.MarkDecorator]:
    return [] if is_there else [pytest.mark.skip(reason=reason)]


SERVERS = [
    pytest.param("bundled", marks=_needs(BUNDLED.exists(), "no bundled redis-server for this platform")),
    pytest.param("on-path", marks=_needs(shutil.which("redis-server") is not None, "no redis-server on PATH")),
]


@pytest.fixture(scope="session")
def servers():
    running: dict[str, RedisServer] = {}
    yield running
    for server in running.values():
        server.__exit__()


@pytest.fixture(params=SERVERS)
def server(request, servers) -> RedisServer:
    name = request.param
    if name not in servers:
        program = BUNDLED if name == "bundled" else Path(shutil.which("redis-server") or "")
        servers[name] = RedisServer(program)
        servers[name].start()
    with servers[name].client() as client:
        client.config_set("maxmemory", "0")
        client.config_set("min-replicas-to-write", "0")
        client.flushall()
        client.script_flush()
    return servers[name]


@pytest.fixture
def keys() -> Keys:
    return Keys("test", 4)


@pytest.fixture
def clock() -> SystemClock:
    return SystemClock()


@pytest.fixture
async def client(server):
    client = make_client(server.url)
    yield client
    await client.aclose()


@pytest.fixture
async def blocking(server):
    client = make_client(server.url, blocking=True)
    yield client
    await client.aclose()


@pytest.fixture
def store(client, keys) -> Store:
    return Store(client, keys, session_ttl_s=3600)


@pytest.fixture
def access(client, blocking, keys) -> PartitionAccess:
    return PartitionAccess(client, blocking, keys)
