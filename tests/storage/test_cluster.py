"""What is special about a Redis Cluster: nodes that die, hand over, hang, or give a slot away while we work."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio.cluster import ClusterNode

from conferral.operations.erasure import SessionErasure
from conferral.operations.session_queries import SessionQueries
from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.statemachine.events import CallProgressed
from conferral.storage import coordinator as leases
from conferral.storage.connection.client import BlockingReads, Client, as_store_errors, make_client, server_identity
from conferral.storage.connection.cluster import ClusterClient
from conferral.storage.ingest import writer
from conferral.storage.ingest.writer import BatchingIngest
from conferral.storage.keys import Keys
from conferral.storage.partition.partition_store import PartitionStore
from conferral.storage.partition.session_store import Batch, CommitResult, SessionStore
from tests.support.entries import event_in
from tests.support.redis_cluster import ClusterServers
from tests.support.redis_server import found_programs

pytestmark = [pytest.mark.redis, pytest.mark.timeout(180)]
KEYS = Keys("test", 64)
#: How long a failover may take until everything goes on, seconds; a busy machine may elect slowly.
FAILOVER_S = 30.0


@pytest.fixture(scope="module")
def running() -> Iterator[ClusterServers]:
    programs = found_programs()
    with ClusterServers(programs.get("on-path") or programs["bundled"]) as cluster:
        yield cluster


@pytest.fixture
def cluster(running: ClusterServers) -> ClusterServers:
    running.reset()
    return running


@pytest.fixture
async def client(cluster: ClusterServers) -> AsyncIterator[Client]:
    client = make_client(cluster.url)
    yield client
    await client.aclose()


@pytest.fixture
async def publisher(client: Client) -> AsyncIterator[BatchingIngest]:
    publisher = BatchingIngest(client, KEYS, SystemClock())
    yield publisher
    await publisher.close()


def session_in(partition: int) -> str:
    return next(f"s{n}" for n in range(100_000) if KEYS.partition_of(f"s{n}") == partition)


def event(partition: int, token: str = "") -> CallProgressed:
    return CallProgressed(
        session_id=session_in(partition), token=token, party="agent", call_sid="CA2", status="ringing"
    )


def partitions_by_node(cluster: ClusterServers) -> dict[int, list[int]]:
    """Numbers of partitions by the port of the primary that has them."""
    found: dict[int, list[int]] = {}
    for partition in range(KEYS.partitions):
        found.setdefault(cluster.owner_of(KEYS.events(partition)).port, []).append(partition)
    return found


async def eventually(act: Any, timeout_s: float = FAILOVER_S) -> Any:
    """Does something until Redis takes it."""
    async with asyncio.timeout(timeout_s):
        while True:
            try:
                with as_store_errors():
                    return await act()
            except StoreError:
                await asyncio.sleep(0.05)


# ---- a primary dies --------------------------------------------------------------------------------------------------


async def test_only_partitions_of_a_dead_primary_wait_for_failover(cluster, client, publisher) -> None:
    """And webhooks, which send nothing but pipelines, find the replica as well."""
    (dead, theirs), (_, others), *_ = partitions_by_node(cluster).items()
    await asyncio.gather(*(publisher.publish(event(partition, "before")) for partition in range(KEYS.partitions)))
    primary = cluster.at(dead)
    replica = cluster.replica_of(primary)
    primary.kill()
    for number in range(20):
        results = await asyncio.gather(
            publisher.publish(event(theirs[0], f"theirs-{number}")),
            publisher.publish(event(others[0], f"others-{number}")),
            return_exceptions=True,
        )
        assert results[1] is None, "the node of that partition is well"
        if results[0] is None:
            break
    await eventually(lambda: publisher.publish(event(theirs[0], "after")))
    assert replica.is_primary()
    tokens = [event_in(fields).token for _, fields in await client.xrange(KEYS.events(others[0]))]
    assert len(tokens) == len(set(tokens)), "what a node has stored is not sent to it again because another one is dead"


async def test_open_read_finds_the_replica_and_misses_nothing(cluster, client) -> None:
    blocking = make_client(cluster.url, blocking=True)
    access = PartitionStore(client, BlockingReads(blocking), KEYS)
    reading = asyncio.create_task(access.read(0, 10))
    await asyncio.sleep(0.1)  # a delay: nothing shows that a blocked read has begun
    cluster.fail_over(cluster.owner_of(KEYS.events(0)))
    added = await eventually(lambda: client.xadd(KEYS.events(0), {"type": "x"}))

    async def read() -> list[Any]:
        nonlocal reading
        try:
            return await reading
        finally:
            reading = asyncio.create_task(access.read(0, 10))

    async with asyncio.timeout(FAILOVER_S):
        # There may be more: the client may have repeated a request whose answer was lost.
        while added.decode() not in [entry.entry_id for entry in await eventually(read)]:
            pass
    await asyncio.wait([reading])
    await blocking.aclose()


async def test_identity_of_a_cluster_names_each_primary(cluster, client) -> None:
    assert len((await server_identity(client))[0].split()) == len(partitions_by_node(cluster))


@pytest.mark.soak
async def test_failover_is_noticed_as_another_server(cluster, client, publisher, monkeypatch) -> None:
    before, _ = await server_identity(client)
    with monkeypatch.context() as patch:
        patch.setattr(writer, "RECENT_RESTART_S", 0.0)  # as if it had run for long
        await publisher.server.check()
    assert not publisher.restarted_recently()
    cluster.fail_over(cluster.owner_of(KEYS.events(7)))
    await client.xadd(KEYS.events(7), {"type": "x"})  # sent on, and the map is known to be old
    await asyncio.sleep(0.5)  # a delay: the replica takes over
    await eventually(publisher.server.check)
    assert publisher.restarted_recently()
    assert (await server_identity(client))[0] != before


async def test_session_is_erased_on_whatever_nodes_its_traces_lie(client) -> None:
    """Its calls and commands lie anywhere; of a second session nothing goes."""
    calls = [f"CA{number:032x}" for number in range(40)]
    for number, session_id in enumerate(("s1", "s2")):
        await client.hset(KEYS.session(session_id), mapping={"id": session_id, "state": "ended", "version": "3"})
        await client.xadd(KEYS.log(session_id), {"event": "x"})
        await client.zadd(KEYS.ended(KEYS.partition_of(session_id)), {session_id: 1})
        await client.xadd(KEYS.outcomes, {"session": session_id})
        await client.xadd(KEYS.dead, {"session": session_id, "dead_reason": "odd"})
        for call_sid in calls[number::2]:
            await client.set(KEYS.call(call_sid), session_id)
            await client.hset(KEYS.command(call_sid), mapping={"entry": "1-0", "session": call_sid})
    eraser = SessionErasure(SessionQueries(client, KEYS))
    other = await eraser.find("s2")
    traces = await eraser.find("s1")
    assert traces.counts == {
        "session": 1, "log_entries": 1, "gates": 0, "calls": 20, "commands": 20, "outcomes": 1, "dead_letters": 1,
    }  # fmt: skip
    await eraser.erase(traces)
    assert not any((await eraser.find("s1")).counts.values())
    assert await eraser.find("s2") == other
    assert await client.hgetall(KEYS.command(calls[0])) == {b"entry": b"1-0"}


async def test_cluster_url_is_resolved_again_when_all_nodes_have_new_addresses(client) -> None:
    """As after a move of the whole cluster: its name leads to the new nodes."""
    await client.set("a", 1)
    gone = ClusterNode("127.0.0.1", 9, **client.connection_kwargs)
    manager = client.nodes_manager
    await manager.aclose()
    await manager.aclose("startup_nodes")
    manager.startup_nodes = {gone.name: gone}
    manager.nodes_cache = {gone.name: gone}
    manager.slots_cache = {slot: [gone] for slot in manager.slots_cache}

    async def read() -> Any:
        with as_store_errors():
            return await client.get("a")

    assert await eventually(read) == b"1"


# ---- nothing is repeated ---------------------------------------------------------------------------------------------


async def test_write_that_times_out_is_not_repeated(cluster) -> None:
    impatient = ClusterClient.from_url(
        cluster.url.partition("?")[0], socket_timeout=0.2, retry=make_client(cluster.url).retry, protocol=2
    )
    key = KEYS.events(3)
    await impatient.xadd(key, {"n": 0})
    node = cluster.owner_of(key)
    node.signal(signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnreachableError), as_store_errors():
            await impatient.xadd(key, {"n": 1})
    finally:
        node.signal(signal.SIGCONT)
    async with asyncio.timeout(FAILOVER_S):
        while node.ask("XLEN", key) == 1:  # what was sent before the pause is done behind it
            await asyncio.sleep(0.01)
    assert node.ask("XLEN", key) == 2
    await impatient.aclose()


# ---- a slot moves ----------------------------------------------------------------------------------------------------


async def test_slot_that_is_being_moved_costs_time_and_nothing_else(cluster, client, publisher) -> None:
    """Scripts need all keys in one place, so commits are tried until the move is over. Events are stored meanwhile."""
    partition, clock = 5, SystemClock()
    lease = await leases.claim_partition(client, KEYS, partition, "1:one", clock)
    store = SessionStore(client, KEYS, session_ttl_s=60)
    for number in range(20):
        await client.set(f"test:{{{partition}}}:filler:{number}", "x")
    await publisher.publish(event(partition, "before"))
    source = cluster.owner_of(KEYS.lease(partition))
    target = next(node for node in cluster.primaries() if node is not source)
    slot = int(source.ask("CLUSTER", "KEYSLOT", KEYS.lease(partition)))
    loop = asyncio.get_running_loop()

    async def meanwhile() -> None:
        await publisher.publish(event(partition, "meanwhile"))
        with pytest.raises(StoreUnreachableError, match="TRYAGAIN"):
            await store.commit(partition, lease, Batch())

    def between() -> None:
        asyncio.run_coroutine_threadsafe(meanwhile(), loop).result(2 * FAILOVER_S)

    await asyncio.to_thread(cluster.move_slot, slot, source, target, between=between)
    assert await store.commit(partition, lease, Batch()) is CommitResult.OK
    await publisher.publish(event(partition, "after"))
    entries = await client.xrange(KEYS.events(partition))
    assert [event_in(fields).token for _, fields in entries] == ["before", "meanwhile", "after"]
    assert cluster.owner_of(KEYS.lease(partition)) is target
    await asyncio.to_thread(cluster.move_slot, slot, target, source)
