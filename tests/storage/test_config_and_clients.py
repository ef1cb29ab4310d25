"""What all processes agree on, and clients that repeat no write by themselves."""

import asyncio
import signal
from unittest.mock import AsyncMock

import pytest

from conferral.runtime.errors import SettingsError, StoreError, StoreUnreachableError
from conferral.storage import config
from conferral.storage.config import (
    SCHEMA_VERSION,
    ContradictionError,
    read_warnings,
)
from conferral.storage.connection.client import as_store_errors, make_client
from conferral.storage.keys import Keys
from conferral.storage.queries import process_registry
from conferral.storage.server import server_identity, server_time_ms
from offhook import ACCOUNT_SID

pytestmark = pytest.mark.redis


async def test_number_of_partitions_is_fixed_at_first_use(client):
    for _ in range(2):
        await config.ensure(client, "test", 8, account_sid=ACCOUNT_SID)
    with pytest.raises(SettingsError) as refused:
        await config.ensure(client, "test", 16, account_sid=ACCOUNT_SID)
    assert refused.value.problems[0].startswith("CONFERRAL_PARTITIONS: 16, but test:config in Redis was set up with 8")
    assert (await config.load_keys(client, "test")).partitions == 8


async def test_account_is_fixed_at_first_use(client):
    await client.hset("test:config", mapping={"partitions": 8, "schema": SCHEMA_VERSION})  # as an older release
    for _ in range(2):
        await config.ensure(client, "test", 8, account_sid=ACCOUNT_SID)
    with pytest.raises(SettingsError) as refused:
        await config.ensure(client, "test", 8, account_sid="AC" + "9" * 32)
    assert refused.value.problems[0].startswith("TWILIO_ACCOUNT_SID: test:config in Redis was set up with another")
    assert ACCOUNT_SID not in str(await client.hgetall("test:config"))


@pytest.mark.parametrize("left", ["partitions", "schema"])
async def test_half_of_the_configuration_is_completed(client, left):
    present = {"partitions": 8, "schema": SCHEMA_VERSION}
    await client.hset("test:config", left, present[left])
    await config.ensure(client, "test", 8, account_sid=ACCOUNT_SID)
    assert (await config.load_keys(client, "test")).partitions == 8


@pytest.mark.parametrize("other", [SCHEMA_VERSION - 1, SCHEMA_VERSION + 1])
async def test_another_schema_is_refused_before_all_else_with_its_key_and_what_to_do(client, other):
    stored = {"partitions": 8, "schema": other, "account": "another"}
    await client.hset("test:config", mapping=stored)
    said = (
        f"test:config in Redis has schema {other}, and this release reads only schema {SCHEMA_VERSION}; run a release "
        "with that schema, set another CONFERRAL_PREFIX, or delete all keys with this one while no process of "
        "Conferral runs"
    )
    with pytest.raises(SettingsError) as refused:
        await config.ensure(client, "test", 16, account_sid=ACCOUNT_SID)
    assert refused.value.problems == (f"CONFERRAL_PREFIX: {said}",)
    with pytest.raises(ContradictionError, match=f"^{said}$"):
        await config.load_keys(client, "test")


async def test_foreign_configuration_is_refused(client):
    await client.hset("test:config", mapping={"partitions": "many", "schema": 1})
    with pytest.raises(SettingsError, match="does another program use this prefix"):
        await config.ensure(client, "test", 8, account_sid=ACCOUNT_SID)
    for partitions in ("many", "", "-1", "0"):
        await client.hset("test:config", mapping={"partitions": partitions, "schema": SCHEMA_VERSION})
        with pytest.raises(StoreError, match="does another program use this prefix"):
            await config.load_keys(client, "test")


@pytest.mark.parametrize("policy, is_refused", [
    ("allkeys-lru", True), ("allkeys-random", True), ("volatile-lru", False), ("noeviction", False),
])  # fmt: skip
async def test_redis_that_forgets_any_key_is_refused(client, policy, is_refused):
    await client.config_set("maxmemory-policy", policy)
    try:
        if not is_refused:
            await config.check_eviction_policy(client)
            return
        with pytest.raises(SettingsError) as refused:
            await config.check_eviction_policy(client)
        assert refused.value.problems[0].startswith(f"REDIS_URL: with maxmemory-policy {policy} a full Redis forgets")
    finally:
        await client.config_set("maxmemory-policy", "noeviction")


async def test_policy_set_at_run_time_and_streams_that_refuse_are_warned_of(client, keys):
    assert await read_warnings(client, keys) == {}
    await client.set(keys.dead, "another program's")
    await client.xadd(keys.outcomes, {"id": "x"}, id=f"{2**64 - 1}-{2**64 - 1}")
    await client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        found = await read_warnings(client, keys)
    finally:
        await client.config_set("maxmemory-policy", "noeviction")
    assert found == {
        "eviction": "with maxmemory-policy allkeys-lru a full Redis forgets live calls; set it to noeviction",
        "outcomes": f"{keys.outcomes} takes no entries: it has had the highest possible id",
        "dead": f"{keys.dead} takes no entries: it belongs to another program",
    }


