"""How the Redis in memory fails, and its clock: each fault does what it says it does, and nothing is up to chance."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from redis.exceptions import BusyLoadingError, NoPermissionError, NoScriptError, OutOfMemoryError, ReadOnlyError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from conferral.storage import scripts
from conferral.storage.connection.client import Client
from tests.support.hands import Hands
from tests.support.memory_redis import Fault, MemoryClient, MemoryServer

NOW_MS = 1_797_000_000_000


@pytest.fixture
def hands() -> Hands:
    return Hands(wall_ms=NOW_MS)


@pytest.fixture
def memory(hands: Hands) -> MemoryServer:
    return MemoryServer(hands.wall_ms)


@pytest.fixture
def client(memory: MemoryServer) -> Client:
    return MemoryClient(memory, timeout_s=0.05)


async def claim(client: Client) -> Any:
    """One of our scripts."""
    return await scripts.claim_gate(client, ["gates"], ["d1", "CA1", "", 60])


def once(fault: Fault, name: str | None = None) -> Callable[[str], Fault | None]:
    """A fault for the first command, or the first of a name."""
    left = [fault]
    return lambda asked: left.pop() if left and name in (None, asked) else None


@pytest.mark.parametrize("fault, error, is_done", [
    (Fault.UNREACHABLE, RedisConnectionError, False), (Fault.REPLY_LOST, RedisConnectionError, True),
    (Fault.SILENT, RedisTimeoutError, False), (Fault.SILENT_AFTER, RedisTimeoutError, True),
    (Fault.FULL, OutOfMemoryError, False), (Fault.READ_ONLY, ReadOnlyError, False),
    (Fault.LOADING, BusyLoadingError, False), (Fault.FORBIDDEN, NoPermissionError, False),
])  # fmt: skip
async def test_fault_of_one_command(memory, client, fault, error, is_done) -> None:
    memory.fault = once(fault)
    with pytest.raises(error):
        await client.set("k", "v")
    assert await client.get("k") == (b"v" if is_done else None)


@pytest.mark.parametrize(
    "fault, done", [(Fault.UNREACHABLE, [b"1", None, None]), (Fault.REPLY_LOST, [b"1", b"2", None])]
)
async def test_pipeline_is_cut_where_the_connection_breaks(memory, client, fault, done) -> None:
    faults = iter([None, fault])
    memory.fault = lambda _: next(faults)
    with pytest.raises(RedisConnectionError):
        await client.pipeline().set("a", 1).set("b", 2).set("c", 3).execute()
    memory.fault = None
    assert [await client.get(name) for name in "abc"] == done


async def test_restart_breaks_connections_and_forgets_scripts_but_no_key(memory, client) -> None:
    await claim(client)
    run_id = (await client.info("server"))["run_id"]
    reading = asyncio.ensure_future(memory.client(blocking=True).xread({"s": "0"}, block=2_000))
    await client.set("sent", "before")
    again = asyncio.ensure_future(client.set("sent", "last"))
    await asyncio.sleep(0)
    memory.stop()
    for broken in (reading, again, client.get("k"), client.pipeline().get("k").execute()):
        with pytest.raises(RedisConnectionError):
            await broken
    memory.start()
    assert await client.get("sent") == b"last"  # done, although no reply arrived
    assert (await client.info("server"))["run_id"] != run_id
    assert not memory.scripts.knows(scripts.claim_gate.sha.encode())
    assert await claim(client) == 1


async def test_restored_server_has_what_it_had_then(memory, client, hands) -> None:
    await client.hset("h", "f", "old")
    await client.xadd("s", {"n": 1}, id="1-1")
    await client.xgroup_create("s", "workers", id="0")
    await client.zadd("z", {"m": 1})
    await client.set("temporary", "x", px=500)
    before = memory.db.snapshot()
    for _ in range(2):  # a snapshot can be used again
        await client.hset("h", "f", "new")
        await client.xadd("s", {"n": 2}, id="2-1")
        await client.execute_command("XGROUP", "SETID", "s", "workers", "2-1")
        await client.zadd("z", {"m": 2, "n": 3})
        await client.delete("temporary")
        memory.stop()
        memory.db.restore(before)
        memory.start()
        assert await client.hgetall("h") == {b"f": b"old"}
        assert [entry for entry, _ in await client.xrange("s")] == [b"1-1"]
        assert (await client.xinfo_groups("s"))[0]["last-delivered-id"] == b"0-0"
        assert await client.zrange("z", 0, -1, withscores=True) == [(b"m", 1.0)]
        assert await client.get("temporary") == b"x"
    hands.now_ms += 501
    assert await client.get("temporary") is None
    with pytest.raises(NoScriptError):
        await client.execute_command("EVALSHA", scripts.claim_gate.sha, 0)


async def test_killed_client_hears_nothing_any_more_and_sends_nothing(memory, client) -> None:
    other = memory.client()
    reading = asyncio.ensure_future(client.xread({"s": "0"}, block=2_000))
    writing = asyncio.ensure_future(client.set("k", "sent before"))
    await asyncio.sleep(0)
    late = asyncio.ensure_future(client.set("late", "sent before"))
    await asyncio.sleep(0)
    client.kill()
    for broken in (reading, late, client.set("k", "after"), client.get("k")):
        with pytest.raises(RedisConnectionError):
            await broken
    assert await writing is True
    assert [await other.get(name) for name in ("k", "late")] == [b"sent before"] * 2


async def test_answers_take_their_time(memory, client) -> None:
    asked: list[str] = []

    def latency(name: str) -> tuple[float, float]:
        asked.append(name)
        return (0.02 if name == "SET" else 0.0), 0.0

    memory.latency = latency
    slow, quick = asyncio.ensure_future(client.set("k", "v")), asyncio.ensure_future(client.get("k"))
    assert (await quick, await slow) == (None, True)
    assert asked == ["SET", "GET"]
    memory.latency = lambda _: (0.2, 0.0)
    with pytest.raises(RedisTimeoutError):
        await client.get("k")
    broken = asyncio.ensure_future(client.set("k", "on its way"))
    await asyncio.sleep(0.01)  # a delay: nothing may happen for this long
    memory.stop()
    with pytest.raises(RedisConnectionError):
        await broken


async def test_ids_never_go_back_and_keys_expire_by_the_clock(client, hands) -> None:
    first = await client.xadd("s", {"n": 1})
    hands.now_ms -= 60_000
    second, third = await client.xadd("s", {"n": 2}), await client.xadd("t", {"n": 1})
    assert [first, second, third] == [b"1797000000000-0", b"1797000000000-1", b"1796999940000-0"]
    assert await client.set("k", "v", ex=10)
    assert await client.expire("s", 5)
    hands.now_ms += 5_000
    assert (await client.exists("s", "k"), await client.ttl("k")) == (2, 5)
    hands.now_ms += 1
    assert (await client.exists("s", "k"), await client.dbsize()) == (1, 2)
    hands.now_ms += 5_000
    assert await client.dbsize() == 1
