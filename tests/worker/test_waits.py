"""How long a worker waits for what: for timers, leases, connections, and Redis; in virtual time."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from conferral.runtime.clock import Clock
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.metrics import Metrics
from conferral.storage.codecs.effect_codec import ExpireCalls
from conferral.storage.commands import command_stream
from conferral.storage.connection.blocking_reads import BlockingReads
from conferral.storage.keys import Keys
from conferral.worker.consumer.post_commit import PostCommitWrites
from conferral.worker.router.command_router import CommandRouter
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.support.memory_redis import MemoryServer
from tests.worker.cores import core_of
from tests.worker.executor_harness import BUSY, ExecutorHarness, FakeTime, in_flight, update
from tests.worker.worker_cluster import ClusterClock


@in_virtual_time
async def test_post_commit_write_is_tried_five_times_a_second(loop: VirtualLoop) -> None:
    class Access:
        def __init__(self) -> None:
            self.errors: list[StoreError] = [StoreUnreachableError("away")] * 3

        async def finish_writes(self, *_given: object, **_named: object) -> dict[str, StoreError]:
            if self.errors:
                raise self.errors.pop()
            return {}

    access: Any = Access()
    writes = PostCommitWrites(0, access, Metrics(), session_ttl_s=60)
    writes.start([ExpireCalls("s", ("CA1",))])
    began_s = loop.time()
    await writes.wait_finished()
    assert loop.time() - began_s == pytest.approx(0.6)


# ---- the router ------------------------------------------------------------------------------------------------------


def router(clock: Clock, is_ours: Callable[[], bool], reads: Any = None) -> CommandRouter:
    nothing: Any = None
    return CommandRouter(
        core_of(nothing, Keys("test", 4), clock), reads or SimpleNamespace(interrupt=id), nothing, is_ours
    )


@in_virtual_time
async def test_router_asks_twice_a_second_whether_it_may_route(loop: VirtualLoop) -> None:
    stop, at_s = asyncio.Event(), list[float]()

    def is_ours() -> bool:
        at_s.append(loop.time())
        if len(at_s) == 2:
            raise StoreUnreachableError("away")
        if len(at_s) == 4:
            stop.set()
        return False

    await router(FakeTime(), is_ours).run(stop)
    assert at_s == [0.0, 0.5, 1.0, 1.5]


@pytest.mark.parametrize(("waiting", "logged_at_s"), [(100_000, []), (100_001, [0.0, 60.0])])
@in_virtual_time
async def test_waiting_commands_are_counted_every_five_seconds_and_too_many_logged_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, waiting: int, logged_at_s: list[float], loop: VirtualLoop
) -> None:
    stop, counted_at_s = asyncio.Event(), list[float]()

    async def count_waiting(*_given: object) -> int:
        counted_at_s.append(loop.time())
        return waiting

    async def read(*_given: object, **_named: object) -> list[Any]:
        await asyncio.sleep(0.25)  # a delay: virtual time
        return []

    monkeypatch.setattr(command_stream, "count_waiting", count_waiting)
    loop.call_later(74.9, stop.set)
    with capture_logs() as lines:
        reads = SimpleNamespace(read=read, interrupt=id)
        await router(ClusterClock(loop, 0.0), lambda: True, reads).run(stop)
    assert counted_at_s == [5.0 * number for number in range(15)]
    exceeded = [line for line in lines if line["event"] == "command_limit_exceeded" and line["count"] == waiting]
    assert len(exceeded) == len(logged_at_s)


@in_virtual_time
async def test_idle_reads_that_begin_at_different_moments_end_together(loop: VirtualLoop) -> None:
    async def read(stream: str) -> float:
        assert await reads.read(stream, 1) == []
        return loop.time()

    reads = BlockingReads(MemoryServer(lambda: 0).client(blocking=True))
    first = asyncio.create_task(read("one"))
    await asyncio.sleep(0.2)  # a delay: virtual time
    assert [await read("other"), await first] == pytest.approx([2.0, 2.0])


# ---- requests under way ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of_partition", [False, True])
@in_virtual_time
async def test_executor_waits_for_requests_as_long_as_it_may(of_partition: bool, loop: VirtualLoop) -> None:
    system = ExecutorHarness()
    for number, ends_after_s in enumerate((0.5, 60.0)):
        gate = asyncio.Event()
        loop.call_later(ends_after_s, gate.set)
        system.calls.script[f"r{number}"].extend([gate, None])
        system.submit(update(f"r{number}", f"S{number}"))
    await system.settle()
    began_s = loop.time()
    await (system.executor.drain_partition(0, 1.5) if of_partition else system.executor.drain(1.5))
    assert loop.time() - began_s == pytest.approx(1.5)
    assert system.finished == ["r0"]
    assert in_flight(system.executor) == 0


@in_virtual_time
async def test_job_that_waits_for_its_next_attempt_does_not_delay_a_handover(loop: VirtualLoop) -> None:
    system, answer = ExecutorHarness(), asyncio.Event()
    system.time.gate = asyncio.Event()
    system.calls.script["r"].extend([answer, BUSY])
    system.submit(update("r"))
    await system.settle()
    loop.call_later(0.3, answer.set)
    began_s = loop.time()
    await system.executor.drain_partition(0, 2.0)
    assert 0.3 <= loop.time() - began_s <= 0.351
    assert (system.finished, in_flight(system.executor)) == ([], 0)
