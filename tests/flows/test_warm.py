"""Warm transfers: all three talk until the agent leaves, and the customer hears someone all the time."""

import pytest

from tests.flows.flow_helpers import CAROL, SECOND, TARGET
from tests.flows.three_party_call import (
    STARTS,
    ThreePartyCall,
    dials,
    held,
    parties,
    published,
    three,
    two,
)
from tests.support.phones import answers, busy, refuses, rings, unreachable

pytestmark = pytest.mark.redis

#: The requests before the dial, by where the call was. A bridged agent never had EndConferenceOnExit.
BEFORE_DIAL = {"bridged": ["move agent"], "conferenced": ["move agent", "free agent"]}


async def talk_on(trio: ThreePartyCall, **transfer: str) -> None:
    """Customer and agent continue as before the transfer, which has this status; leaving ends the conference again."""
    fields = {f"transfer.{name}": value for name, value in transfer.items()}
    ends = {f"party.{name}.end_on_exit": "true" for name in ("customer", "agent")}
    session = await trio.until(state="conferenced", phase="", **fields, **ends)
    assert not held(session)
    await trio.only_two_talk("customer", "agent")
    assert trio.customer_was_never_in_silence(), trio.heard()


# ---- it is taken, and the agent leaves ---------------------------------------------------------------------------


@pytest.mark.parametrize("leaver, reason", [("target", "agent-left"), ("customer", "customer-left")])
@pytest.mark.parametrize("start", STARTS)
async def test_warm_transfer_is_completed_and_the_call_ends_when_either_leaves(system, start, leaver, reason):
    trio = await three(system, "warm", start)
    await trio.all_talk()
    assert trio.asked() == [*BEFORE_DIAL[start], "dial target"]
    session = await trio.until(transfer_status="merged")
    assert (session["state"], session["phase"], session["transfer.mode"]) == ("transferring", "warm", "warm")
    assert not held(session)

    await trio.done("complete")
    await system.rejected("no transfer is in progress; allowed now: ", "complete", trio.id)
    await trio.only_two_talk("customer", "target")
    assert trio.agent.status == "completed"
    assert trio.asked() == [*BEFORE_DIAL[start], "dial target", "hang up agent"]
    session = await trio.until(**{"party.agent.end_on_exit": "true"})
    assert (session["state"], session["phase"], session["transfer.status"]) == ("conferenced", "", "completed")
    assert parties(session) == {
        "customer": ("customer-1", "connected"),
        "agent": ("target-1", "connected"),
        "agent-1": ("agent-1", "left"),
    }
    assert session["party.agent.address"] == TARGET
    assert trio.customer_was_never_in_silence(), trio.heard()
    assert system.dials_to(TARGET) == 1

    await trio.ended_by_hang_up(getattr(trio, leaver), reason)
    entries = [(entry["kind"], entry["result"], entry["reason"]) for entry in await published(system, 2)]
    assert entries == [("transfer", "completed", ""), ("session", "ended", reason)]


async def test_both_hear_the_phone_ring(system):
    trio = await dials(await two(system), "warm", rings())
    # Early media: the ringing is heard next to the voices.
    await trio.until(transfer_status="ringing")
    await trio.hear(customer=[trio.agent, "ringing"], agent=[trio.customer, "ringing"])
    await system.ended_by_command(trio.id)


async def test_complete_while_it_rings_lets_the_agent_go_and_the_customer_hears_ringback_until_the_answer(system):
    trio = await dials(await two(system), "warm", rings())
    await trio.until(transfer_status="ringing")
    await trio.done("complete")
    await trio.hear(customer="ringback")
    assert trio.agent.status == "completed"
    assert trio.asked()[-2:] == ["hold customer", "hang up agent"]
    await trio.until(state="transferring", phase="blind")
    trio.target.answer()
    assert (await system.outcome_of(trio.transfer_id)).status == "done"
    await trio.only_two_talk("customer", "target")
    session = await trio.until(state="conferenced", transfer_status="completed")
    assert not held(session)
    assert trio.customer_was_never_in_silence(), trio.heard()
    assert system.dials_to(TARGET) == 1
    await trio.ended_by_hang_up(trio.target, "agent-left")


# ---- no one takes it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("script, reason", [
    (busy(),        "busy"),
    (refuses(),     "rejected"),
    (unreachable(), "failed"),
], ids=["busy", "refuses", "unreachable"])  # fmt: skip
async def test_customer_and_agent_talk_on_when_the_target_is_not_reached(system, start, script, reason):
    trio = await two(system, start)
    system.sandbox.phone(TARGET).script_in_turn(script)
    await system.failed(reason, "transfer", trio.id, to=TARGET, mode="warm")
    await talk_on(trio, status="failed", reason=reason)
    await trio.ended_by_hang_up(trio.agent, "agent-left")


@pytest.mark.parametrize("answered", [False, True], ids=["ringing", "talking"])
async def test_cancel_lets_the_target_go_and_the_two_talk_on(system, answered):
    trio = await dials(await two(system), "warm", answers() if answered else rings())
    await trio.until(transfer_status="merged" if answered else "ringing")
    await trio.done("cancel")
    assert trio.asked()[-1] == "hang up target"
    assert trio.target.status not in ("ringing", "in-progress")
    outcome = await system.outcome_of(trio.transfer_id)
    assert outcome.status == ("done" if answered else "failed")
    await talk_on(trio, status="cancelled", reason="command")
    await trio.ended_by_hang_up(trio.agent, "agent-left")


# ---- one after the other -----------------------------------------------------------------------------------------


async def test_call_is_handed_on_three_times_in_a_row(system):
    trio = await two(system)
    legs = [trio.agent]
    for number, address in enumerate((TARGET, SECOND, CAROL), start=1):
        system.answered_by(address)
        await trio.done("transfer", to=address, mode=("warm", "consult", "warm")[number - 1])
        legs.append(await system.dialed(address))
        trio.agent, trio.target = legs[-2:]
        await trio.done("complete")
        await trio.only_two_talk("customer", "target")
    session = await trio.until(**{"party.agent.end_on_exit": "true"})
    assert parties(session) == {
        "customer": ("customer-1", "connected"),
        "agent-1": ("agent-1", "left"),
        "agent-2": ("target-1", "left"),
        "agent-3": ("target-2", "left"),
        "agent": ("target-3", "connected"),
    }
    assert session["party.agent.address"] == CAROL
    assert session["transfer.to"] == CAROL
    assert trio.customer_was_never_in_silence(), trio.heard()
    # A session is found by any of its calls, those of agents who have left too.
    await system.rejected("no transfer is in progress; allowed now: ", "cancel", legs[1].sid)
    legs[-1].hang_up()
    await system.everyone_is_gone(trio.id, "agent-left")
    entries = [(entry["kind"], entry["result"]) for entry in await published(system, 4)]
    assert entries == [*[("transfer", "completed")] * 3, ("session", "ended")]
