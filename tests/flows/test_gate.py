"""The gate: the dialed party hears the brief and takes the call, or not; no one else hears any of it."""

import asyncio
import signal

import aiohttp
import pytest
from twilio.request_validator import RequestValidator
from yarl import URL

from conferral.telephony.phrases import Phrase, sentence_in
from offhook.webhook_delivery import parse_target
from tests.flows.flow_helpers import CAROL, SECOND, TARGET, goes_on_and_ends, talks_and_ends
from tests.support.phones import answers, presses, screens, voicemail

#: Sentences take a twentieth of their time, and no one rings for long.
pytestmark = [pytest.mark.redis, pytest.mark.system(speed=20, CONFERRAL_RING_TIMEOUT=30)]
IN_REAL_TIME = pytest.mark.system()
BRIEF = "Mrs Weber about her <invoice> & the rest."
ALL = f"{TARGET},{SECOND},{CAROL}"


def said(phrase):
    return f"said {sentence_in(phrase, 'en-US')}"


def gate_requests(system, call):
    return [entry for entry in system.sandbox.request_log.voice_requests("/voice/gate") if entry.call_sid == call.sid]


async def put(system, target, form):
    """A request of Twilio's, signed; gives the answer."""
    url = URL(parse_target(target).url, encoded=True)
    signature = RequestValidator(system.sandbox.auth_token).compute_signature(str(url), form)
    async with (
        aiohttp.ClientSession() as http,
        http.post(url, data=form, headers={"X-Twilio-Signature": signature}) as response,
    ):
        assert response.status == 200
        return await response.text()


# ---- what is said ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["warm", "consult"])
@pytest.mark.parametrize("options", [{}, {"confirm": "true"}], ids=["brief", "brief and confirm"])
async def test_brief_is_heard_by_the_target_alone_and_once(system, mode, options):
    system.sandbox.phone(TARGET).script_in_turn(presses("", "1"))
    customer, agent = await system.converted()
    await system.done("transfer", customer.sid, to=TARGET, mode=mode, brief=BRIEF, **options)
    target = await system.dialed(TARGET)
    assert system.listening.whats(target).count(f"said {BRIEF}") == 1
    for other in (customer, agent):
        assert system.listening.seconds(other, "said") == 0
    # Until the target is in, the agent is heard by the customer, or no one is.
    assert system.listening.seconds(customer, target) == 0 or mode == "warm"
    await system.done("complete", customer.sid)
    await system.until_hears(target, [customer])
    await system.ended_by_hang_up(target, customer.sid, "agent-left")


# ---- who takes it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode, script, reason, last_words", [
    ("warm",  presses("2"),     "rejected",        Phrase.REJECTED),
    ("warm",  presses("#", "2"), "rejected",       Phrase.REJECTED),
    ("warm",  presses("7", "#", "*"), "no-confirmation", Phrase.NO_KEY),
    ("warm",  answers(),        "no-confirmation", Phrase.NO_KEY),
    ("blind", voicemail(),      "no-confirmation", Phrase.NO_KEY),
], ids=["2", "2 when asked again", "other keys", "no key", "voicemail"])  # fmt: skip
async def test_target_that_does_not_accept_never_meets_the_caller(system, mode, script, reason, last_words):
    system.sandbox.phone(TARGET).script_in_turn(script)
    customer, agent = await system.converted()
    await system.failed(reason, "transfer", customer.sid, to=TARGET, mode=mode, confirm="true")
    target = await system.dialed(TARGET)
    await system.sandbox.wait_until(lambda: target.status == "completed")
    assert system.listening.whats(target)[-1] == said(last_words)
    if reason == "no-confirmation":
        assert system.listening.whats(target).count(said(Phrase.PRESS_ONE)) == 3
    for other in (customer, agent):
        assert system.listening.never_heard(target, other)
        assert system.listening.never_heard(other, target)
    if mode == "warm":
        await goes_on_and_ends(system, customer, agent)
    else:  # the agent is rung again
        await system.ended_by_command(customer.sid)


@pytest.mark.parametrize("keys", [("", "", "1"), ("5", "#", "1")])
async def test_target_that_accepts_when_asked_for_the_third_time_is_connected(system, keys):
    system.sandbox.phone(TARGET).script_in_turn(presses(*keys))
    customer, agent = await system.converted()
    await system.done("transfer", customer.sid, to=TARGET, mode="warm", confirm="true")
    await talks_and_ends(system, customer, agent, await system.dialed(TARGET))


