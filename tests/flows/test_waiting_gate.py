"""Agents who have to press 1 before a caller who waits in a conference is let through to them."""

import pytest

from tests.flows.conference_starts import some
from tests.support.local_system import NUMBER, LocalSystem
from tests.support.people import AGENT_PHONE, BOB
from tests.support.phones import presses, voicemail

pytestmark = pytest.mark.redis
QUESTION = "said 1 to accept, 2 to decline."


@pytest.fixture
def speed() -> float:
    return 20


@pytest.fixture
async def system(redis_server, tmp_path, speed):
    path = tmp_path / "directory.toml"
    path.write_text(f'[inbound."{NUMBER}"]\nagents = ["{AGENT_PHONE}", "{BOB}"]\nmode = "conference"\n')
    async with LocalSystem(
        redis_server.url, speed=speed, CONFERRAL_CONFIRM="phones", CONFERRAL_DIRECTORY=path
    ) as system:
        yield system


#: The test presses the key itself, so the question must stay open for as long as a busy machine needs to get there.
BY_HAND = pytest.mark.parametrize("speed", [1])


@BY_HAND
async def test_caller_waits_with_music_until_the_key_is_pressed(system):
    system.answered_by(AGENT_PHONE)
    customer = await system.customer_calls()
    agent = await system.dialed(AGENT_PHONE)
    await system.until(customer.sid, **{"party.agent.status": "confirming"})
    await system.until_hears(customer, "music")
    await system.sandbox.wait_until(lambda: agent.record.gather and QUESTION in system.sounds(agent))
    agent.press("1")
    await system.until_talk(customer, agent)
    await system.until(customer.sid, state="conferenced", phase="connected")
    assert system.sounds(agent) == [QUESTION, frozenset([customer.sid])]
    assert (system.dials_to(AGENT_PHONE), system.dials_to(BOB)) == (1, 0)
    await system.ended_by_hang_up(agent, customer.sid, "agent-left")


@pytest.mark.parametrize("first", some(["voicemail", "declines"], "voicemail"))
async def test_agent_who_does_not_press_one_leaves_the_caller_to_the_next(system, first):
    system.sandbox.phone(AGENT_PHONE).script_in_turn(voicemail() if first == "voicemail" else presses("2"))
    system.answered_by(BOB)
    customer = await system.customer_calls()
    bob = await system.dialed(BOB, timeout_s=60)
    await system.until_hears(customer, [bob])
    (phone,) = system.sandbox.calls_of(AGENT_PHONE)
    assert system.listening.never_heard(phone, customer)
    assert system.listening.never_heard(customer, phone)
    await system.ended_by_command(customer.sid)
    assert phone.status == "completed"
