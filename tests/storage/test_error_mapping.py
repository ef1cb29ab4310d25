"""Whatever redis-py raises over a broken connection is an outage, and the connection after it is a good one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio.cluster import ClusterNode
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError

from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.storage.connection.client import Client, make_client, store_errors
from conferral.storage.connection.cluster import ClusterClient
from tests.support.redis_server import RedisServer
from tests.support.strange_errors import ANY_ERRORS

#: What is at fault is what was sent.
ODD = {name: make for name, make in ANY_ERRORS.items() if name != "DataError"}
#: Where a command meets its connection: what redis-py itself goes through.
PLACES = ("_connect", "on_connect", "_send_packed_command", "_read_response_from_parser")


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Client]:
    client = make_client(redis_server.url, max_connections=2)
    yield client
    await client.aclose()


async def ask(client: Client, way: str) -> Any:
    with store_errors():
        if way == "command":
            return await client.get("key")
        pipeline = client.pipeline(transaction=way == "transaction")
        pipeline.get("key")
        return (await pipeline.execute())[0]


@pytest.mark.redis
@pytest.mark.parametrize("place", PLACES)
async def test_any_error_of_a_connection_is_an_outage_and_passes(
    client: Client, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.set("key", "value")
    made = client.connection_pool.connection_class
    behind = getattr(made, place)
    for way in ("command", "pipeline", "transaction"):
        for name, make in ODD.items():
            failures = 0

            async def fails(self: Any, *arguments: Any, make: Any = make, **options: Any) -> Any:
                nonlocal failures
                failures += 1
                if failures == 1:
                    raise make()
                return await behind(self, *arguments, **options)

            if place in ("_connect", "on_connect"):
                await client.connection_pool.disconnect()
            with monkeypatch.context() as patched:
                patched.setattr(made, place, fails)
                with pytest.raises(StoreError) as caught:
                    await ask(client, way)
                if name != "RedisError":
                    assert isinstance(caught.value, StoreUnreachableError), (way, name)
                assert await ask(client, way) == b"value", (way, name)


@pytest.mark.redis
async def test_cancellation_at_any_moment_ends_a_command(client: Client) -> None:
    async def ask_for_ever() -> None:
        while True:
            await client.echo("sent by the canceled task")

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
    with pytest.raises(DataError), store_errors():
        raise DataError
    await client.aclose()


class Node(ClusterNode):
    """A node with configured answers."""

    def __init__(self, port: int) -> None:
        super().__init__("node", port, "primary")
        self.error: BaseException | None = None
        self.asked: list[tuple[Any, ...]] = []

    async def execute_command(self, *args: Any, **_options: Any) -> Any:
        self.asked.append(args)
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return f"{args[1]} at {self.port}"

    async def execute_pipeline(self, commands: Any) -> bool:
        for command in commands:
            command.result = await self.execute_command(*command.args)
        return False

    async def disconnect_free_connections(self) -> None:
        return


@pytest.fixture
def nodes() -> tuple[Node, Node]:
    return Node(1), Node(2)


@pytest.fixture
async def cluster(nodes: tuple[Node, Node]) -> AsyncIterator[ClusterClient]:
    """Two nodes with half of the slots each; the map is known, and there is no socket."""
    client = ClusterClient(host="node", port=1)
    slots = client.nodes_manager.slots_cache
    slots.update({slot: [nodes[slot >= 8192]] for slot in range(16384)})
    client._initialize = False

    async def keeps_the_map(*_args: Any, **_options: Any) -> ClusterClient:
        client._initialize = False
        return client

    client.initialize = keeps_the_map  # type: ignore[method-assign,assignment]
    yield client
    await client.aclose()


def keys_of(client: ClusterClient) -> tuple[str, str]:
    """A key for each node."""
    names = [f"k{number}" for number in range(100)]
    first = next(name for name in names if client.keyslot(name) < 8192)
    return first, next(name for name in names if client.keyslot(name) >= 8192)


async def test_commands_of_a_cluster_go_to_the_nodes_of_their_keys(
    cluster: ClusterClient, nodes: tuple[Node, Node]
) -> None:
    first, second = keys_of(cluster)
    assert await cluster.execute_command("GET", second) == f"{second} at 2"
    assert await cluster.exchange([("GET", first), ("GET", second), ("GET", first)]) == [
        f"{first} at 1", f"{second} at 2", f"{first} at 1",
    ]  # fmt: skip
    assert [len(node.asked) for node in nodes] == [2, 2]


@pytest.mark.parametrize("name", ODD)
async def test_any_error_of_a_node_is_an_outage_of_that_node(
    cluster: ClusterClient, nodes: tuple[Node, Node], name: str
) -> None:
    first, second = keys_of(cluster)
    nodes[0].error = ODD[name]()
    is_known = name in ("RedisError", "OSError", "SSLError", "TimeoutError")
    with pytest.raises((RedisConnectionError, OSError, type(ODD[name]())) if is_known else RedisConnectionError):
        await cluster.execute_command("GET", first)
    assert await cluster.execute_command("GET", first) == f"{first} at 1"
    if name == "RedisError":
        return
    nodes[0].error = ODD[name]()
    answers = await cluster.exchange([("GET", first), ("GET", second)])
    assert isinstance(answers[0], RedisConnectionError | OSError)
    assert answers[1] == f"{second} at 2"
    nodes[0].error = ODD[name]()
    pipeline = cluster.pipeline()
    pipeline.get(first)
    with pytest.raises(StoreUnreachableError), store_errors():
        await pipeline.execute()
