"""Blind transfers: the agent is gone at once, and the customer hears ringing until somebody answers."""

import pytest

from tests.stories.kit import (
    GAP_MAX_S,
    TARGET,
    begins,
    dials_to,
    everybody_is_gone,
    longest_gap_s,
    outcome_of,
    outcomes,
    sounds,
    talking,
    until_hears,
)
from tests.support.phones import dialled, rings
from tests.support.world import World

pytestmark = pytest.mark.redis

#: Every way in which a blind transfer can begin: who called whom, and whether they are in a conference.
STARTS = pytest.mark.parametrize(
    "direction, in_room",
    [("inbound", False), ("inbound", True), ("outbound", False), ("outbound", True)],
    ids=["inbound-bridged", "inbound-conferenced", "outbound-bridged", "outbound-conferenced"],
)


@pytest.fixture
async def world(redis_server):
    async with World(redis_server.url) as world:
        yield world


@STARTS
async def test_customer_hears_ringing_from_the_agents_leaving_until_the_target_answers(world, direction, in_room):
    talk = await talking(world, direction, in_room=in_room)
    world.sandbox.phone(TARGET).in_turn(rings())
    began_s = world.listening.now()
    command = await begins(world, "transfer", talk.session, to=TARGET, mode="blind")

    target = await dialled(world.sandbox, TARGET)
    await until_hears(world, talk.customer, "ringback")
    await world.until(talk.session, **{"transfer.status": "ringing", "party.agent.status": "left"})
    session = await world.session(talk.session)
    assert (session["state"], session["phase"]) == ("transferring", "blind")
    assert talk.agent.status == "completed"
    assert world.listening.never_heard(talk.customer, target)

    target.answer()
    assert (await outcome_of(world, command)).status == "done"
    await until_hears(world, talk.customer, [target])
    await until_hears(world, target, [talk.customer])
    assert sounds(world, talk.customer, began_s) == [
        frozenset({talk.agent.sid}), "ringback", frozenset({target.sid}),
    ], world.listening.described()  # fmt: skip
    assert longest_gap_s(world, talk.customer, began_s) < GAP_MAX_S
    assert world.listening.never_heard(talk.agent, target)

    session = await world.until(talk.session, state="conferenced")
    assert session["party.agent.call_sid"] == target.sid
    assert session["party.agent.address"] == TARGET
    assert session["party.agent-1.call_sid"] == talk.agent.sid
    assert session["party.customer.held"] == "false"
    assert (session["transfer.mode"], session["transfer.status"]) == ("blind", "completed")
    assert dials_to(world, TARGET) == 1
    assert world.redirects_of(talk.agent) == (in_room and direction == "inbound")

    target.hang_up()
    await everybody_is_gone(world, talk.session, "agent-left")
    transfer = (await outcomes(world))[0]
    assert (transfer["kind"], transfer["result"], transfer["to"]) == ("transfer", "completed", TARGET)
