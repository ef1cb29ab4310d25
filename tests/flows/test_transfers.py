"""Transfers that fail, are cancelled, or follow each other; `test_drawn_flows.py` plays those that go well."""

import pytest

from tests.flows.flow_helpers import CAROL, SECOND, TARGET
from tests.flows.three_party_call import (
    STARTS,
    ThreePartyCall,
    dials,
    held,
    joined_by_target,
    parties,
    published,
    two,
)
from tests.support.phones import busy, refuses, rings, unreachable

pytestmark = pytest.mark.redis


async def talk_again(trio: ThreePartyCall, mode: str) -> None:
    """Customer and agent go on as before the transfer, and leaving ends the conference again."""
    ends = {f"party.{name}.end_on_exit": "true" for name in ("customer", "agent")}
    session = await trio.until(state="conferenced", phase="connected", **ends)
    assert not held(session)
    await trio.talk("customer", "agent")
    assert mode == "warm" or trio.kept_apart(), trio.heard()
    assert trio.customer_was_never_in_silence(), trio.heard()


@pytest.mark.parametrize("start", STARTS)
async def test_cancel_while_it_rings_stops_the_phone_before_the_customer_is_let_back(system, start):
    trio = await dials(await two(system, start), "consult", rings())
    await trio.until(transfer_status="ringing")
    await trio.done("cancel")
    await system.has_failed(trio.transfer_id, "cancelled")
    assert trio["target"].status in ("canceled", "completed", "no-answer")
    session = await trio.until(transfer_status="cancelled")
    assert session["transfer.reason"] == "command"
    assert trio.asked()[-2:] == ["hang up target", "unhold customer"]
    await talk_again(trio, "consult")
    await trio.ended_by_hang_up("agent", "agent-left")


@pytest.mark.parametrize("mode, start, script, reason", [
    ("consult", "bridged",     busy(),        "busy"),
    ("consult", "conferenced", refuses(),     "rejected"),
    ("warm",    "bridged",     unreachable(), "failed"),
    ("warm",    "conferenced", busy(),        "busy"),
])  # fmt: skip
async def test_customer_hears_the_agent_again_when_the_target_is_not_reached(system, mode, start, script, reason):
    trio = await two(system, start)
    system.sandbox.phone(TARGET).script_in_turn(script)
    await system.failed(reason, "transfer", trio.id, to=TARGET, mode=mode)
    (trio.people["target"],) = system.sandbox.calls_of(TARGET)
    session = await trio.until(transfer_status="failed", transfer_reason=reason, state="conferenced")
    assert parties(session)["target"] == ("target-1", "left")
    await talk_again(trio, mode)
    # It can be tried again, and the label is a new one.
    await joined_by_target(trio, mode)
    await trio.done("complete")
    session = await trio.session()
    assert parties(session)["agent"] == ("target-2", "connected")
    await trio.ended_by_hang_up("target", "agent-left")


async def test_call_is_handed_on_three_times_in_a_row(system):
    trio = await two(system)
    legs = [trio["agent"]]
    for number, address in enumerate((TARGET, SECOND, CAROL), start=1):
        system.answered_by(address)
        await trio.done("transfer", to=address, mode=("warm", "consult", "warm")[number - 1])
        legs.append(await system.dialed(address))
        trio.people |= {"agent": legs[-2], "target": legs[-1]}
        await trio.done("complete")
        await trio.talk("customer", "target")
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
    entries = await published(system, 4)
    results = [(entry["kind"], entry["result"]) for entry in entries]
    assert results == [*[("transfer", "completed")] * 3, ("session", "ended")]
    assert len({entry["id"] for entry in entries}) == 4, "each has an id of its own"
