"""Workers that hold partitions in virtual time: they join, leave, die and stall, and Redis is slow, away, or forgets.

What the coordinator's script decides is in `storage/test_coordinator.py`.
"""

import asyncio
import random
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from conferral.storage.codecs import effect_codec
from conferral.storage.codecs.effect_codec import OutboxEntry
from conferral.storage.coordinator import TASKS, claim_partition
from conferral.storage.partition.partition_store import MarkResult
from conferral.worker.held_partitions import HeldPartitions
from conferral.worker.ownership import UNOWNED_S
from conferral.worker.process import find_problems
from tests.support.each import each
from tests.support.memory_redis import Fault
from tests.worker.executor_harness import gated
from tests.worker.virtual_setup import in_virtual_time_with
from tests.worker.worker_cluster import EPOCH_MS, ClusterMember, Work, WorkerCluster, running_cluster

#: How long a partition may be without anyone who may send for it after one death with a quick Redis, seconds.
GUARANTEE_S = 7.0

with_16_partitions = in_virtual_time_with("team", running_cluster)
with_4_partitions = in_virtual_time_with("team", partial(running_cluster, partitions=4))


@with_16_partitions
async def test_workers_share_partitions_within_seconds_and_move_few(team: WorkerCluster) -> None:
    team.join()
    assert await team.until_fair(0.5) < 0.5
    for _ in range(2):
        team.join()
        assert await team.until_fair(3.0) < 3.0
    assert await team.shares() == [5, 5, 6]
    # Two that release one at the same moment may move one more.
    assert 16 + 8 + 5 <= sum(await team.epochs()) <= 16 + 8 + 6


@with_16_partitions
async def test_killed_worker_is_followed_within_three_and_a_half_seconds(team: WorkerCluster) -> None:
    for _ in range(3):
        team.join()
    await team.until_fair(6.0)
    took_s = []
    for wait_s in (0.1, 0.3, 0.45):
        await team.passes(wait_s)
        team.kill(next(iter(team.alive.values())))
        took_s.append(await team.until_fair(3.5))
        team.join()
        await team.until_fair(6.0)
    assert min(took_s) > 1.4, "its time to send is over first"


@with_16_partitions
async def test_stopped_worker_is_followed_at_the_next_tick(team: WorkerCluster) -> None:
    first, _ = team.join(), team.join()
    await team.until_fair(4.0)
    await team.leave(first)
    assert await team.until_fair(1.0) < 1.0
    (other,) = team.alive.values()
    assert not any(one.lease.last_holder for one in other.ownership.partitions.values())


@with_4_partitions
async def test_paused_worker_loses_its_partitions_and_sends_nothing_when_it_wakes(team: WorkerCluster) -> None:
    first, other = team.join(), team.join()
    await team.until_fair(4.0)
    held = set(first.ownership.partitions)
    assert all(first.ownership.held.may_send(number) for number in held)
    first.process.pause()
    await team.passes(6.0)
    assert other.ownership.partitions.keys() == {0, 1, 2, 3}
    assert not any(first.ownership.held.may_send(number) for number in held), "before it has asked"
    first.process.wake()
    await team.until_fair(6.0)
    assert set(first.work.dropped) >= held


@with_4_partitions
async def test_paused_worker_that_wakes_to_an_older_redis_sends_nothing_that_its_successor_has_sent(
    team: WorkerCluster,
) -> None:
    """There, the partitions are still its own; their living owners note the loss once they have ticked."""
    first, other = team.join(), team.join()
    await team.until_fair(4.0)
    held = {number: first.ownership.partitions[number].lease.holder for number in first.ownership.partitions}
    before = team.server.db.snapshot()
    first.process.pause()
    await team.passes(6.0)
    assert other.ownership.partitions.keys() == {0, 1, 2, 3}
    team.server.stop()
    team.server.db.restore(before)
    team.server.start()
    first.process.wake()

    async def may_send(number: int) -> str:
        """The holder for which a request may leave at last."""
        assert await first.ownership.held.wait_to_send(number)
        return first.ownership.partitions[number].lease.holder

    waiting = [first.process.start(may_send(number)) for number in held]
    await team.passes(8.0)
    sent_for = {task.result() for task in waiting if task.done() and task.exception() is None}
    assert not sent_for & set(held.values())


