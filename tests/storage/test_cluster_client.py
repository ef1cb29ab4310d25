"""What the cluster's client makes of its nodes' answers. The nodes are played, partly in virtual time."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import AsyncMock, patch

import pytest
from redis.asyncio.cluster import PipelineCommand
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    MaxConnectionsError,
    MovedError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.storage.connection.client import make_client, run_all, run_or_raise
from conferral.storage.connection.cluster import ClusterClient, key_of
from conferral.storage.connection.errors import NoNodeError, to_store_error
from tests.simulation.virtual_loop import in_virtual_time
from tests.support.each import each

ASK, MOVED = AskError("1 b:1"), MovedError(f"{key_slot(b'a')} b:1")


class Node:
    """Answers as the test says; the last answer is for all further commands."""

    server_type = "primary"

    def __init__(self, name: str, *answers: Any) -> None:
        self.name = name
        self.answers = deque(answers)
        self.asked: list[str] = []
        #: How often its connections were dropped, count.
        self.dropped = 0
        self.is_closed = False

    def _answer(self, words: Sequence[Any]) -> Any:
        self.asked.append(words[0])
        if words[0] == "ASKING":
            return "OK"
        return self.answers.popleft() if len(self.answers) > 1 else self.answers[0]

    async def execute_command(self, *words: Any, **_options: Any) -> Any:
        answer = self._answer(words)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def execute_pipeline(self, commands: list[PipelineCommand]) -> None:
        for command in commands:
            command.result = self._answer(command.args)
        for command in commands:
            if isinstance(command.result, RedisConnectionError):
                raise command.result

    def update_active_connections_for_reconnect(self) -> None:
        self.dropped += 1

    async def disconnect_free_connections(self) -> None: ...

    async def disconnect(self) -> None:
        self.is_closed = True


@asynccontextmanager
async def cluster_of(**nodes: Node) -> AsyncIterator[ClusterClient]:
    """A client whose map gives each node the key of its name."""
    client: Any = make_client("redis://localhost:1?cluster=true")
    manager = client.nodes_manager
    with patch.object(type(manager), "initialize", AsyncMock()):
        manager.slots_cache = {client.keyslot(key): [node, None, None] for key, node in nodes.items()}
        manager.nodes_cache = {node.name: node for node in nodes.values()}
        yield client
        await client.aclose()


async def test_command_goes_to_the_node_of_its_key() -> None:
    a, b = Node("a:1", "of a"), Node("b:1", "of b")
    async with cluster_of(a=a, b=b) as client:
        assert [await client.execute_command("GET", key) for key in "ab"] == ["of a", "of b"]
        assert await run_all(client, [("GET", key) for key in "aba"]) == ["of a", "of b", "of a"]
        assert (a.asked, b.asked) == (["GET"] * 3, ["GET"] * 2)
        assert (client.node_of("a"), client.node_of("c")) == ("a:1", "")
        assert client.replica_counts() == {"a:1": 2, "b:1": 2}
        with pytest.raises(NoNodeError):
            await client.execute_command("GET", "c")


@each(
    "words, key",
    [(("GET", "k"), "k"), (("XREAD", "COUNT", 1, b"STREAMS", "k", "0"), "k"), (("EVALSHA", "sha", 1, "k", "x"), "k"),
     (("SET", "k", "v"), "k")],
)  # fmt: skip
def test_key_is_found_among_the_words_of_a_command(words, key) -> None:
    assert key_of(words) == key


@pytest.mark.parametrize("count", [1, 8, 9])
async def test_redirections_are_followed_eight_times(count) -> None:
    a, b = Node("a:1", ASK), Node("b:1", *[ASK] * (count - 1), "done")
    async with cluster_of(a=a, b=b) as client:
        if count <= 8:
            assert await client.execute_command("GET", "a") == "done"
        else:
            with pytest.raises(TryAgainError, match="disagree"):
                await client.execute_command("GET", "a")
        assert b.asked == ["ASKING", "GET"] * min(count, 8)
        assert client.has_valid_map, "the map is still right"


async def test_moved_slot_is_asked_for_where_it_is_and_the_map_is_loaded_again() -> None:
    a, b = Node("a:1", MOVED), Node("b:1", "done")
    async with cluster_of(a=a, b=b) as client:
        assert await client.execute_command("GET", "a") == "done"
        assert b.asked == ["GET"]
        assert not client.has_valid_map


@each(
    "error, dropped",
    [(RedisConnectionError("gone"), 1), (OSError("gone"), 1), (MaxConnectionsError("full"), 0),
     (ResponseError("WRONGTYPE"), 0)],
)  # fmt: skip
async def test_failed_node_is_left_and_a_busy_process_is_not_its_fault(error, dropped) -> None:
    for is_pipeline in (False, True):
        node = Node("a:1", type(error)(*error.args))
        async with cluster_of(a=node) as client:
            send = run_all(client, [("GET", "a")]) if is_pipeline else client.execute_command("GET", "a")
            (failure,) = await asyncio.gather(send, return_exceptions=True)
            (failed,) = failure if is_pipeline else [failure]
            assert type(failed) is type(error)
            assert (node.dropped, client.has_valid_map) == (dropped, not dropped)
            assert not dropped or to_store_error(failed).node == "a:1"
        assert node.is_closed


async def test_pipeline_fails_as_a_whole_if_a_nodes_answer_is_unknown() -> None:
    def nodes() -> Iterator[Node]:
        yield from (Node("a:1", b"1"), Node("b:1", ResponseError("WRONGTYPE")), Node("c:1", RedisConnectionError("x")))

    for keys, raises_on_error, expected in (
        ("aa", True, [b"1", b"1"]),
        ("ab", True, StoreError),
        ("ab", False, [b"1", ResponseError]),
        ("ac", True, StoreUnreachableError),
        ("ac", False, [b"1", RedisConnectionError]),
        ("bc", True, StoreUnreachableError),
    ):
        async with cluster_of(**dict(zip("abc", nodes(), strict=True))) as client:
            commands = [("GET", key) for key in keys]
            if isinstance(expected, type):
                with pytest.raises(expected) as failed:
                    await run_or_raise(client, *commands)
                assert failed.type is expected
            else:
                found = await (run_or_raise(client, *commands) if raises_on_error else run_all(client, commands))
                assert [type(one) if isinstance(one, Exception) else one for one in found] == expected


async def test_redirected_commands_of_a_pipeline_follow_in_order() -> None:
    a, b = Node("a:1", ASK, b"2", MOVED), Node("b:1", b"1")
    async with cluster_of(a=a, b=b) as client:
        assert await run_all(client, [("GET", "a")] * 2) == [b"1", b"2"]


@in_virtual_time
async def test_map_is_loaded_at_most_twice_a_second(loop) -> None:
    async with cluster_of(a=Node("a:1", "x", RedisConnectionError("gone"), *["x"] * 9)) as client:
        loads: list[float] = []

        async def load(_manager: object, **_options: object) -> None:
            loads.append(round(loop.time() - began_s, 6))

        began_s = loop.time()
        with patch.object(type(client.nodes_manager), "initialize", load):
            await client.execute_command("GET", "a")
            with pytest.raises(RedisConnectionError):
                await client.execute_command("GET", "a")
            for _ in range(9):
                await client.execute_command("GET", "a")
                client.has_valid_map = False  # as an answer shows
                await asyncio.sleep(0.125)  # a delay: virtual time
            assert loads == [0.0, 0.5, 1.0]
            nodes, client.nodes_manager.slots_cache = client.nodes_manager.slots_cache, {}
            with pytest.raises(NoNodeError):
                await client.execute_command("GET", "a")
            assert len(loads) == 4, "without a map, nothing works"
            client.nodes_manager.slots_cache = nodes
