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
