"""Callers wait in a queue while the worker that offers them dies, or Redis."""

import asyncio
import signal

import pytest

from conferral.storage.offers import Claim
from tests.fault_injection.calls import all_hang_up
from tests.fault_injection.fault_system import TWO_WORKERS, FaultSystem
from tests.flows.test_presence import is_at_desk
from tests.flows.test_queue import are_served_in_order, no_one_takes_calls, queue, waits
from tests.support.local_system import AGENT
from tests.support.people import BOB
from tests.support.tcp_relay import Relay

pytestmark = [pytest.mark.redis, pytest.mark.processes]
#: Callers who wait are alone in their conferences for as long, seconds.
WAIT_S = 60.0


async def two_wait(system):
    """Two callers wait for an agent who is in a call."""
    await no_one_takes_calls(system)
    first = await system.customer_calls()
    await waits(system, first)
    second = await system.customer_calls()
    await waits(system, second)
    return first, second


async def all_are_served(system, callers):
    """In order; the agent was rung as often as there are callers, and nothing is left."""
    await are_served_in_order(system, callers)
    assert (system.dials_to(AGENT), system.dials_to(BOB)) == (len(callers), 0)
    claim = system.keys.offer("alice")
    await system.eventually(lambda: system.client.exists(claim), "no offer is left", equals=0)
    await all_hang_up(system, outage_s=WAIT_S)


@pytest.mark.parametrize(
    "step",
    [pytest.param(step, marks=pytest.mark.soak) for step in ("before the claim", "after the offer")]
    + ["after the claim"],
)
async def test_fault_65_worker_killed_while_it_offers_a_caller(redis_server, tmp_path, step):
    places = queue(tmp_path, agents=(AGENT, BOB))
    async with FaultSystem(redis_server, **TWO_WORKERS, **places) as system, Relay(redis_server.socket) as relay:
        with system.worker_process(tmp_path, "first", redis_url=relay.url) as first:
            await system.everything_is_held()
            callers = await two_wait(system)
            claim = f"{callers[0].sid}\r\n$2\r\nNX".encode()
            offer = Claim(callers[0].sid, 1, deadline_ms=0).offer_id(AGENT).removesuffix("1-0").encode()

            async def hold_back(request):
                if claim in request:
                    relay.fall_silent()
                    first.signal(signal.SIGKILL)

            if step == "before the claim":
                relay.on_request = hold_back
            else:
                relay.cut_reply(claim if step == "after the claim" else offer, count=1)
                relay.on_cut = lambda: first.signal(signal.SIGKILL)
            await is_at_desk(system, AGENT)
            await system.eventually(lambda: first.was_killed, f"the first worker is dead\n{first.text()}")
        with system.worker_process(tmp_path, "second"):
            await all_are_served(system, callers)


@pytest.mark.parametrize("away_s", [0.0, pytest.param(30.0, marks=pytest.mark.soak)])
async def test_fault_14_redis_is_away_while_callers_wait_in_a_queue(durable_redis, tmp_path, away_s):
    async with FaultSystem(durable_redis, **queue(tmp_path, agents=(AGENT, BOB))) as system:
        callers = await two_wait(system)
        before = [await system.session(one.sid) for one in callers]
        durable_redis.kill()
        await asyncio.sleep(away_s)  # a delay: how long Redis is away
        durable_redis.start()
        await system.everything_is_held()
        after = [await waits(system, one) for one in callers]
        assert [one["queued_since"] for one in after] == [one["queued_since"] for one in before]
        await is_at_desk(system, AGENT)
        await all_are_served(system, callers)
