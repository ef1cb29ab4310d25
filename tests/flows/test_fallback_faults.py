"""Fallbacks and the voicemail while callbacks, answers, or Redis are lost, and callers who hang up on the way."""

from urllib.parse import urlencode

import pytest

from offhook.model.behavior import Behavior
from tests.flows.flow_helpers import CAROL
from tests.flows.test_fallbacks import GREETING, SORRY, WORDS, until_tone
from tests.support.local_system import AGENT, CUSTOMER, NUMBER, LocalSystem
from tests.support.phones import busy, rings

pytestmark = pytest.mark.redis
#: What is lost is found again soon.
POLICY = {"voicemail_timeout_ms": 1_500}
QUICK = {"speed": 20, "CONFERRAL_RING_TIMEOUT": 5, "CONFERRAL_SWEEP_INTERVAL": 1, "policy": POLICY}
VOICEMAIL = pytest.mark.system(**QUICK, CONFERRAL_INBOUND_FALLBACK="voicemail")


async def unanswered(system: LocalSystem, mode: str = "inbound"):
    """A caller whose agent is busy."""
    system.agent_phone.script_in_turn(busy())
    return await system.sandbox.call_in(CUSTOMER, NUMBER, url=f"{system.public_url}/voice/{mode}")


async def message_is_reported(
    system: LocalSystem, customer, *, hangs_up: bool = False, debugger: frozenset[int] = frozenset()
) -> None:
    """The caller's words are recorded, and reported once; then everything is over."""
    await until_tone(system, customer)
    customer.speak(WORDS)
    if hangs_up:
        spoken_s = system.sandbox.now_s + 1  # Twilio keeps no recording without any length
        await system.eventually(lambda: system.sandbox.now_s > spoken_s, "the caller has spoken for a second")
        customer.hang_up()
    await system.everyone_is_gone(customer.sid, "voicemail", debugger=debugger)

    async def messages() -> list[str]:
        return [one["recording_sid"] for one in await system.outcomes() if one["kind"] == "voicemail"]

    (recording,) = system.sandbox.recordings()
    await system.eventually(messages, "the message is reported", equals=[recording.sid])
    (recording,) = system.sandbox.recordings()
    assert (recording.text, recording.status) == (WORDS, "completed")


@pytest.mark.system(**QUICK, CONFERRAL_INBOUND_FALLBACK="voicemail", behavior=Behavior(recording_processing_s=4.0))
async def test_a_message_is_reported_only_once_twilio_has_it(system):
    await message_is_reported(system, await unanswered(system))


# ---- callbacks that Twilio does not send -----------------------------------------------------------------------------

EVENTS = ("participant-leave", "conference-end", "recording-in-progress", "recording-completed", "completed")


@pytest.mark.parametrize("lost", EVENTS)
@VOICEMAIL
async def test_a_message_is_reported_although_a_callback_is_lost(system, lost):
    system.sandbox.faults.lose_callbacks(lost, count=1_000)
    await message_is_reported(system, await unanswered(system, "conference"))


@VOICEMAIL
async def test_a_message_is_found_although_nothing_answers_twilio_after_it(system):
    """Twilio then requests the number's fallback URL, which leads the caller into the conference again."""
    customer = await unanswered(system)
    await until_tone(system, customer)
    system.sandbox.faults.lose_callbacks("recording-completed", count=2)
    system.sandbox.faults.fail_fetches("/voice/voicemail", status=503, count=10)
    await message_is_reported(system, customer, debugger=frozenset({11200}))


@VOICEMAIL
async def test_a_message_is_found_although_nothing_reports_it(system):
    customer = await unanswered(system)
    await until_tone(system, customer)
    system.sandbox.faults.lose_callbacks("*", count=1_000)
    await message_is_reported(system, customer, hangs_up=True)


