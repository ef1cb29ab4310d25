"""The clocks of Redis, the worker, and Twilio are apart, and a dial's answer is lost: no phone rings twice."""

import asyncio
from itertools import product

import pytest

from offhook.model.messages import InboundCall
from offhook.phones import PhoneScript
from tests.simulation.plan import CALM, Plan, WrongClocks
from tests.simulation.simulation import Simulation
from tests.simulation.virtual_loop import VirtualLoop, run
from tests.support.each import each
from tests.support.local_system import NUMBER
from tests.support.people import BOB

#: By how much a clock is ahead, seconds.
APART_S = (0.0, 1.0, -1.0, 3.0, -3.0, 3_600.0, -3_600.0)
#: Twilio's callbacks are so late, seconds: the session learns of the dial's end from a search alone.
LATE_S = 12.0
#: Callbacks about a hold or a flag that has changed again meanwhile, however far the clocks are apart (count).
STALE = 2


def script_of(address: str) -> PhoneScript:
    """Bob is busy; everyone else answers."""
    return PhoneScript(answer_after_s=0.0, outcome="busy" if address == BOB else "answer")


async def transfer_to_busy(loop: VirtualLoop, wrong: WrongClocks) -> tuple[int, str, int]:
    """How often one transfer dials Bob, the command's outcome, and the stale callbacks (counts)."""
    plan = Plan(seed=6, **CALM | {"workers": 1, "webhooks": 1, "partitions": 1, "rest_latency_s": (0.02, 0.1)})
    world = Simulation(loop, plan, wrong)
    world.twilio.script_of = script_of
    world.start_webhooks()
    world.start_worker()
    caller = world.twilio.apply(InboundCall("+14155560001", NUMBER)).call_sid

    async def result_of(command_id: str) -> dict[bytes, bytes]:
        while True:
            outcome = world.network.values.get(world.keys.command(command_id).encode()) or {}
            if outcome.get(b"status") not in (None, b"accepted"):
                return outcome
            await asyncio.sleep(0.1)

    await asyncio.sleep(1.0)
    await world.give({"type": "convert", "session": caller}, plan.chance("commands"))
    await result_of("c0")
    world.twilio.faults.callback_delay_s = (LATE_S, LATE_S)
    world.twilio.faults.next_rest("POST", "/Conferences/*/Participants.json", status=503, moment="after")
    await world.give({"type": "transfer", "mode": "warm", "to": BOB, "session": caller}, plan.chance("commands"))
    outcome = await result_of("c1")
    await asyncio.sleep(LATE_S + 3.0)
    entries = await world.client.xrange(world.keys.log(caller))
    stale = sum(fields[b"event"] == b"participant_changed" and fields[b"outcome"] == b"stale" for _, fields in entries)
    return (
        len(world.twilio.phone(BOB).call_sids),
        f"{outcome[b'status'].decode()} {outcome[b'reason'].decode()}",
        stale,
    )


def dials_once(redis_s: float, workers_s: float, twilio_s: float) -> None:
    wrong = WrongClocks(redis_s=redis_s, workers_s=workers_s, twilio_s=twilio_s)
    assert run(lambda loop: transfer_to_busy(loop, wrong)) == (1, "failed busy", STALE)


@each("redis_s, workers_s", [(0.0, 0.0), (3.0, -3.0), (3_600.0, 0.0), (-3_600.0, 0.0), (0.0, 3_600.0), (0.0, -3_600.0)])
def test_lost_answer_dials_once_however_far_redis_and_the_worker_are_from_twilio_s_time(
    redis_s: float, workers_s: float
) -> None:
    dials_once(redis_s, workers_s, 0.0)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@each("redis_s, workers_s, twilio_s", product(APART_S, APART_S, APART_S))
def test_lost_answer_dials_once_however_far_all_three_clocks_are_apart(
    redis_s: float, workers_s: float, twilio_s: float
) -> None:
    dials_once(redis_s, workers_s, twilio_s)
