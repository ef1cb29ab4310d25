"""Redis's clock is set forwards and back, and the workers' own: leases, timers and times go on as if it had not been.

In virtual time, on a Redis in memory whose clock can be set.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from tests.simulation.virtual_loop import VirtualLoop
from tests.worker.virtual_setup import in_virtual_time_with
from tests.worker.worker_cluster import WorkerCluster, running_cluster

HOUR_S = 3_600.0
#: Steps that are seen as such, and less than a second, which is followed as drift.
STEPS_S = [HOUR_S, -HOUR_S, 0.9]
STEPS_S += [pytest.param(by_s, marks=pytest.mark.soak) for by_s in (48 * HOUR_S, 3.0, -3.0, -0.9)]
#: A killed worker's partitions have other holders after so long, seconds: its lease, and a poll.
TAKE_OVER_S = 7.0


@asynccontextmanager
async def cluster_of_three(loop: VirtualLoop) -> AsyncIterator[WorkerCluster]:
    """Three workers that have settled on four partitions."""
    async with running_cluster(loop, partitions=4) as team:
        for _ in range(3):
            team.join()
        await team.until_fair(3.0)
        await team.passes(3.0)
        yield team


of_team = in_virtual_time_with("team", partial(running_cluster, partitions=4))
of_three = in_virtual_time_with("team", cluster_of_three)


async def set_timer(team: WorkerCluster, after_s: float, name: str = "lone|s1") -> float:
    """Sets a timer of partition 1 by the partition's time, as its holder does; returns when it is due in loop time."""
    (holder,) = [member for member in team.alive.values() if 1 in member.keeper.consumers]
    due_ms = holder.keeper.consumers[1].clock.now_ms() + round(after_s * 1000)
    await team.client.zadd(team.keys.timers(1), {name: due_ms})
    # A session that is live: while there is one, the partition's time goes on.
    await team.client.sadd(team.keys.live(1), "s1")
    return team.loop.time() + after_s


async def fired_at(team: WorkerCluster, timeout_s: float) -> float:
    """Waits until the timer has become an event."""
    until_s = team.loop.time() + timeout_s
    while await team.client.zcard(team.keys.timers(1)):
        assert team.loop.time() < until_s, f"not fired within {timeout_s} s"
        await team.passes(0.01)
    return team.loop.time()


@pytest.mark.parametrize("by_s", STEPS_S)
@of_three
async def test_no_lease_changes_hands(team: WorkerCluster, by_s: float) -> None:
    epochs = await team.epochs()
    for _ in range(3):
        team.set_clock(by_s)
        await team.passes(11.3)
        assert await team.epochs() == epochs
        assert all(member.keeper.membership.count == 3 for member in team.alive.values())


@pytest.mark.parametrize("by_s", STEPS_S)
@pytest.mark.parametrize("after_s", [0.0, 0.6, pytest.param(2.0, marks=pytest.mark.soak)])
@of_three
async def test_dead_workers_partitions_are_taken_over_in_time_after_a_clock_change(
    team: WorkerCluster, by_s: float, after_s: float
) -> None:
    team.set_clock(by_s)
    await team.passes(after_s)
    team.kill(next(iter(team.alive.values())))
    await team.until_fair(TAKE_OVER_S)


@pytest.mark.parametrize("by_s", STEPS_S)
@of_three
async def test_timer_fires_when_it_would_have(team: WorkerCluster, by_s: float) -> None:
    due_s = await set_timer(team, 10.0)
    await team.passes(2.0)
    team.set_clock(by_s)
    off_s = by_s if abs(by_s) < 1 else 0.0  # what is less than a second is followed, as drift
    assert await fired_at(team, 12.0) == pytest.approx(due_s - off_s, abs=0.6)


@pytest.mark.parametrize("by_s", [HOUR_S, -HOUR_S])
@pytest.mark.parametrize("how", ["stopped", "killed"])
@pytest.mark.parametrize("after_s", [0.0, pytest.param(5.0, marks=pytest.mark.soak)])
@of_three
async def test_next_holder_continues_with_the_same_time(
    team: WorkerCluster, by_s: float, how: str, after_s: float
) -> None:
    """Also when the clock is set in the second before a clean stop. Of a death in that second: see below."""
    due_s = await set_timer(team, 60.0)
    team.set_clock(by_s)
    await team.passes(after_s if how == "stopped" else max(after_s, 1.6))
    (holder,) = [member for member in team.alive.values() if 1 in member.keeper.consumers]
    if how == "stopped":
        await team.leave(holder)
    else:
        team.kill(holder)
    assert await fired_at(team, 80.0) == pytest.approx(due_s, abs=0.6)


