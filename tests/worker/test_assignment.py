"""Fair shares: workers that join, leave and die, in virtual time, on a Redis in memory."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from conferral.statemachine.events import AccountSwept
from conferral.storage.connection.client import COMMAND_TIMEOUT_S
from conferral.storage.partition.lease import RENEW_EVERY_S, VERIFY_AFTER_FAILOVER_S
from conferral.storage.partition.partition_store import append_events
from conferral.worker.assignment.handover import pick_partition
from conferral.worker.assignment.rebalance import target_counts
from conferral.worker.assignment.renewal import LeaseRenewer
from conferral.worker.consumer.partition_consumer import PartitionConsumer
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.support.each import each
from tests.support.memory_redis import Fault
from tests.worker.virtual_setup import in_virtual_time_with
from tests.worker.worker_cluster import ClusterClock, Work, WorkerCluster, running_cluster

#: A killed worker's partitions have other holders after so long, seconds: its lease, and a poll.
TAKE_OVER_S = 7.0
#: A start or a clean stop is announced at once.
AT_ONCE_S = 1.0


@asynccontextmanager
async def stopping_cluster(loop: VirtualLoop, **options: Any) -> AsyncIterator[WorkerCluster]:
    """A cluster whose workers stop at the end."""
    async with running_cluster(loop, **options) as team:
        yield team
        for member in list(team.alive.values()):
            await team.leave(member)
        assert await team.holders() == {}, "a worker that stops gives back what it holds"


of_team = in_virtual_time_with("team", stopping_cluster)


# ---- who is to hold how many -----------------------------------------------------------------------------------------


@each("seed", range(20))
def test_quotas_differ_by_one_at_most_and_add_up(seed: int):
    chance = random.Random(seed)
    names = [f"w{number}" for number in range(chance.randint(1, 20))]
    partitions = chance.randint(1, 64)
    held = {name: chance.randint(0, partitions) for name in chance.sample(names, chance.randint(0, len(names)))}
    shares = target_counts(held, names, partitions)
    assert shares.keys() == set(names)
    assert sum(shares.values()) == partitions
    assert max(shares.values()) - min(shares.values()) <= 1


def test_workers_holding_more_partitions_keep_more():
    assert target_counts({"a": 5, "b": 6, "dead": 5}, ["a", "b", "c"], 16) == {"b": 6, "a": 5, "c": 5}
    assert target_counts({"b": 1}, ["a", "b"], 1) == {"b": 1, "a": 0}
    assert target_counts({"b": 0}, ["a", "b"], 1) == {"a": 1, "b": 0}, "all compute the same, whatever they list"


# ---- coming and going ------------------------------------------------------------------------------------------------


@of_team
async def test_the_first_worker_takes_everything_and_the_second_gets_its_half_at_once(team: WorkerCluster) -> None:
    team.join()
    await team.until_fair(AT_ONCE_S)
    first_epochs = await team.epochs()
    team.join()
    await team.until_fair(AT_ONCE_S)
    assert await team.shares() == [8, 8]
    assert sum(await team.epochs()) - sum(first_epochs) == 8, "no partition changes hands that need not"


@of_team
async def test_worker_that_starts_counts_the_others_as_soon_as_it_has_read_them(team: WorkerCluster) -> None:
    first = team.join()
    await team.until_fair(AT_ONCE_S)
    second = team.join()
    await second.keeper.membership.is_loaded.wait()
    assert second.keeper.membership.names == {first.name, second.name}


@of_team
async def test_workers_that_start_at_the_same_moment_share(team: WorkerCluster) -> None:
    for _ in range(5):
        team.join()
    await team.until_fair(2 * AT_ONCE_S)
    assert await team.shares() == [3, 3, 3, 3, 4]


@in_virtual_time_with("team", partial(stopping_cluster, partitions=4))
async def test_more_workers_than_partitions_leave_some_without_and_nothing_moves(team: WorkerCluster) -> None:
    for _ in range(6):
        team.join()
    await team.until_fair(2 * AT_ONCE_S)
    epochs = await team.epochs()
    await team.passes(30.0)
    assert await team.epochs() == epochs
    assert await team.shares() == [0, 0, 1, 1, 1, 1]


@each("lease_ms, every_s, if_cut_s", [(300, 0.1, 0.05), (3_000, 1.0, 0.5), (5_000, 1.5, 0.5), (60_000, 1.5, 0.5)])
def test_lease_is_renewed_three_times_before_it_expires(lease_ms: int, every_s: float, if_cut_s: float):
    """And twice within the time that it outlives its connection, where Redis knows that."""
    nothing: Any = None
    renewer = LeaseRenewer(nothing, None, nothing, lease_ms)
    assert renewer.every_s == pytest.approx(every_s)
    renewer.connection = "run:1"
    assert renewer.every_s == pytest.approx(if_cut_s)


@of_team
async def test_partitions_released_by_a_stopping_worker_are_redistributed_at_once(team: WorkerCluster) -> None:
    first, *_ = [team.join() for _ in range(3)]
    await team.until_fair(2 * AT_ONCE_S)
    await team.leave(first)
    assert await team.until_fair(AT_ONCE_S) < AT_ONCE_S
    assert await team.shares() == [8, 8]


@pytest.mark.parametrize("number", range(3))
@of_team
async def test_partitions_of_a_killed_worker_are_taken_over_evenly(team: WorkerCluster, number: int) -> None:
    members = [team.join() for _ in range(3)]
    await team.until_fair(2 * AT_ONCE_S)
    await team.passes(0.37 * number)
    team.kill(members[number])
    await team.until_fair(TAKE_OVER_S)
    assert await team.shares() == [8, 8]


@pytest.mark.parametrize("other_redis", [False, True])
@of_team
async def test_worker_taking_over_after_redis_changed_verifies_before_sending(
    team: WorkerCluster, other_redis: bool
) -> None:
    """A killed worker may have died before it noticed that Redis had lost its writes."""
    first, second = team.join(), team.join()
    await team.until_fair(2 * AT_ONCE_S)
    await team.passes(2 * RENEW_EVERY_S)
    kept = set(first.keeper.consumers)
    if other_redis:
        team.server.restart()
    team.kill(second)
    await team.until_fair(TAKE_OVER_S)
    careful = {number for number, held in first.keeper.consumers.items() if held._dispatcher._is_soon_after_rollback}
    assert careful == (set(first.keeper.consumers) - kept if other_redis else set())
    await team.passes(VERIFY_AFTER_FAILOVER_S)
    assert not any(held._dispatcher._is_soon_after_rollback for held in first.keeper.consumers.values())


@of_team
async def test_worker_that_follows_one_that_missed_no_commit_after_a_restart_need_not_verify(
    team: WorkerCluster,
) -> None:
    first, second = team.join(), team.join()
    await team.until_fair(2 * AT_ONCE_S)
    await team.passes(2 * RENEW_EVERY_S)
    team.server.restart()
    await team.passes(2 * RENEW_EVERY_S)
    team.kill(second)
    await team.until_fair(TAKE_OVER_S)
    taken = [held for held in first.keeper.consumers.values() if held.lease.has_all_commits]
    assert len(taken) >= 8
    assert not any(held._dispatcher._is_soon_after_rollback for held in first.keeper.consumers.values())


@of_team
async def test_partition_of_a_dead_worker_does_not_wait_for_another_that_has_died(team: WorkerCluster) -> None:
    """Workers that hold nothing are found dead by their heartbeats alone."""
    first, second = team.join(), team.join()
    await team.until_fair(2 * AT_ONCE_S)
    await team.passes(2 * RENEW_EVERY_S)
    third = team.join()
    await team.passes(0.1)
    team.kill(third)
    team.kill(second)
    await team.passes(2.3)
    assert len(first.keeper.consumers) == 16


@of_team
async def test_worker_started_after_a_redis_rollback_verifies_before_sending(team: WorkerCluster) -> None:
    """It has never seen the server before: the lease names it."""
    first = team.join()
    await team.until_fair(2 * AT_ONCE_S)
    await team.passes(2 * VERIFY_AFTER_FAILOVER_S)
    copy = team.server.snapshot()
    team.kill(first)
    team.server.db.roll_back(copy)
    team.server.restart()
    await team.passes(2 * VERIFY_AFTER_FAILOVER_S)  # a replica that takes over has run for long, too
    second = team.join()
    await team.until_fair(TAKE_OVER_S)
    assert all(held._dispatcher._is_soon_after_rollback for held in second.keeper.consumers.values())
    await team.passes(VERIFY_AFTER_FAILOVER_S / 2)
    team.kill(second)
    third = team.join()
    await team.until_fair(TAKE_OVER_S)
    assert all(held._dispatcher._is_soon_after_rollback for held in third.keeper.consumers.values()), (
        "the care of the one before was not over"
    )
    await team.passes(VERIFY_AFTER_FAILOVER_S + 2 * RENEW_EVERY_S)
    team.kill(third)
    fourth = team.join()
    await team.until_fair(TAKE_OVER_S)
    assert not any(held._dispatcher._is_soon_after_rollback for held in fourth.keeper.consumers.values())


@of_team
async def test_rollback_that_a_holder_notices_counts_from_then_whatever_the_lease_says(team: WorkerCluster) -> None:
    """A copy of the same server names an earlier rollback, which had lost no commit."""
    first = team.join()
    await team.until_fair(2 * AT_ONCE_S)
    await team.passes(2 * RENEW_EVERY_S)
    team.server.restart()
    await team.passes(2 * VERIFY_AFTER_FAILOVER_S)
    copy = team.server.snapshot()
    names = [f"s{number}" for number in range(100)]
    events = [AccountSwept(session_id=name, token="lost", finding="lost") for name in names]
    await append_events(team.client, team.keys, events)
    await team.passes(10.0)
    before = {number: held.lease.rolled_back_at_ms for number, held in first.keeper.consumers.items()}
    team.server.db.roll_back(copy)
    await append_events(team.client, team.keys, events)  # so that a commit is refused before the next renewal
    await team.passes(2 * RENEW_EVERY_S)
    await team.until_fair(TAKE_OVER_S)
    for number, held in first.keeper.consumers.items():
        assert held._dispatcher._is_soon_after_rollback
        assert held.lease.rolled_back_at_ms == held.lease.acquired_at_ms > before[number] + 5_000
        assert not held.lease.is_redis_complete
    await team.passes(2 * RENEW_EVERY_S)
    team.kill(first)
    second = team.join()
    await team.until_fair(TAKE_OVER_S)
    assert all(held._dispatcher._is_soon_after_rollback for held in second.keeper.consumers.values())


@of_team
async def test_lease_that_was_given_back_before_the_rollback_is_taken_with_care(team: WorkerCluster) -> None:
    """Its copy says that no one left anything behind; the holder that came after is forgotten."""
    first = team.join()
    await team.until_fair(2 * AT_ONCE_S)
    await team.passes(2 * RENEW_EVERY_S)
    await team.leave(first)
    copy = team.server.snapshot()
    second = team.join()
    await team.until_fair(TAKE_OVER_S)
    assert not any(held._dispatcher._is_soon_after_rollback for held in second.keeper.consumers.values())
    team.server.db.roll_back(copy)
    team.server.restart()
    await team.passes(2 * RENEW_EVERY_S)
    await team.until_fair(TAKE_OVER_S)
    assert all(held._dispatcher._is_soon_after_rollback for held in second.keeper.consumers.values())


@of_team
async def test_all_workers_killed_at_once_are_followed_by_one_that_takes_everything(team: WorkerCluster) -> None:
    members = [team.join() for _ in range(3)]
    await team.until_fair(2 * AT_ONCE_S)
    for member in members:
        team.kill(member)
    team.join()
    await team.until_fair(TAKE_OVER_S)


@of_team
async def test_without_pub_sub_polling_suffices(team: WorkerCluster) -> None:
    """An ACL refuses it, or no one passes it on."""
    team.server.fault = lambda name: Fault.UNREACHABLE if name == "PUBLISH" else None
    first = team.join(hears_hints=False)
    await team.until_fair(AT_ONCE_S)
    team.join(hears_hints=False)
    # It is seen within a second, and what is given back within half a second each.
    await team.until_fair(8 * 1.0 + 2.0)
    await team.leave(first)
    await team.until_fair(2 * AT_ONCE_S)


@of_team
async def test_partitions_with_requests_in_flight_are_released_last_and_drained(team: WorkerCluster) -> None:
    first = team.join()
    await team.until_fair(AT_ONCE_S)
    busy = set(range(16)) - {3, 5}
    first.work.busy_partitions |= busy
    first.work.request_s = 0.3
    team.join()
    await team.until_fair(8 * (0.5 + 0.3) + 1.0)
    assert set(first.work.drained[:2]) == {3, 5}
    assert len(first.work.drained) == 8
    assert first.work.drain_timeout_s == 2.0
    assert first.work.busy_partitions == busy - set(first.work.drained)


@in_virtual_time
async def test_partition_whose_jobs_end_soon_is_handed_over_and_otherwise_the_smallest(loop: VirtualLoop) -> None:
    work, clock = Work({0, 1, 2}), ClusterClock(loop, 0.0)
    held: Any = [
        SimpleNamespace(number=number, session_gauge=SimpleNamespace(states=range(number))) for number in range(3)
    ]
    executor: Any = work
    picking = asyncio.create_task(pick_partition(lambda: held, executor, clock))
    await asyncio.sleep(0.25)  # a delay: virtual time
    assert not picking.done(), "it waits for a partition without jobs"
    work.busy_partitions.discard(2)
    assert await picking is held[2]
    assert loop.time() <= 0.25 + 0.021
    work.busy_partitions.add(2)
    began_s = loop.time()
    assert await pick_partition(lambda: held, executor, clock) is held[0]
    assert 0.5 <= loop.time() - began_s <= 0.521
    work.verifying_partitions = {0}
    assert await pick_partition(lambda: held, executor, clock) is held[1], "a verification would begin again"
    work.verifying_partitions = {0, 1, 2}
    began_s = loop.time()
    assert await pick_partition(lambda: held, executor, clock) is held[0]
    assert 5.0 <= loop.time() - began_s <= 5.021
    began_s = loop.time()
    assert await pick_partition(list, executor, clock) is None
    assert loop.time() == began_s


@pytest.mark.parametrize("when", ["before its work has ended", "while what is under way is waited for"])
@of_team
async def test_partition_lost_during_release_is_not_counted_as_held_forever(team: WorkerCluster, when: str) -> None:
    first = team.join()
    await team.until_fair(AT_ONCE_S)
    lost = set()
    drain = first.work.drain_partition

    async def lose_then_drain(partition: int, timeout_s: float) -> None:
        if len(lost) < 3:
            first.keeper.consumers[partition].mark_lost()
            lost.add(partition)
        await drain(partition, timeout_s)

    def lose_then_check(held: PartitionConsumer) -> None:
        held.is_stopping = True
        held.mark_lost()
        lost.add(held.number)

    if when == "before its work has ended":
        for held in list(first.keeper.consumers.values())[:3]:
            held.stop = lambda held=held: lose_then_check(held)  # type: ignore[method-assign]
    else:
        first.work.drain_partition = lose_then_drain  # type: ignore[method-assign]
    team.join()
    await team.until_fair(20.0)
    assert lost


@of_team
async def test_listed_worker_that_takes_nothing_leaves_no_partition_without_a_holder(team: WorkerCluster) -> None:
    """The worker with too few does not take them: another does after a while, and keeps them for a minute."""
    team.join()
    await team.until_fair(AT_ONCE_S)
    for second in range(60):
        await team.client.zadd(team.keys.workers, {"idle": second})
        await team.passes(0.5)
    assert len(await team.holders()) >= 15
    moved = sum(await team.epochs()) - 16
    await team.passes(1.0)
    for second in range(40):
        await team.client.zadd(team.keys.workers, {"idle": 100 + second})
        await team.passes(0.5)
    assert sum(await team.epochs()) - 16 - moved <= 2, "it gives back and takes again for ever"


# ---- a Redis node that does not answer -------------------------------------------------------------------------------


def _node_of(key: str) -> str:
    """The even partitions are on one node, everything else on the other."""
    found = re.search(r"\{(\d+)\}", key)
    return "even" if found and int(found[1]) % 2 == 0 else "other"


of_team_on_two_nodes = in_virtual_time_with("team", partial(stopping_cluster, node_of=_node_of))


@of_team_on_two_nodes
async def test_partitions_on_healthy_nodes_are_taken_over_while_a_node_is_silent(team: WorkerCluster) -> None:
    first, second = team.join(), team.join()
    await team.until_fair(2 * AT_ONCE_S)
    lost = {number for number in second.keeper.consumers if number % 2}
    assert lost
    epochs = await team.epochs()
    team.silent.add("even")
    team.kill(second)
    waited_s = 0.0
    while not lost <= first.keeper.consumers.keys():
        assert waited_s < TAKE_OVER_S + 2 * COMMAND_TIMEOUT_S  # each read waits for the silent node
        waited_s += 0.1
        await team.passes(0.1)
    team.silent.clear()
    await team.until_fair(2 * TAKE_OVER_S)
    assert sum(await team.epochs()) - sum(epochs) == 8, "no partition changes hands that need not"


@of_team_on_two_nodes
async def test_free_partitions_on_healthy_nodes_are_acquired_while_a_node_is_silent(team: WorkerCluster) -> None:
    team.silent.add("even")
    first = team.join()
    await team.passes(2 * COMMAND_TIMEOUT_S)
    assert first.keeper.consumers.keys() == set(range(1, 16, 2))
    team.silent.clear()
    await team.until_fair(2 * COMMAND_TIMEOUT_S)


# ---- whatever happens ------------------------------------------------------------------------------------------------


async def _something(team: WorkerCluster, chance: random.Random) -> None:
    """Someone joins, leaves, dies or stalls, or Redis is away, or its clock is set."""
    members = list(team.alive.values())
    what = chance.choice(["join", "join", "leave", "kill", "stall", "down", "set"])
    if what == "join" and len(members) < 6:
        team.join(hears_hints=chance.random() < 0.8)
    elif what == "leave" and len(members) > 1:
        await team.leave(chance.choice(members))
    elif what == "kill" and len(members) > 1:
        team.kill(chance.choice(members))
    elif what == "stall":
        member = chance.choice(members)
        member.process.pause()
        await team.passes(chance.uniform(0.0, 12.0))
        member.process.wake()
    elif what == "down":
        team.server.stop()
        await team.passes(chance.uniform(0.0, 10.0))
        team.server.start()
    elif what == "set":
        team.server_set_ms += chance.choice([-3_600_000, 3_600_000, -5_000, 5_000])


async def _random_story(loop: VirtualLoop, seed: int, steps: int, partitions: int) -> None:
    chance = random.Random(seed)
    async with stopping_cluster(loop, partitions=partitions) as team:
        team.join()
        for _ in range(steps):
            await _something(team, chance)
            await team.passes(chance.choice([0.0, 0.1, 1.0, 5.0]))
        took_s = await team.until_fair(25.0)
        epochs = await team.epochs()
        await team.passes(20.0)
        assert await team.epochs() == epochs, f"seed {seed}: it does not come to rest (fair after {took_s} s)"
        assert await team.is_fair()


@pytest.mark.parametrize("seed", range(4))
@in_virtual_time
async def test_it_becomes_fair_again_whatever_happens(seed: int, loop: VirtualLoop) -> None:
    await _random_story(loop, seed, 12, random.Random(seed).choice([1, 4, 16, 17]))


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(1_000, 1_060))
@in_virtual_time
async def test_it_becomes_fair_again_whatever_happens_for_long(seed: int, loop: VirtualLoop) -> None:
    await _random_story(loop, seed, 40, random.Random(seed).choice([1, 4, 16, 17, 64]))
