"""Workers that are stopped, blocked or deceived while someone else takes their partitions over."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from conferral.storage import scripts
from conferral.storage.coordinator import read_owners
from conferral.worker.process import Worker
from tests.fault_injection.calls import all_hang_up
from tests.fault_injection.fault_system import TWO_WORKERS, FaultSystem
from tests.support.forked_worker import ForkedWorker
from tests.support.metric_values import value_of
from tests.support.tcp_relay import Relay

pytestmark = [pytest.mark.redis, pytest.mark.system(**TWO_WORKERS)]
COMMIT = scripts.commit_batch.sha.encode()


async def until_dropped(system: FaultSystem, former: ForkedWorker) -> None:
    """Waits until a worker process knows that it has lost a partition."""
    await system.eventually(lambda: "lease_lost" in former.text(), "the former holder has noticed")


# ---- processes -------------------------------------------------------------------------------------------------------


@pytest.mark.soak
@pytest.mark.processes
async def test_fault_09_stopped_worker_that_wakes_with_a_commit_in_hand(system, redis_server, tmp_path):
    """SIGSTOP right behind the request to commit, which reaches Redis when someone else has the lease."""
    async with Relay(redis_server.socket) as relay, Relay(system.sandbox.port) as twilio:
        stopped, may_arrive = asyncio.Event(), asyncio.Event()

        async def stop(request: bytes) -> None:
            if COMMIT in request and not stopped.is_set():
                first.signal(signal.SIGSTOP)
                stopped.set()
                await may_arrive.wait()

        api_url = f"http://127.0.0.1:{twilio.port}"
        with system.worker_process(tmp_path, "first", redis_url=relay.url, twilio_url=api_url) as first:
            await system.everything_is_held()
            with system.worker_process(tmp_path, "second") as second:
                await system.workers_are_up(2)
                customer, agent = await system.talking()
                relay.on_request = stop
                converting = await system.begins("convert", customer.sid)
                assert (await system.outcome_of(converting)).status == "done", second.text()
                assert stopped.is_set()
                asked_before = twilio.requests
                may_arrive.set()
                first.signal(signal.SIGCONT)
                await until_dropped(system, first)
                await all_hang_up(system, outage_s=1.0)
                assert system.redirects_of(agent) == 1
                of_former = [line for line in first.text().splitlines() if "effect_" in line]
                assert not of_former, "the former holder has carried something out"
                assert twilio.requests - asked_before <= 2, "more than the sweep that was under way"


# ---- in one process, step by step ------------------------------------------------------------------------------------


def held_by(worker: Worker, partition: int) -> Any:
    return worker.ownership.consumers[partition]


async def taken_over(system: FaultSystem, former: str, partition: int) -> str:
    """Deletes a lease and its owner by hand until another worker has it; returns the new holder."""
    holder = ""

    async def by_another() -> bool:
        nonlocal holder
        holder = ((await system.client.hget(system.keys.lease(partition), "holder")) or b"").decode()
        owner = (await read_owners(system.client, system.keys))[str(partition)].name
        if owner in ("", former):
            async with system.client.pipeline(transaction=True) as both:
                both.delete(system.keys.lease(partition))
                both.hdel(system.keys.owners, str(partition), f"worker:{former}")
                await both.execute()
        return bool(holder) and former not in holder

    await system.eventually(by_another, "another worker has the lease")
    return holder


def started(system: FaultSystem, checkpoint: Callable[[str, int], Awaitable[None]] | None = None) -> Worker:
    system.worker_options = {"checkpoint": checkpoint} if checkpoint else {}
    return system.start_worker()


async def test_fault_13_two_workers_believe_in_the_same_epoch(redis_server):
    """An epoch alone is given out twice when a lease is forgotten: the whole name of the holder decides."""
    epochs: list[str] = []

    async def checkpoint(point: str, partition: int) -> None:
        if point != "before_commit" or epochs or not is_armed.is_set():
            return
        epochs.append(held_by(first, partition).lease.holder.split(":")[0])
        holder = await taken_over(system, first.name, partition)
        epochs.append(holder.split(":")[0])

    is_armed = asyncio.Event()
    async with FaultSystem(redis_server, **TWO_WORKERS) as system:
        first = started(system, checkpoint)
        await system.everything_is_held()
        second = started(system)
        customer, agent = await system.talking()
        is_armed.set()
        await system.done("convert", customer.sid)
        assert epochs == ["1", "1"]
        assert value_of(first.metrics.commits.labels("lost")) == 1
        assert system.redirects_of(agent) == 1
        await all_hang_up(system, outage_s=1.0)
        assert any(second.name in commit.holder for commit in system.history.commits)