@with_4_partitions
async def test_nothing_is_sent_after_a_broken_connection_before_the_lease_was_confirmed(team: WorkerCluster) -> None:
    worker = team.join()
    await team.until_fair(4.0)
    held = worker.ownership.held
    team.server.stop()
    await team.passes(1.0)
    team.server.start()
    await team.passes(0.6)
    assert not held.may_send(0)
    assert held.is_sending_allowed
    await team.passes(4.0)
    assert held.may_send(0)


@with_4_partitions
async def test_only_idle_partitions_are_given_back(team: WorkerCluster) -> None:
    work = Work(busy_partitions={0, 1, 2, 3})
    team.join(work=work)
    await team.until_fair(2.0)
    second = team.join()
    await team.passes(20.0)
    assert not second.ownership.partitions
    work.busy_partitions = {0, 3}
    await team.until_fair(2.0)
    assert second.ownership.partitions.keys() == {1, 2}
    assert sorted(work.drained) == [1, 2]
    assert work.drains_s == {2.0}


@with_4_partitions
async def test_slow_redis_is_not_a_dead_one(team: WorkerCluster) -> None:
    """Requests may leave nearly all the time; no partition changes hands."""
    workers = [team.join(), team.join()]
    await team.until_fair(4.0)
    before = await team.epochs()
    for round_trip_s in (0.3, 0.5, 0.85, 1.2, 1.5):
        team.server.latency = lambda _name, half_s=round_trip_s / 2: (half_s, half_s)
        await team.passes(10.0)
        allowed = 0
        for _ in range(200):
            await team.passes(0.05)
            allowed += all(worker.ownership.held.is_sending_allowed for worker in workers)
            assert workers[0].ownership.problems == [] or not workers[0].ownership.held.is_sending_allowed
        assert allowed >= 190, round_trip_s
    team.server.latency = None
    assert await team.epochs() == before


@with_4_partitions
async def test_request_waits_for_a_renewal_and_the_worker_says_all_that_it_lacks(team: WorkerCluster) -> None:
    worker = team.join()
    await team.until_fair(2.0)
    twilio: Any = SimpleNamespace(problem="")

    async def problems() -> list[str]:
        return await worker.process.start(find_problems(worker.core, worker.ownership, twilio))

    assert await problems() == []
    team.server.fault = lambda name: Fault.UNREACHABLE if name == "answer_tick" else None
    await team.passes(3.0)
    waiting = asyncio.ensure_future(worker.process.start(worker.ownership.held.wait_to_send(1)))
    await team.passes(3.0)
    assert not waiting.done()
    twilio.problem = "twilio: no answer"
    why, of_twilio = await problems()
    assert why.startswith("no request may leave")
    assert of_twilio == "twilio: no answer"
    assert not worker.ownership.owns("commands")
    team.server.fault = lambda name: Fault.FORBIDDEN if name == "answer_tick" else None
    await team.passes(1.0)
    assert (await problems())[0] == "redis: not permitted (NOPERM)", "although the probe may write"
    team.server.fault = lambda _name: Fault.FULL
    assert await problems() == ["redis: full (OOM)", "twilio: no answer"]
    team.server.fault = None
    await team.passes(3.0)
    assert await waiting is True
    assert worker.ownership.problems == []
    assert worker.ownership.owns("commands")
    assert await worker.process.start(worker.ownership.held.wait_to_send(99)) is False


