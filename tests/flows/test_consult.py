"""Consults: agent and target talk while the customer is on hold, and never hear each other until all agree."""

import pytest

from tests.flows.flow_helpers import TARGET
from tests.flows.three_party_call import (
    STARTS,
    ThreePartyCall,
    dials,
    held,
    joined_by_target,
    parties,
    published,
    three,
    two,
)
from tests.support.phones import answers, busy, presses, refuses, rings, unreachable

pytestmark = pytest.mark.redis

#: What Twilio is asked before the hold, by where the call was. In a conference, the leaving of each ends it: the
#: customer's flag is cleared too, because Twilio ignores changes of it during a hold. After a bridge it is not set yet.
BEFORE_HOLD = {"bridged": ["move agent"], "conferenced": ["move agent", "free agent", "free customer"]}


async def talks_again(trio: ThreePartyCall, mode: str = "consult") -> None:
    """Customer and agent go on as before the transfer, and it can be tried again."""
    session = await trio.until(state="conferenced")
    assert session["phase"] == ""
    assert not held(session)
    await trio.only_two_talk("customer", "agent")
    assert mode == "warm" or trio.kept_apart(), trio.heard()
    assert trio.customer_was_never_in_silence(), trio.heard()


# ---- from the hold to the end ------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", STARTS)
async def test_completed_consult_was_never_heard_by_the_customer(system, start):
    trio = await three(system, "consult", start)
    await trio.hear(customer="music", agent=trio.target, target=trio.agent)
    assert trio.asked() == [*BEFORE_HOLD[start], "hold customer", "dial target"]
    session = await trio.until(transfer_status="consulting")
    assert (session["state"], session["phase"], session["transfer.mode"]) == ("transferring", "consult", "consult")
    assert held(session) == {"customer"}

    assert trio.kept_apart(), trio.heard()
    await trio.done("complete")
    await trio.only_two_talk("customer", "target")
    assert trio.agent.status == "completed"
    session = await trio.until(**{"party.agent.end_on_exit": "true"})
    # The party that talks to the customer is the agent now, and leaving ends the conference as before.
    assert trio.asked()[-2:] == ["unhold customer", "hang up agent"]
    assert parties(session) == {
        "customer": ("customer-1", "connected"),
        "agent": ("target-1", "connected"),
        "agent-1": ("agent-1", "left"),
    }
    assert (session["state"], session["phase"], session["transfer.status"]) == ("conferenced", "", "completed")
    assert session["party.agent.address"] == TARGET
    assert not held(session)
    assert trio.customer_was_never_in_silence(), trio.heard()
    assert system.dials_to(TARGET) == 1

    await trio.ended_by_hang_up(trio.target, "agent-left")


@pytest.mark.parametrize("fields, scripts", [
    ({},                  [answers(0.1)]),
    ({"brief": "A caller"}, [answers()]),
    ({"confirm": "true"}, [presses("1")]),
], ids=["straight", "with a brief", "with a key"])  # fmt: skip
@pytest.mark.system(speed=20)
async def test_target_is_dialed_after_the_confirmed_hold_and_hears_only_the_agent(system, fields, scripts):
    trio = await two(system)
    # The response confirms the hold.
    system.sandbox.faults.lose_callbacks("participant-hold")
    await dials(trio, "consult", *scripts, **fields)
    (hold,) = system.sandbox.request_log.requests("POST", trio.customer.sid)[-1:]
    assert hold.get("Hold") == "true"
    assert system.sandbox.request_log.dials[-1].at_s > hold.at_s
    assert (await system.outcome_of(trio.transfer_id)).status == "done"
    await trio.hear(customer="music", agent=trio.target, target=trio.agent)
    assert trio.kept_apart(), trio.heard()
    await system.ended_by_command(trio.id)


# ---- swap and merge ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("swaps", [0, 1, 2])
async def test_swap_changes_the_agents_counterpart_and_complete_connects_the_other_two(system, swaps):
    trio = await three(system, "consult")
    for number in range(swaps):
        before = len(trio.asked())
        await trio.done("swap")
        first, second = ("customer", "target") if number % 2 else ("target", "customer")
        # The one is held before the other is unheld, so that they never hear each other in between.
        assert trio.asked()[before:] == [f"hold {first}", f"unhold {second}"]
        await trio.only_two_talk("agent", second)
        await trio.hear(**{first: "music"})
        session = await trio.session()
        assert held(session) == {first}
        assert session["transfer.status"] == "consulting"
    assert trio.kept_apart(), trio.heard()
    await trio.done("complete")
    await trio.only_two_talk("customer", "target")
    session = await trio.until(state="conferenced", transfer_status="completed")
    assert not held(session)
    assert trio.customer_was_never_in_silence(), trio.heard()
    await trio.ended_by_hang_up(trio.customer, "customer-left")