@pytest.mark.parametrize("picks_up_after_s", [4, 14])
async def test_target_whose_phone_screens_calls_takes_it_once_they_pick_up(system, picks_up_after_s):
    """The phone asks who calls; meanwhile, it hears the brief and the question."""
    system.sandbox.phone(TARGET).script_in_turn(screens("1", picks_up_after_s=picks_up_after_s))
    customer, agent = await system.converted()
    await system.done("transfer", customer.sid, to=TARGET, mode="warm", brief=BRIEF, confirm="true", confirm_for="30")
    await talks_and_ends(system, customer, agent, await system.dialed(TARGET))


@pytest.mark.parametrize("options, reason", [
    ({"confirm": "true"}, "no-confirmation"),
    ({"confirm": "true", "amd": "true", "confirm_for": "60"}, "answering-machine"),
], ids=["no one picks up", "taken for a machine"])  # fmt: skip
async def test_screening_phone_alone_never_meets_the_caller(system, options, reason):
    picks_up_after_s = 10 if "amd" in options else None
    system.sandbox.phone(TARGET).script_in_turn(screens(picks_up_after_s=picks_up_after_s))
    customer, agent = await system.converted()
    await system.failed(reason, "transfer", customer.sid, to=TARGET, mode="warm", **options)
    target = await system.dialed(TARGET)
    for other in (customer, agent):
        assert system.listening.never_heard(target, other)
        assert system.listening.never_heard(other, target)
    await goes_on_and_ends(system, customer, agent)


async def test_screening_phone_in_a_ring_group_does_not_win_by_answering(system):
    system.sandbox.phone(TARGET).script_in_turn(screens())
    system.sandbox.phone(SECOND).script_in_turn(presses("1", after_s=3))
    customer, agent = await system.converted()
    await system.done("transfer", customer.sid, to=f"{TARGET},{SECOND}", mode="warm", confirm="true")
    second = await system.dialed(SECOND)
    assert (await system.session(customer.sid))["party.target.call_sid"] == second.sid
    assert system.listening.never_heard(await system.dialed(TARGET), customer)
    await talks_and_ends(system, customer, agent, second)


@IN_REAL_TIME
async def test_target_that_accepts_after_the_caller_hung_up_hears_so(system):
    """The hang-up that was to let the target go is held up at Twilio, and the key is pressed all the same."""
    system.answered_by(TARGET)
    customer, _ = await system.converted()
    await system.begins("transfer", customer.sid, to=TARGET, mode="blind", confirm="true")
    await system.until(customer.sid, **{"party.target.status": "confirming"})
    target = await system.dialed(TARGET)
    await system.sandbox.wait_until(lambda: target.record.gather)
    system.sandbox.faults.next_rest("POST", f"/Calls/{target.sid}", latency_s=0.5)
    customer.hang_up()
    await system.until(customer.sid, state="ended")
    target.press("1")
    await system.sandbox.wait_until(lambda: said(Phrase.CALLER_HUNG_UP) in system.listening.whats(target))
    await system.everyone_is_gone(customer.sid, "customer-left")
    assert system.listening.never_heard(target, customer)


async def test_digits_are_dialed_before_anything_is_said(system):
    system.answered_by(TARGET)
    customer, agent = await system.converted()
    await system.done("transfer", customer.sid, to=TARGET, mode="warm", digits="ww12#", brief=BRIEF)
    target = await system.dialed(TARGET)
    assert target.record.digits_sent == "ww12#"
    assert system.listening.whats(target)[:2] == ["silence", f"said {BRIEF}"]
    await talks_and_ends(system, customer, agent, target)


# ---- several -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["warm", "consult", "blind"])
async def test_first_of_several_to_take_it_wins_and_the_rest_stop_ringing(system, mode):
    system.not_answered_by(TARGET, SECOND)
    system.sandbox.phone(CAROL).script_in_turn(answers(2))
    customer, agent = await system.talking()
    await system.done("transfer", customer.sid, to=ALL, mode=mode)
    carol = await system.dialed(CAROL)
    session = await system.session(customer.sid)
    assert session[f"party.{'agent' if mode == 'blind' else 'target'}.call_sid"] == carol.sid
    for address in (TARGET, SECOND):
        other = await system.dialed(address)
        await system.sandbox.wait_until(lambda other=other: other.record.is_final)
        assert system.dials_to(address) == 1
    wanted = [agent] if mode == "consult" else [customer] if mode == "blind" else [customer, agent]
    await system.until_hears(carol, wanted)
    await system.ended_by_command(customer.sid)


