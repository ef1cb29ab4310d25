"""A key of each wrong type: nothing is committed by half, and other sessions go on."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from conferral.runtime.errors import StoreError
from conferral.statemachine.step import CommandReport, CommandStatus
from conferral.storage import coordinator as leases
from conferral.storage.dead_letters import append_dead_letter
from conferral.storage.entries import Entry
from conferral.storage.partition.commit_store import Commit, CommitConflictError, CommitResult
from tests.storage.partition.test_commit import SESSION, add, opened
from tests.support.each import each

pytestmark = pytest.mark.redis
#: What another program writes: a command, after whose name the key follows.
WRITES: dict[str, tuple[Any, ...]] = {
    "string": ("SET", "x"),
    "list": ("RPUSH", "x"),
    "set": ("SADD", "x"),
    "zset": ("ZADD", 1, "x"),
    "stream": ("XADD", "*", "x", "y"),
    "hash": ("HSET", "x", "y"),
}
OF_SESSION = {"session": "hash", "log": "stream"}
OF_PARTITION = {"events": "stream", "lease": "hash", "outbox": "hash", "timers": "zset", "live": "set", "ended": "zset"}
SHARED = {"outcomes": "stream", "command": "hash", "call": "string"}


def wrong(types: dict[str, str]) -> list[tuple[str, str]]:
    """Each key with each type that is not its own."""
    return [(key, kind) for key, own in types.items() for kind in WRITES if kind != own]


async def replace_key(client, name, kind) -> None:
    await client.delete(name)
    command, *arguments = WRITES[kind]
    await client.execute_command(command, name, *arguments)


async def everything(client) -> dict[bytes, bytes]:
    return {key: await client.dump(key) for key in await client.keys("*")}


def in_partition(keys, *, of_session: bool) -> str:
    """A session in the partition of SESSION, or in another."""
    names = (f"S{number}" for number in range(100))
    return next(one for one in names if (keys.partition_of(one) == keys.partition_of(SESSION)) is of_session)


async def begin(client, keys, session=SESSION):
    """An empty Redis, and the lease of the session's partition."""
    return await leases.claim_partition(client, keys, keys.partition_of(session), "1:one")


def whole(ids, *sessions) -> Commit:
    """A commit that writes to every key."""
    report = CommandReport("c1", CommandStatus.FAILED, "busy")
    return Commit(
        ids,
        sessions=[opened(one) for one in sessions],
        outbox_set={"e": b"{}"},
        timers={f"ring|{SESSION}": 5},
        reports=[(SESSION, report)],
        outcomes=[{"id": "o"}],
        calls_over={SESSION: ("c1",)},
    )


@each("key, kind", wrong(OF_SESSION))
async def test_key_of_one_session_costs_that_session_alone(single, store, client, keys, key, kind):
    await client.flushall()
    partition, other = keys.partition_of(SESSION), in_partition(keys, of_session=True)
    lease, ids = await begin(client, keys), await add(client, keys, partition, 2)
    await replace_key(client, getattr(keys, key)(SESSION), kind)
    before = await everything(client)
    with pytest.raises(CommitConflictError) as refused:
        await store.commit(partition, lease, whole(ids, other, SESSION))
    assert refused.value.session_ids == (SESSION,)
    assert await everything(client) == before
    assert await store.commit(partition, lease, whole(ids[:1], other)) is CommitResult.OK
    name = getattr(keys, key)(SESSION).encode()
    assert (await everything(client))[name] == before[name]


@each("key, kind", wrong(OF_PARTITION))
async def test_key_of_a_partition_stops_that_partition_alone(single, store, client, keys, key, kind):
    await client.flushall()
    partition, other = keys.partition_of(SESSION), in_partition(keys, of_session=False)
    lease, ids = await begin(client, keys), await add(client, keys, partition)
    await replace_key(client, name := getattr(keys, key)(partition), kind)
    before = await everything(client)
    with pytest.raises(StoreError, match=f"{name};"):
        await store.commit(partition, lease, whole(ids, SESSION))
    assert await everything(client) == before
    assert await store.commit(keys.partition_of(other), await begin(client, keys, other), whole([], other))


@each("key, kind", wrong(SHARED))
async def test_key_of_all_partitions_costs_what_would_be_written_there(single, store, client, keys, key, kind):
    await client.flushall()
    partition, made = keys.partition_of(SESSION), getattr(keys, key)
    name = made if isinstance(made, str) else made("c1")
    lease, ids = await begin(client, keys), await add(client, keys, partition)
    await replace_key(client, name, kind)
    before = await client.dump(name)
    with capture_logs() as lines:
        assert await store.commit(partition, lease, whole(ids, SESSION)) is CommitResult.OK
    assert [line["names"] for line in lines if line["event"] == "writes_refused"] == [[name]]
    assert await client.dump(name) == before
    written = [keys.session(SESSION), keys.log(SESSION), keys.outbox(partition), keys.timers(partition),
               keys.live(partition), keys.outcomes, keys.command("c1")]  # fmt: skip
    assert await client.exists(*written) == len(written)
    assert not await client.xlen(keys.events(partition))
    assert lease.commit_number == 1


@each("kind", [kind for _, kind in wrong({"dead": "stream"})])
async def test_dead_letter_that_is_refused_is_lost_and_stops_nothing(single, client, keys, kind):
    await replace_key(client, keys.dead, kind)
    before = await everything(client)
    assert keys.dead in await append_dead_letter(client, keys, keys.events(0), Entry("1-1", {b"a": b"b"}), "why")
    assert await everything(client) == before
