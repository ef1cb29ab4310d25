"""Writes count once a replica has them: real servers, whose replica follows through a relay that holds bytes back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from conferral.commands import identity
from conferral.commands.submission import CommandSubmitter
from conferral.operations.errors import PublishUnconfirmedError
from conferral.operations.redis_access import RedisLimiter
from conferral.runtime.errors import StoreUnreachableError
from conferral.statemachine.events import EffectSucceeded
from conferral.statemachine.step import CommandReport, CommandStatus
from conferral.storage import command_stream, coordinator, scripts
from conferral.storage.call_index import CallIndex
from conferral.storage.command_reports import report_command
from conferral.storage.connection import redis_classes
from conferral.storage.connection.client import Client, make_client, run_or_raise
from conferral.storage.connection.primary import Primary
from conferral.storage.connection.url import Topology
from conferral.storage.coordinator import Lease
from conferral.storage.keys import Keys
from conferral.storage.partition.commit_store import Commit
from conferral.storage.queries.session_reader import SessionReader
from tests.support.ports import HOST
from tests.support.redis_node import until
from tests.support.replicated_redis import ReplicatedServers, started
from tests.support.stores import commit_store_of, partition_store_of

pytestmark = pytest.mark.redis
KEYS = Keys("test", 4)


@pytest.fixture
async def servers(redis_program: Path, tmp_path: Path) -> AsyncIterator[ReplicatedServers]:
    async with started(redis_program, tmp_path) as one:
        yield one


@asynccontextmanager
async def client_of(servers: ReplicatedServers, primary: Primary | None = None) -> AsyncIterator[Client]:
    client = make_client(f"redis://{HOST}:{servers.primary.port}", primary)
    try:
        yield client
    finally:
        await client.aclose()


@asynccontextmanager
async def lagging(servers: ReplicatedServers) -> AsyncIterator[Client]:
    """A client that knows of the replica, which lags from now on."""
    await servers.attach()
    async with client_of(servers) as client:
        await client.execute_durably([("SET", "a", 1)])
        servers.lag()
        yield client


async def has(servers: ReplicatedServers, key: str) -> None:
    """Waits until the primary has a key."""
    await asyncio.to_thread(until, lambda: bool(servers.primary.ask("EXISTS", key)), f"{key} is there")


async def test_write_is_answered_once_a_replica_has_it(servers: ReplicatedServers) -> None:
    await servers.attach()
    async with client_of(servers) as client:
        await run_or_raise(client, ("SET", "first", 1), is_durable=True)  # now it knows of the replica
        servers.lag()
        write = asyncio.ensure_future(run_or_raise(client, ("SET", "late", 1), is_durable=True))
        await has(servers, "late")
        assert not write.done()
        servers.catch_up()
        await write
        assert servers.replica.ask("GET", "late") == "1"


async def test_result_is_unknown_while_the_replica_lags(
    servers: ReplicatedServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_classes, "WAIT", ("WAIT", 1, 300))
    await servers.attach()
    async with client_of(servers) as client:
        await client.execute_durably([("SET", "first", 1)])
        servers.lag()
        with pytest.raises(RedisTimeoutError):
            await client.execute_durably([("SET", "late", 1)])
        servers.catch_up()
        await client.execute_durably([("SET", "late", 1)])


async def test_lone_server_is_never_waited_for(servers: ReplicatedServers) -> None:
    async with client_of(servers) as client:
        assert await client.execute_durably([("SET", "a", 1), ("GET", "a")]) == [True, b"1"]
        assert servers.waits() == 0
        await servers.attach()
        await client.connection_pool.disconnect()  # a new connection asks
        await client.execute_durably([("SET", "a", 2)])
        assert servers.waits() == 1


async def test_write_counts_without_the_only_replica_and_is_counted(servers: ReplicatedServers) -> None:
    await servers.attach()
    unreplicated = []
    async with client_of(servers) as client:
        client.replication.on_unreplicated = lambda: unreplicated.append(1)
        await client.execute_durably([("SET", "a", 1)])
        servers.replica.kill()
        await asyncio.to_thread(until, lambda: not servers.follows(), "the replica has gone")
        await client.execute_durably([("SET", "a", 2)])
        assert unreplicated == [1]


async def test_replica_that_has_just_connected_is_waited_for(servers: ReplicatedServers) -> None:
    await servers.attach()
    async with client_of(servers) as client:
        await client.execute_durably([("SET", "a", 1)])
        servers.replica.kill()
        await asyncio.to_thread(until, lambda: not servers.follows(), "the replica has gone")
        await client.execute_durably([("SET", "a", 2)])
        assert not client.replication.must_wait
        await servers.attach()
        servers.lag()
        writing = asyncio.ensure_future(client.execute_durably([("SET", "late", 1)]))
        await has(servers, "late")
        assert not writing.done()
        servers.catch_up()
        await writing
        assert servers.replica.ask("GET", "late") == "1"


async def test_write_does_not_count_if_redis_refuses_writes_without_a_replica(
    redis_program: Path, tmp_path: Path
) -> None:
    async with started(redis_program, tmp_path, "--min-replicas-to-write", 1, "--min-replicas-max-lag", 2) as servers:
        await servers.attach()
        async with client_of(servers) as client:
            await asyncio.to_thread(until, lambda: bool(servers.primary.ask("SET", "a", "1")), "it takes writes")
            await client.execute_durably([("SET", "a", 1)])
            servers.lag()
            written = asyncio.ensure_future(client.execute_durably([("SET", "a", 2)]))
            await asyncio.to_thread(until, lambda: servers.primary.ask("GET", "a") == "2", "it is written")
            servers.replica.kill()
            servers.catch_up()
            with pytest.raises((RedisConnectionError, RedisTimeoutError)):
                await written


async def test_refused_write_is_not_counted_as_one_without_a_replica(redis_program: Path, tmp_path: Path) -> None:
    unreplicated = []
    async with started(redis_program, tmp_path, "--min-replicas-to-write", 1) as servers, client_of(servers) as client:
        client.replication.is_expected = True
        client.replication.on_unreplicated = lambda: unreplicated.append(1)
        refusal, found = await client.execute_durably([("SET", "a", 1), ("GET", "a")])
        assert (type(refusal), found) == (ResponseError, None)
        assert unreplicated == []


@pytest.mark.parametrize("command", ["REPLICAOF", "CLIENT"])
async def test_result_is_unknown_if_the_wait_is_broken_off(servers: ReplicatedServers, command: str) -> None:
    """The primary becomes a replica, or an operator unblocks its clients."""
    await servers.attach()
    async with client_of(servers) as client:
        await client.execute_durably([("SET", "a", 1)])
        name = int(await client.client_id())
        unblocking = ("REPLICAOF", HOST, "1") if command == "REPLICAOF" else ("CLIENT", "UNBLOCK", str(name), "ERROR")
        servers.lag()
        writing = asyncio.ensure_future(client.execute_durably([("SET", "late", 1)]))
        await has(servers, "late")
        await asyncio.to_thread(until, lambda: servers.primary.ask(*unblocking) in ("OK", True, 1), "it is unblocked")
        with pytest.raises(RedisConnectionError):
            await writing
        servers.catch_up()


async def test_sentinels_and_clusters_are_waited_for_before_a_replica_is_known(servers: ReplicatedServers) -> None:
    async def find() -> tuple[str, int]:
        return HOST, servers.primary.port

    await servers.attach()
    servers.primary.ask("ACL", "SETUSER", "default", "-info")
    async with client_of(servers, Primary(find, Topology.CLUSTER)) as client:
        await client.execute_durably([("SET", "a", 1)])
        servers.primary.ask("ACL", "SETUSER", "default", "+info")
        assert servers.waits() == 1


async def test_each_write_without_the_replica_that_a_cluster_should_have_is_reported(
    servers: ReplicatedServers,
) -> None:
    async def find() -> tuple[str, int]:
        return HOST, servers.primary.port

    unreplicated = []
    async with client_of(servers, Primary(find, Topology.CLUSTER)) as client:
        client.replication.on_unreplicated = lambda: unreplicated.append(1)
        for number in range(2):
            await client.execute_durably([("SET", "a", number)])
        assert (servers.waits(), unreplicated) == (0, [1, 1])


async def test_service_without_wait_counts_as_one_server_until_it_has_it(servers: ReplicatedServers) -> None:
    await servers.attach()
    servers.primary.ask("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-wait")
    client = make_client(f"redis://app:pw@{HOST}:{servers.primary.port}")
    try:
        assert await client.execute_durably([("SET", "a", 1)]) == [True]
        assert client.replication.lacks_wait
        assert not client.replication.must_wait
        servers.primary.ask("ACL", "SETUSER", "app", "+wait")
        await client.connection_pool.disconnect()
        await client.execute_durably([("SET", "a", 2)])
        assert servers.waits() == 1
    finally:
        await client.aclose()


async def test_refusal_is_a_value_and_is_not_waited_for(servers: ReplicatedServers) -> None:
    async with lagging(servers) as client:
        (refusal,) = await client.execute_durably([("LPUSH", "a", 1)])
        assert "WRONGTYPE" in str(refusal)
        servers.catch_up()


async def test_script_that_redis_has_forgotten_is_sent_again_and_waited_for(servers: ReplicatedServers) -> None:
    await servers.attach()
    async with client_of(servers) as client:
        await run_or_raise(client, ("SET", "a", 1), is_durable=True)
        servers.primary.ask("SCRIPT", "FLUSH")
        servers.lag()
        report = CommandReport("C1", CommandStatus.DONE, "")
        writing = asyncio.ensure_future(report_command(client, KEYS, "CA1", report))
        await has(servers, KEYS.command("C1"))
        assert not writing.done()
        servers.catch_up()
        await writing
        assert servers.replica.ask("HGET", KEYS.command("C1"), "status") == "done"


async def test_command_is_published_once_a_replica_has_it(servers: ReplicatedServers) -> None:
    async with lagging(servers) as client:
        publishing = asyncio.ensure_future(command_stream.publish(client, KEYS, {"type": "end", "session": "CA1"}))
        await has(servers, KEYS.commands)
        assert not publishing.done()
        servers.catch_up()
        assert await publishing


async def test_repeated_command_is_accepted_once_a_replica_has_it(servers: ReplicatedServers) -> None:
    """The first answer was 503, and a worker has routed the command since."""
    async with lagging(servers) as client:
        submitter = CommandSubmitter(SessionReader(client, KEYS), RedisLimiter(8, 0.5))
        given = {"type": "end", "session": "CA1"}
        with pytest.raises(PublishUnconfirmedError):
            await submitter.submit(given, "C1")
        await scripts.claim_command(client, [KEYS.command("C1")], ["1-0", "CA1", identity.digest_of(given), 100, ""])
        with pytest.raises(StoreUnreachableError):
            await submitter.submit(given, "C1")
        servers.catch_up()
        await submitter.submit(given, "C1")
        assert servers.replica.ask("HGET", KEYS.command("C1"), "entry") == "1-0"


async def test_final_result_is_returned_once_a_replica_has_it(servers: ReplicatedServers) -> None:
    async with lagging(servers) as client:
        servers.primary.ask("HSET", KEYS.command("C1"), "status", "done")
        reading = asyncio.ensure_future(command_stream.read_result(client, KEYS, "C1"))
        await has(servers, KEYS.probe)
        assert not reading.done()
        servers.catch_up()
        assert (await reading).status == "done"
        assert servers.replica.ask("HGET", KEYS.command("C1"), "status") == "done"


async def test_repetitions_write_something_to_wait_for(servers: ReplicatedServers) -> None:
    """From Redis 7.2 on, WAIT waits for the last write of its connection, not for what it has read."""

    async def visit(client: Client) -> None:
        await run_or_raise(client, CallIndex(KEYS).claim_visit("CA1", "", "CA1"))

    async def visit_of_another(client: Client) -> None:
        await run_or_raise(client, CallIndex(KEYS).claim_visit("CA1", "", "CA1-2"))

    async def report(client: Client) -> None:
        await report_command(client, KEYS, "CA1", CommandReport("C1", CommandStatus.DONE, ""))

    async def claim(client: Client) -> None:
        holder: list[scripts.Argument] = ["3:worker", "", 1000, 0, "", ""]
        await scripts.hold_partition(client, [KEYS.lease(1), KEYS.events(1)], holder)

    async def gate(client: Client) -> None:
        await scripts.claim_gate(client, [KEYS.gates("CA1")], ["D1", "CA2", "group", 60])

    async def mark(client: Client) -> None:
        await scripts.mark_sent(client, [KEYS.lease(1), *[KEYS.outbox(1)] * 2], ["3:worker", "E1", 1, ""])

    async def finish(client: Client) -> None:
        await scripts.finish_effect(client, [KEYS.outbox(1), KEYS.events(1)], ["E1", "type", "effect_succeeded"])

    async def commit(client: Client) -> None:
        lease = Lease("3:worker", commit_number=0, marks=0, claimed_at_ms=0, newest_id="0-0", last_holder="")
        await commit_store_of(client, KEYS).commit(1, lease, Commit())

    async with client_of(servers) as client:
        await client.hset(KEYS.outbox(1), "E1", b'{"kind":"x"}')
        for repeated in (visit, visit_of_another, report, claim, gate, mark, finish, commit):
            await repeated(client)
            before = servers.writes()
            await repeated(client)
            assert servers.writes() > before, repeated.__name__


async def test_effect_is_finished_once_a_replica_has_its_result(servers: ReplicatedServers) -> None:
    """What a failover puts back waits for the next owner, which may be a deploy away."""
    await servers.attach()
    async with client_of(servers) as client:
        await client.execute_durably([("HSET", KEYS.outbox(1), "E1", b"{}")])
        servers.lag()
        result = EffectSucceeded(session_id="CA1", effect_id="E1", kind="hang_up_call")
        finishing = asyncio.ensure_future(partition_store_of(client, KEYS).finish_effect(1, "E1", result))
        await has(servers, KEYS.events(1))
        assert not finishing.done()
        servers.catch_up()
        assert await finishing
        assert servers.replica.ask("EXISTS", KEYS.outbox(1)) == 0


async def test_partition_is_claimed_once_a_replica_knows_its_owner(servers: ReplicatedServers) -> None:
    async with lagging(servers) as client:
        claiming = asyncio.ensure_future(coordinator.claim_partition(client, KEYS, 1, "3:worker"))
        await has(servers, KEYS.lease(1))
        assert not claiming.done()
        servers.catch_up()
        assert (await claiming).holder == "3:worker"
