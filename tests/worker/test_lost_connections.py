"""Killed workers differ from hung ones in their connections to Redis: in virtual time, on a Redis in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from conferral.storage.partition.lease import DISCONNECTED_MARGIN, DISCONNECTED_MS, LEASE_MS
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.support.memory_redis.values import Refusal
from tests.support.metric_values import value_of
from tests.worker.virtual_setup import in_virtual_time_with
from tests.worker.worker_cluster import ClusterMember, WorkerCluster, running_cluster

#: A killed worker's partitions have other holders after so long, seconds: it missed two renewals, and a poll.
SOON_S = 1.8
#: By then every worker has published its connection, and has seen the others', seconds.
SETTLED_S = 5.0


async def _join_two(team: WorkerCluster) -> tuple[ClusterMember, ClusterMember]:
    """Start two workers, and wait until each could know the other's connection."""
    first, second = team.join(), team.join()
    await team.until_fair(2.0)
    await team.passes(SETTLED_S)
    return first, second


@asynccontextmanager
async def cluster_of_two(loop: VirtualLoop) -> AsyncIterator[tuple[WorkerCluster, ClusterMember, ClusterMember]]:
    """Two workers that know each other's connections."""
    async with running_cluster(loop) as team:
        yield team, *await _join_two(team)


of_two = in_virtual_time_with("team, first, second", cluster_of_two)


async def _kill_unnoticed(team: WorkerCluster, killed: ClusterMember, other: ClusterMember) -> None:
    """Kill a worker; its leases outlast its connection, so the other waits."""
    team.kill(killed)
    await team.passes(3.0)
    assert len(other.keeper.consumers) == 8


async def _assert_kept(team: WorkerCluster, time_s: float) -> None:
    epochs = await team.epochs()
    await team.passes(time_s)
    assert await team.epochs() == epochs
    assert await team.is_fair()


@pytest.mark.parametrize(
    "after_s, set_s",
    [
        (0.0, 0), (0.17, 3600), (0.33, -3600), (0.49, 0),
        *(pytest.param(after_s, set_s, marks=pytest.mark.soak) for after_s, set_s in [
            (0.17, 0), (0.33, 0), (0.0, 3600), (0.33, 3600), (0.49, 3600), (0.0, -3600), (0.17, -3600), (0.49, -3600),
        ]),
    ],
)  # fmt: skip
@of_two
async def test_killed_worker_is_followed_before_its_leases_expire(
    team: WorkerCluster, first: ClusterMember, second: ClusterMember, after_s: float, set_s: int
) -> None:
    with capture_logs() as lines:
        await team.passes(after_s)
        team.kill(first)
        team.set_clock(set_s)
        await team.until_fair(SOON_S)
    acquired = second.metrics.leases_acquired
    assert value_of(acquired.labels("disconnected")) == 8
    assert value_of(acquired.labels("expired")) == 0
    assert second.keeper.membership.count == 1
    assert not any(held.lease.was_released for held in second.keeper.consumers.values() if held.lease.expired_at_ms)
    (lost,) = [line for line in lines if line["event"] == "worker_disconnected"]
    assert lost["count"] == 8
    assert [line["outcome"] for line in lines if line["event"] == "lease_acquired"].count("disconnected") == 8


@of_two
async def test_of_three_workers_the_two_that_live_share_what_the_killed_one_held(
    team: WorkerCluster, first: ClusterMember
) -> None:
    team.join()
    await team.until_fair(5.0)
    await team.passes(SETTLED_S)
    team.kill(first)
    await team.until_fair(SOON_S + 0.5)


@of_two
async def test_worker_that_starts_after_the_death_follows_as_soon(
    team: WorkerCluster, first: ClusterMember, second: ClusterMember
) -> None:
    """It can't have seen the connection open; the holder itself has."""
    team.kill(first)
    team.kill(second)
    third = team.join()
    await team.until_fair(SOON_S)
    assert value_of(third.metrics.leases_acquired.labels("disconnected")) == 16


@pytest.mark.parametrize("paused_s", [0.6, 3.0, *(pytest.param(s, marks=pytest.mark.soak) for s in (1.2, 2.0))])
@of_two
async def test_suspended_worker_keeps_its_leases_since_its_connection_stays(
    team: WorkerCluster, first: ClusterMember, paused_s: float
) -> None:
    epochs = await team.epochs()
    for _ in range(5):
        first.process.pause()
        await team.passes(paused_s)
        first.process.wake()
        await team.passes(1.3)
    assert await team.epochs() == epochs


