"""Redis loses its last second while thousands talk: each session reads Twilio, and no other read waits for that."""

import asyncio

import pytest

from offhook.model.messages import InboundCall, PhoneHangsUp
from offhook.phones import PhoneScript
from tests.simulation.plan import CALM, Plan
from tests.simulation.simulation import Simulation
from tests.simulation.virtual_loop import VirtualLoop, run
from tests.support.local_system import NUMBER

#: An answer of Twilio takes about 0.2 s with its way there and back.
LATENCY_S = 0.14
#: For how long this goes on after the loss, seconds; beyond the time after which a session takes its read as lost.
WATCHED_S = 45.0
#: How many other calls come in, and callers hang up, each second.
ARRIVALS_PER_S, HANG_UPS_PER_S = 3.0, 10.0


async def slots_in_time(loop: VirtualLoop, talking: int) -> tuple[float, float]:
    """Which share of the calls' own reads, and of all changes, had a slot within a second of being asked for."""
    changes = {"workers": 2, "desks": 0.0, "rest_latency_s": (LATENCY_S, LATENCY_S), "arrivals_per_s": ARRIVALS_PER_S}
    plan = Plan(seed=95, sessions=round(WATCHED_S * ARRIVALS_PER_S), **CALM | changes)
    world = Simulation(loop, plan)
    drawn, world.twilio.script_of = world.twilio.script_of, lambda _address: PhoneScript(answer_after_s=0.5)
    for start, count in ((world.start_webhooks, plan.webhooks), (world.start_worker, plan.workers)):
        for _ in range(count):
            start()
    await asyncio.sleep(2.0)
    callers = []
    for number in range(talking):
        await asyncio.sleep(0.01)
        callers.append(world.twilio.apply(InboundCall(f"+1415557{number:04}", NUMBER)).call_sid)
    await asyncio.sleep(5.0)
    world.twilio.script_of, world.twilio.faults.callback_loss = drawn, 0.1
    others = [loop.create_task(world.people_come()), loop.create_task(leave(world, callers))]
    await asyncio.sleep(2.0)
    await world.network.lose_writes(last_s=1.0, away_s=0.5)
    await asyncio.sleep(WATCHED_S)
    for task in others:
        task.cancel()
    assert world.run.slots_taken("background-read") > 500, "the loss was noted"
    assert world.run.slots_taken("read") > 50, "other calls read"
    return world.run.slots_in_time("read", 1.0), world.run.slots_in_time("change", 1.0)


async def leave(world: Simulation, callers: list[str]) -> None:
    """Those who talk hang up, one after the other."""
    for caller in callers:
        await asyncio.sleep(1 / HANG_UPS_PER_S)
        world.twilio.apply(PhoneHangsUp(caller))


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("talking", [2_000, 5_000])
def test_no_calls_own_read_waits_for_the_reads_after_a_loss(talking: int) -> None:
    assert run(lambda loop: slots_in_time(loop, talking)) == (1.0, 1.0)
