"""Owners of a partition die every few seconds: its entries are decided meanwhile."""

import asyncio

import pytest

from offhook.model.messages import InboundCall
from offhook.phones import PhoneScript
from tests.simulation.plan import CALM, Plan
from tests.simulation.simulation import Simulation
from tests.simulation.virtual_loop import VirtualLoop, run
from tests.support.local_system import NUMBER

#: How often the owner dies, and for how long this goes on, seconds.
DIES_EVERY_S, LASTS_S = 5.0, 60.0
#: From one call that comes in to the next, seconds.
APART_S = 0.25
#: Until a dead owner's partition has another one, and that one has decided what waited, seconds.
TAKEOVER_MAX_S = 3.5


async def seconds_until_decided(loop: VirtualLoop) -> list[float]:
    """For each call that came in meanwhile: until its session was there, seconds."""
    world = Simulation(loop, Plan(seed=8, **CALM | {"partitions": 1, "webhooks": 1}))
    world.twilio.script_of = lambda _address: PhoneScript(answer_after_s=0.1)
    world.start_webhooks()
    for _ in range(2):
        world.start_worker()
    await asyncio.sleep(2.0)
    killing = loop.create_task(kill_owners(world))
    decided = []
    for number in range(round(LASTS_S / APART_S)):
        await asyncio.sleep(APART_S)
        call_sid = world.twilio.apply(InboundCall(f"+1415558{number:04}", NUMBER)).call_sid
        decided.append(loop.create_task(until_decided(world, call_sid)))
    killing.cancel()
    return [await one for one in decided]


async def kill_owners(world: Simulation) -> None:
    """Kills the partition's owner again and again; each time, another worker starts."""
    while True:
        await asyncio.sleep(DIES_EVERY_S)
        lease = world.network.values[world.keys.lease(0).encode()]
        name = lease[b"holder"].decode().partition(":")[2]
        owner = next(one for one in world.workers if one.process.name == name)
        world.workers.remove(owner)
        owner.process.kill()
        world.start_worker()


async def until_decided(world: Simulation, session_id: str) -> float:
    began_s = world.loop.time()
    while world.keys.session(session_id).encode() not in world.network.values:
        await asyncio.sleep(0.05)
    return world.loop.time() - began_s


@pytest.mark.soak
def test_entries_are_decided_while_one_owner_after_the_other_dies() -> None:
    waited_s = run(seconds_until_decided)
    assert max(waited_s) <= TAKEOVER_MAX_S
    assert sum(one < 0.5 for one in waited_s) > len(waited_s) / 3, "each owner decides while it lives"