@each("round_trip_s, margin_s", [(0.01, 0.2), (2.0, 0.6), (60.0, 1.0)])
def test_no_request_leaves_in_the_last_tenth_of_the_time_that_a_tick_counts(
    round_trip_s: float, margin_s: float
) -> None:
    clock: Any = SimpleNamespace(monotonic_s=lambda: 100.0)
    held: HeldPartitions[Any] = HeldPartitions(clock, 2.0)
    held.note_round_trip(round_trip_s)
    for left_s, is_allowed in ((margin_s + 0.01, True), (margin_s - 0.01, False)):
        held.valid_until_s = 100.0 + left_s
        assert held.is_sending_allowed is is_allowed


@with_4_partitions
async def test_partition_that_no_worker_can_take_is_named_after_a_while(team: WorkerCluster) -> None:
    """Another program has put a key of its own in the place of a lease."""
    worker = team.join()
    await team.until_fair(2.0)
    lease = team.keys.lease(0)
    await team.client.delete(lease)
    await team.client.set(lease, "another program's")
    await team.passes(UNOWNED_S)
    assert worker.ownership.problems == []
    await team.passes(5.0)
    assert worker.ownership.problems == ["partitions unassigned"]
    await team.client.delete(lease)
    await team.passes(5.0)
    assert worker.ownership.problems == []


@with_4_partitions
async def test_no_one_is_followed_because_redis_was_away(team: WorkerCluster) -> None:
    for _ in range(3):
        team.join()
    await team.until_fair(6.0)
    names = await team.owners()
    team.server.stop()
    await team.passes(20.0)
    team.server.start()
    await team.passes(10.0)
    assert await team.owners() == names


@with_4_partitions
async def test_forgotten_grant_costs_one_epoch(team: WorkerCluster) -> None:
    """The coordinator's node failed over: the partition's own key has a higher epoch than it gives."""
    await claim_partition(team.client, team.keys, 2, "5:lost")
    team.join()
    await team.until_fair(4.0)
    assert await team.epochs() == [1, 1, 6, 1]


@with_4_partitions
async def test_grant_that_was_lost_with_its_lease_comes_back_with_a_higher_epoch(team: WorkerCluster) -> None:
    """A failover may forget both. What is still under way for a former grant must not count for the new one."""
    first = team.join()
    await team.until_fair(2.0)
    team.kill(first)
    before = team.server.db.snapshot()
    second = team.join()
    await team.until_fair(4.0)
    third = team.join()
    await team.until_fair(4.0)
    had = {number: held.lease.holder for number, held in second.ownership.partitions.items()}
    assert len(had) == 2
    assert await team.epochs() == [2 if number in had else 3 for number in range(4)]
    team.kill(third)
    team.server.stop()
    team.server.db.restore(before)
    team.server.start()
    await team.until_fair(6.0)
    assert {held.lease.holder for held in second.ownership.partitions.values()} == {f"3:{second.name}"}


@with_4_partitions
async def test_nothing_changes_after_a_restart_or_failover_that_lost_nothing(team: WorkerCluster) -> None:
    """Redis is another server then, with all commits and marks: what was sent stays sent, and no one is asked."""
    worker = team.join()
    await team.until_fair(2.0)
    before = {number: (held, held.lease.holder) for number, held in worker.ownership.partitions.items()}
    await team.client.hset(team.keys.outbox(1), "e", effect_codec.encode(OutboxEntry(gated("e"), EPOCH_MS)))
    assert await worker.core.partition_store.mark_sent(1, before[1][0].lease, gated("e"), EPOCH_MS) is MarkResult.MARKED
    for _ in range(2):
        team.server.stop()
        await team.passes(3.0)
        team.server.start()
        await team.passes(4.0)
    assert {number: (held, held.lease.holder) for number, held in worker.ownership.partitions.items()} == before
    assert b"conferral_redis_losses_total 0.0" in worker.metrics.exposition()


