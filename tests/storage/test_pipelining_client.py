"""A client over one connection: redis-py's answers and errors, however many commands run at once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import StoreUnreachableError
from conferral.storage.connection.client import Client, make_client, store_errors
from conferral.storage.connection.pipelining_client import over_one_connection
from conferral.storage.partition import lease as leases
from conferral.storage.partition.session_store import Batch, CommitResult, SessionStore
from tests.support.tcp_relay import Relay

pytestmark = pytest.mark.redis


@pytest.fixture
async def shared(single) -> AsyncIterator[Client]:
    client = over_one_connection(make_client(single.url))
    yield client
    await client.aclose()


async def queue_all(pipeline: Any) -> list[Any]:
    """Queues one command for each form of answer that a worker reads."""
    pipeline.hset("hash", mapping={"a": "1", "b": "2"})
    pipeline.hgetall("hash")
    pipeline.hmget("hash", "a", "missing")
    pipeline.zadd("zset", {"one": 1.5, "two": 2})
    pipeline.zrange("zset", 0, 0, withscores=True)
    pipeline.sadd("set", "member")
    pipeline.smembers("set")
    pipeline.set("text", "value", nx=True)
    pipeline.set("text", "value", nx=True)
    pipeline.xadd("stream", {"a": "b"}, id="5-1")
    pipeline.xread({"stream": "0"}, count=2)
    pipeline.xinfo_stream("stream")
    pipeline.get("missing")
    return list(await pipeline.execute())


async def test_answers_are_those_of_redis_py(shared, client) -> None:
    await client.flushall()
    expected = await queue_all(client.pipeline())
    await client.flushall()
    assert await queue_all(shared.pipeline()) == expected
    assert await shared.hgetall("hash") == {b"a": b"1", b"b": b"2"}
    assert await shared.zrange("zset", 0, 0, withscores=True) == [(b"one", 1.5)]
    assert (await shared.info("server"))["run_id"] == (await client.info("server"))["run_id"]
    assert await shared.execute_command("CLIENT ID") == await shared.client_id()
    await client.flushall()


async def test_transactions_are_those_of_redis_py_and_only_sent_if_asked_for(shared, client) -> None:
    for asked in (shared, client):
        await asked.config_resetstat()
        await asked.pipeline().set("text", "value").execute()
        assert "cmdstat_multi" not in await asked.info("commandstats")
        async with asked.pipeline(transaction=True) as transaction:
            await transaction.get("text").delete("text").execute()
        assert "cmdstat_multi" in await asked.info("commandstats")
    assert await shared.pipeline().execute() == []


async def test_refusal_is_raised_for_a_command_and_a_value_in_a_pipeline(shared, keys) -> None:
    await shared.set(keys.dead, "text")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await shared.hget(keys.dead, "field")
    pipeline = shared.pipeline()
    refused, text = await pipeline.hget(keys.dead, "field").get(keys.dead).execute(raise_on_error=False)
    assert isinstance(refused, ResponseError)
    assert text == b"text"
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await pipeline.hget(keys.dead, "field").execute()
    await shared.delete(keys.dead)


async def test_temporary_refusal_in_a_pipeline_keeps_its_code(shared, client, keys) -> None:
    """Without it, callers give up instead of waiting for a replica."""
    await client.config_set("min-replicas-to-write", 1)
    for asked in (shared, client):
        with pytest.raises(StoreUnreachableError, match="NOREPLICAS"), store_errors():
            await asked.pipeline().set(keys.probe, 1).execute()
    await client.config_set("min-replicas-to-write", 0)


async def test_commands_that_run_at_once_share_a_connection(shared, client) -> None:
    ids = await asyncio.gather(*(shared.client_id() for _ in range(20)))
    assert len(set(ids)) == 1


async def test_broken_connection_fails_everything_in_flight_and_is_opened_again(single) -> None:
    async with Relay(single.socket) as relay:
        client = over_one_connection(make_client(relay.url))
        first = await client.client_id()
        sent = relay.requests
        relay.fall_silent()
        pipeline = client.pipeline().incr("n").incr("n")
        running = [asyncio.ensure_future(client.incr("n")), asyncio.ensure_future(pipeline.execute())]
        while relay.requests == sent:
            await asyncio.sleep(0.01)
        relay.lead_to(single.socket)
        results = await asyncio.gather(*running, return_exceptions=True)
        assert [type(result) for result in results] == [RedisConnectionError] * 2
        relay.go_on()
        assert await client.client_id() != first
        await client.aclose()
        with pytest.raises(RedisConnectionError, match="closed"):
            await client.get("n")


async def test_closing_ends_all_connections(single) -> None:
    client = over_one_connection(make_client(single.url))
    with single.client() as other:
        connections = len(other.client_list())
        for transaction in (False, True):
            await client.pipeline(transaction=transaction).get("n").execute()
        assert len(other.client_list()) == connections + 2
        await client.aclose()
        while len(other.client_list()) > connections:
            await asyncio.sleep(0.001)


async def test_commit_whose_answer_is_lost_is_sent_again_only_by_its_caller(single, client, keys, pipelining) -> None:
    lease, _ = await leases.acquire(client, keys.lease(0), "one", SystemClock())
    entry_id = (await client.xadd(keys.events(0), {"type": "x"})).decode()
    async with Relay(single.socket) as relay:
        relayed = make_client(relay.url)
        relayed = over_one_connection(relayed) if pipelining else relayed
        store, batch = SessionStore(relayed, keys, session_ttl_s=60), Batch(entry_ids=[entry_id])
        assert await store.commit(0, lease, Batch()) is CommitResult.OK  # Redis knows the script

        relay.cut_reply(b"EVALSHA", count=1)
        with pytest.raises(StoreUnreachableError):
            await store.commit(0, lease, batch)

        assert await client.hget(keys.lease(0), "commit") == b"2"
        assert await store.commit(0, lease, batch) is CommitResult.ALREADY
        assert await client.xlen(keys.events(0)) == 0
        await relayed.aclose()
