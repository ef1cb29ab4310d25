"""Agents who have to press 1 before a caller who waits in a conference is let through to them."""

import pytest

from tests.stories.kit import dials_to, done, everybody_is_gone, sounds, until_hears
from tests.stories.openings import some
from tests.support.phones import answers, dialled, presses, voicemail
from tests.support.world import NUMBER, World

pytestmark = pytest.mark.redis
PHONE = "+14155550188"
BOB = "client:bob"
QUESTION = "said Press 1 to take the call."


@pytest.fixture
def speed() -> float:
    return 20


@pytest.fixture
async def world(redis_server, tmp_path, speed):
    path = tmp_path / "directory.toml"
    path.write_text(f'[inbound."{NUMBER}"]\nagents = ["{PHONE}", "{BOB}"]\nmode = "conference"\n')
    async with World(redis_server.url, speed=speed, CONFERRAL_CONFIRM="phones", CONFERRAL_DIRECTORY=path) as world:
        yield world


#: The test presses the key itself, so the question must stay open for as long as a busy machine needs to get there.
BY_HAND = pytest.mark.parametrize("speed", [1])


@BY_HAND
async def test_caller_waits_with_music_until_the_key_is_pressed(world):
    world.sandbox.phone(PHONE).in_turn(answers())
    customer = await world.customer_calls()
    agent = await dialled(world.sandbox, PHONE)
    await world.until(customer.sid, **{"party.agent.status": "confirming"})
    await until_hears(world, customer, "music")
    agent.press("1")
    await until_hears(world, customer, [agent])
    await until_hears(world, agent, [customer])
    await world.until(customer.sid, state="conferenced", phase="")
    assert sounds(world, agent) == [QUESTION, frozenset([customer.sid])]
    assert (dials_to(world, PHONE), dials_to(world, BOB)) == (1, 0)
    agent.hang_up()
    await everybody_is_gone(world, customer.sid, "agent-left")


@pytest.mark.parametrize("first", some(["voicemail", "declines"], "voicemail"))
async def test_agent_who_does_not_press_one_leaves_the_caller_to_the_next(world, first):
    world.sandbox.phone(PHONE).in_turn(voicemail() if first == "voicemail" else presses("2"))
    world.sandbox.phone(BOB).in_turn(answers())
    customer = await world.customer_calls()
    bob = await dialled(world.sandbox, BOB, timeout_s=60)
    await until_hears(world, customer, [bob])
    (phone,) = world.sandbox.calls_of(PHONE)
    assert world.listening.never_heard(phone, customer)
    assert world.listening.never_heard(customer, phone)
    await done(world, "end", customer.sid)
    await everybody_is_gone(world, customer.sid, "command")
    assert phone.status == "completed"


@BY_HAND
async def test_caller_who_hangs_up_while_the_agent_is_asked_leaves_him_with_no_call(world):
    world.sandbox.phone(PHONE).in_turn(answers())
    customer = await world.customer_calls()
    agent = await dialled(world.sandbox, PHONE)
    await world.until(customer.sid, **{"party.agent.status": "confirming"})
    customer.hang_up()
    await everybody_is_gone(world, customer.sid, "customer-left")
    assert world.listening.never_heard(agent, customer)
    assert (dials_to(world, PHONE), dials_to(world, BOB)) == (1, 0)
    assert agent.status == "completed"


@pytest.mark.soak
async def test_key_that_is_pressed_when_the_room_has_failed_still_leads_to_the_caller(world):
    """The music could not be had again while he was asked: he goes into the room that there is by then."""
    world.sandbox.phone(PHONE).in_turn(presses("", "1", key_after_s=4.5))
    customer = await world.customer_calls()
    agent = await dialled(world.sandbox, PHONE)
    await world.until(customer.sid, **{"party.agent.status": "confirming"})
    world.sandbox.faults.fail_fetches("/voice/wait", status=404)
    await until_hears(world, customer, [agent])
    await until_hears(world, agent, [customer])
    assert len(world.sandbox.exchange.state.conferences) == 2
    assert dials_to(world, PHONE) == 1
    await done(world, "end", customer.sid)
    await everybody_is_gone(world, customer.sid, "command", debugger=frozenset({11200}))
