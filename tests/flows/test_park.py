"""Parked calls: the customer waits with music and no one else, until someone retrieves the call."""

from itertools import groupby
from typing import Any

import pytest

from offhook import CallHandle
from tests.flows.flow_helpers import GAP_MAX_S, SECOND, TARGET, Talk, talking
from tests.support.local_system import AGENT, LocalSystem
from tests.support.phones import answers, busy, presses, refuses, rings, voicemail

pytestmark = pytest.mark.redis


async def parked(system: LocalSystem) -> Talk:
    """A call that the agent has parked: the customer hears music, the agent's call is over."""
    talk = await talking(system)
    await system.done("park", talk.session)
    await is_parked(system, talk)
    return talk


async def is_parked(system: LocalSystem, talk: Talk) -> dict[str, str]:
    session = await system.until(talk.session, state="conferenced", phase="parked")
    await system.until_hears(talk.customer, "music")
    assert session["party.agent.status"] == "left"
    assert talk.customer.status == "in-progress"
    return session


def heard_audio(system: LocalSystem, call: CallHandle, since_s: float | None = None) -> list[Any]:
    """What a party has heard; looped audio counts once."""
    return [what for what, _ in groupby(system.sounds(call, since_s))]


async def transfers(system: LocalSystem) -> list[tuple[str, str, str, str]]:
    """The published outcomes of parking, of each retrieve, and of each recall."""
    published = [entry for entry in await system.outcomes() if entry["kind"] == "transfer"]
    return [(entry["mode"], entry["to"], entry["result"], entry["reason"]) for entry in published]


async def customer_leaves(system: LocalSystem, talk: Talk) -> None:
    """The customer hangs up, the other party is disconnected, and nothing is left."""
    await system.ended_by_hang_up(talk.customer, talk.session, "customer-left")


# ---- retrieve ----------------------------------------------------------------------------------------------------


async def test_call_is_parked_and_retrieved_repeatedly_also_by_the_parking_agent(system):
    talk = await parked(system)
    labels = [(await system.session(talk.session))["party.agent.label"]]
    for time, address in enumerate((AGENT, TARGET, AGENT), start=2):
        system.answered_by(address)
        await system.done("retrieve", talk.session, to=address)
        leg = await system.leg(talk.session, "agent")
        await system.until_hears(talk.customer, [leg])
        session = await system.session(talk.session)
        assert session["party.agent.address"] == address
        labels.append(session["party.agent.label"])
        if time < 4:
            await system.done("park", talk.session)
            await is_parked(system, talk)

    async def modes():
        return [mode for mode, _, _, _ in await transfers(system)]

    await system.eventually(modes, "each transfer has an outcome", equals=["park", "retrieve"] * 3)
    assert len(set(labels)) == 4, labels
    former = {name: session[f"party.{name}.address"] for name in ("agent-1", "agent-2", "agent-3")}
    assert former == {"agent-1": AGENT, "agent-2": AGENT, "agent-3": TARGET}
    assert {session[f"party.{name}.status"] for name in former} == {"left"}
    await customer_leaves(system, talk)


@pytest.mark.system(speed=20)
async def test_retrieving_agent_hears_the_brief_and_confirms_before_the_customer_hears_them(system):
    talk = await parked(system)
    system.sandbox.phone(TARGET).script_in_turn(presses("1", key_after_s=8))
    await system.done("retrieve", talk.session, to=TARGET, brief="Order 7.", confirm="true", digits="ww12")
    leg = await system.dialed(TARGET)
    await system.until_hears(talk.customer, [leg])
    assert heard_audio(system, leg)[:-1] == ["said Order 7.", "said 1 to accept, 2 to decline."], heard_audio(
        system, leg
    )
    (dial,) = system.dial_requests(TARGET)
    assert dial.get("SendDigits") == "ww12"
    await customer_leaves(system, talk)


FAILURES = [
    (busy(), {}, "busy"),
    (rings(), {"timeout": "5"}, "no-answer"),
    (voicemail(), {"confirm": "true"}, "no-confirmation"),
    (answers(hangs_up_after_s=0.5), {"brief": "It is a long story that nobody wants to hear."}, "hung-up"),
]


