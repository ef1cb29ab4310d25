"""A party hangs up during a transfer: who is disconnected, and who continues with whom.

Exploration lets everyone hang up at every other step, too.
"""

import pytest

from tests.flows.flow_helpers import TARGET
from tests.flows.three_party_call import PHASES, ThreePartyCall, held, parties, published, reached

pytestmark = pytest.mark.redis

EVERYWHERE = [(mode, phase) for mode, phases in PHASES.items() for phase in phases]
AFTER_ANSWER = [(mode, phase) for mode, phase in EVERYWHERE if phase != "ringing"]


async def is_reported(trio: ThreePartyCall, status: str, reason: str = "") -> None:
    """The transfer's sender gets this outcome if the transfer was unfinished."""
    if trio.transfer_id:
        outcome = await trio.system.result_of(trio.transfer_id)
        assert (outcome.status, outcome.reason) == (status, reason)


async def outcome_is_published(trio: ThreePartyCall, result: str, reason: str) -> None:
    entries = [entry for entry in await published(trio.system, 1) if entry["kind"] == "transfer"]
    assert [(entry["result"], entry["reason"], entry["to"]) for entry in entries] == [(result, reason, TARGET)]


@pytest.mark.parametrize("mode, phase", EVERYWHERE)
async def test_everyone_is_hung_up_when_the_customer_hangs_up(system, mode, phase):
    trio = await reached(system, mode, phase)
    trio["customer"].hang_up()
    session = await system.everyone_is_gone(trio.id, "customer-left")
    # If all three talked, the target had the customer.
    all_talked = (mode, phase) in (("warm", "talking"), ("consult", "merged"))
    result, reason = ("completed", "") if all_talked else ("failed", "customer-left")
    assert (session["transfer.status"], session["transfer.reason"]) == (result, reason)
    await is_reported(trio, "done" if result == "completed" else "failed", reason)
    await outcome_is_published(trio, result, reason)
    assert system.dials_to(TARGET) == 1


@pytest.mark.parametrize("mode", PHASES)
async def test_agent_who_hangs_up_before_the_answer_leaves_the_customer_with_ringback(system, mode):
    trio = await reached(system, mode, "ringing")
    trio["agent"].hang_up()
    session = await trio.until(phase="blind", transfer_status="ringing")
    # A party on hold may hear the music to its end before the ringing.
    sounds = {"music", "ringback"} if mode == "consult" else {"ringback"}
    await system.eventually(lambda: system.listening.hears(trio["customer"]) in sounds, "the customer hears what waits")
    assert held(session) <= {"customer"}
    trio["target"].answer()
    await trio.talk("customer", "target")
    await is_handed_over(trio)
    await is_reported(trio, "done")
    assert trio.customer_was_never_in_silence(), trio.heard()
    await trio.ended_by_hang_up("target", "agent-left")


@pytest.mark.parametrize("mode, phase", AFTER_ANSWER)
async def test_agent_who_hangs_up_after_the_answer_hands_over(system, mode, phase):
    trio = await reached(system, mode, phase)
    trio["agent"].hang_up()
    await trio.talk("customer", "target")
    await is_handed_over(trio)
    assert trio.customer_was_never_in_silence(), trio.heard()
    await trio.ended_by_hang_up("customer", "customer-left")


async def is_handed_over(trio: ThreePartyCall) -> None:
    session = await trio.until(state="conferenced", transfer_status="completed")
    assert not held(session)
    everyone = parties(session)
    assert everyone["agent"] == ("target-1", "connected")
    assert everyone["agent-1"][1] == "left"
    assert trio.system.dials_to(TARGET) == 1
    await outcome_is_published(trio, "completed", "")


@pytest.mark.parametrize("mode, phase", AFTER_ANSWER)
async def test_target_who_hangs_up_gives_the_customer_back_to_the_agent(system, mode, phase):
    trio = await reached(system, mode, phase)
    trio["target"].hang_up()
    session = await trio.until(state="conferenced", transfer_status="cancelled", transfer_reason="target-left")
    assert not held(session)
    await trio.talk("customer", "agent")
    assert trio.customer_was_never_in_silence(), trio.heard()
    await outcome_is_published(trio, "cancelled", "target-left")
    await trio.ended_by_hang_up("agent", "agent-left")
