"""Twilio refuses all workers' credentials for a while, as after a revoked token, and then accepts them again."""

import asyncio

from offhook.model.messages import InboundCall
from offhook.phones import PhoneScript
from tests.simulation.plan import CALM, Plan
from tests.simulation.simulation import Simulation
from tests.simulation.virtual_loop import VirtualLoop, run
from tests.support.local_system import NUMBER
from tests.support.people import SALES

REFUSED_S = 120.0
#: From the acceptance until calls are served, seconds: a probe, a tick, and the claims.
SERVED_MAX_S = 13.0
#: Calls of each kind: enough that both workers have some (count).
CALLS = 8


async def seconds_until_served(loop: VirtualLoop) -> list[float]:
    """For each call, from the acceptance until a new one hears its agent, or a bridge is converted."""
    plan = Plan(seed=12, **CALM | {"workers": 2, "webhooks": 1, "rest_latency_s": (0.02, 0.1)})
    world = Simulation(loop, plan)
    world.twilio.script_of = lambda _address: PhoneScript(answer_after_s=0.1)
    for start in (world.start_webhooks, world.start_worker, world.start_worker):
        start()
    await asyncio.sleep(2.0)
    bridges = [call(world, f"+1415558000{number}", NUMBER) for number in range(CALLS)]
    workers, faults, counts = [*world.workers], world.twilio.faults, world.twilio.counts
    faults.next_rest("*", "", status=401, count=1_000_000)
    await asyncio.sleep(REFUSED_S)
    refused = counts["rest 401-before"]
    while counts["rest 401-before"] < refused + len(workers):  # so that the next probe is as late as it may be
        await asyncio.sleep(0.01)
    assert (world.workers, world.run.exceptions) == (workers, []), "no worker has exited"
    assert not any(one.worker.ownership.partitions for one in workers)

    faults.clear()
    conferences = [call(world, f"+1415558001{number}", SALES) for number in range(CALLS)]
    served = [until_agent_is_heard(world, one) for one in conferences] + [
        until_converted(world, one) for one in bridges
    ]
    return [*await asyncio.gather(*served)]


def call(world: Simulation, caller: str, to: str) -> str:
    return world.twilio.apply(InboundCall(caller, to)).call_sid


async def until_agent_is_heard(world: Simulation, caller: str) -> float:
    began_s = world.loop.time()
    while not ((heard := world.twilio.model.audibility.current(caller)) and heard.parties):
        await asyncio.sleep(0.1)
    return world.loop.time() - began_s


async def until_converted(world: Simulation, caller: str) -> float:
    """Someone commands it again as long as it fails."""
    began_s, given = world.loop.time(), world.given
    while True:
        command_id = f"c{len(given)}"
        await world.give({"type": "convert", "session": caller}, world.plan.chance("commands"))
        while given.status_of(command_id) in ("", "accepted"):
            await asyncio.sleep(0.1)
        if given.status_of(command_id) == "done":
            return world.loop.time() - began_s


def test_calls_are_served_within_13_s_after_all_credentials_were_refused_for_two_minutes() -> None:
    assert max(run(seconds_until_served)) <= SERVED_MAX_S
