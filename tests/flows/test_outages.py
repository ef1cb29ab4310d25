"""Redis comes back without its last writes: what it forgot, the call keeps."""

import pytest

from offhook import CallHandle
from tests.flows.flow_helpers import CAROL, GAP_MAX_S, TARGET, Talk, talking
from tests.flows.test_lost_agents import SORRY, has_desk
from tests.flows.test_presence import is_at_desk
from tests.flows.test_queue import no_one_takes_calls, queue, waits
from tests.support.local_system import AGENT, LocalSystem
from tests.support.older_redis import Copy, copy_of, put_back
from tests.support.people import AGENT_PHONE, BOB
from tests.support.phones import answers, busy, rings

pytestmark = [pytest.mark.redis, pytest.mark.system(CONFERRAL_SWEEP_INTERVAL=600)]
#: The TwiML app of the browser.
APP = "AP" + "1" * 32
#: How soon after Redis is back a customer may be taken for alone, seconds.
LONE_S = 10


async def conferenced(system: LocalSystem, direction: str = "inbound") -> tuple[Talk, Copy]:
    """Customer and agent talk in a conference; with what Redis will come back with."""
    talk = await talking(system, direction, conferenced=True)
    await system.eventually(system.under_way, "nothing is under way", equals=0)
    return talk, await copy_of(system.client)


async def transfer_rings(system: LocalSystem, session_id: str, mode: str) -> tuple[str, CallHandle]:
    """The id of a transfer's command, and its target, whose phone rings until the test answers."""
    system.not_answered_by(TARGET)
    command_id = await system.begins("transfer", session_id, to=TARGET, mode=mode)
    target = await system.dialed(TARGET)
    await system.until(session_id, **{"transfer.status": "ringing"})
    return command_id, target


async def consult(system: LocalSystem, *, answers_away: bool = False) -> tuple[Talk, CallHandle, float]:
    """Redis loses a consult: before the target's answer was decided, or after it; and when it is back."""
    talk, copy = await conferenced(system)
    command_id, target = await transfer_rings(system, talk.session, "consult")
    system.listening.name(target=target)
    if answers_away:
        system.sandbox.faults.lose_callbacks("*", count=1_000)
        target.answer()
        await system.until_talk(talk.agent, target)
    else:
        target.answer()
        assert (await system.result_of(command_id)).status == "done"
    back_s = await comes_back(system, talk.session, copy)
    await system.until(talk.session, **{"party.guest-1.status": "connected", "party.customer.held": "true"})
    return talk, target, back_s


async def comes_back(system: LocalSystem, session_id: str, copy: Copy) -> float:
    """Redis comes back with a copy, and Twilio was read."""
    back_s = system.listening.now()
    await put_back(system.client, copy)
    system.sandbox.faults.clear()

    async def was_read() -> bool:
        names = [entry["event"] for entry in await system.log(session_id)]
        return "account_swept" in names and "calls_read" in names[names.index("account_swept") :]

    await system.eventually(was_read, "Twilio was read after the loss")
    return back_s


async def stays(system: LocalSystem) -> None:
    """Time passes until no one is waited for any more since Redis is back, and nothing is under way."""
    due_s = system.clock.monotonic_s() + LONE_S + 2
    await system.eventually(lambda: system.clock.monotonic_s() >= due_s, "no one is waited for", timeout_s=2 * LONE_S)
    await system.eventually(system.under_way, "nothing is under way", equals=0)


def heard_only(system: LocalSystem, call: CallHandle, what: str, since_s: float) -> bool:
    return {*system.sounds(call, since_s)} == {what}


