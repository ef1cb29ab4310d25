"""What follows a blind transfer that no one takes: the agent is rung again, someone else is, or a sentence is said.

Sentences take time, so the local Twilio's clock runs faster here.
"""

import json

import pytest

from tests.flows.flow_helpers import (
    GAP_MAX_S,
    SECOND,
    TARGET,
    begins,
    dials_to,
    done,
    everyone_is_gone,
    failed,
    longest_gap_s,
    outcome_of,
    outcomes,
    rejected,
    sounds,
    talking,
    until_hears,
)
from tests.support.local_system import AGENT, LocalSystem
from tests.support.phones import answers, busy, dialed, refuses, rings, unreachable, voicemail

pytestmark = pytest.mark.redis

STARTS = pytest.mark.parametrize(
    "direction, conferenced",
    [("inbound", False), ("inbound", True), ("outbound", False), ("outbound", True)],
    ids=["inbound-bridged", "inbound-conferenced", "outbound-bridged", "outbound-conferenced"],
)
SORRY = "said We are sorry, but we could not connect you. Please try again later. Goodbye."
COMING_BACK = "said Your call is coming back to you. "
SPEED = 20


def quick_world(redis_server, **settings):
    # A second of real time, so that an answer comes in time on a busy machine, too.
    return LocalSystem(redis_server.url, speed=SPEED, CONFERRAL_RING_TIMEOUT=20, **settings)


async def fails(system, talk, reason):
    """A blind transfer fails so; who does not answer is not waited for for long."""
    # A quarter of a second of real time, which a busy machine may pass over: others shall fail before it is up.
    timeout = "5" if reason == "no-answer" else "60"
    await failed(system, reason, "transfer", talk.session, to=TARGET, mode="blind", timeout=timeout)


@pytest.fixture
async def system(redis_server):
    async with quick_world(redis_server) as system:
        yield system


@STARTS
@pytest.mark.parametrize("script, reason, expected", [
    (busy(),        "busy",      "The other line is busy."),
    (refuses(),     "rejected",  "It was declined."),
    (rings(),       "no-answer", "Nobody has answered."),
    (unreachable(), "failed",    "The transfer has failed."),
], ids=["busy", "refused", "no-answer", "unreachable"])  # fmt: skip
async def test_recalled_agent_hears_the_reason_while_the_customer_waits(
    system, direction, conferenced, script, reason, expected
):
    talk = await talking(system, direction, conferenced=conferenced)
    system.sandbox.phone(TARGET).script_in_turn(script)
    began_s = system.listening.now()
    await fails(system, talk, reason)

    session = await system.until(talk.session, state="conferenced")
    back = await system.leg(talk.session, "agent")
    assert back.sid != talk.agent.sid
    assert session["party.agent.address"] == AGENT
    assert (session["transfer.status"], session["transfer.reason"]) == ("failed", reason)
    await until_hears(system, talk.customer, [back])
    await until_hears(system, back, [talk.customer])
    system.listening.name(back=back)
    assert sounds(system, back) == [f"{COMING_BACK}{expected}", frozenset({talk.customer.sid})]
    first, *waiting, last = sounds(system, talk.customer, began_s)
    assert (first, last) == (frozenset({talk.agent.sid}), frozenset({back.sid})), system.listening.described()
    assert set(waiting) <= {"ringback", "music"}
    assert longest_gap_s(system, talk.customer, began_s) < GAP_MAX_S
    assert (dials_to(system, TARGET), system.sandbox.request_log.dials_to(AGENT)) == (1, 2)

    talk.customer.hang_up()
    await everyone_is_gone(system, talk.session, "customer-left")
    transfer = (await outcomes(system))[0]
    assert (transfer["result"], transfer["reason"]) == ("recalled", reason)


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
    assert system.sandbox.faults.pending_count() == 0
    await system.until(talk.session, state="conferenced")
    talk.customer.hang_up()
    await everyone_is_gone(system, talk.session, "customer-left")


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
async def test_target_who_leaves_before_the_customer_could_be_let_back_counts_as_not_reached(system, direction):
    """Of a conference the customer is on hold: before that is over, no one has talked to him."""
    talk = await talking(system, direction, conferenced=True)
    system.sandbox.phone(TARGET).script_in_turn(answers(hangs_up_after_s=0))
    began_s = system.listening.now()
    await fails(system, talk, "hung-up")
    await system.until(talk.session, state="conferenced")
    back = await system.leg(talk.session, "agent")
    await until_hears(system, talk.customer, [back])
    assert sounds(system, back)[0] == f"{COMING_BACK}The transfer has failed."
    assert longest_gap_s(system, talk.customer, began_s) < GAP_MAX_S
    talk.customer.hang_up()
    await everyone_is_gone(system, talk.session, "customer-left")