@of_two
async def test_hung_worker_is_followed_when_its_leases_expire(
    team: WorkerCluster, first: ClusterMember, second: ClusterMember
) -> None:
    first.process.pause()
    await team.passes(LEASE_MS / 1000 - 0.6)
    assert len(second.keeper.consumers) == 8
    await team.passes(2.0)
    assert len(second.keeper.consumers) == 16
    assert value_of(second.metrics.leases_acquired.labels("expired")) == 8
    first.process.wake()
    await team.until_fair(10.0)


@pytest.mark.parametrize("clock_s", [3600, -5, 0.9, *(pytest.param(s, marks=pytest.mark.soak) for s in (-3600, 5))])
@of_two
async def test_steps_of_redis_clock_make_no_worker_seem_dead(team: WorkerCluster, clock_s: float) -> None:
    team.set_clock(clock_s)
    await _assert_kept(team, 10.0)


@of_two
async def test_cut_connections_of_a_live_worker_are_replaced_in_time(team: WorkerCluster, first: ClusterMember) -> None:
    for _ in range(20):
        team.server.break_connections()
        await _assert_kept(team, 0.37)
    before = first.keeper._renewer.connection
    await team.passes(1.0)
    team.server.break_connections()
    await team.passes(1.0)
    assert first.keeper._renewer.connection not in ("", before)
    team.kill(first)
    await team.until_fair(SOON_S)


@of_two
async def test_worker_killed_while_redis_restarts_is_followed_when_its_leases_expire(
    team: WorkerCluster, first: ClusterMember, second: ClusterMember
) -> None:
    """The new server knows nothing of the connections to the old one."""
    team.kill(first)
    team.server.restart()
    await team.passes(3.0)
    assert len(second.keeper.consumers) == 8
    await team.until_fair(6.0)


@pytest.mark.parametrize("refused", ["CLIENT ID", "CLIENT LIST"])
@in_virtual_time
async def test_where_redis_refuses_client_commands_leases_alone_count(refused: str, loop: VirtualLoop) -> None:
    team = WorkerCluster(loop)
    handler = team.server._table[refused.encode()]
    asked = []

    def refuse(*_args: object) -> None:
        asked.append(loop.time())
        raise Refusal(f"NOPERM this user has no permissions to run the '{refused.lower()}' command")

    team.server._table[refused.encode()] = type(handler)(refused, refuse, handler.arity)  # type: ignore[arg-type]
    first, second = await _join_two(team)
    await _kill_unnoticed(team, first, second)
    await team.until_fair(5.0)
    assert value_of(second.metrics.leases_acquired.labels("expired")) == 8
    if refused == "CLIENT LIST":
        assert len(asked) == 2, "each worker asks once a minute"
    team.kill(second)


@in_virtual_time
async def test_connection_that_redis_never_listed_is_no_evidence(loop: VirtualLoop) -> None:
    """A proxy answers CLIENT ID with an id of its own."""
    team = WorkerCluster(loop)
    team.server.connection_ids = list  # type: ignore[method-assign]
    first, second = await _join_two(team)
    await _kill_unnoticed(team, first, second)
    team.kill(second)


@of_two
async def test_holder_without_a_recent_renewal_renews_before_it_sends(
    team: WorkerCluster, first: ClusterMember
) -> None:
    """Others may find its connection cut, and take over; it can't know."""
    keeper = first.keeper
    number, held = next(iter(keeper.consumers.items()))
    assert held.lease.connection == keeper._renewer.connection != ""
    assert await keeper.may_send(number)
    team.server.stop()
    left_s = held.lease.disconnected_until_s - first.clock.monotonic_s()
    await team.passes(left_s - DISCONNECTED_MS / 1000 * DISCONNECTED_MARGIN + 0.01)
    assert keeper.is_ours(number)
    asked = asyncio.ensure_future(keeper.may_send(number))
    await team.passes(0.3)
    assert not asked.done()
    assert not keeper.is_ours(number)
    assert held.lease.is_valid(first.clock)
    team.server.start()
    await team.passes(1.0)
    assert asked.result() is True
    assert keeper.is_ours(number)


@of_two
async def test_lease_of_an_older_version_does_not_inherit_a_connection(
    team: WorkerCluster, first: ClusterMember, second: ClusterMember
) -> None:
    """It leaves the connection of the holder before in the lease."""
    number = next(iter(first.keeper.consumers))
    team.kill(first)
    await team.client.hset(team.keys.lease(number), "holder", "77:older")
    await team.passes(2.5)
    assert number not in second.keeper.consumers
    assert len(second.keeper.consumers) == 15
