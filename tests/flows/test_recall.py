"""What follows a blind transfer that no one takes: the agent is rung again, someone else is, or a sentence is said.

Sentences take time, so the local Twilio's clock runs faster here.
"""

import json

import msgspec
import pytest

from tests.flows.flow_helpers import GAP_MAX_S, SECOND, TARGET, talking
from tests.support.local_system import AGENT, LocalSystem
from tests.support.phones import answers, busy, refuses, rings, unreachable, voicemail

#: A second of real time, so that an answer comes in time on a busy machine, too.
QUICK = {"speed": 20, "CONFERRAL_RING_TIMEOUT": 20}
pytestmark = [pytest.mark.redis, pytest.mark.system(**QUICK)]

SORRY = "said We are sorry, but we could not connect you. Please try again later. Goodbye."
COMING_BACK = "said Your call is coming back to you. "


async def fails(system, talk, reason):
    """A blind transfer fails so; who does not answer is not waited for for long."""
    # A quarter of a second of real time, which a busy machine may pass over: others shall fail before it is up.
    timeout = "5" if reason == "no-answer" else "60"
    await system.failed(reason, "transfer", talk.session, to=TARGET, mode="blind", timeout=timeout)


@pytest.mark.parametrize("script, reason, expected", [
    (busy(),        "busy",      "The other line is busy."),
    (refuses(),     "rejected",  "It was declined."),
    (rings(),       "no-answer", "Nobody has answered."),
    (unreachable(), "failed",    "The transfer has failed."),
], ids=["busy", "refused", "no-answer", "unreachable"])  # fmt: skip
async def test_recalled_agent_hears_the_reason_while_the_customer_waits(system, script, reason, expected):
    talk = await talking(system)
    system.sandbox.phone(TARGET).script_in_turn(script)
    began_s = system.listening.now()
    await fails(system, talk, reason)

    session = await system.until(talk.session, state="conferenced")
    back = await system.leg(talk.session, "agent")
    assert back.sid != talk.agent.sid
    assert session["party.agent.address"] == AGENT
    assert (session["transfer.status"], session["transfer.reason"]) == ("failed", reason)
    await system.until_talk(talk.customer, back)
    system.listening.name(back=back)
    assert system.sounds(back) == [f"{COMING_BACK}{expected}", frozenset({talk.customer.sid})]
    first, *waiting, last = system.sounds(talk.customer, began_s)
    assert (first, last) == (frozenset({talk.agent.sid}), frozenset({back.sid})), system.listening.described()
    assert set(waiting) <= {"ringback", "music"}
    assert system.longest_gap_s(talk.customer, began_s) < GAP_MAX_S
    assert (system.dials_to(TARGET), system.sandbox.request_log.dials_to(AGENT)) == (1, 2)

    await system.ended_by_hang_up(talk.customer, talk.session, "customer-left")
    transfer = (await system.outcomes())[0]
    assert (transfer["result"], transfer["reason"]) == ("recalled", reason)
    ended = (await system.outcomes())[-1]
    assert [(one["address"], one["holds"]) for one in msgspec.json.decode(ended["agents"])] == [(AGENT, 0)]


@pytest.mark.parametrize("fault, reason", [("late", "rejected"), ("lost", "busy")])
async def test_call_status_distinguishes_a_refusal_from_busy_regardless_of_the_conference(system, fault, reason):
    """To the conference both are busy. Twilio says the same of the call where it has to be asked."""
    talk = await talking(system)
    system.sandbox.phone(TARGET).script_in_turn(refuses())
    if fault == "late":
        system.sandbox.faults.delay_callbacks("completed", 0.1, To=TARGET)
    else:
        system.sandbox.faults.lose_callbacks("completed", To=TARGET)
    await fails(system, talk, reason)
    assert not system.sandbox.faults.pending_faults()
    await system.until(talk.session, state="conferenced")
    await system.ended_by_hang_up(talk.customer, talk.session, "customer-left")


