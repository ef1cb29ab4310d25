"""Sessions whose ids someone chose: an id may be the name of a stranger's live conference in the same account."""

import pytest

from conferral.storage.commands import session_id_of
from tests.stories.kit import done, everybody_is_gone, until_hears
from tests.stories.openings import in_conference, opened
from tests.support.phones import answers
from tests.support.world import AGENT, CUSTOMER, World

pytestmark = pytest.mark.redis
NAME = "lunch"


@pytest.fixture
async def world(redis_server):
    async with World(redis_server.url) as world:
        world.sandbox.phone(CUSTOMER).in_turn(answers())
        world.agent_phone.in_turn(answers())
        yield world


def strangers(world, name):
    """Two strangers in a live conference of that name; returns what shows that nothing has happened to them."""
    sid = world.sandbox.add_foreign_conference(name, members=2, age_s=60)
    members = sorted(world.sandbox.exchange.state.conferences[sid].participants)

    def are_untouched():
        room = world.sandbox.exchange.state.conferences[sid]
        changes = [entry.path for entry in world.sandbox.ledger.requests("POST") if sid in entry.path]
        return (room.status, sorted(room.participants), changes) == ("in-progress", members, [])

    assert are_untouched()
    return are_untouched


@pytest.mark.parametrize(
    "way, params", [("client", {"SessionID": NAME}), ("call", {"session": NAME})], ids=["browser", "command"]
)
@pytest.mark.parametrize("leaver", ["agent", "customer"])
async def test_id_that_is_the_name_of_a_strangers_conference_leads_to_a_conference_of_our_own(
    world, way, params, leaver
):
    are_untouched = strangers(world, NAME)
    opening = await opened(world, way, **params)
    customer = await opening.talks()
    session = await opening.session()
    room = world.sandbox.exchange.state.conferences[session["conference_sid"]]
    assert session["id"] == NAME
    assert room.name == session["conference_name"] != NAME
    {"agent": opening.waiter, "customer": customer}[leaver].hang_up()
    await opening.ends(f"{leaver}-left")
    assert are_untouched()


@pytest.mark.parametrize("session", [NAME, "CA" + "7" * 32])
async def test_bridged_call_with_a_chosen_id_is_converted_into_a_conference_of_our_own(world, session):
    are_untouched = strangers(world, session)
    given = await done(world, "call", session, agent=AGENT, customer=CUSTOMER)
    assert given.session == session
    await done(world, "convert", session)
    agent, customer = await world.leg(session, "agent"), await world.leg(session, "customer")
    await until_hears(world, customer, [agent])
    agent.hang_up()
    await everybody_is_gone(world, session, "agent-left")
    assert are_untouched()


async def test_ids_that_no_one_chose_are_the_names_of_their_conferences(world):
    opening, _ = await in_conference(world, "client")
    assert (await opening.session())["conference_name"] == opening.waiter.sid
    opening.waiter.hang_up()
    await opening.ends("agent-left")
    world.sandbox.phone(CUSTOMER).in_turn(answers())
    called = await done(world, "call", "", id="order-8", agent=AGENT, customer=CUSTOMER)
    assert (await world.session(called.session))["conference_name"] == called.session == session_id_of("order-8")
    await done(world, "end", called.session)
    await everybody_is_gone(world, called.session, "command")
