"""A call that is over is forgotten: of all that a real one leaves in Redis nothing is left, and nothing comes back."""

import pytest

from conferral.operations import erasure
from conferral.operations.erasure import SessionErasure
from conferral.operations.session_queries import SessionQueries
from conferral.statemachine.events import CallProgressed
from tests.flows.flow_helpers import TARGET
from tests.support.local_system import AGENT, CUSTOMER, LocalSystem
from tests.support.phones import presses
from tests.support.redis_dump import everything_in

pytestmark = pytest.mark.redis


async def test_nothing_of_a_call_with_a_transfer_is_left_and_a_late_callback_brings_nothing_back(
    redis_server, monkeypatch
):
    monkeypatch.setattr(erasure, "QUIET_PERIOD_S", 0)
    async with LocalSystem(redis_server.url) as system:
        system.sandbox.phone(TARGET).script_in_turn(presses("1"))
        customer, agent = await system.talking()
        command_id = (await system.done("transfer", customer.sid, to=TARGET, mode="warm", confirm="true")).command_id
        target = await system.leg(customer.sid, "target")
        conference = (await system.session(customer.sid))["conference_sid"]
        await system.ended_by_command(customer.sid)
        identifying = (
            customer.sid,
            agent.sid,
            target.sid,
            conference,
            CUSTOMER[1:],
            TARGET[1:],
            AGENT.partition(":")[2],
        )
        with redis_server.client() as redis:
            before = everything_in(redis)
            assert all(one in before for one in identifying)

            forgets = SessionErasure(SessionQueries(system.client, system.keys))
            plan = await forgets.plan(target.sid)
            assert all(count for what, count in plan.traces.counts.items() if what != "dead_letters")
            await forgets.erase(plan)
            assert not [one for one in identifying if one in everything_in(redis)]

            # The worker still has it in memory, as it was: what it decides about that is not written.
            late = CallProgressed(
                session_id=customer.sid, token="late", party="agent", call_sid=agent.sid, status="completed"
            )
            await system.publisher.publish(late)
            await system.settled()
            assert not [one for one in identifying if one in everything_in(redis)]
            assert redis.hgetall(system.keys.command(command_id)).keys() == {"entry", "status"}
