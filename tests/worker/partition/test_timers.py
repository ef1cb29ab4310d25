"""Timers: when a partition's next one is due, and that it waits for no other partition's. In virtual time."""

import asyncio
import math
from collections.abc import Iterator
from itertools import repeat
from types import SimpleNamespace
from typing import Any

import pytest

from conferral.runtime.errors import StoreUnreachableError
from conferral.statemachine.events import COMMANDS
from conferral.statemachine.policy import Policy
from conferral.storage.coordinator import Lease
from conferral.worker.partition.timers import PartitionTimers, max_timer_lengths_ms
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.worker.virtual_setup import in_virtual_time_with
from tests.worker.worker_cluster import ClusterMember, WorkerCluster, cluster_of_one

#: The partition with a timer, and those whose node says nothing.
HEARD, SILENT = 9, range(8)
#: How long nothing is said until the client gives up, seconds.
SILENCE_S = 2.0


of_one = in_virtual_time_with("team, member", cluster_of_one)


async def fail_partitions(
    team: WorkerCluster, member: ClusterMember, errors: Iterator[BaseException], asked: list[int]
) -> None:
    """From now on some of a worker's partitions, each with a due timer, answer late, with an error."""
    access: Any = member.core.partition_store
    fire = access.fire_timers

    async def fire_timers(partition: int, lease: Lease, now_ms: int, longest_ms: dict[str, int]) -> int | None:
        if partition in SILENT:
            asked.append(partition)
            await asyncio.sleep(SILENCE_S)  # a delay: virtual time
            raise next(errors)
        answer: int | None = await fire(partition, lease, now_ms, longest_ms)
        return answer

    access.fire_timers = fire_timers
    for number in SILENT:
        await team.client.zadd(team.keys.timers(number), {"lone|s0": 0})
        member.ownership.partitions[number].timers.add_due({"lone|s": 0})


@of_one
async def test_timer_does_not_wait_for_partitions_whose_node_is_silent(
    team: WorkerCluster, member: ClusterMember
) -> None:
    asked: list[int] = []
    await fail_partitions(team, member, repeat(StoreUnreachableError("no answer")), asked)
    await team.passes(3.0)
    for _ in range(5):
        due_ms = member.core.store_clock.now_ms() + 700
        await team.client.zadd(team.keys.timers(HEARD), {"lone|s1": due_ms})
        await team.client.sadd(team.keys.live(HEARD), "s1")
        member.ownership.partitions[HEARD].timers.add_due({"lone|s": due_ms})
        await team.passes(2.0)
        assert await team.client.zcard(team.keys.timers(HEARD)) == 0
    assert set(asked) == {*SILENT}
    # Each is asked, waited for, and then left alone for a moment.
    assert len(asked) <= len(SILENT) * (team.loop.time() / SILENCE_S)


@in_virtual_time
async def test_next_timer_is_the_earliest_of_those_in_redis_and_those_set_since(loop: VirtualLoop) -> None:
    due_in_redis: list[int | None] = [None, 900, 500, 500]
    set_while_firing: list[int] = []

    async def fire_timers(*_given: object) -> int | None:
        for due_ms in set_while_firing:
            timers.add_due({"lone|s": due_ms})
        return due_in_redis.pop(0)

    nothing: Any = None
    access: Any = SimpleNamespace(fire_timers=fire_timers)
    clock: Any = SimpleNamespace(now_ms=lambda: 400 + round(loop.time() * 1000))
    timers = PartitionTimers(0, nothing, access, clock)
    assert timers.ms_until_due() == math.inf
    waiting = asyncio.create_task(timers.wait_until_due())
    for wait_s, due_ms in ((60.0, 60_700), (0.1, 700), (0.0, 800)):
        await asyncio.sleep(wait_s)  # a delay: virtual time
        timers.add_due({"lone|s": due_ms + 60_000})
    await waiting
    assert loop.time() == pytest.approx(60.3), "an earlier one ends the wait, a later one does not prolong it"

    for due_ms, next_ms in ((0, math.inf), (950, 900), (450, 450), (550, 500)):
        set_while_firing[:] = [due_ms, due_ms + 1] if due_ms else []
        await timers.fire()
        assert timers.ms_until_due() == next_ms - clock.now_ms()


def test_timer_of_a_hold_that_is_not_due_for_hours_is_not_taken_for_one_left_by_another_clock() -> None:
    longest_ms = max_timer_lengths_ms(Policy(hold_limit_ms=7_200_000))
    assert (longest_ms["hold"], longest_ms["lone"], longest_ms["read"]) == (7_200_000, 90_000, 600_000)
    assert all(longest_ms["pending_command"] >= 1_000 * command.pending_s for command in COMMANDS)
