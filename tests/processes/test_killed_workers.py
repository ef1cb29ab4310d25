"""Two workers as real processes, one killed with SIGKILL at each step of a conversion.

Whatever the step, the other one finishes it: both meet in the conference, and Twilio was asked for nothing twice.
"""

import asyncio
from dataclasses import asdict, replace
from typing import Any

import pytest

from conferral.runtime.clock import SystemClock
from conferral.worker.process import policy_of
from tests.support.worker_process import WorkerProcess
from tests.support.world import FAST, World

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
async def world(redis_server):
    # One partition, so that the first worker keeps it when a second one comes.
    async with World(redis_server.url, workers=0, CONFERRAL_PARTITIONS=1, CONFERRAL_CONVERT_TIMEOUT=20) as world:
        yield world


def start(world: World, folder, name: str, *, lease_ms: int = LEASE_MS, **doom) -> WorkerProcess:
    policy = asdict(replace(policy_of(world.settings), **FAST))
    return WorkerProcess(world.settings, folder, name=name, lease_ms=lease_ms, policy=policy, **doom)


async def holds_everything(world: World) -> None:
    async def all_held() -> bool:
        for partition in range(world.keys.partitions):
            if not await world.client.hexists(world.keys.lease(partition), "holder"):
                return False
        return bool(await world.client.hexists(world.keys.commands_lease, "holder"))

    await world.eventually(all_held, "the first worker holds every lease")


def _marked(step: tuple[str, int, str]) -> Any:
    """The worst moment, a request that has been carried out and is noted nowhere, is in every run."""
    return pytest.param(*step, marks=[] if step[0] == "after_request" else [pytest.mark.soak])


@pytest.mark.parametrize("point, nth, kind", [_marked(step) for step in STEPS], ids=lambda value: str(value) or "loop")
async def test_conversion_survives_a_worker_killed_at_any_step(world, tmp_path, point, nth, kind):
    with start(world, tmp_path, "first", die_at=point, nth=nth, kind=kind) as first:
        await holds_everything(world)
        with start(world, tmp_path, "second") as second:
            customer, agent = await world.talking()
            # Callbacks come one by one, so that the conversion takes a batch for each.
            world.sandbox.faults.callback_delay_s = (0.02, 0.12)
            first.arm()
            outcome = await world.command("convert", customer.sid, timeout_s=30)
            logs = f"{first.text()}\n----\n{second.text()}"
            assert outcome.status == "done", logs
            session = await world.until(customer.sid, state="conferenced")
            assert first.was_killed, logs
            assert world.redirects_of(agent) == 1, logs
            assert world.redirects_of(customer) == 0, logs
            assert len(world.sandbox.ledger.dials) == 1
            assert customer.status == agent.status == "in-progress"
            assert session["party.agent.call_sid"] == agent.sid

            assert (await world.command("end", customer.sid, timeout_s=30)).status == "done"
            await world.settled()


@pytest.mark.soak
async def test_late_redirect_is_not_followed_by_one_for_the_customer(redis_server, tmp_path):
    """The times of real life: a lease of 5 s, Twilio's 0.3 s until it asks for a document, late callbacks.

    The successor's redirect comes when the conversion is overdue already. The look behind it sees the customer not yet
    in the room, because his own action is on its way; moving him would ask for the same thing twice.
    """
    async with World(redis_server.url, workers=0, CONFERRAL_PARTITIONS=1, CONFERRAL_CONVERT_TIMEOUT=5) as world:
        policy = asdict(policy_of(world.settings))

        def real(name, **doom):
            return WorkerProcess(world.settings, tmp_path, name=name, lease_ms=5_000, policy=policy, **doom)

        with real("first", die_at="before_request", kind="redirect_call") as first:
            await holds_everything(world)
            with real("second") as second:
                customer, agent = await world.talking()
                world.sandbox.faults.fetch_delay_s = (0.3, 0.35)
                world.sandbox.faults.callback_delay_s = (0.1, 0.12)
                first.arm()
                outcome = await world.command("convert", customer.sid, timeout_s=30)
                assert outcome.status == "done", second.text()
                assert first.was_killed
                assert (world.redirects_of(agent), world.redirects_of(customer)) == (1, 0), second.text()
                await world.command("end", customer.sid)
                await world.settled()