async def test_agent_who_is_busy_once_is_rung_a_second_time_and_the_customer_hears_music_in_the_pause(system):
    talk = await talking(system)
    system.sandbox.phone(TARGET).script_in_turn(busy())
    system.agent_phone.script_in_turn(busy(), answers())
    began_s = system.listening.now()
    await fails(system, talk, "busy")
    await until_hears(system, talk.customer, "music")
    session = await system.until(talk.session, state="conferenced")
    back = await system.leg(talk.session, "agent")
    await until_hears(system, talk.customer, [back])
    assert session["transfer.reason"] == "busy, recall busy"
    assert system.sandbox.request_log.dials_to(AGENT) == 3
    assert longest_gap_s(system, talk.customer, began_s) < GAP_MAX_S

    back.hang_up()
    await everyone_is_gone(system, talk.session, "agent-left")
    transfer = (await outcomes(system))[0]
    assert (transfer["result"], transfer["reason"]) == ("recalled", "busy, recall busy")
    assert [(one["party"], one["result"]) for one in json.loads(transfer["attempts"])] == [
        ("target", "busy"), ("agent", "busy"), ("agent", "answered"),
    ]  # fmt: skip


@STARTS
@pytest.mark.parametrize("first, second, why", [
    (busy(),        busy(),  "recall busy, recall busy"),
    (refuses(),     busy(),  "recall rejected, recall busy"),
    (unreachable(), busy(),  "recall failed, recall busy"),
], ids=["busy", "refused-then-busy", "unreachable-then-busy"])  # fmt: skip
async def test_customer_hears_why_and_is_hung_up_when_the_recalled_agent_is_not_reached(
    system, direction, conferenced, first, second, why
):
    talk = await talking(system, direction, conferenced=conferenced)
    system.sandbox.phone(TARGET).script_in_turn(busy())
    system.agent_phone.script_in_turn(first, second)
    began_s = system.listening.now()
    await fails(system, talk, "busy")
    ended = await everyone_is_gone(system, talk.session, "recall-failed")
    assert (ended["transfer.status"], ended["transfer.reason"]) == ("failed", f"busy, {why}")
    assert sounds(system, talk.customer, began_s)[-1] == SORRY
    assert longest_gap_s(system, talk.customer, began_s) < GAP_MAX_S
    assert system.sandbox.request_log.dials_to(AGENT) == 3
    results = [(published["kind"], published["result"], published["reason"]) for published in await outcomes(system)]
    assert results == [("transfer", "failed", f"busy, {why}"), ("session", "ended", "recall-failed")]


async def test_agent_who_does_not_answer_either_time_is_given_up(redis_server):
    async with LocalSystem(redis_server.url, speed=SPEED, CONFERRAL_RING_TIMEOUT=10) as system:
        talk = await talking(system)
        system.sandbox.phone(TARGET).script_in_turn(busy())
        system.agent_phone.script_in_turn(rings())
        await fails(system, talk, "busy")
        ended = await everyone_is_gone(system, talk.session, "recall-failed")
        assert ended["transfer.reason"] == "busy, recall no-answer, recall no-answer"
        assert sounds(system, talk.customer)[-2:] == ["music", SORRY]