@pytest.mark.parametrize(
    "script, fields, reason", FAILURES,
    ids=["busy", "no-answer", "voicemail", "hung-up"],
)  # fmt: skip
@pytest.mark.system(speed=20)
async def test_retrieve_that_fails_leaves_the_call_parked(system, script, fields, reason):
    talk = await parked(system)
    since_s = system.listening.now()
    system.sandbox.phone(TARGET).script_in_turn(script, answers())
    parked_until = (await system.session(talk.session))["parked_until"]
    await system.failed(reason, "retrieve", talk.session, to=TARGET, **fields)
    session = await is_parked(system, talk)
    assert session["parked_until"] == parked_until, "and for no longer"
    assert (session["transfer.status"], session["transfer.reason"]) == ("failed", reason)
    assert heard_audio(system, talk.customer, since_s) == ["music"], system.listening.described()
    assert (await transfers(system))[1:] == [("retrieve", TARGET, "failed", reason)]
    await system.done("retrieve", talk.session, to=TARGET)
    await system.until_hears(talk.customer, [await system.dialed(TARGET, 2)])
    assert system.longest_gap_s(talk.customer, since_s) < GAP_MAX_S
    await customer_leaves(system, talk)


async def test_one_of_two_concurrent_retrieves_is_carried_out(system):
    talk = await parked(system)
    system.not_answered_by(TARGET)
    first = await system.begins("retrieve", talk.session, to=TARGET)
    await system.rejected("another transfer is in progress; allowed now: ", "retrieve", talk.session, to=SECOND)
    (await system.dialed(TARGET)).answer()
    assert (await system.result_of(first)).status == "done"
    await system.rejected("the call is not parked; allowed now: ", "retrieve", talk.session, to=SECOND)
    assert (system.dials_to(TARGET), system.dials_to(SECOND)) == (1, 0)
    await customer_leaves(system, talk)


# ---- no one takes it up ------------------------------------------------------------------------------------------

#: Calls go back soon; sentences take time, so the local Twilio's clock runs faster.
SHORT = {"speed": 20, "CONFERRAL_PARK_TIMEOUT": 0.5, "CONFERRAL_RING_TIMEOUT": 20}
COMING_BACK = "said The call you parked is coming back to you. No one picked it up."
SORRY = "said We are sorry, but we could not connect you. Please try again later. Goodbye."


@pytest.mark.system(**SHORT)
async def test_parked_call_returns_to_the_parking_agent_who_hears_why(system):
    talk = await parked(system)
    since_s = system.listening.now()
    back = await system.dialed(AGENT, 2)
    await system.until_talk(talk.customer, back)
    assert system.sounds(back) == [COMING_BACK, frozenset({talk.customer.sid})]
    assert heard_audio(system, talk.customer, since_s) == ["music", frozenset({back.sid})]
    assert system.longest_gap_s(talk.customer, since_s) < GAP_MAX_S
    session = await system.until(talk.session, state="conferenced", phase="connected")
    assert session["party.agent.call_sid"] == back.sid
    assert await transfers(system) == [("park", "", "completed", ""), ("park", AGENT, "recalled", "park-timeout")]
    await system.ended_by_hang_up(back, talk.session, "agent-left")


@pytest.mark.system(**SHORT)
async def test_agent_who_does_not_take_it_back_is_rung_twice_then_it_ends_with_a_sentence(system):
    system.agent_phone.script_in_turn(answers(), busy(), refuses())
    talk = await parked(system)
    since_s = system.listening.now()
    ended = await system.everyone_is_gone(talk.session, "recall-failed")
    assert ended["transfer.reason"] == "park-timeout, recall busy, recall rejected"
    assert system.sandbox.request_log.dials_to(AGENT) == 3
    assert heard_audio(system, talk.customer, since_s) == ["music", SORRY], system.listening.described()
    assert system.longest_gap_s(talk.customer, since_s) < GAP_MAX_S


@pytest.mark.system(**SHORT, CONFERRAL_TRANSFER_FALLBACK=SECOND)
async def test_fallback_gets_the_parked_call_where_configured(system):
    system.answered_by(SECOND)
    talk = await parked(system)
    second = await system.dialed(SECOND)
    await system.until_talk(talk.customer, second)
    session = await system.until(talk.session, state="conferenced", phase="connected")
    assert session["party.agent.call_sid"] == second.sid
    assert system.sandbox.request_log.dials_to(AGENT) == 1
    assert (await transfers(system))[1][2:] == ("failed", "park-timeout, fallback answered")
    await customer_leaves(system, talk)