@pytest.mark.parametrize("options", [{}, {"confirm": "true"}], ids=["answer", "press 1"])
async def test_exactly_one_of_two_simultaneous_acceptors_gets_the_call(system, options):
    addresses = (TARGET, SECOND)
    for address in addresses:
        system.not_answered_by(address)
    customer, agent = await system.converted()
    command = await system.begins("transfer", customer.sid, to=",".join(addresses), mode="warm", **options)
    calls = [await system.dialed(address) for address in addresses]
    for call in calls:
        call.answer()
    if options:
        for number in (1, 2):
            await system.until(customer.sid, **{f"party.target-{number}.status": "confirming"})
        await system.sandbox.wait_until(lambda: all(call.record.gather for call in calls))
        for call in calls:
            call.press("1")
    assert (await system.result_of(command)).status == "done"
    winner_sid = (await system.session(customer.sid))["party.target.call_sid"]
    winner, loser = sorted(calls, key=lambda call: call.sid != winner_sid)
    assert winner.sid == winner_sid
    await system.sandbox.wait_until(lambda: loser.status == "completed")
    for other in (customer, agent, winner):
        assert system.listening.never_heard(loser, other)
    await talks_and_ends(system, customer, agent, winner)


@pytest.mark.parametrize("mode", ["warm", "blind"])
async def test_target_that_hangs_up_during_the_brief_leaves_the_call_to_the_next(system, mode):
    system.not_answered_by(TARGET, SECOND)
    customer, agent = await system.talking()
    to = f"{TARGET},{SECOND}"
    command = await system.begins("transfer", customer.sid, to=to, mode=mode, brief=BRIEF * 5)
    first, second = [await system.dialed(address) for address in (TARGET, SECOND)]
    first.answer()
    await system.sandbox.wait_until(lambda: f"said {BRIEF * 5}" in system.listening.whats(first))
    first.hang_up()
    second.answer()
    assert (await system.result_of(command)).status == "done"
    assert system.listening.whats(second).count(f"said {BRIEF * 5}") == 1
    assert len(gate_requests(system, second)) == 2
    assert len(gate_requests(system, first)) == 1
    assert system.listening.never_heard(first, customer)
    if mode == "warm":
        await talks_and_ends(system, customer, agent, second)
    else:
        await system.until_hears(second, [customer])
        await system.ended_by_command(customer.sid)


# ---- requests that come again, and Redis that is away ------------------------------------------------------------


@pytest.mark.soak
@IN_REAL_TIME
async def test_gate_waits_for_redis_and_then_lets_in(system, redis_server):
    system.not_answered_by(TARGET)
    customer, agent = await system.converted()
    command = await system.begins("transfer", customer.sid, to=TARGET, mode="warm", brief="Hi.")
    target = await system.dialed(TARGET)
    await system.until(customer.sid, **{"party.target.status": "ringing"})
    redis_server.signal(signal.SIGSTOP)
    try:
        target.answer()
        await system.sandbox.wait_until(lambda: gate_requests(system, target)[:1] and target.record.program)
    finally:
        redis_server.signal(signal.SIGCONT)
    assert (await system.result_of(command)).status == "done"
    assert len(gate_requests(system, target)) == 2
    assert system.listening.longest_silence(target) < 5
    await talks_and_ends(system, customer, agent, target)


async def test_gate_without_redis_gives_up_with_a_sentence(system, redis_server):
    """Whether someone else has taken the call is unknown, so no one is admitted."""
    system.not_answered_by(TARGET)
    customer, agent = await system.converted()
    command = await system.begins("transfer", customer.sid, to=TARGET, mode="warm", brief="Hi.")
    target = await system.dialed(TARGET)
    await system.until(customer.sid, **{"party.target.status": "ringing"})
    redis_server.signal(signal.SIGSTOP)
    try:
        target.answer()
        await system.sandbox.wait_until(lambda: target.status == "completed", timeout_s=60)
    finally:
        redis_server.signal(signal.SIGCONT)
    assert system.listening.whats(target)[-1] == said(Phrase.UNREACHABLE)
    assert (await asyncio.wait_for(system.result_of(command), 15)).status == "failed"
    assert customer.status == agent.status == "in-progress"
    await goes_on_and_ends(system, customer, agent)
