"""What our code leans on in a client, whichever Redis it speaks to: replies, pipelines, reads that wait."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from redis.exceptions import NoScriptError, ResponseError

from conferral.storage.scripts import finish_effect
from tests.support.memory_redis import MemoryServer
from tests.support.redis_clients import AnyServer, client_of
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.redis
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"


@pytest.fixture
def alone(server: AnyServer) -> AnyServer:
    """One server, also one in memory: on a cluster these keys would lie apart."""
    if not isinstance(server, RedisServer | MemoryServer):
        pytest.skip("about one server, not about a cluster")
    return server


async def test_replies_have_the_shapes_that_we_take_apart(alone, client) -> None:
    assert [await client.set("s", "x", nx=True, ex=9), await client.set("s", "y", nx=True)] == [True, None]
    assert (await client.get("s"), await client.get("none"), await client.exists("s", "none")) == (b"x", None, 1)
    assert await client.hset("h", mapping={"a": 1, "b": b"\xff"}) == 2
    assert await client.hgetall("h") == {b"a": b"1", b"b": b"\xff"}
    assert await client.hgetall("none") == {}
    assert await client.hmget("h", ["a", "none"]) == [b"1", None]
    assert (await client.hexists("h", "a"), await client.hsetnx("h", "a", 2), await client.hlen("h")) == (True, 0, 2)
    assert (await client.expire("h", 5), await client.expire("none", 5), await client.ttl("h")) == (True, False, 5)
    assert (await client.sadd("set", "m", "n"), await client.smembers("set")) == (2, {b"m", b"n"})
    assert await client.smembers("none") == set()
    assert await client.zadd("z", {"m": 1, "n": 2.5}) == 2
    assert await client.zrangebyscore("z", "-inf", "+inf") == [b"m", b"n"]
    assert await client.zrange("z", 0, -1, withscores=True) == [(b"m", 1.0), (b"n", 2.5)]
    assert await client.zrevrangebyscore("z", "(2.5", "-inf", start=0, num=1, withscores=True) == [(b"m", 1.0)]
    assert await client.xadd("x", {"f": 1}, id="5-1", maxlen=10, approximate=True) == b"5-1"
    assert await client.xrange("x") == await client.xrevrange("x", count=1) == [(b"5-1", {b"f": b"1"})]
    assert await client.xread({"x": "0"}, count=3) == [[b"x", [(b"5-1", {b"f": b"1"})]]]
    assert await client.xread({"x": "5-1"}) == []
    assert await client.xgroup_create("x", "workers", id="0") is True
    assert (await client.xinfo_groups("x"))[0]["last-delivered-id"] == b"0-0"
    assert (await client.xlen("x"), await client.xdel("x", "5-1", "5-2"), await client.type("x")) == (1, 1, b"stream")
    seconds, microseconds = await client.time()
    assert seconds > 1_500_000_000
    assert 0 <= microseconds < 1_000_000
    info = await client.info("server")
    assert len(str(info["run_id"])) == 40
    assert int(info["uptime_in_seconds"]) >= 0
    assert await client.execute_command("SET", "plain", "x") in (True, b"OK")
    assert await client.config_set("maxmemory", "0") is True
    assert await client.ping() is True


async def refused(asked: Awaitable[Any]) -> tuple[type[Exception], str]:
    with pytest.raises(ResponseError) as refusal:
        await asked
    return refusal.type, str(refusal.value)


async def test_refusals_are_reported_alike_by_all_servers(alone, client) -> None:
    await client.set("s", "x")
    assert await refused(client.hget("s", "f")) == (ResponseError, WRONG_TYPE)
    await client.xadd("x", {"f": 1}, id="1-1")
    assert (await refused(client.xadd("x", {"f": 1}, id="1-1")))[1].startswith("The ID specified in XADD is equal or")
    assert (await refused(client.execute_command("EVALSHA", "0" * 40, 0)))[0] is NoScriptError


async def test_pipeline_returns_each_reply_and_raises_the_first_refusal(alone, client) -> None:
    def filled() -> Any:
        pipeline = client.pipeline()
        pipeline.set("s", 1)
        pipeline.hget("s", "f")
        pipeline.xadd("s", {"a": "b"})
        return pipeline.get("s")

    done, *refusals, got = await filled().execute(raise_on_error=False)
    assert (done, got, [str(one) for one in refusals]) == (True, b"1", [WRONG_TYPE] * 2)
    assert await refused(filled().execute()) == (ResponseError, WRONG_TYPE)
    assert await client.pipeline().execute() == []
    both = client.pipeline(transaction=True)
    both.sadd("n", 1, 2).scard("n")
    assert await both.execute() == [2, 2]


async def test_blocking_read_is_woken_by_an_appended_entry(alone, client, blocking) -> None:
    other = client_of(alone, blocking=True)

    async def by_pipeline() -> None:
        await client.pipeline().set("other", 1).xadd("x", {"n": 1}, id="1-1").execute()

    async def by_script() -> None:
        await client.hset("outbox", "e", "{}")
        assert await finish_effect(client, ["outbox", "x"], ["e", "n", 1]) == 1

    for add in (lambda: client.xadd("x", {"n": 1}), by_pipeline, by_script):
        await client.delete("x")
        reads = [asyncio.ensure_future(one.xread({"y": "0", "x": "0"}, block=20_000)) for one in (blocking, other)]
        await asyncio.sleep(0.05)  # a delay: nothing shows that a blocked read has begun
        assert not any(read.done() for read in reads)
        await client.set("x", "another program's")
        await client.delete("x")
        await add()
        for answer in await asyncio.gather(*reads):
            assert [(key, fields) for key, entries in answer for _, fields in entries] == [(b"x", {b"n": b"1"})]
    await other.aclose()


async def test_read_that_waits_comes_back_empty_or_is_cut_short(alone, client, blocking) -> None:
    assert await blocking.xread({"x": "0"}, block=10) == []
    read = asyncio.ensure_future(blocking.xread({"x": "0"}, block=20_000))
    await asyncio.sleep(0.05)  # a delay: nothing shows that a blocked read has begun
    read.cancel()
    await asyncio.wait([read])
    assert read.cancelled()
    await client.xadd("x", {"n": 1}, id="1-1")
    assert await blocking.xread({"x": "$"}, block=10) == []
    assert await blocking.xread({"x": "0"}, block=20_000) == [[b"x", [(b"1-1", {b"n": b"1"})]]]
