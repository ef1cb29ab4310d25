"""A worker that is stopped while someone else takes its partitions over."""

import asyncio
import signal

import pytest

from conferral.storage import scripts
from tests.fault_injection.calls import all_hang_up
from tests.fault_injection.fault_system import TWO_WORKERS, FaultSystem
from tests.support.forked_worker import ForkedWorker
from tests.support.tcp_relay import Relay

pytestmark = [pytest.mark.redis, pytest.mark.system(**TWO_WORKERS)]
COMMIT = scripts.commit_batch.sha.encode()


async def until_dropped(system: FaultSystem, former: ForkedWorker) -> None:
    """Waits until a worker process knows that it has lost a partition."""
    await system.eventually(lambda: "lease_lost" in former.text(), "the former owner has noticed")


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
                assert (await system.result_of(converting)).status == "done", second.text()
                assert stopped.is_set()
                asked_before = twilio.requests
                may_arrive.set()
                first.signal(signal.SIGCONT)
                await until_dropped(system, first)
                await all_hang_up(system, outage_s=1.0)
                assert system.redirects_of(agent) == 1
                of_former = [line for line in first.text().splitlines() if "effect_" in line]
                assert not of_former, "the former owner has carried something out"
                assert twilio.requests - asked_before <= 2, "more than the sweep that was under way"
