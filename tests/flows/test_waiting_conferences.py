"""Conferences from the start, by each of the ways into them: who hears what, who is dialed, and how they end."""

import pytest

from offhook.model.behavior import Behavior
from tests.flows.conference_starts import WAYS, by_way, in_conference, opened, ringing, some, waits
from tests.support.local_system import AGENT, CUSTOMER
from tests.support.phones import busy, presses, refuses, rings, unreachable, voicemail

pytestmark = pytest.mark.redis
OUTCOMES = {"busy": busy(), "rejected": refuses(), "no-answer": rings(), "failed": unreachable()}


@by_way("waiting")
@pytest.mark.system(behavior=Behavior(add_before_start="refused"))
async def test_the_other_one_is_rung_once_where_twilio_adds_no_one_before_the_start(system, way):
    """Twilio's page on 16099 says so; the dial is placed once more, as a call whose document joins."""
    opening, _ = await in_conference(system, way)
    asked = [one for one in system.sandbox.request_log.requests("POST") if one.get("To") == opening.way.phone]
    assert [(one.status, one.code) for one in asked] == [(400, 16099), (201, 0)]
    assert len(system.sandbox.calls_of(opening.way.phone)) == 1
    await opening.ended_by_command()


@by_way("call")
@pytest.mark.parametrize("outcome", some(OUTCOMES, "rejected", "no-answer"))
@pytest.mark.system(speed=20, CONFERRAL_RING_TIMEOUT=5)
async def test_waiting_party_hears_that_no_one_was_reached(system, way, outcome):
    system.sandbox.phone(WAYS[way].phone).script_in_turn(OUTCOMES[outcome])
    opening = await opened(system, way)
    await opening.fails(f"{opening.way.awaited}-{outcome}")


@by_way("waiting")
async def test_waiting_party_that_hangs_up_stops_the_other_phone(system, way):
    opening, leg = await ringing(system, way)
    await opening.ended_by_hang_up(opening.waiter, f"{opening.way.waiter}-left")
    assert leg.status in ("canceled", "completed")
    assert leg.record.answered_at_s is None
    called = await opening.called()
    assert called is None or (called.status, called.reason) == ("failed", f"{opening.way.waiter}-left")


@by_way("call")
@pytest.mark.parametrize("whom", some(["waiter", "awaited"], "awaited"))
async def test_removing_either_party_while_one_waits_ends_the_call(system, way, whom):
    opening, _ = await ringing(system, way)
    await system.done("remove", opening.id, party=getattr(opening.way, whom))
    ended = await opening.until(state="ended")
    await system.everyone_is_gone(opening.id, ended["end_reason"])


@pytest.mark.system(speed=5, CONFERRAL_GREETING="Welcome to us.")
async def test_greeting_is_said_once_and_then_the_music_plays(system):
    system.agent_phone.script_in_turn(rings())
    opening = await opened(system, "waiting")
    agent = await system.dialed(AGENT)
    await waits(opening)
    await system.until_hears(opening.waiter, "music")
    heard_s = system.sandbox.now_s
    await system.eventually(lambda: system.sandbox.now_s > heard_s, "music has played for a moment")
    agent.answer()
    await opening.talks()
    assert system.sounds(opening.waiter) == ["said Welcome to us.", "music", frozenset([agent.sid])]
    await system.until_hears(agent, [opening.waiter])
    await opening.ended_by_hang_up(agent, "agent-left")


@pytest.mark.parametrize("way", ["client", "call"])
@pytest.mark.parametrize(
    "script, reason",
    [(voicemail(), "customer-no-confirmation"), (presses("2"), "customer-rejected")],
    ids=["voicemail", "refuses"],
)
@pytest.mark.system(speed=20, CONFERRAL_CONFIRM="phones")
async def test_customer_who_has_to_press_a_key_and_does_not_ends_the_call_with_a_sentence(system, way, script, reason):
    system.sandbox.phone(CUSTOMER).script_in_turn(script)
    opening = await opened(system, way)
    await opening.fails(reason)
    machine = await system.dialed(CUSTOMER)
    assert system.listening.never_heard(opening.waiter, machine)
