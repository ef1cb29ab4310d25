"""The loop in virtual time: it jumps, repeats exactly, notices what would hang, and its processes die for good."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from tests.simulation.virtual_loop import (
    DeadlockError,
    KilledError,
    Process,
    RealWorkError,
    VirtualLoop,
    in_virtual_time,
    run,
)


@in_virtual_time
async def test_time_is_virtual(loop) -> None:
    began_s = time.monotonic()
    await asyncio.sleep(86_400.0)
    assert loop.time() == 86_400.0
    assert time.monotonic() - began_s < 60  # a day has not passed


@in_virtual_time
async def test_timers_run_in_order() -> None:
    seen = []

    async def later(after_s: float, name: str) -> None:
        await asyncio.sleep(after_s)
        seen.append(name)

    await asyncio.gather(*(later(*one) for one in ((2.0, "b"), (1.0, "a"), (4.0, "d"), (3.0, "c"))))
    assert seen == ["a", "b", "c", "d"]


@in_virtual_time
async def test_a_time_limit_is_met_at_its_very_moment(loop) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.5):
            await loop.create_future()
    assert loop.time() == 1.5


def test_wait_that_can_never_end_is_detected() -> None:
    with pytest.raises(DeadlockError):
        run(lambda loop: loop.create_future())


@pytest.mark.parametrize(
    "work",
    [lambda: asyncio.to_thread(time.monotonic), lambda: asyncio.open_connection("127.0.0.1", 9)],
    ids=["thread", "socket"],
)
@in_virtual_time
async def test_the_real_world_is_out_of_reach(work) -> None:
    with pytest.raises((RealWorkError, RuntimeError)):
        await work()


def test_tasks_and_futures_hash_by_a_running_number() -> None:
    async def main(loop: VirtualLoop) -> list[int]:
        tasks = {loop.create_task(asyncio.sleep(1.0)) for _ in range(3)}
        futures = {loop.create_future(): None}
        await asyncio.wait(tasks)
        return [hash(one) for one in (*tasks, *futures)]

    assert run(main) == run(main)


@in_virtual_time
async def test_many_canceled_timers_are_dropped(loop) -> None:
    for _ in range(5_000):
        async with asyncio.timeout(1_000.0):
            await asyncio.sleep(0.001)
    assert loop.timers < 2_500


# ---- processes -----------------------------------------------------------------------------------------------------


def ticking(loop: VirtualLoop, seen: list[float]) -> Coroutine[Any, Any, None]:
    async def tick() -> None:
        try:
            while True:
                await asyncio.sleep(1.0)
                seen.append(loop.time())
        finally:
            await asyncio.sleep(0.1)
            seen.append(-1.0)

    return tick()


@in_virtual_time
async def test_nothing_of_a_killed_process_runs_on(loop) -> None:
    seen: list[float] = []
    process = Process(loop, "one")
    process.start(ticking(loop, seen))
    await asyncio.sleep(2.5)
    process.kill()
    await asyncio.sleep(10.0)
    assert not loop.faults
    assert seen == [1.0, 2.0]


@in_virtual_time
async def test_tasks_started_by_a_process_die_with_it(loop) -> None:
    seen: list[float] = []

    async def parent() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(ticking(loop, seen))
            loop.call_later(4.0, seen.append, 4.0)

    process = Process(loop, "one")
    process.start(parent())
    await asyncio.sleep(2.5)
    process.kill()
    await asyncio.sleep(10.0)
    assert seen == [1.0, 2.0]


@pytest.mark.parametrize("steps", range(6))
@in_virtual_time
async def test_a_process_can_be_killed_between_any_two_callbacks(loop, steps) -> None:
    done = 0

    async def work() -> None:
        nonlocal done
        for _ in range(10):
            done += 1
            await asyncio.sleep(0)

    process = Process(loop, "one")
    process.kill_after(steps)
    process.start(work())
    await asyncio.sleep(1.0)
    assert process.is_dead
    assert done == steps


@in_virtual_time
async def test_paused_process_resumes_where_it_stopped(loop) -> None:
    seen: list[float] = []
    process = Process(loop, "one")
    process.start(ticking(loop, seen))
    await asyncio.sleep(1.5)
    process.pause()
    await asyncio.sleep(6.0)
    process.wake()
    await asyncio.sleep(1.2)
    process.kill()
    assert seen == [1.0, 7.5, 8.5]


@in_virtual_time
async def test_paused_process_is_killed_at_once(loop) -> None:
    """As by SIGKILL after SIGSTOP."""
    seen: list[float] = []
    process = Process(loop, "one")
    process.start(ticking(loop, seen))
    await asyncio.sleep(1.5)
    process.pause()
    process.kill_after(5)
    assert process.is_dead
    process.wake()
    await asyncio.sleep(3.0)
    assert seen == [1.0]


@in_virtual_time
async def test_request_to_a_process_that_dies_raises(loop) -> None:
    async def answer() -> str:
        await asyncio.sleep(1.0)
        return "answer"

    process = Process(loop, "one")
    assert await process.ask(answer()) == "answer"
    asking = loop.create_task(process.ask(answer()))
    await asyncio.sleep(0.5)
    process.kill()
    with pytest.raises(KilledError):
        await asking
    with pytest.raises(KilledError):
        await process.ask(answer())


def test_what_the_end_interrupts_has_its_loop_on_the_way_out() -> None:
    loops = []

    async def interrupted() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            loops.append(asyncio.get_running_loop())

    async def main(loop: VirtualLoop) -> VirtualLoop:
        task = loop.create_task(interrupted())
        await asyncio.sleep(1)
        assert not task.done()
        return loop

    assert loops == [run(main)]