@pytest.mark.parametrize("swaps", [0, 1])
async def test_merge_lets_all_three_talk_and_complete_lets_the_agent_go(system, swaps):
    trio = await three(system, "consult")
    for _ in range(swaps):
        await trio.done("swap")
    assert trio.kept_apart(), trio.heard()
    await trio.done("merge")
    await trio.all_talk()
    session = await trio.session()
    assert session["transfer.status"] == "merged"
    assert not held(session)
    before = len(trio.asked())
    await trio.done("complete")
    await trio.only_two_talk("customer", "target")
    assert trio.asked()[before] == "hang up agent"
    await trio.ended_by_hang_up(trio.target, "agent-left")


async def test_customer_is_let_back_only_after_the_hold_of_the_other_is_confirmed(system):
    trio = await three(system, "consult")
    system.sandbox.faults.lose_callbacks("participant-hold")
    await trio.done("swap")
    hold, unhold = system.sandbox.request_log.requests("POST")[-2:]
    assert (hold.get("Hold"), unhold.get("Hold")) == ("true", "false")
    assert unhold.at_s > hold.at_s
    assert trio.kept_apart(), trio.heard()
    await system.ended_by_command(trio.id)


# ---- cancel ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", STARTS)
async def test_cancel_while_it_rings_stops_the_phone_before_the_customer_is_let_back(system, start):
    trio = await dials(await two(system, start), "consult", rings())
    await trio.until(transfer_status="ringing")
    await trio.done("cancel")
    await system.has_failed(trio.transfer_id, "cancelled")
    assert trio.target.status in ("canceled", "completed", "no-answer")
    session = await trio.until(transfer_status="cancelled")
    assert session["transfer.reason"] == "command"
    assert trio.asked()[-2:] == ["hang up target", "unhold customer"]
    await talks_again(trio)
    await trio.ended_by_hang_up(trio.agent, "agent-left")


@pytest.mark.parametrize("steps", [[], ["swap"], ["swap", "swap"], ["merge"]], ids=lambda steps: "-".join(steps) or "-")
async def test_cancel_lets_the_target_go_before_the_customer_hears_the_agent_again(system, steps):
    trio = await three(system, "consult")
    for step in steps:
        await trio.done(step)
    before = len(trio.asked())
    await trio.done("cancel")
    assert trio.asked()[before] == "hang up target"
    assert trio.target.status == "completed"
    session = await trio.until(state="conferenced", transfer_status="cancelled")
    assert not held(session)
    await trio.only_two_talk("customer", "agent")
    if "merge" not in steps:
        assert trio.kept_apart(), trio.heard()
    (entry,) = await published(system, 1)
    assert (entry["kind"], entry["result"], entry["reason"]) == ("transfer", "cancelled", "command")
    await trio.ended_by_hang_up(trio.customer, "customer-left")


# ---- the target is not reached -----------------------------------------------------------------------------------


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("script, reason", [
    (busy(),                           "busy"),
    (refuses(),                        "rejected"),
    (unreachable(),                    "failed"),
], ids=["busy", "refuses", "unreachable"])  # fmt: skip
async def test_customer_hears_the_agent_again_when_the_target_is_not_reached(system, start, script, reason):
    trio = await two(system, start)
    system.sandbox.phone(TARGET).script_in_turn(script)
    await system.failed(reason, "transfer", trio.id, to=TARGET, mode="consult")
    (trio.target,) = system.sandbox.calls_of(TARGET)
    session = await trio.until(transfer_status="failed", transfer_reason=reason, state="conferenced")
    assert parties(session)["target"] == ("target-1", "left")
    await talks_again(trio)
    # It can be tried again, and the label is a new one.
    await joined_by_target(trio, "consult")
    await trio.done("complete")
    session = await trio.session()
    assert parties(session)["agent"] == ("target-2", "connected")
    await trio.ended_by_hang_up(trio.target, "agent-left")
