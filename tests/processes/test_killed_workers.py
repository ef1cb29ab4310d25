"""Two workers as real processes, of which one is killed, or stops: the other one continues with its calls."""

import asyncio
import signal
from dataclasses import asdict, replace

import pytest

from conferral.runtime.clock import SystemClock
from conferral.worker.process import make_policy
from tests.support.forked_worker import ForkedWorker
from tests.support.local_system import FAST, LocalSystem

pytestmark = [pytest.mark.redis, pytest.mark.processes]


@pytest.fixture
async def system(redis_server):
    # One partition, so that the first worker keeps it when a second one comes.
    async with LocalSystem(redis_server.url, workers=0, CONFERRAL_PARTITIONS=1, CONFERRAL_CONVERT_TIMEOUT=5) as system:
        yield system


async def holds_everything(system: LocalSystem) -> None:
    await system.eventually(system.all_held, "the first worker holds every lease")


@pytest.mark.soak
async def test_late_redirect_is_not_followed_by_one_for_the_customer(system: LocalSystem, tmp_path) -> None:
    """The times of real life: a lease of 5 s, Twilio's 0.3 s until it asks for a document, late callbacks.

    The successor's redirect comes when the conversion is overdue already. The read after it sees the customer not yet
    in the conference, because their own action is in transit; moving them would request the same thing twice.
    """
    policy = asdict(make_policy(system.settings))

    def real(name, **doom):
        return ForkedWorker(system, tmp_path, name, lease_ms=5_000, policy=policy, **doom)

    with real("first", die_at="before_request", kind="redirect_call") as first:
        await holds_everything(system)
        with real("second") as second:
            customer, agent = await system.talking()
            system.sandbox.faults.fetch_delay_s = (0.3, 0.35)
            system.sandbox.faults.callback_delay_s = (0.1, 0.12)
            first.arm()
            outcome = await system.command("convert", customer.sid, timeout_s=30)
            assert outcome.status == "done", second.text()
            assert first.was_killed
            assert (system.redirects_of(agent), system.redirects_of(customer)) == (1, 0), second.text()
            await system.ended_by_command(customer.sid)


async def test_worker_that_stops_cleanly_hands_over_within_a_second(system: LocalSystem, tmp_path) -> None:
    """Leases last a minute here, so that only the hand-over can have freed them."""
    clock = SystemClock()
    policy = asdict(replace(make_policy(system.settings), **FAST))

    def patient(name):
        return ForkedWorker(system, tmp_path, name, lease_ms=60_000, policy=policy)

    with patient("first") as first:
        await holds_everything(system)
        with patient("second") as second:
            customer, agent = await system.talking()
            await system.eventually(lambda: _second_is_up(system), "two workers are alive")
            first.signal(signal.SIGTERM)
            began_s = clock.monotonic_s()
            assert await asyncio.to_thread(first.wait, 10) == 0
            stopped_s = clock.monotonic_s() - began_s
            outcome = await system.command("convert", customer.sid)
            took_s = clock.monotonic_s() - began_s
            assert outcome.status == "done", second.text()
            assert stopped_s < 10
            assert took_s - stopped_s < 5.0, second.text()
            agent.hang_up()
            await system.until(customer.sid, state="ended")
            await system.settled()


async def _second_is_up(system: LocalSystem) -> bool:
    return await system.client.zcard(system.keys.workers) == 2