@each("field", ["commit", "marks"])
def test_partition_whose_redis_has_a_lower_number_is_claimed_again(field: str) -> None:
    @with_4_partitions
    async def check(team: WorkerCluster) -> None:
        worker = team.join()
        await team.until_fair(2.0)
        before = dict(worker.ownership.partitions)
        await team.client.hincrby(team.keys.lease(1), field, -1)
        await team.passes(10.0)
        after = worker.ownership.partitions
        assert [number for number in range(4) if after[number] is not before[number]] == [1]
        assert [number for number in range(4) if after[number].lease.is_after_loss] == [1]
        assert not await team.client.hexists(team.keys.lease(1), "lost"), "no session lives that must read"
        assert b"conferral_redis_losses_total 1.0" in worker.metrics.exposition()

    check()


@with_4_partitions
async def test_another_server_is_a_loss_for_a_worker_that_follows_a_dead_one(team: WorkerCluster) -> None:
    worker = team.join()
    await team.until_fair(2.0)
    team.server.stop()
    team.kill(worker)
    team.server.start()
    successor = team.join()
    await team.until_fair(6.0)
    assert all(held.lease.is_after_loss for held in successor.ownership.partitions.values())
    await team.passes(6.0)
    await team.leave(successor)
    team.server.stop()
    team.server.start()
    third = team.join()
    await team.until_fair(6.0)
    assert not any(held.lease.is_after_loss for held in third.ownership.partitions.values()), "it released them"


@each("fault", [Fault.UNREACHABLE, Fault.REPLY_LOST, Fault.SILENT, Fault.FULL])
def test_refused_ticks_are_repeated(fault: Fault) -> None:
    @with_4_partitions
    async def world(team: WorkerCluster) -> None:
        team.join(), team.join()
        await team.until_fair(4.0)
        names, left = await team.owners(), [5]

        def refuse(name: str) -> Fault | None:
            if name != "answer_tick" or not left[0]:
                return None
            left[0] -= 1
            return fault

        team.server.fault = refuse
        await team.passes(30.0)
        assert left == [0]
        assert await team.until_fair(5.0) < 5.0
        assert (await team.owners()).keys() == names.keys()

    world()


# ---- all at once ---------------------------------------------------------------------------------------------------


class Judge:
    """No two workers may send for the same partition, or do a task; no partition is left without someone who may."""

    def __init__(self, team: WorkerCluster, free_max_s: float) -> None:
        self.team, self.free_max_s = team, free_max_s
        self.asleep: set[str] = set()
        self.served_at_s = dict.fromkeys(range(team.keys.partitions), team.loop.time())

    async def passes(self, time_s: float) -> None:
        until_s = self.team.loop.time() + time_s
        while (now_s := self.team.loop.time()) < until_s:
            awake = [member for name, member in self.team.alive.items() if name not in self.asleep]
            for number, served_at_s in self.served_at_s.items():
                senders = [member.name for member in awake if member.ownership.held.may_send(number)]
                assert len(senders) <= 1, f"{number}: {senders} at {now_s}"
                assert senders or now_s - served_at_s <= self.free_max_s, f"{number} is left at {now_s}"
                if senders:
                    self.served_at_s[number] = now_s
            for task in TASKS:
                assert sum(member.ownership.owns(task) for member in awake) <= 1, f"{task} at {now_s}"
            await self.team.passes(0.05)


#: When, after a renewal has arrived, another worker's next tick follows: their rhythms differ. Seconds.
PHASES_S = (0.0, 0.1, 0.2, 0.3, 0.4)


async def sends_alone_to_the_end(team: WorkerCluster, slow: ClusterMember) -> None:
    """A worker's line to Redis goes silent, and the other takes its partitions: never do both send."""
    slow.line.fault = lambda _name: Fault.SILENT
    judge = Judge(team, 8.0)
    await judge.passes(9.0)
    (other,) = (member for member in team.alive.values() if member is not slow)
    assert len(other.ownership.partitions) == team.keys.partitions


