"""A client of any Redis that tests run on: a process, or one in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from conferral.storage.connection.client import Client, make_client
from tests.support.memory_redis import MemoryServer
from tests.support.redis_server import RedisServer

AnyServer = RedisServer | MemoryServer


def client_of(server: AnyServer, *, blocking: bool = False) -> Client:
    """One as `storage.connection.make_client` makes them."""
    if isinstance(server, MemoryServer):
        return server.client(blocking=blocking)
    return make_client(server.url, blocking=blocking)


@asynccontextmanager
async def full(client: Client) -> AsyncIterator[None]:
    """Meanwhile Redis has no memory left."""
    await client.config_set("maxmemory", "100kb")
    try:
        yield
    finally:
        await client.config_set("maxmemory", "0")
