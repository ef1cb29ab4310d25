"""A worker stops in bounded time, even if Redis or Twilio is silent. In virtual time."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from conferral.storage.keys import Keys
from conferral.worker.environment import Environment
from conferral.worker.executor.executor import Executor
from conferral.worker.process import Worker
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.support.local_system import settings_for
from tests.support.memory_redis import MemoryServer
from tests.worker.worker_cluster import EPOCH_MS, ClusterClock, ClusterMember, WorkerCluster


async def _stop_while_busy(member: ClusterMember, partitions: set[int]) -> None:
    """End a worker's tasks while these partitions have jobs."""
    member.work.busy_partitions = partitions
    member.stop.set()
    await asyncio.wait(member.tasks)


class SilentAssigner:
    """An assigner whose Redis does not answer."""

    async def drain(self, _is_over: asyncio.Event, _executor: object) -> None:
        await asyncio.Event().wait()

    async def leave(self) -> None:
        await asyncio.Event().wait()

    async def keep(self, _stop: asyncio.Event) -> None:
        await asyncio.Event().wait()


class SilentExecutor:
    """An executor whose Twilio does not answer."""

    def __init__(self) -> None:
        self.drained_s = 0.0

    async def drain(self, timeout_s: float) -> None:
        self.drained_s = timeout_s
        await asyncio.sleep(timeout_s)  # a delay: virtual time


@pytest.mark.parametrize(("spent_s", "drained_s", "stopped_s"), [(0.0, 7.0, 8.5), (4.0, 3.0, 8.5), (8.0, 0.0, 9.5)])
@in_virtual_time
async def test_worker_that_stops_waits_for_neither_redis_nor_twilio_beyond_its_time(
    spent_s: float, drained_s: float, stopped_s: float, loop: VirtualLoop
) -> None:
    clock, executor = ClusterClock(loop, 0.0), SilentExecutor()
    worker = Worker(
        settings_for("redis://localhost", None, "https://example.com"), environment=Environment(clock=clock)
    )
    client = MemoryServer(lambda: EPOCH_MS).client()
    stop = asyncio.Event()
    stop.set()
    stop_by_s = await worker._stop_deadline_s(stop)
    await asyncio.sleep(spent_s)  # a delay: virtual time
    parts: Any = SimpleNamespace(ownership=SilentAssigner(), executor=executor, shares=executor)
    await worker._drain(client, Keys("test", 4), parts, stop_by_s)
    assert loop.time() == pytest.approx(stopped_s)
    assert executor.drained_s == pytest.approx(drained_s), "what is under way is given its time"


@in_virtual_time
async def test_worker_that_stops_before_it_has_reached_redis_has_not_failed(loop: VirtualLoop) -> None:
    server, stop = MemoryServer(lambda: EPOCH_MS), asyncio.Event()
    server.stop()
    environment = Environment(clock=ClusterClock(loop, 0.0), redis=lambda _url, **_options: server.client())
    worker = Worker(settings_for("redis://localhost", None, "https://example.com"), environment=environment)
    with capture_logs() as lines:
        running = asyncio.create_task(worker.run(stop))
        while not lines:
            await asyncio.sleep(0.1)
        stop.set()
        assert await running == 0


@in_virtual_time
async def test_partition_lost_during_the_stop_is_given_up(loop: VirtualLoop) -> None:
    team = WorkerCluster(loop, partitions=4)
    member = team.join()
    await team.until_fair(2.0)
    await _stop_while_busy(member, {0, 1, 2, 3})
    member.keeper.consumers[2].mark_lost()
    is_over, work = asyncio.Event(), cast("Executor", member.work)
    winding = member.process.start(member.keeper.drain(is_over, work))
    await team.passes(3.0)
    assert member.keeper.consumers.keys() == {0, 1, 3}
    assert set(member.work.dropped) == {2}
    assert member.work.left == [], "no other worker would send it"
    is_over.set()
    await winding
    team.kill(member)


@in_virtual_time
async def test_stopping_worker_leaves_unsent_requests_to_the_others(loop: VirtualLoop) -> None:
    team = WorkerCluster(loop, partitions=4)
    member, other = team.join(), team.join()
    await team.until_fair(4.0)
    held = set(member.keeper.consumers)
    await _stop_while_busy(member, held)
    is_over, work = asyncio.Event(), cast("Executor", member.work)
    winding = member.process.start(member.keeper.drain(is_over, work))
    await team.passes(3.0)
    assert held
    assert set(member.work.left) == held
    is_over.set()
    await winding
    team.kill(member)
    team.kill(other)