async def test_agent_who_is_busy_once_is_rung_a_second_time_and_the_customer_hears_music_in_the_pause(system):
    talk = await talking(system)
    system.sandbox.phone(TARGET).script_in_turn(busy())
    system.agent_phone.script_in_turn(busy(), answers())
    began_s = system.listening.now()
    await fails(system, talk, "busy")
    await system.until_hears(talk.customer, "music")
    session = await system.until(talk.session, state="conferenced")
    back = await system.leg(talk.session, "agent")
    await system.until_hears(talk.customer, [back])
    assert session["transfer.reason"] == "busy, recall busy"
    assert system.sandbox.request_log.dials_to(AGENT) == 3
    assert system.longest_gap_s(talk.customer, began_s) < GAP_MAX_S

    await system.ended_by_hang_up(back, talk.session, "agent-left")
    transfer = (await system.outcomes())[0]
    assert (transfer["mode"], transfer["to"]) == ("blind", TARGET)
    assert (transfer["result"], transfer["reason"]) == ("recalled", "busy, recall busy")
    attempts = [(one["label"].rpartition("-")[0], one["to"], one["result"]) for one in json.loads(transfer["attempts"])]
    assert attempts == [("target", TARGET, "busy"), ("agent", AGENT, "busy"), ("agent", AGENT, "answered")]


@pytest.mark.parametrize("first, second, why", [
    (busy(),        busy(),  "recall busy, recall busy"),
    (refuses(),     busy(),  "recall rejected, recall busy"),
    (unreachable(), busy(),  "recall failed, recall busy"),
], ids=["busy", "refused-then-busy", "unreachable-then-busy"])  # fmt: skip
async def test_customer_hears_why_and_is_hung_up_when_the_recalled_agent_is_not_reached(system, first, second, why):
    talk = await talking(system)
    system.sandbox.phone(TARGET).script_in_turn(busy())
    system.agent_phone.script_in_turn(first, second)
    began_s = system.listening.now()
    await fails(system, talk, "busy")
    ended = await system.everyone_is_gone(talk.session, "recall-failed")
    assert (ended["transfer.status"], ended["transfer.reason"]) == ("failed", f"busy, {why}")
    assert system.sounds(talk.customer, began_s)[-1] == SORRY
    assert system.longest_gap_s(talk.customer, began_s) < GAP_MAX_S
    assert system.sandbox.request_log.dials_to(AGENT) == 3
    results = [(published["kind"], published["result"], published["reason"]) for published in await system.outcomes()]
    assert results == [("transfer", "failed", f"busy, {why}"), ("session", "ended", "recall-failed")]


# ---- the agent's voicemail -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("confirm", ["asked", "phones"])
async def test_voicemail_answering_for_the_agent_gets_the_customer_only_without_confirmation(redis_server, confirm):
    async with LocalSystem(redis_server.url, **QUICK, CONFERRAL_CONFIRM=confirm, CONFERRAL_AGENT=SECOND) as system:
        system.sandbox.phone(SECOND).script_in_turn(answers(), voicemail())
        talk = await talking(system)
        system.sandbox.phone(TARGET).script_in_turn(busy())
        await fails(system, talk, "busy")
        machine = await system.dialed(SECOND, 2)
        if confirm == "asked":
            await system.until_hears(talk.customer, [machine])
            await system.ended_by_hang_up(talk.customer, talk.session, "customer-left")
        else:
            ended = await system.everyone_is_gone(talk.session, "recall-failed")
            assert ended["transfer.reason"] == "busy, recall no-confirmation, recall no-confirmation"
            assert system.listening.never_heard(talk.customer, machine)


# ---- someone else is tried, or no one -------------------------------------------------------------------------------


@pytest.mark.system(**QUICK, CONFERRAL_TRANSFER_FALLBACK=SECOND)
async def test_fallback_destination_that_is_not_reached_either_ends_it_with_a_sentence(system):
    talk = await talking(system)
    system.not_answered_by(TARGET)
    system.sandbox.phone(SECOND).script_in_turn(refuses())
    began_s = system.listening.now()
    await fails(system, talk, "no-answer")
    ended = await system.everyone_is_gone(talk.session, "fallback-failed")
    assert ended["transfer.reason"] == "no-answer, fallback rejected"
    assert system.sounds(talk.customer, began_s)[-1] == SORRY
    assert system.longest_gap_s(talk.customer, began_s) < GAP_MAX_S
    assert (system.dials_to(SECOND), system.sandbox.request_log.dials_to(AGENT)) == (1, 1)
    transfer, session = await system.outcomes()
    assert (transfer["result"], transfer["reason"]) == ("failed", "no-answer, fallback rejected")
    assert (session["kind"], session["reason"]) == ("session", "fallback-failed")