async def test_agent_who_is_back_may_hand_the_call_over_once_more(system):
    talk = await talking(system)
    system.sandbox.phone(TARGET).script_in_turn(busy(), answers())
    await fails(system, talk, "busy")
    await system.until(talk.session, state="conferenced")
    back = await system.leg(talk.session, "agent")
    await done(system, "transfer", talk.session, to=TARGET, mode="blind")
    target = await system.leg(talk.session, "agent")
    await until_hears(system, talk.customer, [target])
    assert back.status == "completed"
    target.hang_up()
    await everyone_is_gone(system, talk.session, "agent-left")
    results = [(outcomes_seen["result"], outcomes_seen["reason"]) for outcomes_seen in await outcomes(system)]
    assert results == [("recalled", "busy"), ("completed", ""), ("ended", "agent-left")]


async def test_nothing_but_the_end_is_allowed_while_the_agent_is_rung_again(system):
    talk = await talking(system)
    system.sandbox.phone(TARGET).script_in_turn(busy())
    system.agent_phone.script_in_turn(rings())
    await fails(system, talk, "busy")
    await system.until(talk.session, phase="recall", **{"party.agent.status": "ringing"})
    for kind in ("complete", "cancel", "swap", "merge"):
        await rejected(system, "the agent has left or is leaving; allowed now: ", kind, talk.session)
    await rejected(
        system, "another transfer is in progress; allowed now: ", "transfer", talk.session, to=SECOND, mode="blind"
    )
    await done(system, "end", talk.session)
    await everyone_is_gone(system, talk.session, "command")
    assert system.sandbox.calls_of(AGENT)[-1].record.answered_at_s is None


# ---- the customer hangs up -------------------------------------------------------------------------------------------


async def while_the_agent_rings(system, talk):
    await system.until(talk.session, phase="recall", **{"party.agent.status": "ringing"})


async def while_the_agent_hears_why(system, talk):
    await until_hears(system, await dialed(system.sandbox, AGENT, 2), f"{COMING_BACK}The other line is busy.")


async def in_the_pause(system, talk):
    await system.until(talk.session, **{"transfer.reason": "busy, recall busy"})


async def during_the_last_sentence(system, talk):
    await until_hears(system, talk.customer, SORRY)


@pytest.mark.parametrize("phone, moment, reason", [
    ([rings()],         while_the_agent_rings,     "customer-left"),
    ([answers()],       while_the_agent_hears_why, "customer-left"),
    ([busy(), rings()], in_the_pause,              "customer-left"),
    ([busy()],          during_the_last_sentence,  "recall-failed"),
])  # fmt: skip
async def test_customer_who_hangs_up_meanwhile_ends_it_all(system, phone, moment, reason):
    talk = await talking(system)
    system.sandbox.phone(TARGET).script_in_turn(busy())
    system.agent_phone.script_in_turn(*phone)
    command = await begins(system, "transfer", talk.session, to=TARGET, mode="blind")
    await moment(system, talk)
    rung = system.sandbox.request_log.dials_to(AGENT)
    talk.customer.hang_up()
    assert (await outcome_of(system, command)).reason == "busy"
    await everyone_is_gone(system, talk.session, reason)
    assert system.sandbox.request_log.dials_to(AGENT) == rung
    transfer, session = await outcomes(system)
    assert (transfer["result"], session["reason"]) == ("failed", reason)


