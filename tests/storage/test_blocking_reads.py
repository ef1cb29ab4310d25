"""Blocking reads of streams."""

import asyncio

import pytest

from conferral.storage.connection.client import BlockingReads

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


async def test_read_waits_for_an_entry(client, reads) -> None:
    waiting = await begun(client, reads)
    await client.xadd("stream", {"a": "b"}, id="5-1")
    assert await waiting == [(b"5-1", {b"a": b"b"})]


async def test_read_after_an_entry_returns_only_later_ones(client, reads) -> None:
    await client.xadd("stream", {"a": "b"}, id="5-1")
    await client.xadd("stream", {"c": "d"}, id="5-2")
    assert await reads.read("stream", 10, after="5-1") == [(b"5-2", {b"c": b"d"})]
