"""The loop in virtual time: it jumps, repeats exactly, notices what would hang, and its processes die for good."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from tests.simulation.virtual_loop import DeadlockError, KilledError, Process, RealWorkError, VirtualLoop, run


def test_time_is_virtual() -> None:
    async def main(loop: VirtualLoop) -> float:
        await asyncio.sleep(86_400.0)
        return loop.time()

    began_s = time.monotonic()
    assert run(main) == 86_400.0
    assert time.monotonic() - began_s < 60  # a day has not passed


def test_timers_run_in_order() -> None:
    async def main(_loop: VirtualLoop) -> list[str]:
        seen = []

        async def later(after_s: float, name: str) -> None:
            await asyncio.sleep(after_s)
            seen.append(name)

        await asyncio.gather(*(later(*one) for one in ((2.0, "b"), (1.0, "a"), (4.0, "d"), (3.0, "c"))))
        return seen

    assert run(main) == ["a", "b", "c", "d"]


def test_a_time_limit_is_met_at_its_very_moment() -> None:
    async def main(loop: VirtualLoop) -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await loop.create_future()
        return loop.time()

    assert run(main) == 1.5


def test_wait_that_can_never_end_is_detected() -> None:
    async def main(loop: VirtualLoop) -> None:
        await loop.create_future()

    with pytest.raises(DeadlockError):
        run(main)


@pytest.mark.parametrize("work", ["thread", "socket"])
def test_the_real_world_is_out_of_reach(work: str) -> None:
    async def main(loop: VirtualLoop) -> None:
        if work == "thread":
            await asyncio.to_thread(time.monotonic)
        else:
            await asyncio.open_connection("127.0.0.1", 9)

    with pytest.raises((RealWorkError, RuntimeError)):
        run(main)


def test_tasks_and_futures_hash_by_a_running_number() -> None:
    async def main(loop: VirtualLoop) -> list[int]:
        tasks = {loop.create_task(asyncio.sleep(1.0)) for _ in range(3)}
        futures = {loop.create_future(): None}
        await asyncio.wait(tasks)
        return [hash(one) for one in (*tasks, *futures)]

    assert run(main) == run(main)


def test_many_canceled_timers_are_dropped() -> None:
    async def main(loop: VirtualLoop) -> int:
        for _ in range(5_000):
            async with asyncio.timeout(1_000.0):
                await asyncio.sleep(0.001)
        return len(loop._scheduled)

    assert run(main) < 2_500


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


def test_nothing_of_a_killed_process_runs_on() -> None:
    async def main(loop: VirtualLoop) -> list[float]:
        seen: list[float] = []
        process = Process(loop, "one")
        process.start(ticking(loop, seen))
        await asyncio.sleep(2.5)
        process.kill()
        await asyncio.sleep(10.0)
        assert not loop.faults
        return seen

    assert run(main) == [1.0, 2.0]


def test_tasks_started_by_a_process_die_with_it() -> None:
    async def main(loop: VirtualLoop) -> list[float]:
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
        return seen

    assert run(main) == [1.0, 2.0]


@pytest.mark.parametrize("steps", range(6))
def test_a_process_can_be_killed_between_any_two_callbacks(steps: int) -> None:
    async def main(loop: VirtualLoop) -> int:
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
        return done

    assert run(main) == steps


def test_paused_process_resumes_where_it_stopped() -> None:
    async def main(loop: VirtualLoop) -> list[float]:
        seen: list[float] = []
        process = Process(loop, "one")
        process.start(ticking(loop, seen))
        await asyncio.sleep(1.5)
        process.pause()
        await asyncio.sleep(6.0)
        process.wake()
        await asyncio.sleep(1.2)
        process.kill()
        return seen

    assert run(main) == [1.0, 7.5, 8.5]


def test_request_to_a_process_that_dies_raises() -> None:
    async def main(loop: VirtualLoop) -> str:
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
        return "told"

    assert run(main) == "told"


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
