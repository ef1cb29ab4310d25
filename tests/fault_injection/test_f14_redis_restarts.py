"""Redis is killed and comes back, with everything that it had acknowledged."""

import pytest

from conferral.sandbox import RestHookEvent
from tests.fault_injection.calls import all_hang_up, transferred
from tests.fault_injection.fault_system import FaultSystem
from tests.flows.flow_helpers import TARGET
from tests.flows.test_visits import move, visit_of
from tests.support.local_system import AGENT, CUSTOMER
from tests.support.phones import busy, rings
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.redis, pytest.mark.processes]
#: How long Redis is away at a restart at most, with the pauses of those who wait for it, seconds.
AWAY_S = 3.0


def restart(server: RedisServer) -> None:
    server.kill()
    server.start()


@pytest.mark.parametrize("step", ["before", pytest.param("after", marks=pytest.mark.soak)])
async def test_fault_14_redis_is_killed_around_a_dial(durable_redis, step):
    async with FaultSystem(durable_redis, CONFERRAL_CONVERT_TIMEOUT=20) as system:

        async def at(moment: RestHookEvent) -> None:
            if moment.step == step and moment.path.endswith("/Participants.json"):
                system.sandbox.on_rest = None
                restart(durable_redis)

        customer, agent = await system.talking()
        system.sandbox.on_rest = at
        await transferred(system, customer)
        assert (system.redirects_of(agent), system.dials_to(TARGET)) == (1, 1)
        await all_hang_up(system, outage_s=AWAY_S)
        assert system.history.gaps == 1


@pytest.mark.parametrize("visit", [1, 2])
async def test_fault_14_call_that_came_in_while_redis_was_down_is_known_once_it_is_back(durable_redis, visit):
    async with FaultSystem(durable_redis, CONFERRAL_SWEEP_INTERVAL=600) as system:
        system.agent_phone.script_in_turn(*[busy()] * (visit - 1), rings())
        if visit == 2:
            customer = await system.customer_calls()
            await system.until(customer.sid, state="ended", end_reason="agent-busy")
        durable_redis.kill()
        if visit == 2:
            await move(system, customer, f"{system.public_url}/voice/inbound")
        else:
            customer = await system.customer_calls()
        agent = await system.dialed(AGENT, visit)
        durable_redis.start()
        agent.answer()
        session_id = visit_of(customer, visit)
        session = await system.until(session_id, state="bridged", phase="connected")
        assert (session["party.customer.address"], session["party.agent.call_sid"]) == (CUSTOMER, agent.sid)
        await system.done("convert", customer.sid)
        await system.until_talk(customer, agent)
        agent.hang_up()
        await system.everyone_is_gone(session_id, "agent-left")