# ---- a consult -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answers_away", [False, True], ids=["answered", "answered while Redis is away"])
async def test_customer_of_a_lost_consult_hears_music_until_the_agent_takes_them_off_hold(system, answers_away):
    talk, target, back_s = await consult(system, answers_away=answers_away)
    await stays(system)
    await system.until_talk(talk.agent, target)
    assert heard_only(system, talk.customer, "music", back_s), system.listening.described()
    session = await system.session(talk.session)
    assert (session["party.customer.hold_found"], session["party.guest-1.address"]) == ("true", TARGET)
    await system.done("unhold", talk.session, party="customer")
    await system.until_hears(talk.customer, [talk.agent, target])
    assert system.dials_to(TARGET) == 1
    await system.ended_by_command(talk.session)


async def test_target_who_answers_after_a_lost_consult_is_not_heard_by_the_customer(system):
    talk, copy = await conferenced(system)
    _, target = await transfer_rings(system, talk.session, "consult")
    back_s = await comes_back(system, talk.session, copy)
    target.answer()
    await system.until_talk(talk.agent, target)
    await stays(system)
    assert heard_only(system, talk.customer, "music", back_s), system.listening.described()
    assert system.dials_to(TARGET) == 1
    await system.ended_by_command(talk.session)


async def test_gated_target_of_a_lost_consult_joins_without_the_customer(system):
    """No list shows a call in the gate, where the agent hears ringing on hold."""
    talk, copy = await conferenced(system)
    system.sandbox.phone(AGENT_PHONE).script_in_turn(rings())
    await system.begins("transfer", talk.session, to=AGENT_PHONE, mode="consult", brief="A question")
    target = await system.dialed(AGENT_PHONE)
    await system.until(talk.session, **{"transfer.status": "ringing"})
    back_s = await comes_back(system, talk.session, copy)
    target.answer()
    await system.until_talk(talk.agent, target)
    await stays(system)
    assert heard_only(system, talk.customer, "music", back_s), system.listening.described()
    assert system.dials_to(AGENT_PHONE) == 1
    await system.ended_by_command(talk.session)


async def test_customer_of_a_lost_consult_talks_to_the_target_once_the_agent_has_left(system):
    talk, target, _ = await consult(system)
    talk.agent.hang_up()
    await system.until_talk(talk.customer, target)
    await stays(system)
    await system.until_talk(talk.customer, target)
    await system.ended_by_hang_up(talk.customer, talk.session, "agent-left")


async def test_customer_of_a_lost_consult_is_off_hold_at_the_hold_limit(redis_server):
    async with LocalSystem(redis_server.url, CONFERRAL_SWEEP_INTERVAL=600, policy={"hold_limit_ms": 8_000}) as system:
        talk, target, back_s = await consult(system)
        await system.until_hears(talk.customer, [talk.agent, target])
        assert system.listening.seconds(talk.customer, "music", back_s) > 6
        await system.ended_by_command(talk.session)


@pytest.mark.parametrize("is_taken", [True, False], ids=["taken", "not taken"])
async def test_agent_whose_page_reloads_in_a_lost_consult_is_rung_before_the_customer_is_off_hold(system, is_taken):
    await has_desk(system)
    talk, target, back_s = await consult(system)
    system.sandbox.phone(AGENT).script_in_turn(*([answers(after_s=2)] if is_taken else []), busy())
    talk.agent.hang_up()
    back = await system.dialed(AGENT, 2)
    if is_taken:
        await system.until_talk(back, target)
        assert heard_only(system, talk.customer, "music", back_s), system.listening.described()
        back.hang_up()
        await system.dialed(AGENT, 3)
    await system.until_talk(talk.customer, target)
    assert system.longest_gap_s(target, back_s) < GAP_MAX_S
    await system.ended_by_hang_up(talk.customer, talk.session, "agent-left")


@pytest.mark.parametrize("is_taken", [True, False], ids=["taken", "not taken"])
async def test_agent_whose_page_reloaded_while_redis_was_away_is_rung(system, is_taken):
    await has_desk(system)
    talk, copy = await conferenced(system)
    system.sandbox.phone(AGENT).script_in_turn(answers() if is_taken else rings())
    talk.agent.hang_up()
    back = await system.dialed(AGENT, 2)
    if is_taken:
        await system.until_talk(talk.customer, back)
    await comes_back(system, talk.session, copy)
    if not is_taken:
        back.answer()
    await system.until_talk(talk.customer, back)
    await stays(system)
    await system.until_talk(talk.customer, back)
    assert system.dials_to(AGENT) == 1  # by REST: the first leg was a bridge's
    await system.ended_by_command(talk.session)