@pytest.mark.parametrize("gone", [[None, None], [b"8", None]])
async def test_configuration_that_vanishes_while_it_is_read_is_no_setting_error(gone):
    class Vanishing:
        async def exists(self, *_keys): ...

        async def hmget(self, *_arguments):
            return [gone[0], None, gone[1]]

        async def hsetnx(self, *_arguments): ...

    with pytest.raises(StoreUnreachableError, match="test:config was removed"):
        await config.ensure(Vanishing(), "test", 8, account_sid=ACCOUNT_SID)


async def running(client):
    now_ms, keys = await server_time_ms(client, "test"), Keys("test", 8)
    return [one for one in await process_registry.read_processes(client, keys, now_ms) if one.is_running]


async def test_processes_that_have_died_or_come_from_the_future_are_not_listed(client):
    keys = Keys("test", 8)
    await process_registry.register(client, keys, process_registry.Process("w1", "worker", "0.2.0"))
    reported = (await client.hget(keys.processes, "w1")).partition(b" ")[2]
    now_ms = int((await client.time())[0]) * 1000
    strange = {"dead": now_ms - 60_000, "future": now_ms + 60_000, "forgotten": now_ms - 4_000_000}
    for name, seen_ms in strange.items():
        await client.hset(keys.processes, name, b"%d " % seen_ms + reported)
    await client.hset(keys.processes, mapping={"odd": b"what", "odder": b'%d {"stats":{"events":-1}}' % now_ms})
    shown = [(one.name, one.kind, one.version) for one in await running(client)]
    assert shown == [("odder", "", ""), ("w1", "worker", "0.2.0")]
    await process_registry.register(client, keys, process_registry.Process("w1", "worker", "0.2.0"))
    assert set(await client.hkeys(keys.processes)) == {b"w1", b"dead", b"future", b"odder"}


async def test_processes_are_listed_for_an_hour(client, keys, monkeypatch):
    now_ms = 1_800_000_000_000
    monkeypatch.setattr(process_registry, "server_time_ms", AsyncMock(return_value=now_ms))
    for away_ms in (3_600_000, 3_600_001, 15_000, 15_001):
        await client.hset(keys.processes, mapping={f"w{away_ms}": b"%d {}" % (now_ms - away_ms)})
    await process_registry.register(client, keys, process_registry.Process("w0", "worker"))
    found = await process_registry.read_processes(client, keys, now_ms)
    assert {one.name: one.is_running for one in found} == {
        "w0": True, "w15000": True, "w15001": False, "w3600000": False
    }  # fmt: skip


async def test_unused_prefix_is_reported_as_not_initialized(client):
    with pytest.raises(StoreError, match="nothing is set up"):
        await config.load_keys(client, "nobody")


async def test_server_is_known_by_its_run_and_how_long_that_lasts(single, client):
    found = await client.info("server")
    assert await server_identity(client, "key") == (found["run_id"], pytest.approx(found["uptime_in_seconds"], abs=2))


async def test_write_that_times_out_is_not_repeated(single, client):
    """redis-py's default repeats it: seen to store an entry twice when the server was paused."""
    slow = make_client(single.url)
    slow.connection_pool.connection_kwargs["socket_timeout"] = 0.2
    await slow.xadd("stream", {"n": 0})
    await slow.connection_pool.disconnect()
    single.signal(signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnreachableError), as_store_errors():
            await slow.xadd("stream", {"n": 1})
    finally:
        single.signal(signal.SIGCONT)
    await asyncio.sleep(0)
    assert await client.xlen("stream") <= 2
    await slow.aclose()


def test_only_a_blocking_client_waits_longer_than_the_deadline_of_a_command():
    for is_blocking, answer_s in ((False, 2.0), (True, 4.0)):
        given = make_client("redis://localhost", blocking=is_blocking).connection_pool.connection_kwargs
        assert (given["socket_timeout"], given["socket_connect_timeout"]) == (answer_s, 2.0)
        assert (given["retry"].get_retries(), given["decode_responses"]) == (0, False)
    assert make_client("redis://localhost").connection_pool.max_connections == 64


async def test_session_that_redis_does_not_show_now_is_not_taken_for_a_broken_one(single, client, store, keys):
    """A server that was demoted and has lost its primary refuses reads; an entry must not be dead-lettered for that."""
    await client.hset(keys.session("s1"), mapping={"state": "bridged"})
    await client.config_set("replica-serve-stale-data", "no")
    await client.replicaof("127.0.0.1", 1)
    try:
        with pytest.raises(StoreUnreachableError, match="MASTERDOWN"):
            await store.load(["s1"])
    finally:
        await client.replicaof("NO", "ONE")
        await client.config_set("replica-serve-stale-data", "yes")
