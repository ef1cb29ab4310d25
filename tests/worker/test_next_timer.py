"""What a partition keeps of its timers in memory: when the next one is due."""

import asyncio
import math
from types import SimpleNamespace
from typing import Any

import pytest

from conferral.statemachine.policy import Policy
from conferral.worker.consumer.partition_consumer import PartitionTimers, max_timer_lengths_ms
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time


@in_virtual_time
async def test_next_timer_is_the_earliest_of_those_in_redis_and_those_set_since(loop: VirtualLoop) -> None:
    due_in_redis: list[int | None] = [None, 900, 500, 500]
    set_while_firing: list[int] = []

    async def fire_timers(*_given: object) -> tuple[int, int | None]:
        for due_ms in set_while_firing:
            timers.add_due(due_ms)
        return 0, due_in_redis.pop(0)

    nothing: Any = None
    access: Any = SimpleNamespace(fire_timers=fire_timers)
    clock: Any = SimpleNamespace(now_ms=lambda: 400 + round(loop.time() * 1000))
    timers = PartitionTimers(0, nothing, access, clock)
    assert timers.ms_until_due() == math.inf
    waiting = asyncio.create_task(timers.wait_until_due())
    for wait_s, due_ms in ((60.0, 60_700), (0.1, 700), (0.0, 800)):
        await asyncio.sleep(wait_s)  # a delay: virtual time
        timers.add_due(due_ms + 60_000)
    await waiting
    assert loop.time() == pytest.approx(60.3), "an earlier one ends the wait, a later one does not prolong it"

    for due_ms, next_ms in ((0, math.inf), (950, 900), (450, 450), (550, 500)):
        set_while_firing[:] = [due_ms, due_ms + 1] if due_ms else []
        await timers.fire()
        assert timers.ms_until_due() == next_ms - clock.now_ms()


def test_timer_of_a_hold_that_is_not_due_for_hours_is_not_taken_for_one_left_by_another_clock() -> None:
    longest_ms = max_timer_lengths_ms(Policy(hold_limit_ms=7_200_000))
    assert (longest_ms["hold"], longest_ms["hold_notice"], longest_ms["lone"]) == (7_200_000, 7_200_000, 60_000)
