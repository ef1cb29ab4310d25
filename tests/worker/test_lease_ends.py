"""The last moments of a lease: what may still be sent, a loss during the release, and a hand-over with work in flight.

In virtual time, on a Redis in memory; the hand-over with the real executor.
"""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from conferral.runtime.errors import StoreUnreachableError
from conferral.storage.connection.client import Client
from conferral.storage.partition import lease as leases
from conferral.worker.assignment.assignment import LEASE_MARGIN
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.worker.executor_harness import ExecutorHarness, redirect
from tests.worker.worker_cluster import WorkerCluster


@in_virtual_time
async def test_request_waits_near_the_end_of_the_lease_until_redis_has_renewed_it(loop: VirtualLoop) -> None:
    team = WorkerCluster(loop, partitions=1)
    member = team.join(names_connection=False)
    await team.until_fair(1.0)
    keeper, held = member.keeper, member.keeper.consumers[0]
    assert await keeper.may_send(0)
    team.server.stop()
    lasts_s = held.lease.valid_until_s - member.clock.monotonic_s()
    # So much has to be left of it that a connection can be made.
    await team.passes(lasts_s - 5.0 * LEASE_MARGIN - 0.1)
    assert await asyncio.wait_for(keeper.may_send(0), 0.01)
    await team.passes(0.2)
    assert keeper.is_ours(0)
    asked = loop.create_task(keeper.may_send(0))
    await team.passes(0.5)
    assert not asked.done()
    team.server.start()
    await team.passes(3.0)
    assert asked.result() is True
    await team.leave(member)


@in_virtual_time
async def test_request_is_not_sent_when_the_lease_turns_out_to_be_lost(loop: VirtualLoop) -> None:
    team = WorkerCluster(loop, partitions=1)
    member = team.join()
    await team.until_fair(1.0)
    await team.client.hset(team.keys.lease(0), "holder", "9:another")
    member.keeper.consumers[0].lease.valid_until_s = member.clock.monotonic_s() + 0.1
    assert await member.keeper.may_send(0) is False
    assert not member.keeper.is_ours(0)
    team.kill(member)


@in_virtual_time
async def test_lease_lost_while_being_released_is_dropped_and_left_alone(loop: VirtualLoop) -> None:
    team = WorkerCluster(loop, partitions=1)
    member = team.join()
    await team.until_fair(1.0)
    keeper, held = member.keeper, member.keeper.consumers[0]
    team.server.stop()
    with capture_logs() as lines:
        releasing = loop.create_task(keeper._release_partition(held))
        await team.passes(0.3)
        held.mark_lost()
        await team.passes(0.3)
        assert releasing.done()
    assert 0 not in keeper.consumers
    assert "lease_released" not in {line["event"] for line in lines}
    team.kill(member)


@in_virtual_time
async def test_partition_is_handed_over_when_its_request_is_answered_and_the_rest_is_left_to_the_next(
    loop: VirtualLoop,
) -> None:
    team = WorkerCluster(loop, partitions=2)
    system = ExecutorHarness()
    work: Any = system.executor
    first = team.join(work=work)
    await team.until_fair(1.0)
    answers = {number: asyncio.Event() for number in (0, 1)}
    for number, answer in answers.items():
        system.calls.script[f"a{number}"].append(answer)
        system.submit(redirect(f"a{number}", f"S{number}"), partition=number)
        system.submit(redirect(f"b{number}", f"S{number}"), partition=number)
    second = team.join()
    await team.passes(1.0)
    assert system.calls.asked == ["a0", "a1"]
    loop.call_later(0.7, lambda: [answer.set() for answer in answers.values()])
    await team.until_fair(5.0)
    # One of the two went, with the request that was under way, and without the one behind it.
    (kept,) = first.keeper.consumers
    given = 1 - kept
    assert f"a{given}" in system.finished
    assert f"b{given}" not in system.calls.asked
    assert {f"a{kept}", f"b{kept}"} <= {*system.finished}
    assert system.dropped == 1
    await team.leave(second)
    team.kill(first)


@pytest.mark.parametrize("failures", [4, 5])
@in_virtual_time
async def test_handover_tries_five_times_to_release_the_lease(
    monkeypatch: pytest.MonkeyPatch, failures: int, loop: VirtualLoop
) -> None:
    release, tried, tried_at_s = leases.release, list[str](), list[float]()

    async def fail_at_first(client: Client, lease: leases.Lease, partition_now_ms: int) -> bool:
        tried.append(lease.key)
        tried_at_s.append(loop.time())
        if len(tried) <= failures:
            raise StoreUnreachableError("away")
        return await release(client, lease, partition_now_ms)

    monkeypatch.setattr(leases, "release", fail_at_first)
    team = WorkerCluster(loop, partitions=2)
    team.join()
    await team.until_fair(1.0)
    second = team.join()
    await team.until_fair(10.0)
    assert tried.count(tried[0]) == 5
    assert [at_s - tried_at_s[0] for at_s in tried_at_s[:5]] == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8], abs=0.01)
    assert [one.lease.key == tried[0] for one in second.keeper.consumers.values()] == [failures == 4]
