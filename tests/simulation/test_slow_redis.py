"""A Redis that is slow, but alive: requests still reach Twilio."""

import asyncio

import pytest

from offhook.model.messages import InboundCall
from offhook.phones import PhoneScript
from tests.simulation.plan import CALM, Plan, WrongClocks
from tests.simulation.simulation import Simulation
from tests.simulation.virtual_loop import VirtualLoop, run
from tests.support.local_system import NUMBER


async def posts_of_a_conversion(loop: VirtualLoop, round_trip_s: float) -> int:
    """The POSTs that leave within 24 s after a call is to be converted (count)."""
    plan = Plan(seed=5, **CALM | {"workers": 1, "webhooks": 1, "partitions": 1, "rest_latency_s": (0.02, 0.1)})
    world = Simulation(loop, plan, WrongClocks())
    world.twilio.script_of = lambda _address: PhoneScript(answer_after_s=0.0)
    world.start_webhooks()
    world.start_worker()
    caller = world.twilio.apply(InboundCall("+14155560001", NUMBER)).call_sid
    await asyncio.sleep(2.0)
    world.network.server.latency = lambda _name: (round_trip_s / 2, round_trip_s / 2)
    await asyncio.sleep(5.0)
    await world.give({"type": "convert", "session": caller}, plan.chance("commands"))
    await asyncio.sleep(24.0)
    return world.twilio.counts["rest POST"]


@pytest.mark.parametrize("round_trip_s", [0.2, 0.6, 0.85, 1.2, 1.5])
def test_requests_leave_however_slow_redis_is(round_trip_s: float) -> None:
    assert run(lambda loop: posts_of_a_conversion(loop, round_trip_s)) > 0
