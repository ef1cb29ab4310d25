"""A worker's hot requests, both ways: what becomes of them when the connection breaks or Redis says nothing."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import StoreUnreachableError
from conferral.storage.connection.client import Client, make_client
from conferral.storage.connection.hot_requests import BlockingReads, HotRequests
from conferral.storage.partition import lease as leases
from conferral.storage.partition.session_store import Batch, CommitResult, SessionStore
from tests.support.redis_server import RedisServer
from tests.support.tcp_relay import Relay

pytestmark = pytest.mark.redis


@pytest.fixture
async def relay(single: RedisServer) -> AsyncIterator[Relay]:
    async with Relay(single.socket) as relay:
        yield relay


@pytest.fixture
async def relayed(relay: Relay) -> AsyncIterator[Client]:
    client = make_client(relay.url, blocking=True)
    yield client
    await client.aclose()


async def test_commit_whose_answer_is_lost_is_sent_again_only_by_its_caller(
    relay, relayed, client, keys, pipelining
) -> None:
    lease, _ = await leases.acquire(client, keys.lease(0), "one", SystemClock())
    entry_id = (await client.xadd(keys.events(0), {"type": "x"})).decode()
    requests = HotRequests(relayed, pipelining=pipelining)
    store, batch = SessionStore(relayed, keys, session_ttl_s=60, hot=requests), Batch(entry_ids=[entry_id])
    assert await store.commit(0, lease, Batch()) is CommitResult.OK  # Redis knows the script

    relay.cut_reply(b"EVALSHA", count=1)
    with pytest.raises(StoreUnreachableError):
        await store.commit(0, lease, batch)

    assert await client.hget(keys.lease(0), "commit") == b"2"
    assert await store.commit(0, lease, batch) is CommitResult.ALREADY
    assert await client.xlen(keys.events(0)) == 0
    requests.close()


async def test_broken_connection_fails_everything_in_flight(single, relay, relayed, pipelining) -> None:
    requests = HotRequests(relayed, pipelining=pipelining)
    assert await requests.execute_command("ECHO", "text") == b"text"
    sent = relay.requests
    relay.fall_silent()
    running = [
        asyncio.ensure_future(requests.execute_command("INCR", "n")),
        asyncio.ensure_future(requests.execute_all([("INCR", "n"), ("INCR", "n")])),
    ]
    while relay.requests == sent:
        await asyncio.sleep(0.01)
    relay.lead_to(single.socket)
    results = await asyncio.gather(*running, return_exceptions=True)
    assert [type(result) for result in results] == [RedisConnectionError] * 2
    requests.close()


async def test_refusal_is_raised_for_a_command_and_a_value_in_a_pipeline(hot, client, keys) -> None:
    await client.set(keys.dead, "text")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await hot.execute_command("HGET", keys.dead, "field")
    refused, text = await hot.execute_all([("HGET", keys.dead, "field"), ("GET", keys.dead)])
    assert isinstance(refused, ResponseError)
    assert text == b"text"


async def test_reads_after_the_end_open_nothing(single, blocking, keys) -> None:
    reads = BlockingReads(blocking, pipelining=True)
    reads.close()
    with pytest.raises(RedisConnectionError, match="closed"):
        await reads.read(keys.events(0), 1)
    assert not reads._connections


async def test_read_after_a_canceled_one_gets_its_entries_at_once(single, blocking, client, pipelining) -> None:
    reads = BlockingReads(blocking, pipelining=pipelining)
    left = asyncio.ensure_future(reads.read("stream", 10))
    while not (await client.info("clients"))["blocked_clients"]:
        await asyncio.sleep(0.01)
    left.cancel()
    await asyncio.wait([left])
    await client.xadd("stream", {"a": "b", "c": ""}, id="5-1")
    async with asyncio.timeout(1):  # the canceled one would block for 2 s
        assert await reads.read("stream", 10) == [(b"5-1", {b"a": b"b", b"c": b""})]
    reads.close()


async def test_read_waits_for_an_entry(single, blocking, client, pipelining) -> None:
    reads = BlockingReads(blocking, pipelining=pipelining)
    waiting = asyncio.ensure_future(reads.read("stream", 10))
    while not (await client.info("clients"))["blocked_clients"]:
        await asyncio.sleep(0.01)
    await client.xadd("stream", {"a": "b"}, id="5-1")
    assert await waiting == [(b"5-1", {b"a": b"b"})]
    reads.close()


async def test_read_after_an_entry_returns_only_later_ones(single, blocking, client, pipelining) -> None:
    reads = BlockingReads(blocking, pipelining=pipelining)
    await client.xadd("stream", {"a": "b"}, id="5-1")
    await client.xadd("stream", {"c": "d"}, id="5-2")
    assert await reads.read("stream", 10, after="5-1") == [(b"5-2", {b"c": b"d"})]
    reads.close()
