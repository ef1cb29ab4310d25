"""Blocking reads of streams."""

import asyncio

import pytest

from conferral.storage.connection.client import BlockingReads
from conferral.storage.scripts import finish_effect
from tests.support.redis_clients import client_of

pytestmark = pytest.mark.redis


@pytest.fixture
def reads(single, blocking):
    return BlockingReads(blocking)


async def begun(client, reads):
    """A read that Redis holds back by now."""
    reading = asyncio.ensure_future(reads.read("stream", 10))
    while not (await client.info("clients"))["blocked_clients"]:
        await asyncio.sleep(0.01)
    return reading


async def test_read_after_a_canceled_one_gets_its_entries_at_once(client, reads) -> None:
    left = await begun(client, reads)
    left.cancel()
    await asyncio.wait([left])
    await client.xadd("stream", {"a": "b", "c": ""}, id="5-1")
    async with asyncio.timeout(1):  # the canceled one would block for 2 s
        assert await reads.read("stream", 10) == [(b"5-1", {b"a": b"b", b"c": b""})]


async def test_interrupted_read_returns_nothing_and_the_next_one_its_entries(client, reads) -> None:
    reads.interrupt("stream")  # none is running
    waiting = await begun(client, reads)
    reads.interrupt("stream")
    async with asyncio.timeout(1):
        assert await waiting == []
        await client.xadd("stream", {"a": "b"}, id="5-1")
        assert await reads.read("stream", 10) == [(b"5-1", {b"a": b"b"})]


async def test_read_after_an_entry_returns_only_later_ones(client, reads) -> None:
    await client.xadd("stream", {"a": "b"}, id="5-1")
    await client.xadd("stream", {"c": "d"}, id="5-2")
    assert await reads.read("stream", 10, after="5-1") == [(b"5-2", {b"c": b"d"})]


async def test_every_reader_of_a_stream_is_woken_however_its_entry_comes(client, server, blocking) -> None:
    """Also of the Redis in memory, where workers would else hear of each event two seconds late."""
    other = client_of(server, blocking=True)

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
        await add()
        async with asyncio.timeout(1):
            for answer in await asyncio.gather(*reads):
                assert [(key, fields) for key, entries in answer for _, fields in entries] == [(b"x", {b"n": b"1"})]
    await other.aclose()