# ---- the agent's voicemail -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("confirm", ["asked", "phones"])
async def test_voicemail_answering_for_the_agent_gets_the_customer_only_without_confirmation(redis_server, confirm):
    async with quick_world(redis_server, CONFERRAL_CONFIRM=confirm, CONFERRAL_AGENT=SECOND) as system:
        system.sandbox.phone(SECOND).script_in_turn(answers(), voicemail())
        talk = await talking(system)
        system.sandbox.phone(TARGET).script_in_turn(busy())
        await fails(system, talk, "busy")
        machine = await dialed(system.sandbox, SECOND, 2)
        if confirm == "asked":
            await until_hears(system, talk.customer, [machine])
            talk.customer.hang_up()
            await everyone_is_gone(system, talk.session, "customer-left")
        else:
            ended = await everyone_is_gone(system, talk.session, "recall-failed")
            assert ended["transfer.reason"] == "busy, recall no-confirmation, recall no-confirmation"
            assert system.listening.never_heard(talk.customer, machine)


# ---- someone else is tried, or no one -------------------------------------------------------------------------------


@STARTS
async def test_fallback_destination_takes_the_call(redis_server, direction, conferenced):
    async with quick_world(redis_server, CONFERRAL_TRANSFER_FALLBACK=SECOND) as system:
        talk = await talking(system, direction, conferenced=conferenced)
        system.sandbox.phone(TARGET).script_in_turn(busy())
        system.sandbox.phone(SECOND).script_in_turn(answers(after_s=1))
        began_s = system.listening.now()
        await fails(system, talk, "busy")
        session = await system.until(talk.session, state="conferenced")
        assert session["party.agent.address"] == SECOND
        second = await system.leg(talk.session, "agent")
        await until_hears(system, talk.customer, [second])
        await until_hears(system, second, [talk.customer])
        assert longest_gap_s(system, talk.customer, began_s) < GAP_MAX_S
        assert system.sandbox.request_log.dials_to(AGENT) == 1
        second.hang_up()
        await everyone_is_gone(system, talk.session, "agent-left")
        attempts = json.loads((await outcomes(system))[0]["attempts"])
        assert [(one["to"], one["result"]) for one in attempts] == [(TARGET, "busy"), (SECOND, "answered")]


@STARTS
async def test_fallback_destination_that_is_not_reached_either_ends_it_with_a_sentence(
    redis_server, direction, conferenced
):
    async with quick_world(redis_server, CONFERRAL_TRANSFER_FALLBACK=SECOND) as system:
        talk = await talking(system, direction, conferenced=conferenced)
        system.sandbox.phone(TARGET).script_in_turn(rings())
        system.sandbox.phone(SECOND).script_in_turn(refuses())
        began_s = system.listening.now()
        await fails(system, talk, "no-answer")
        ended = await everyone_is_gone(system, talk.session, "fallback-failed")
        assert ended["transfer.reason"] == "no-answer, fallback rejected"
        assert sounds(system, talk.customer, began_s)[-1] == SORRY
        assert longest_gap_s(system, talk.customer, began_s) < GAP_MAX_S
        assert (dials_to(system, SECOND), system.sandbox.request_log.dials_to(AGENT)) == (1, 1)


@STARTS
@pytest.mark.parametrize("script, reason", [(unreachable(), "failed"), (rings(), "no-answer")], ids=["at-once", "late"])
async def test_customer_hears_a_sentence_and_is_hung_up_without_a_fallback(
    redis_server, direction, conferenced, script, reason
):
    async with quick_world(redis_server, CONFERRAL_TRANSFER_FALLBACK="end") as system:
        talk = await talking(system, direction, conferenced=conferenced)
        system.sandbox.phone(TARGET).script_in_turn(script)
        began_s = system.listening.now()
        await fails(system, talk, reason)
        ended = await everyone_is_gone(system, talk.session, "transfer-failed")
        assert ended["transfer.reason"] == reason
        assert sounds(system, talk.customer, began_s)[-1] == SORRY
        assert longest_gap_s(system, talk.customer, began_s) < GAP_MAX_S
        assert system.sandbox.request_log.dials_to(AGENT) == 1