@pytest.mark.soak
@pytest.mark.parametrize("point, kind", [
    pytest.param("before_commit", "", marks=pytest.mark.soak), ("after_commit", ""),
    ("before_request", "end_conference"), pytest.param("after_request", "end_conference", marks=pytest.mark.soak),
])  # fmt: skip
async def test_lone_customer_is_let_go_though_the_worker_dies(world, tmp_path, point, kind):
    with start(world, tmp_path, "first", die_at=point, nth=1, kind=kind) as first:
        await holds_everything(world)
        with start(world, tmp_path, "second"):
            customer, agent = await world.converted()
            first.arm()
            agent.hang_up()
            session = await world.until(customer.sid, state="ended")
            assert session["end_reason"] == "agent-left"
            await world.settled()
            assert first.was_killed


async def test_timer_that_falls_due_while_nobody_works_fires_once_after_take_over(world, tmp_path):
    world.leaves_the_end_to_us()
    with start(world, tmp_path, "first") as first:
        customer, agent = await world.converted()
        first.process.kill()
        first.process.wait()
        agent.hang_up()
        with start(world, tmp_path, "second"):
            session = await world.until(customer.sid, state="ended")
            assert session["end_reason"] == "agent-left"
            await world.settled()
        log = await world.log(customer.sid)
        assert [entry["event"] for entry in log].count("lone_overdue") == 1


@pytest.mark.soak
async def test_entry_that_kills_three_workers_is_put_aside(world, tmp_path):
    """Poison is counted by workers' deaths, never by deliveries."""
    customer = None
    for number in range(4):
        with start(world, tmp_path, f"worker-{number}", die_at="after_read", nth=1) as worker:
            worker.arm()
            if customer is None:
                customer = await world.customer_calls()
            if number == 3:
                await world.eventually(lambda: world.client.xlen(world.keys.dead), "a dead letter")
                break
            await asyncio.to_thread(worker.process.wait, 20)
            assert worker.was_killed
    letters = await world.client.xrange(world.keys.dead)
    assert letters[0][1][b"dead_reason"] == b"workers died deciding it"
    assert letters[0][1][b"type"] == b"call_received"
    customer.hang_up()


async def test_worker_that_stops_cleanly_hands_over_within_a_second(world, tmp_path):
    """Leases last a minute here, so that only the hand-over can have freed them."""
    clock = SystemClock()
    with start(world, tmp_path, "first", lease_ms=60_000) as first:
        await holds_everything(world)
        with start(world, tmp_path, "second", lease_ms=60_000) as second:
            customer, agent = await world.talking()
            await world.eventually(lambda: _second_is_up(world), "two workers are alive")
            first.process.terminate()
            began_s = clock.monotonic_s()
            assert await asyncio.to_thread(first.process.wait, 10) == 0
            stopped_s = clock.monotonic_s() - began_s
            outcome = await world.command("convert", customer.sid)
            took_s = clock.monotonic_s() - began_s
            assert outcome.status == "done", second.text()
            assert stopped_s < 10
            assert took_s - stopped_s < 5.0, second.text()
            agent.hang_up()
            await world.until(customer.sid, state="ended")
            await world.settled()


async def _second_is_up(world: World) -> bool:
    return await world.client.zcard(world.keys.workers) == 2


@pytest.mark.soak
async def test_paused_worker_that_wakes_sends_nothing_for_what_it_lost(world, tmp_path):
    """SIGSTOP for longer than the lease, with another worker taking over in between."""
    import signal

    world.leaves_the_end_to_us()
    with start(world, tmp_path, "first") as first:
        await holds_everything(world)
        with start(world, tmp_path, "second") as second:
            customer, agent = await world.talking()
            await world.eventually(lambda: _second_is_up(world), "two workers are alive")
            first.process.send_signal(signal.SIGSTOP)
            outcome = await world.command("convert", customer.sid, timeout_s=30)
            assert outcome.status == "done", second.text()
            first.process.send_signal(signal.SIGCONT)
            agent.hang_up()
            session = await world.until(customer.sid, state="ended")
            assert session["end_reason"] == "agent-left"
            await world.settled()
            assert world.redirects_of(agent) == 1
            ends = [one for one in world.sandbox.ledger.requests("POST", "/Conferences/") if one.get("Status")]
            assert len(ends) == 1
            versions = [int(entry["version"]) for entry in await world.log(customer.sid)]
            assert versions == list(range(1, len(versions) + 1))
