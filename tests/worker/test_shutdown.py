"""A worker stops in bounded time, even if Redis or Twilio is silent. In virtual time."""

import asyncio
from functools import partial

import pytest
from structlog.testing import capture_logs

from conferral.worker.process import Worker
from conferral.worker.wiring import Environment
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.support.local_system import settings_for
from tests.support.memory_redis import Fault, MemoryServer
from tests.worker.virtual_setup import in_virtual_time_with
from tests.worker.worker_cluster import EPOCH_MS, ClusterClock, ClusterMember, WorkerCluster, cluster_of_one


async def _stop_while_busy(member: ClusterMember, partitions: set[int]) -> None:
    """End a worker's tasks while these partitions have jobs."""
    member.work.busy_partitions = partitions
    member.stop.set()
    await asyncio.wait([member.task])


@in_virtual_time
async def test_worker_that_stops_waits_for_its_requests_and_for_no_silent_redis(
    loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, stop = MemoryServer(lambda: EPOCH_MS + round(loop.time() * 1000)), asyncio.Event()
    environment = Environment(
        clock=ClusterClock(loop, 0.0),
        redis=lambda _url, _primary, *, blocking=False, max_connections: server.client(blocking=blocking),
    )
    worker = Worker(settings_for("redis://localhost", None, "https://example.com"), environment=environment)
    # Twilio answers none.
    monkeypatch.setattr(worker.executor, "drain", asyncio.sleep)
    running = asyncio.create_task(worker.run(stop))
    await asyncio.sleep(10.0)  # a delay: virtual time
    server.fault = lambda _name: Fault.SILENT
    began_s = loop.time()
    stop.set()
    assert await running == 0
    assert loop.time() - began_s == pytest.approx(8.5), "the contract's bound is 10 s"


@in_virtual_time
async def test_worker_that_stops_before_it_has_reached_redis_has_not_failed(loop: VirtualLoop) -> None:
    server, stop = MemoryServer(lambda: EPOCH_MS), asyncio.Event()
    server.stop()
    environment = Environment(clock=ClusterClock(loop, 0.0), redis=lambda _url, _primary, **_options: server.client())
    worker = Worker(settings_for("redis://localhost", None, "https://example.com"), environment=environment)
    with capture_logs() as lines:
        running = asyncio.create_task(worker.run(stop))
        while not lines:
            await asyncio.sleep(0.1)
        stop.set()
        assert await running == 0


@in_virtual_time_with("team, member", partial(cluster_of_one, partitions=1))
async def test_stop_waits_for_no_read_that_would_begin_after_it(team: WorkerCluster, member: ClusterMember) -> None:
    await team.passes(2.9)
    team.server.latency = lambda _name: (0.0, 0.4)
    confirmed = asyncio.Event()
    team.server.fault = lambda name: confirmed.set() if name == "hold_partition" else None
    await confirmed.wait()  # its answer is on the way, so no read runs
    began_s = team.loop.time()
    await team.leave(member)
    assert team.loop.time() - began_s < 2.0
    assert await team.owners() == {}


@in_virtual_time
async def test_partition_lost_during_the_stop_is_given_up(loop: VirtualLoop) -> None:
    team = WorkerCluster(loop, partitions=4)
    member = team.join()
    await team.until_fair(2.0)
    await _stop_while_busy(member, {0, 1, 2, 3})
    member.ownership.partitions[2].mark_lost()
    is_over = asyncio.Event()
    winding = member.process.start(member.ownership.drain(is_over))
    await team.passes(3.0)
    assert member.ownership.partitions.keys() == {0, 1, 3}
    assert set(member.work.dropped) == {2}
    assert all(map(member.ownership.held.may_send, (0, 1, 3))), "it renews them until all is done"
    assert member.work.left == [], "no other worker would send it"
    is_over.set()
    await winding
    team.kill(member)


@in_virtual_time
async def test_stopping_worker_leaves_unsent_requests_to_the_others(loop: VirtualLoop) -> None:
    team = WorkerCluster(loop, partitions=4)
    member, other = team.join(), team.join()
    await team.until_fair(4.0)
    held = set(member.ownership.partitions)
    await _stop_while_busy(member, held)
    is_over = asyncio.Event()
    winding = member.process.start(member.ownership.drain(is_over))
    await team.passes(3.0)
    assert held
    assert set(member.work.left) == held
    assert other.ownership.owns("commands"), "a task waits for no request"
    is_over.set()
    await winding
    team.kill(member)
    team.kill(other)
