"""A call that is over is forgotten: of all that a real one leaves in Redis nothing is left, and nothing comes back."""

import pytest

from conferral.operations import forgetting
from conferral.operations.forgetting import Forgetting
from conferral.operations.reader import Reader
from conferral.statemachine.events import CallProgressed
from tests.stories.kit import TARGET, done
from tests.support.everything import everything_in
from tests.support.phones import presses
from tests.support.world import AGENT, CUSTOMER, World

pytestmark = pytest.mark.redis


async def test_nothing_of_a_call_with_a_transfer_is_left_and_a_late_callback_brings_nothing_back(
    redis_server, monkeypatch
):
    monkeypatch.setattr(forgetting, "RESTS_S", 0)
    async with World(redis_server.url) as world:
        world.sandbox.phone(TARGET).in_turn(presses("1"))
        customer, agent = await world.talking()
        command_id = (await done(world, "transfer", customer.sid, to=TARGET, mode="warm", confirm="true")).command_id
        target = await world.leg(customer.sid, "target")
        room = (await world.session(customer.sid))["conference_sid"]
        await done(world, "end", customer.sid)
        await world.settled()
        telling = (customer.sid, agent.sid, target.sid, room, CUSTOMER[1:], TARGET[1:], AGENT.partition(":")[2])
        with redis_server.client() as redis:
            before = everything_in(redis)
            assert all(one in before for one in telling)

            forgets = Forgetting(Reader(world.client, world.keys))
            plan = await forgets.plan(target.sid)
            assert all(count for what, count in plan.traces.counts.items() if what != "dead_letters")
            await forgets.forget(plan)
            assert not [one for one in telling if one in everything_in(redis)]

            # The worker still has it in memory, as it was: what it decides about that is not written.
            late = CallProgressed(
                session_id=customer.sid, token="late", party="agent", call_sid=agent.sid, status="completed"
            )
            await world.publisher.publish(late)
            await world.settled()
            assert not [one for one in telling if one in everything_in(redis)]
            assert redis.hgetall(world.keys.command(command_id)).keys() == {"entry", "status", "by"}
