"""Every test of this folder runs on the bundled Redis 6.2, on the one on PATH, and on those that the setting names.

They run on the Redis in memory of the simulations too, which that alone holds to what real ones do.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from conferral.runtime.clock import SystemClock
from conferral.storage.keys import Keys
from conferral.storage.partition.commit_store import CommitStore
from conferral.storage.partition.partition_store import PartitionStore
from conferral.storage.webhook_store.store import WebhookStore
from tests.support.memory_redis import MemoryServer
from tests.support.redis_clients import AnyServer, client_of
from tests.support.redis_server import RedisServer, found_programs
from tests.support.stores import commit_store_of, partition_store_of

PROGRAMS = found_programs()


def _param(name: str, reason: str) -> Any:
    marks = [] if name in PROGRAMS else [pytest.mark.skip(reason=reason)]
    return pytest.param(name, marks=marks)


SERVERS = [
    _param("bundled", "no bundled redis-server for this platform"),
    _param("on-path", "no redis-server on PATH"),
    *(pytest.param(name) for name in PROGRAMS if name not in ("bundled", "on-path")),
    pytest.param("memory"),
]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is about a server's process, or its socket, says nothing about the one in memory, which has none."""
    processless = {item for item in items if _server_of(item) == "memory" and "single" in _fixtures_of(item)}
    config.hook.pytest_deselected(items=list(processless))
    items[:] = [item for item in items if item not in processless]


def _server_of(item: pytest.Item) -> str:
    callspec = getattr(item, "callspec", None)
    return "" if callspec is None else str(callspec.params.get("server", ""))


def _fixtures_of(item: pytest.Item) -> list[str]:
    return list(getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, RedisServer]]:
    running: dict[str, RedisServer] = {}
    yield running
    for server in running.values():
        server.__exit__()


@pytest.fixture(params=SERVERS)
def server(request, servers, clock) -> AnyServer:
    name = request.param
    if name == "memory":
        return MemoryServer(clock.wall_ms)
    if name not in servers:
        servers[name] = RedisServer(PROGRAMS[name])
        servers[name].start()
    servers[name].reset()
    return servers[name]


@pytest.fixture
def single(server) -> RedisServer:
    """The same where a test is about one server: its socket, its process, its settings."""
    return server


@pytest.fixture
def keys() -> Keys:
    return Keys("test", 4)


@pytest.fixture
def clock() -> SystemClock:
    return SystemClock()


@pytest.fixture
async def client(server) -> AsyncIterator[Any]:
    client = client_of(server)
    yield client
    await client.aclose()


@pytest.fixture
async def blocking(server) -> AsyncIterator[Any]:
    client = client_of(server, blocking=True)
    yield client
    await client.aclose()


@pytest.fixture
def store(client, keys) -> CommitStore:
    return commit_store_of(client, keys)


@pytest.fixture
def access(client, blocking, keys) -> PartitionStore:
    return partition_store_of(client, keys, blocking=blocking)


@pytest.fixture
async def publisher(client, keys, clock) -> AsyncIterator[WebhookStore]:
    publisher = WebhookStore(client, keys, clock, deadline_s=1.0)
    yield publisher
    await publisher.close()