@of_three
async def test_worker_that_dies_before_it_has_seen_the_clock_go_back_makes_no_timer_late(team: WorkerCluster) -> None:
    """No one saw the step; but the partition's time is written down, and never goes back."""
    due_s = await set_timer(team, 60.0)
    (holder,) = [member for member in team.alive.values() if 1 in member.keeper.consumers]
    team.set_clock(-HOUR_S)
    team.kill(holder)
    assert due_s <= await fired_at(team, 90.0) <= due_s + TAKE_OVER_S + 1.5


@of_three
async def test_time_continues_after_the_clock_went_back_while_all_workers_were_stopped(team: WorkerCluster) -> None:
    due_s = await set_timer(team, 60.0)
    for member in list(team.alive.values()):
        await team.leave(member)
    team.set_clock(-HOUR_S)
    await team.passes(20.0)
    team.join()
    assert await fired_at(team, 90.0) == pytest.approx(due_s + 20.0, abs=1.0)


@of_three
async def test_timer_is_overdue_after_the_clock_went_forward_while_all_workers_were_stopped(
    team: WorkerCluster,
) -> None:
    """This looks like time that passed."""
    await set_timer(team, 600.0)
    for member in list(team.alive.values()):
        await team.leave(member)
    team.set_clock(HOUR_S)
    team.join()
    assert await fired_at(team, 2.0)


@of_three
async def test_timer_falling_due_without_workers_fires_once(team: WorkerCluster) -> None:
    await set_timer(team, 5.0)
    for member in list(team.alive.values()):
        await team.leave(member)
    await team.passes(30.0)
    stream = team.keys.events(1)
    added = (await team.client.xinfo_stream(stream))["entries-added"]
    team.join()
    await fired_at(team, 2.0)
    await team.passes(5.0)
    assert (await team.client.xinfo_stream(stream))["entries-added"] == added + 1


@pytest.mark.parametrize("by_s", [HOUR_S, -HOUR_S])
@of_three
async def test_time_is_redis_s_again_when_nothing_is_timed_by_it(team: WorkerCluster, by_s: float) -> None:
    await set_timer(team, 10.0)
    team.set_clock(by_s)
    await team.passes(8.0)
    (holder,) = [member for member in team.alive.values() if 1 in member.keeper.consumers]
    assert holder.keeper.consumers[1].clock.offset_ms == pytest.approx(-by_s * 1000, abs=5)
    assert int(await team.client.hget(team.keys.lease(1), "clock_offset")) == pytest.approx(-by_s * 1000, abs=5)
    await fired_at(team, 10.0)
    await team.client.srem(team.keys.live(1), "s1")
    await team.passes(5.0)
    assert holder.keeper.consumers[1].clock.offset_ms == 0
    assert await team.client.hget(team.keys.lease(1), "clock_offset") == b"0"
    assert holder.keeper.consumers[1].clock.now_ms() == pytest.approx(team.server.db.now_ms(), abs=5)


@pytest.mark.parametrize("ahead_ms, then_ms", [(-1_000, 0), (-999, -999), (999, 999), (1_000, 0)])
@of_team
async def test_idle_partition_corrects_its_time_from_one_second_on(
    team: WorkerCluster, ahead_ms: int, then_ms: int
) -> None:
    team.join()
    await team.until_fair(1.0)
    (holder,) = team.alive.values()
    clock = holder.keeper.consumers[1].clock
    clock._own_offset_ms += ahead_ms
    assert clock.offset_ms == ahead_ms
    await team.passes(3.0)
    assert clock.offset_ms == then_ms


@pytest.mark.parametrize("by_s", [HOUR_S, -HOUR_S])
@of_three
async def test_workers_own_wall_clock_changes_nothing(team: WorkerCluster, by_s: float) -> None:
    epochs, due_s = await team.epochs(), await set_timer(team, 10.0)
    for member in team.alive.values():
        member.clock.wall_set_ms = round(by_s * 1000)
    assert await fired_at(team, 12.0) == pytest.approx(due_s, abs=0.6)
    await team.passes(10.0)
    assert await team.epochs() == epochs


@pytest.mark.parametrize("stalled_s", [2.0, 4.0, 30.0])
@of_team
async def test_worker_that_was_stopped_takes_that_for_no_step_of_redis_s_clock(
    team: WorkerCluster, stalled_s: float
) -> None:
    member = team.join()
    await team.until_fair(3.0)
    due_s = await set_timer(team, 40.0)
    member.process.pause()
    await team.passes(stalled_s)
    member.process.wake()
    assert await fired_at(team, 60.0) == pytest.approx(due_s, abs=0.6)
    assert member.keeper.consumers[1].clock.offset_ms == pytest.approx(0, abs=5)
