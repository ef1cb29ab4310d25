"""Whatever redis-py raises over a broken connection is an outage, and the connection after it is a good one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio.connection import DefaultParser, UnixDomainSocketConnection
from redis.exceptions import DataError

from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.storage.connection.client import Client, as_store_errors, make_client
from tests.support.redis_server import RedisServer
from tests.support.strange_errors import ANY_ERRORS

#: What is at fault is what was sent.
ODD = {name: make for name, make in ANY_ERRORS.items() if name != "DataError"}
#: Where a command meets its connection: what redis-py itself calls, in its order.
PLACES: dict[str, Any] = {
    "open_unix_connection": asyncio,
    "on_connect": UnixDomainSocketConnection,
    "drain": asyncio.StreamWriter,
    "read_response": DefaultParser,
}


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Client]:
    client = make_client(redis_server.url, max_connections=2)
    yield client
    await client.aclose()


async def ask(client: Client, way: str) -> Any:
    with as_store_errors():
        if way == "command":
            return await client.get("key")
        pipeline = client.pipeline(transaction=way == "transaction")
        pipeline.get("key")
        return (await pipeline.execute())[0]


@pytest.mark.redis
@pytest.mark.parametrize("place", PLACES)
async def test_any_error_of_a_connection_is_an_outage_and_passes(client, place, monkeypatch) -> None:
    await client.set("key", "value")
    behind = getattr(PLACES[place], place)
    for way in ("command", "pipeline", "transaction"):
        for name, make in ODD.items():
            failures = 0

            async def fails(*arguments: Any, make: Any = make, **options: Any) -> Any:
                nonlocal failures
                failures += 1
                if failures == 1:
                    raise make()
                return await behind(*arguments, **options)

            if place in ("open_unix_connection", "on_connect"):
                await client.connection_pool.disconnect()
            with monkeypatch.context() as patched:
                patched.setattr(PLACES[place], place, fails)
                with pytest.raises(StoreError) as caught:
                    await ask(client, way)
                if name != "RedisError":
                    assert isinstance(caught.value, StoreUnreachableError), (way, name)
                assert await ask(client, way) == b"value", (way, name)


async def echo(client: Client) -> None:
    await client.echo("sent by the canceled task")


async def echo_in_a_pipeline(client: Client) -> None:
    await client.pipeline(transaction=False).echo("sent by the canceled task").execute()


async def blocking_read(client: Client) -> None:
    await client.xread({"stream": "0"}, block=1)


@pytest.mark.redis
@pytest.mark.parametrize("ask", [echo, echo_in_a_pipeline, blocking_read])
async def test_cancellation_at_any_moment_ends_a_command(client, ask) -> None:
    async def ask_for_ever() -> None:
        while True:
            await ask(client)

    for iterations in range(40):
        task, cancellations = asyncio.create_task(ask_for_ever()), 0
        for _ in range(iterations):
            await asyncio.sleep(0)
        while not task.done():
            task.cancel()
            cancellations += 1
            await asyncio.wait([task], timeout=1.0)
        assert cancellations == 1, f"lost after {iterations} iterations of the event loop"
        assert await client.echo("sent next") == b"sent next"


async def test_mistake_in_what_is_sent_is_no_outage() -> None:
    client = make_client("redis://127.0.0.1:1/0")
    with pytest.raises(DataError), as_store_errors():
        raise DataError
    await client.aclose()