# ---- other transfers, and a call that waits --------------------------------------------------------------------------


async def test_three_of_a_lost_warm_transfer_talk_on(system):
    talk, copy = await conferenced(system)
    system.answered_by(TARGET)
    await system.done("transfer", talk.session, to=TARGET, mode="warm")
    target = await system.dialed(TARGET)
    back_s = await comes_back(system, talk.session, copy)
    await stays(system)
    everyone = (talk.customer, talk.agent, target)
    for call in everyone:
        assert system.listening.whats(call, back_s) == [frozenset(one.sid for one in everyone if one != call)]
    talk.agent.hang_up()
    await system.until_talk(talk.customer, target)
    await system.ended_by_hang_up(talk.customer, talk.session, "agent-left")


@pytest.mark.system(CONFERRAL_INBOUND_FALLBACK=CAROL)
@pytest.mark.parametrize("when", ["rings", "answers away", "talks"])
async def test_customer_of_a_lost_blind_transfer_talks_to_the_target_then_goes_to_the_fallback(system, when):
    talk, copy = await conferenced(system)
    system.answered_by(CAROL)
    command_id, target = await transfer_rings(system, talk.session, "blind")
    if when == "talks":
        target.answer()
        assert (await system.result_of(command_id)).status == "done"
    elif when == "answers away":
        system.sandbox.faults.lose_callbacks("*", count=1_000)
        target.answer()
        await system.sandbox.wait_until(lambda: target.status == "in-progress", 10)
    back_s = await comes_back(system, talk.session, copy)
    if when == "rings":
        target.answer()
    await system.until_talk(talk.customer, target)
    await stays(system)
    target.hang_up()
    carol = await system.dialed(CAROL)
    await system.until_talk(talk.customer, carol)
    assert system.dials_to(TARGET) == system.dials_to(CAROL) == 1
    assert system.longest_gap_s(talk.customer, back_s) < GAP_MAX_S
    await system.ended_by_hang_up(talk.customer, talk.session, "customer-left")


@pytest.mark.system(CONFERRAL_INBOUND_FALLBACK=CAROL)
async def test_customer_of_a_lost_blind_transfer_whom_no_one_answers_goes_to_the_fallback(system):
    talk, copy = await conferenced(system)
    system.answered_by(CAROL)
    _, target = await transfer_rings(system, talk.session, "blind")
    await comes_back(system, talk.session, copy)
    target.reject()
    carol = await system.dialed(CAROL)
    await system.until_talk(talk.customer, carol)
    assert system.dials_to(TARGET) == 1
    await system.ended_by_hang_up(talk.customer, talk.session, "customer-left")


@pytest.mark.parametrize("direction, fallback", [("inbound", CAROL), ("inbound", "end"), ("outbound", CAROL)])
async def test_customer_whose_park_was_lost_is_not_hung_up_without_the_fallback(redis_server, direction, fallback):
    settings = {"CONFERRAL_SWEEP_INTERVAL": 600, "CONFERRAL_INBOUND_FALLBACK": fallback}
    async with LocalSystem(redis_server.url, **settings) as system:
        talk, copy = await conferenced(system, direction)
        await system.done("park", talk.session)
        system.answered_by(CAROL)
        back_s = await comes_back(system, talk.session, copy)
        if (direction, fallback) == ("inbound", CAROL):
            await system.until_talk(talk.customer, await system.dialed(CAROL))
            await system.ended_by_hang_up(talk.customer, talk.session, "customer-left")
        else:
            await system.everyone_is_gone(talk.session, "agent-left")
            assert system.sounds(talk.customer, back_s)[-1] == SORRY
        assert system.listening.seconds(talk.customer, "music", back_s) >= LONE_S - 1
        assert system.longest_gap_s(talk.customer, back_s) < GAP_MAX_S