# ---- the move into the voicemail -------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [
    {"cut": "after"}, {"cut": "before"}, {"status": 429}, {"status": 503}, {"status": 500, "moment": "after"},
], ids=["cut-after", "cut-before", "429", "503", "500-after-effect"])  # fmt: skip
@VOICEMAIL
async def test_a_caller_is_moved_although_the_answer_is_bad(system, fault):
    """If it is not known whether Twilio moved the caller, a read shows it: the greeting is heard once."""
    customer = await unanswered(system, "conference")
    system.sandbox.faults.next_rest("POST", f"/Calls/{customer.sid}", **fault)
    await message_is_reported(system, customer)
    assert len([sound for sound in system.sounds(customer) if "leave a message" in str(sound)]) == 1


@pytest.mark.system(**QUICK, CONFERRAL_INBOUND_FALLBACK=f"voicemail,{CAROL}")
async def test_the_next_place_follows_a_voicemail_that_twilio_can_not_run(system):
    system.answered_by(CAROL)
    customer = await unanswered(system, "conference")
    system.sandbox.faults.next_rest("POST", f"/Calls/{customer.sid}", status=400, code=12100)
    carol = await system.dialed(CAROL)
    await system.until_talk(customer, carol)
    await system.until(customer.sid, state="conferenced", phase="connected")
    await system.ended_by_hang_up(customer, customer.sid, "customer-left")


@VOICEMAIL
async def test_a_caller_who_can_not_be_moved_anywhere_hears_a_sentence(system):
    customer = await unanswered(system, "conference")
    system.sandbox.faults.next_rest("POST", f"/Calls/{customer.sid}", status=400, code=12100)
    await system.everyone_is_gone(customer.sid, "fallback-failed")
    assert system.sounds(customer)[-1] == SORRY


@pytest.mark.system(**QUICK, CONFERRAL_RETURN_URLS="https://app.example.com/menu")
async def test_an_app_that_can_not_take_the_caller_back_is_replaced_by_the_agent(system):
    """Twilio requests the number's fallback URL."""
    system.sandbox.faults.fail_fetches("/menu", status=500, count=9)
    system.sandbox.phone(CAROL).script_in_turn(busy())
    query = urlencode({"to": CAROL, "back": "https://app.example.com/menu"})
    customer = await system.sandbox.call_in(CUSTOMER, NUMBER, url=f"{system.public_url}/voice/handoff?{query}")
    agent = await system.dialed(AGENT)
    await system.until_talk(customer, agent)
    assert (await system.until(customer.sid, state="ended"))["end_reason"] == "returned"
    customer.hang_up()
    await system.settled()


# ---- Redis -----------------------------------------------------------------------------------------------------------


@pytest.mark.processes
@pytest.mark.parametrize("outage", ["greeting", "message"])
async def test_a_message_is_reported_although_redis_was_away(durable_redis, outage):
    async with LocalSystem(durable_redis.url, **QUICK, CONFERRAL_INBOUND_FALLBACK="voicemail") as system:
        customer = await unanswered(system)
        await system.until_hears(customer, GREETING)
        if outage == "greeting":
            durable_redis.kill()
        await until_tone(system, customer)
        customer.speak()  # a quarter of a second of silence would end the recording, and a start may take longer
        if outage == "message":
            durable_redis.kill()
        durable_redis.start()
        await message_is_reported(system, customer)


# ---- callers who hang up ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["joining", "ringing", "greeting", "message"])
@pytest.mark.system(
    **QUICK,
    CONFERRAL_INBOUND_FALLBACK=f"{CAROL},voicemail",
    CONFERRAL_VOICEMAIL_GREETING="Please wait for the tone. " * 18,
)
async def test_a_caller_may_hang_up_anywhere(system, place):
    system.sandbox.phone(CAROL).script_in_turn(rings() if place == "ringing" else busy())
    if place == "joining":  # both say that the customer has joined
        system.sandbox.faults.delay_callbacks("participant-join", 0.2)
        system.sandbox.faults.delay_fetches("/voice/wait", 0.2)
    customer = await unanswered(system)
    if place in ("joining", "ringing"):
        await system.until(customer.sid, phase="fallback")
        if place == "ringing":
            await system.dialed(CAROL)
    else:
        await system.until(customer.sid, phase="voicemail")
        if place != "greeting":
            await until_tone(system, customer)
    reason = "voicemail" if place == "message" else "customer-left"
    await system.ended_by_hang_up(customer, customer.sid, reason)
