"""Redis is killed and comes back, with everything that it had acknowledged."""

import pytest

from tests.fault_injection.fault_system import FaultSystem
from tests.flows.test_visits import move, visit_of
from tests.support.local_system import AGENT, CUSTOMER
from tests.support.phones import busy, rings

pytestmark = [pytest.mark.redis, pytest.mark.processes]


@pytest.mark.parametrize("visit", [1, pytest.param(2, marks=pytest.mark.soak)])
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
