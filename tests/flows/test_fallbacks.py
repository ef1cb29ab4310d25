"""Somewhere to go when no one answers: places in order, the voicemail, a URL of your app's."""

import json

import pytest

from tests.flows.flow_helpers import CAROL, GAP_MAX_S, SECOND, TARGET, talking
from tests.support.local_system import AGENT, NUMBER, LocalSystem
from tests.support.phones import busy, rings

pytestmark = pytest.mark.redis
QUICK = {"speed": 20, "CONFERRAL_RING_TIMEOUT": 5}
GREETING = "said Nobody can take your call at the moment. Please leave a message after the tone."
SORRY = "said We are sorry, but we could not connect you. Please try again later. Goodbye."
WORDS = "It is about my order"
URL = "https://app.example.com/menu"


async def until_tone(system: LocalSystem, customer) -> None:
    """Waits until what the caller says is recorded."""

    async def is_recorded():
        return customer.record.activity == "recording"

    await system.eventually(is_recorded, "the caller hears the tone")


async def leaves_message(system: LocalSystem, customer, session: str) -> None:
    """The caller says something after the tone, and falls silent."""
    await system.until(session, state="transferring", phase="voicemail")
    await until_tone(system, customer)
    customer.speak(WORDS)
    await system.everyone_is_gone(session, "voicemail")
    (recording,) = system.sandbox.recordings()

    async def kinds() -> list[str]:
        return sorted(one["kind"] for one in (await system.outcomes())[-2:])

    await system.eventually(kinds, "the message is reported", equals=["session", "voicemail"])
    ended, message = sorted((await system.outcomes())[-2:], key=lambda one: one["kind"])
    assert recording.text == WORDS
    assert (message["kind"], message["result"], message["recording_sid"]) == ("voicemail", "recorded", recording.sid)
    assert int(message["duration_s"]) > 0
    assert (ended["kind"], ended["reason"], ended["landed_on"]) == ("session", "voicemail", "voicemail")


@pytest.mark.parametrize("mode", ["inbound", "conference"])
@pytest.mark.system(**QUICK, CONFERRAL_INBOUND_FALLBACK=f"{SECOND},voicemail")
async def test_a_caller_whom_no_agent_takes_leaves_a_message(system, mode):
    system.agent_phone.script_in_turn(busy())
    system.sandbox.phone(SECOND).script_in_turn(busy())
    customer = await system.sandbox.call_in("+14155550199", NUMBER, url=f"{system.public_url}/voice/{mode}")
    await leaves_message(system, customer, customer.sid)
    assert [entry.to for entry in system.sandbox.request_log.dials] == [AGENT, SECOND]
    assert GREETING in system.sounds(customer)
    assert system.longest_gap_s(customer) < GAP_MAX_S
    assert not (await system.session(customer.sid))["transfer.mode"]


@pytest.mark.system(**QUICK, CONFERRAL_INBOUND_FALLBACK=f"{CAROL},end")
async def test_the_next_place_takes_a_call_that_rang_out_on_a_bridge(system):
    system.agent_phone.script_in_turn(rings())
    system.answered_by(CAROL)
    customer = await system.customer_calls()
    carol = await system.dialed(CAROL)
    await system.until_talk(customer, carol)
    session = await system.until(customer.sid, state="conferenced", phase="connected")
    assert (session["party.agent.address"], session["party.agent-1.left_reason"]) == (CAROL, "no-answer")
    await system.ended_by_hang_up(customer, customer.sid, "customer-left")
    (ended,) = await system.outcomes()
    assert ended["landed_on"] == CAROL
    assert [(one["to"], one["result"]) for one in json.loads(ended["attempts"])] == [
        (AGENT, "no-answer"), (CAROL, "answered"),
    ]  # fmt: skip


@pytest.mark.system(**QUICK)
async def test_a_transfer_whose_places_all_fail_ends_with_a_sentence(system):
    talk = await talking(system)
    system.not_answered_by(TARGET)
    for address in (SECOND, CAROL):
        system.sandbox.phone(address).script_in_turn(busy())
    fallback = f"{SECOND},{CAROL}"
    await system.failed("no-answer", "transfer", talk.session, to=TARGET, mode="blind", fallback=fallback)
    ended = await system.everyone_is_gone(talk.session, "fallback-failed")
    assert ended["transfer.fallback"] == fallback
    assert ended["transfer.reason"] == "no-answer, fallback busy, fallback busy"
    assert (await system.outcomes())[0]["landed_on"] == "end"
    assert system.sounds(talk.customer)[-1] == SORRY


@pytest.mark.system(**QUICK)
async def test_a_message_follows_a_transfer(system):
    talk = await talking(system)
    system.sandbox.phone(TARGET).script_in_turn(busy())
    await system.failed("busy", "transfer", talk.session, to=TARGET, mode="blind", fallback="voicemail")
    await system.until(talk.session, phase="voicemail")
    await until_tone(system, talk.customer)
    await system.rejected("the customer is in the voicemail", "park", talk.session)
    await system.rejected("the customer is in the voicemail", "retrieve", talk.session, to=CAROL)
    await system.ended_by_hang_up(talk.customer, talk.session, "voicemail")
    assert (await system.outcomes())[0]["landed_on"] == "voicemail"


@pytest.mark.parametrize("before", ["", f"{CAROL},"])
@pytest.mark.system(**QUICK, CONFERRAL_RETURN_URLS=URL)
async def test_an_outcome_names_the_url_that_took_the_caller(system, before):
    talk = await talking(system)
    for address in (TARGET, CAROL):
        system.sandbox.phone(address).script_in_turn(busy())
    await system.failed("busy", "transfer", talk.session, to=TARGET, mode="blind", fallback=f"{before}{URL}")
    await system.until(talk.session, state="ended", end_reason="returned")
    talk.customer.hang_up()
    await system.settled()
    (transfer,) = [one for one in await system.outcomes() if one["kind"] == "transfer"]
    assert transfer["landed_on"] == URL


@pytest.mark.system(**QUICK, CONFERRAL_RETURN_URLS=URL)
async def test_urls_outside_the_allowed_prefixes_are_rejected(system):
    talk = await talking(system)
    for url in ("https://app.example.com/menus", "https://evil.example.com/menu", "https://app.example.com/menu/../x"):
        why = "fallback: CONFERRAL_RETURN_URLS does not allow this URL"
        await system.rejected(why, "transfer", talk.session, to=TARGET, mode="blind", fallback=f"recall,{url}")
    await system.ended_by_hang_up(talk.customer, talk.session, "customer-left")
