"""A worker process killed at each step of a conversion and a transfer: another finishes it, and dials no one twice."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from conferral.storage import scripts
from tests.fault_injection.calls import all_hang_up
from tests.fault_injection.fault_system import TWO_WORKERS, FaultSystem
from tests.flows.flow_helpers import TARGET
from tests.flows.test_fallback_faults import message_is_reported
from tests.flows.test_recordings import reported
from tests.support.forked_worker import ForkedWorker
from tests.support.phones import answers, busy, presses
from tests.support.tcp_relay import Relay

pytestmark = [pytest.mark.redis, pytest.mark.processes, pytest.mark.system(**TWO_WORKERS)]
#: Batches of a warm transfer that are decided one after the other, at least (count).
BATCHES = 6


async def transfer_survives(
    system: FaultSystem,
    folder: Path,
    *,
    first_url: str = "",
    arm: Callable[[ForkedWorker], None] = ForkedWorker.arm,
    confirm: str = "",
    **doom: Any,
) -> None:
    """A transfer is asked for; the first worker dies somewhere on the way, and all three talk in the end.

    Args:
        system: Without workers.
        folder: For what the processes write.
        first_url: How the first worker reaches Redis.
        arm: Called when from now on it shall die.
        confirm: `true` for a target that is dialed by `POST /Calls`, which can't be found by a read.
        doom: Where it dies.
    """
    with system.worker_process(folder, "first", redis_url=first_url, **doom) as first:
        await system.everything_is_held()
        with system.worker_process(folder, "second") as second:
            customer, agent = await system.talking()
            system.sandbox.phone(TARGET).script_in_turn(presses("1") if confirm else answers())
            # Callbacks come one by one, so that each is a batch of its own.
            system.sandbox.faults.callback_delay_s = (0.02, 0.08)
            arm(first)
            fields = {"to": TARGET, "mode": "warm"} | ({"confirm": confirm} if confirm else {})
            outcome = await system.result_of(await system.begins("transfer", customer.sid, **fields))
            logs = f"{first.text()}\n----\n{second.text()}"
            assert outcome.status == "done", f"{outcome}\n{logs}"
            await system.eventually(lambda: first.was_killed, f"the first worker is dead\n{logs}")
            target = await system.leg(customer.sid, "target")
            await system.until_hears(target, [customer, agent])
            assert (system.redirects_of(agent), system.dials_to(TARGET)) == (1, 1), logs
            await all_hang_up(system, outage_s=1.0)


@pytest.mark.soak
@pytest.mark.parametrize("nth", range(1, BATCHES + 1))
async def test_fault_05_worker_killed_before_a_commit(system, tmp_path, nth):
    await transfer_survives(system, tmp_path, die_at="before_commit", nth=nth)


@pytest.mark.soak
@pytest.mark.parametrize("nth", range(1, BATCHES + 1))
async def test_fault_06_worker_killed_after_a_commit_and_before_its_request(system, tmp_path, nth):
    await transfer_survives(system, tmp_path, die_at="after_commit", nth=nth)


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["redirect_call", "create_participant"])
async def test_fault_06_worker_killed_with_a_request_in_hand(system, tmp_path, kind):
    await transfer_survives(system, tmp_path, die_at="before_request", kind=kind)


@pytest.mark.soak
async def test_fault_06_worker_is_killed_with_a_dial_that_cannot_be_verified(system, tmp_path):
    """`POST /Calls` is marked before it is sent: no one can know whether it was, so no one sends it again."""
    with system.worker_process(tmp_path, "first", die_at="before_request", kind="create_call") as first:
        await system.everything_is_held()
        with system.worker_process(tmp_path, "second"):
            customer, agent = await system.talking()
            first.arm()
            await system.failed("unknown", "transfer", customer.sid, to=TARGET, mode="warm", confirm="true")
            assert first.was_killed
            assert system.dials_to(TARGET) == 0
            await system.until_hears(customer, [agent])
            await all_hang_up(system, outage_s=1.0)


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.soak) for kind in ("create_participant", "create_call")] + ["redirect_call"],
)
async def test_fault_07_worker_killed_after_its_request(system, tmp_path, kind):
    confirm = "true" if kind == "create_call" else ""
    await transfer_survives(system, tmp_path, die_at="after_request", kind=kind, confirm=confirm)


@pytest.mark.soak
async def test_fault_07_worker_killed_after_it_had_digits_played(system, tmp_path):
    """They can't be verified: they are not sent again, and Twilio's callback says that they were played."""
    with system.worker_process(tmp_path, "first", die_at="after_request", kind="play_announcement") as first:
        await system.everything_is_held()
        with system.worker_process(tmp_path, "second"):
            customer, agent = await system.converted()
            first.arm()
            await system.done("press", customer.sid, party="agent", digits="1ww4711#")
            await system.eventually(lambda: first.was_killed, "the first worker is dead")
            assert system.listening.whats(agent).count("digits 1ww4711#") == 1
            await all_hang_up(system, outage_s=1.0)


@pytest.mark.soak
@pytest.mark.parametrize("passes", [False, True], ids=["unsent", "stored"])
@pytest.mark.parametrize("nth", [1, 2])
async def test_fault_08_worker_killed_while_an_outcome_is_being_written(system, redis_server, tmp_path, passes, nth):
    """Its last words to Redis are what came of the redirect, or of the dial: they are carried out, or they are not."""
    written = scripts.finish_effect.sha.encode()
    async with Relay(redis_server.socket) as relay:

        async def hold_back(request: bytes) -> None:
            nonlocal seen
            seen += written in request
            if written in request and seen == nth:
                relay.fall_silent()
                dying.signal(signal.SIGKILL)

        def arm(first: ForkedWorker) -> None:
            nonlocal dying
            dying = first
            if passes:
                relay.cut_reply(written, skip=nth - 1, count=1)
                relay.on_cut = lambda: first.signal(signal.SIGKILL)
            else:
                relay.on_request = hold_back

        seen, dying = 0, cast("ForkedWorker", None)
        await transfer_survives(system, tmp_path, first_url=relay.url, arm=arm)
        assert (relay.cut_off if passes else seen) > 0


@pytest.mark.soak
@pytest.mark.parametrize(
    ("die_at", "kind", "nth"),
    [
        ("after_request", "redirect_to_voicemail", 1),
        ("before_request", "redirect_to_voicemail", 1),
        *((step, "", nth) for step in ("before_commit", "after_commit") for nth in (2, 3, 4)),
    ],
)
@pytest.mark.system(**TWO_WORKERS, CONFERRAL_INBOUND_FALLBACK="voicemail")
async def test_fault_07_worker_killed_while_a_caller_moves_to_the_voicemail(system, tmp_path, die_at, kind, nth):
    """The caller hears the greeting once, and the message is reported."""
    with system.worker_process(tmp_path, "first", die_at=die_at, kind=kind, nth=nth) as first:
        await system.everything_is_held()
        with system.worker_process(tmp_path, "second") as second:
            system.agent_phone.script_in_turn(busy())
            first.arm()
            customer = await system.customer_calls()
            logs = f"{first.text()}\n----\n{second.text()}"
            await system.eventually(lambda: first.was_killed, f"the first worker is dead\n{logs}")
            await message_is_reported(system, customer, hangs_up=True)
            assert system.redirects_of(customer) == 1


@pytest.mark.parametrize("die_at", ["after_request", pytest.param("before_request", marks=pytest.mark.soak)])
@pytest.mark.system(**TWO_WORKERS, CONFERRAL_RECORD="customer")
async def test_fault_07_worker_killed_while_it_searches_for_a_recording(system, tmp_path, die_at):
    """No callback says that Twilio has it: the next worker asks again, and reports it."""
    system.sandbox.faults.lose_callbacks("recording-completed", count=100)
    with system.worker_process(tmp_path, "first", die_at=die_at, kind="find_recording") as first:
        await system.everything_is_held()
        with system.worker_process(tmp_path, "second") as second:
            customer, agent = await system.talking()
            await system.until(customer.sid, **{"recording.status": "in-progress"})
            first.arm()
            agent.hang_up()
            logs = f"{first.text()}\n----\n{second.text()}"
            await system.eventually(lambda: first.was_killed, f"the first worker is dead\n{logs}")
            await reported(system)
