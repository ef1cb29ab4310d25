"""A party hangs up at any point of a transfer: who is disconnected, and who continues with whom."""

import pytest

from tests.flows.flow_helpers import TARGET
from tests.flows.three_party_call import GAP_S, LATE_S, PHASES, Halt, ThreePartyCall, held, parties, published, reached

pytestmark = pytest.mark.redis

EVERYWHERE = [(mode, phase) for mode, phases in PHASES.items() for phase in phases]
TOGETHER = ("talking", "swapped", "merged")
BEFORE_ANSWER = [(mode, phase) for mode, phase in EVERYWHERE if phase not in TOGETHER]
AFTER_ANSWER = [(mode, phase) for mode, phase in EVERYWHERE if phase in TOGETHER]


def go_on(halt: Halt | None) -> None:
    """Lets the request that was kept back take effect."""
    if halt is not None:
        halt.go()


async def is_reported(trio: ThreePartyCall, status: str, reason: str = "") -> None:
    """The transfer's sender gets this outcome if the transfer was unfinished; none is reported twice."""
    if trio.transfer_id:
        outcome = await trio.system.outcome_of(trio.transfer_id)
        assert (outcome.status, outcome.reason) == (status, reason)


async def outcome_is_published(trio: ThreePartyCall, result: str, reason: str) -> None:
    entries = [entry for entry in await published(trio.system, 1) if entry["kind"] == "transfer"]
    assert [(entry["result"], entry["reason"], entry["to"]) for entry in entries] == [(result, reason, TARGET)]


@pytest.mark.parametrize("mode, phase", EVERYWHERE)
async def test_end_hangs_up_everyone_at_any_stage_of_a_transfer(system, mode, phase):
    trio, halt = await reached(system, mode, phase)
    await trio.done("end")
    go_on(halt)
    session = await system.everyone_is_gone(trio.id, "command")
    assert (session["transfer.status"], session["transfer.reason"]) == ("cancelled", "command")
    await is_reported(trio, "failed", "command")
    await outcome_is_published(trio, "cancelled", "command")


@pytest.mark.parametrize("mode, phase", EVERYWHERE)
async def test_everyone_is_hung_up_when_the_customer_hangs_up(system, mode, phase):
    trio, halt = await reached(system, mode, phase)
    trio.customer.hang_up()
    go_on(halt)
    session = await system.everyone_is_gone(trio.id, "customer-left")
    # If all three talked, the target had the customer.
    all_talked = (mode, phase) in (("warm", "talking"), ("consult", "merged"))
    result, reason = ("completed", "") if all_talked else ("failed", "customer-left")
    assert (session["transfer.status"], session["transfer.reason"]) == (result, reason)
    await is_reported(trio, "done" if result == "completed" else "failed", reason)
    await outcome_is_published(trio, result, reason)
    # Once he is gone there is no one to dial for.
    assert system.dials_to(TARGET) == (0 if trio.target is None else 1)


@pytest.mark.parametrize("mode, phase", BEFORE_ANSWER)
async def test_agent_who_hangs_up_before_the_answer_leaves_the_customer_with_ringback(system, mode, phase):
    trio, halt = await reached(system, mode, phase)
    trio.agent.hang_up()
    go_on(halt)
    target = trio.target = await system.dialed(TARGET)
    session = await trio.until(phase="blind", transfer_status="ringing")
    # A party on hold may hear the music to its end before the ringing.
    await trio.hears_wait_audio("music" if mode == "consult" and phase in ("holding", "ringing") else "ringback")
    assert held(session) <= {"customer"}
    target.answer()
    await trio.only_two_talk("customer", "target")
    await is_handed_over(trio)
    await is_reported(trio, "done")
    # Twilio's own time from one conference or document to the next, and once more for a hold.
    assert trio.customer_was_never_in_silence(GAP_S + LATE_S), trio.heard()
    await trio.ended_by_hang_up(trio.target, "agent-left")


@pytest.mark.parametrize("mode, phase", AFTER_ANSWER)
async def test_agent_who_hangs_up_after_the_answer_hands_over(system, mode, phase):
    trio, _ = await reached(system, mode, phase)
    trio.agent.hang_up()
    await trio.only_two_talk("customer", "target")
    await is_handed_over(trio)
    assert trio.customer_was_never_in_silence(), trio.heard()
    await trio.ended_by_hang_up(trio.customer, "customer-left")


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
    trio, _ = await reached(system, mode, phase)
    trio.target.hang_up()
    session = await trio.until(state="conferenced", transfer_status="cancelled", transfer_reason="target-left")
    assert not held(session)
    await trio.only_two_talk("customer", "agent")
    assert trio.customer_was_never_in_silence(), trio.heard()
    await outcome_is_published(trio, "cancelled", "target-left")
    await trio.ended_by_hang_up(trio.agent, "agent-left")


@pytest.mark.parametrize("mode, phase", BEFORE_ANSWER)
async def test_complete_before_the_answer_hangs_up_the_agent_and_continues_as_blind(system, mode, phase):
    trio, halt = await reached(system, mode, phase)
    command_id = await system.begins("complete", trio.id)
    go_on(halt)
    target = trio.target = await system.dialed(TARGET)
    assert (await system.outcome_of(command_id)).status == "done"
    assert trio.agent.status == "completed"
    await trio.until(phase="blind", transfer_status="ringing")
    assert system.listening.never_heard(trio.agent, target)
    target.answer()
    await trio.only_two_talk("customer", "target")
    await is_handed_over(trio)
    await is_reported(trio, "done")
    await system.ended_by_hang_up(target, trio.id, "agent-left")


@pytest.mark.parametrize("mode, phase", [one for one in BEFORE_ANSWER if one[1] != "ringing"])
async def test_cancel_before_the_dial_rings_no_one_and_both_keep_talking(system, mode, phase):
    trio, halt = await reached(system, mode, phase)
    command_id = await system.begins("cancel", trio.id)
    go_on(halt)
    assert (await system.outcome_of(command_id)).status == "done"
    await is_reported(trio, "failed", "cancelled")
    session = await trio.until(state="conferenced", transfer_status="cancelled")
    assert not held(session)
    await trio.only_two_talk("customer", "agent")
    assert system.dials_to(TARGET) == 0
    await outcome_is_published(trio, "cancelled", "command")
    await trio.ended_by_hang_up(trio.customer, "customer-left")
