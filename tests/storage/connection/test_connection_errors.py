"""A Redis that can't write its file, or was demoted: it is left, and nothing counts as stored that was not."""

import asyncio
import resource
from collections.abc import AsyncIterator

import pytest

from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.storage.connection.client import Client, as_store_errors, make_client
from conferral.storage.connection.primary import ASK_EVERY_S, primary_of
from conferral.storage.keys import Keys
from conferral.storage.webhook_store.store import WebhookStore
from tests.support.entries import SESSION, event_in, ringing
from tests.support.redis_server import RedisServer
from tests.support.tcp_relay import Relay

pytestmark = pytest.mark.redis


async def stored(client: Client, keys: Keys) -> set[int]:
    entries = await client.xrange(keys.events(keys.partition_of(SESSION)))
    return {event_in(fields).sequence for _, fields in entries}


async def test_append_only_file_that_can_not_grow_is_named_and_what_was_acknowledged_is_in_it(single, keys, clock):
    with RedisServer(single.program, append_only=True, ignores_file_size=True) as own:
        client = make_client(own.url)
        publisher = WebhookStore(client, keys, clock, deadline_s=0.5)
        acknowledged: list[int] = []
        states: set[str] = set()
        assert own.process is not None
        size = own.append_only_file.stat().st_size
        resource.prlimit(own.process.pid, resource.RLIMIT_FSIZE, (size + 5_000, resource.RLIM_INFINITY))
        for number in range(200):
            try:
                await publisher.publish(ringing(number))
            except StoreError as error:
                states.add(error.state)
                break
            acknowledged.append(number)
        assert 10 < len(acknowledged) < 200
        assert states == {"can't write to its disk (MISCONF)"}
        assert await publisher.redis_error() == "can't write to its disk (MISCONF)"
        resource.prlimit(own.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        async with asyncio.timeout(60):
            while await publisher.redis_error():
                await asyncio.sleep(0.05)
        await publisher.publish(ringing(1_000))
        await publisher.close()
        # Behind a slow fsync Redis keeps what is to be written for up to two seconds; that is its own promise.
        async with asyncio.timeout(60):
            while (await client.info("persistence"))["aof_buffer_length"]:
                await asyncio.sleep(0.05)
        await client.aclose()
        own.kill()
        own.start()
        client = make_client(own.url)
        assert await stored(client, keys) >= {*acknowledged, 1_000}
        await client.aclose()


# ---- a primary that was demoted ----------------------------------------------------------------------------------


@pytest.fixture
async def after_failover(
    single: RedisServer,
) -> AsyncIterator[tuple[Relay, RedisServer, RedisServer]]:
    """An address that leads to another server by now, and connections of before that stay open to the first."""
    with RedisServer(single.program) as other:
        async with Relay(single.socket) as relay:
            yield relay, single, other
        with single.client() as redis:
            redis.replicaof("NO", "ONE")


def fail_over(relay: Relay, old: RedisServer, new: RedisServer) -> None:
    with old.client() as redis:
        redis.replicaof("127.0.0.1", 1)
    relay.lead_to(new.socket)


async def test_blocking_reads_leave_a_demoted_server_when_a_write_has_met_it(after_failover):
    relay, old, new = after_failover
    primary = primary_of(relay.url, "")
    client, blocking = make_client(relay.url, primary), make_client(relay.url, primary, blocking=True)
    for each in (client, blocking):
        await each.get("a")
    fail_over(relay, old, new)
    assert await blocking.xread({"s": "0"}, block=10) in ([], {}), "it answers reads, and shows nothing of the new one"
    with new.client() as redis:
        redis.xadd("s", {"a": "b"})
    assert not await blocking.xread({"s": "0"}, block=10)

    with pytest.raises(StoreUnreachableError), as_store_errors():
        await client.set("a", "b")
    assert await blocking.xread({"s": "0"}, block=10)
    await client.set("a", "b")
    for each in (client, blocking):
        await each.aclose()


async def test_address_still_leading_to_demoted_server_is_resolved_again_at_intervals(after_failover):
    relay, old, new = after_failover
    client = make_client(relay.url)
    await client.set("a", "b")
    fail_over(relay, old, old)
    with old.client() as redis:
        before = redis.info("stats")["total_connections_received"]
        for _ in range(50):
            with pytest.raises(StoreUnreachableError), as_store_errors():
                await client.set("a", "b")
        assert redis.info("stats")["total_connections_received"] - before <= 2
    relay.lead_to(new.socket)
    async with asyncio.timeout(10 * ASK_EVERY_S):
        while True:
            try:
                with as_store_errors():
                    await client.set("a", "b")
                break
            except StoreUnreachableError:
                await asyncio.sleep(0.02)
    with new.client() as redis:
        assert redis.get("a") == "b"
    await client.aclose()