async def slow_and_quick(team: WorkerCluster, there_s: float, back_s: float, phase_s: float) -> ClusterMember:
    """Two workers whose lines differ; returns the slow one when its tick has just left."""
    slow = team.join()
    slow.line.latency = lambda _name: (there_s, back_s)
    await team.passes(phase_s)
    team.join()
    await team.passes(15.0)
    arrived = asyncio.Event()
    slow.line.fault = lambda name: arrived.set() if name == "answer_tick" else None
    await arrived.wait()
    assert slow.ownership.partitions
    return slow


@each("phase_s", PHASES_S)
def test_worker_whose_answers_are_slow_counts_from_its_request(phase_s: float) -> None:
    @with_4_partitions
    async def world(team: WorkerCluster) -> None:
        slow = await slow_and_quick(team, 0.0, 1.9, phase_s)
        await team.passes(1.91)  # it has just had its answer
        await sends_alone_to_the_end(team, slow)

    world()


@each("phase_s", PHASES_S)
def test_lost_answer_shortens_the_time_to_send_as_it_does_for_the_others(phase_s: float) -> None:
    """A line was slow, so a tick counted for long; now it is quick, and others wait as long as the last tick says."""

    @with_4_partitions
    async def world(team: WorkerCluster) -> None:
        slow = await slow_and_quick(team, 0.0, 1.9, phase_s)
        await team.passes(1.91)
        slow.line.latency, slow.line.fault = None, lambda _name: Fault.REPLY_LOST
        await team.passes(0.6)
        await sends_alone_to_the_end(team, slow)

    world()


async def play(team: WorkerCluster, seed: int, round_trip_s: float) -> None:
    """Workers join, stop, die, and are paused, answers are late and lost, Redis's clock is set; then all is calm."""
    chance = random.Random(seed)
    # Several deaths, pauses, and lost answers add up: a handover whose answers are lost, one during which the clock
    # is set, and the death of the worker that has just got the partition.
    judge = Judge(team, 3 * (GUARANTEE_S + 6 * round_trip_s))

    async def pause(member: ClusterMember, for_s: float) -> None:
        judge.asleep.add(member.name)
        member.process.pause()
        await team.passes(for_s)
        judge.asleep.discard(member.name)
        member.process.wake()

    def join() -> None:
        """Each worker has its own line: how long, and how much of that is the way there, and what is lost."""
        line, own_s, there, loss = team.join().line, chance.uniform(0.0, round_trip_s), chance.random(), chance.random()
        line.latency = lambda _name: (own_s * there, own_s * (1 - there))
        line.fault = lambda name: Fault.REPLY_LOST if name == "answer_tick" and chance.random() < loss / 4 else None

    for _ in range(chance.randint(2, 4)):
        join()
    pauses = []
    for _ in range(15):
        await judge.passes(chance.uniform(0.1, 4.0))
        awake = [member for name, member in team.alive.items() if name not in judge.asleep]
        has_others = len(team.alive) > 1
        match chance.choice(("join", "die", "stop", "pause", "clock", "nothing")):
            case "join" if len(team.alive) < 6:
                join()
            case "die" if has_others:
                member = chance.choice([*team.alive.values()])
                judge.asleep.discard(member.name)
                team.kill(member)
            case "stop" if has_others and awake:
                await team.leave(chance.choice(awake))
            case "pause" if has_others and awake:
                pauses.append(asyncio.ensure_future(pause(chance.choice(awake), chance.uniform(0.5, 6.0))))
            case "clock":
                team.set_clock(chance.uniform(-7200.0, 7200.0))
    await judge.passes(40.0)
    await asyncio.gather(*pauses)
    for member in team.alive.values():
        member.line.fault = None
    await team.until_fair(20.0)


SEEDS = [*range(3), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(100, 140))]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("round_trip_s", [0.002, 0.3, 1.5])
@in_virtual_time_with("team", partial(running_cluster, partitions=8))
async def test_workers_never_send_for_the_same_partition_and_leave_none(
    team: WorkerCluster, round_trip_s: float, seed: int
) -> None:
    await play(team, seed, round_trip_s)
