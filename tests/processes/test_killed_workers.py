"""Two workers as real processes, one killed with SIGKILL at each step of a conversion.

Whatever the step, the other one finishes it: both meet in the conference, and Twilio was asked for nothing twice.
"""

import asyncio
import signal
from dataclasses import asdict, replace
from typing import Any

import pytest

from conferral.runtime.clock import SystemClock
from conferral.worker.process import make_policy
from tests.support.forked_worker import ForkedWorker
from tests.support.local_system import FAST, LocalSystem

pytestmark = [pytest.mark.redis, pytest.mark.processes]
LEASE_MS = 1_000

#: Where the first worker dies: a step of the loop and the how-manieth batch of the conversion, or a step of an effect.
STEPS = [
    ("after_read", 1, ""),
    ("before_commit", 1, ""),
    ("after_commit", 1, ""),
    ("before_request", 1, "redirect_call"),
    ("after_request", 1, "redirect_call"),
    *[(point, nth, "") for nth in (2, 3, 4) for point in ("before_commit", "after_commit")],
]


@pytest.fixture
async def system(redis_server):
    # One partition, so that the first worker keeps it when a second one comes.
    async with LocalSystem(redis_server.url, workers=0, CONFERRAL_PARTITIONS=1, CONFERRAL_CONVERT_TIMEOUT=20) as system:
        yield system


def start(system: LocalSystem, folder, name: str, *, lease_ms: int = LEASE_MS, **doom) -> ForkedWorker:
    policy = asdict(replace(make_policy(system.settings), **FAST))
    return ForkedWorker(system, folder, name, lease_ms=lease_ms, policy=policy, **doom)


async def holds_everything(system: LocalSystem) -> None:
    await system.eventually(system.all_held, "the first worker holds every lease")


def _marked(step: tuple[str, int, str]) -> Any:
    """The worst moment, a request that has been carried out and is noted nowhere, is in every run."""
    return pytest.param(*step, marks=[] if step[0] == "after_request" else [pytest.mark.soak])


@pytest.mark.parametrize("point, nth, kind", [_marked(step) for step in STEPS], ids=lambda value: str(value) or "loop")
async def test_conversion_survives_a_worker_killed_at_any_step(system, tmp_path, point, nth, kind):
    with start(system, tmp_path, "first", die_at=point, nth=nth, kind=kind) as first:
        await holds_everything(system)
        with start(system, tmp_path, "second") as second:
            customer, agent = await system.talking()
            # Callbacks come one by one, so that the conversion takes a batch for each.
            system.sandbox.faults.callback_delay_s = (0.02, 0.12)
            first.arm()
            outcome = await system.command("convert", customer.sid, timeout_s=30)
            logs = f"{first.text()}\n----\n{second.text()}"
            assert outcome.status == "done", logs
            session = await system.until(customer.sid, state="conferenced")
            assert first.was_killed, logs
            assert system.redirects_of(agent) == 1, logs
            assert system.redirects_of(customer) == 0, logs
            assert len(system.sandbox.request_log.dials) == 1
            assert customer.status == agent.status == "in-progress"
            assert session["party.agent.call_sid"] == agent.sid

            await system.done("end", customer.sid, timeout_s=30)
            await system.settled()


@pytest.mark.soak
async def test_late_redirect_is_not_followed_by_one_for_the_customer(redis_server, tmp_path):
    """The times of real life: a lease of 5 s, Twilio's 0.3 s until it asks for a document, late callbacks.

    The successor's redirect comes when the conversion is overdue already. The read after it sees the customer not yet
    in the conference, because their own action is in transit; moving them would request the same thing twice.
    """
    async with LocalSystem(redis_server.url, workers=0, CONFERRAL_PARTITIONS=1, CONFERRAL_CONVERT_TIMEOUT=5) as system:
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


@pytest.mark.soak
@pytest.mark.parametrize("point, kind", [
    ("before_commit", ""), ("after_commit", ""),
    ("before_request", "end_conference"), ("after_request", "end_conference"),
])  # fmt: skip
async def test_lone_customer_is_released_even_when_the_worker_dies(system, tmp_path, point, kind):
    with start(system, tmp_path, "first", die_at=point, nth=1, kind=kind) as first:
        await holds_everything(system)
        with start(system, tmp_path, "second"):
            customer, agent = await system.converted()
            first.arm()
            await system.ended_by_hang_up(agent, customer.sid, "agent-left")
            assert first.was_killed


async def test_worker_that_stops_cleanly_hands_over_within_a_second(system, tmp_path):
    """Leases last a minute here, so that only the hand-over can have freed them."""
    clock = SystemClock()
    with start(system, tmp_path, "first", lease_ms=60_000) as first:
        await holds_everything(system)
        with start(system, tmp_path, "second", lease_ms=60_000) as second:
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