@pytest.mark.parametrize("is_taken", [True, False], ids=["taken", "rings"])
async def test_caller_whom_an_agent_took_from_the_queue_is_offered_to_no_one_again(redis_server, tmp_path, is_taken):
    async with LocalSystem(redis_server.url, **queue(tmp_path, agents=(AGENT, BOB))) as system:
        await no_one_takes_calls(system)
        customer = await system.customer_calls()
        await waits(system, customer)
        copy = await copy_of(system.client)
        system.sandbox.phone(AGENT).script_in_turn(answers() if is_taken else rings())
        await is_at_desk(system, AGENT)
        alice = await system.dialed(AGENT)
        if is_taken:
            await system.until_talk(customer, alice)
        back_s = await comes_back(system, customer.sid, copy)
        if not is_taken:
            alice.answer()
        await is_at_desk(system, AGENT)
        await system.until_talk(customer, alice)
        await stays(system)
        await system.until_talk(customer, alice)
        assert (system.dials_to(AGENT), system.dials_to(BOB)) == (1, 0)
        assert system.longest_gap_s(customer, back_s) < GAP_MAX_S
        await system.ended_by_hang_up(customer, customer.sid, "customer-left")


async def test_customer_of_a_browser_call_whose_park_was_lost_hears_a_sentence(system):
    system.answered_by(TARGET)
    system.sandbox.add_application(APP, voice_url=f"{system.public_url}/voice/client")
    caller = await system.sandbox.call_from_browser("bea", TARGET, {})
    target = await system.dialed(TARGET)
    await system.until_talk(caller, target)
    await system.eventually(system.under_way, "nothing is under way", equals=0)
    copy = await copy_of(system.client)
    await system.done("park", caller.sid)
    back_s = await comes_back(system, caller.sid, copy)
    await system.everyone_is_gone(caller.sid, "agent-left")
    *before, last = system.sounds(target, back_s)
    assert ({*before}, last) == ({"music"}, SORRY)


# ---- a mute, and a supervisor ----------------------------------------------------------------------------------------


async def test_agent_whose_mute_was_lost_stays_muted(system):
    talk, copy = await conferenced(system)
    await system.done("mute", talk.session, party="agent")
    back_s = await comes_back(system, talk.session, copy)
    await stays(system)
    assert system.listening.never_heard(talk.customer, talk.agent, back_s)
    await system.done("unmute", talk.session, party="agent")
    await system.until_talk(talk.customer, talk.agent)
    await system.ended_by_command(talk.session)


async def test_agent_whose_unmute_was_lost_is_heard(system):
    talk, _ = await conferenced(system)
    await system.done("mute", talk.session, party="agent")
    copy = await copy_of(system.client)
    await system.done("unmute", talk.session, party="agent")
    back_s = await comes_back(system, talk.session, copy)
    await stays(system)
    assert system.listening.whats(talk.customer, back_s) == [frozenset({talk.agent.sid})]
    await system.ended_by_command(talk.session)


async def test_supervisor_whom_redis_lost_is_heard_by_no_one(system):
    talk, copy = await conferenced(system)
    system.answered_by(CAROL)
    await system.done("supervise", talk.session, to=CAROL, mode="monitor")
    carol = await system.dialed(CAROL)
    back_s = await comes_back(system, talk.session, copy)
    await stays(system)
    for call in (talk.customer, talk.agent):
        assert system.listening.never_heard(call, carol, back_s)
    assert (await system.session(talk.session))["party.supervisor.supervises"] == "monitor"
    await system.done("supervise", talk.session, to=CAROL, mode="barge")
    await system.until_hears(talk.customer, [talk.agent, carol])
    await system.ended_by_command(talk.session)
