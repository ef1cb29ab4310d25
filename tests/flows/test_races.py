"""What comes at the same time as something else: one clear outcome each, no one stranded, no one dialed twice."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tests.flows.flow_helpers import SECOND, TARGET
from tests.flows.interruptions import (
    BLIND,
    CONSULT,
    WARM,
    Command,
    SmallSystem,
    Stage,
    gives,
    hangs_up,
    nothing,
    one_by_one,
    says,
)

pytestmark = [
    pytest.mark.redis,
    pytest.mark.usefixtures("one_by_one"),
    pytest.mark.system(answered_by=[TARGET, SECOND]),
]
__all__ = ["one_by_one"]

# ---- the customer leaves at each step ----------------------------------------------------------------------------


async def customer_leaves(cast: SmallSystem) -> None:
    """Twilio reports the customer's end before that of a target who is disconnected by it."""
    cast.system.sandbox.faults.delay_callbacks("completed", 0.1, To=TARGET)
    cast.hang_up("customer")


@pytest.mark.parametrize(
    "plot, converted",
    [(CONSULT, True), (WARM, False), (BLIND, False), (BLIND, True)],
    ids=["consult", "warm-from-bridge", "blind-from-bridge", "blind-from-room"],
)
async def test_customer_leaving_at_any_step_hangs_up_everyone(redis_server, plot, converted):
    async def ending(cast: SmallSystem) -> None:
        published = await cast.ends("customer-left")
        found = await cast.answers()
        if plot is CONSULT:
            assert cast.customer_never_heard_the_consult()
        assert cast.recalls() == 0
        assert len(published) == 1
        # Once all three have talked, the target had the customer.
        done = {name for name, outcome in found.items() if outcome.status == "done"}
        completed = bool(done & ({"transfer"} if plot is WARM else {"merge", plot[-1][0]}))
        assert (published[0]["result"], published[0]["reason"]) == (
            ("completed", "") if completed else ("failed", "customer-left")
        )

    await Stage(redis_server.url, nothing, gives(plot), customer_leaves, ending, converted).play_at_every_step()


# ---- agent and target leave at each step -------------------------------------------------------------------------

#: A consult without the steps in between.
SHORT: Sequence[Command] = (CONSULT[0], CONSULT[-1])
#: Why a transfer of these scenarios can fail, as commands and the outcomes stream report it.
REASONS = {"", "no-answer", "hung-up", "target-left", "agent-left", "customer-left", "cancelled", "command"}


@pytest.mark.parametrize("plot, converted", [(SHORT, True), (WARM, True)], ids=["consult", "warm"])
async def test_agent_who_leaves_at_any_step_has_handed_over(redis_server, plot, converted):
    async def ending(cast: SmallSystem) -> None:
        assert await cast.company() == "target"
        assert (await cast.answers())["transfer"].status == "done"
        assert await cast.published() == ("completed", "")

    await Stage(redis_server.url, nothing, gives(plot), hangs_up("agent"), ending, converted).play_at_every_step()


@pytest.mark.soak
@pytest.mark.parametrize(
    "plot, who",
    [(SHORT, ("agent", "target")), (BLIND, ("target",))],
    ids=["agent-and-target", "target-of-blind"],
)
async def test_customer_has_company_or_the_call_ends_when_others_leave_at_any_step(redis_server, plot, who):
    """Where no one is left whom the customer could talk to, the agent is rung again."""

    async def ending(cast: SmallSystem) -> None:
        left = cast.target is None or cast.target.status == "completed"
        company = await cast.company()
        result, reason = await cast.published()
        assert reason in REASONS
        assert {
            "nobody": result in ("completed", "cancelled"),
            "target": result == "completed" and not left,
            "agent": result in ("cancelled", "failed") and "agent" not in who,
            "recalled": result == "recalled" and cast.recalls() == 1,
        }[company], (company, result, reason)

    await Stage(redis_server.url, nothing, gives(plot), hangs_up(*who), ending).play_at_every_step()


# ---- two things at once ------------------------------------------------------------------------------------------


async def consults(cast: SmallSystem) -> None:
    assert (await cast.give("transfer", to=TARGET, mode="consult")).status == "done"


async def talks(cast: SmallSystem) -> None:
    assert (await cast.give("transfer", to=TARGET, mode="warm")).status == "done"


async def rings_for_consult(cast: SmallSystem) -> None:
    cast.system.not_answered_by(TARGET)
    await cast.say("transfer", to=TARGET, mode="consult")
    await cast.system.dialed(TARGET)


async def target_answers(cast: SmallSystem) -> None:
    """Twilio reports the join a moment later than the answer."""
    cast.system.sandbox.faults.delay_callbacks("participant-join", 0.05)
    cast.target.answer()
    await cast.is_quiet()


async def target_picks_up(cast: SmallSystem) -> None:
    cast.target.answer()


async def target_leaves(cast: SmallSystem) -> None:
    cast.hang_up("target")
    await cast.is_quiet()


async def agent_leaves(cast: SmallSystem) -> None:
    cast.hang_up("agent")
    await cast.is_quiet()


COMPLETE, CANCEL = gives([("complete", {})]), gives([("cancel", {})])
#: With whom the customer talks in the end, and what became of the commands and of the transfer.
COMPLETED, CANCELLED = ("target", "completed"), ("agent", "cancelled")


RACES = [
    # complete and the target's leaving
    (consults,          COMPLETE,       hangs_up("target"), {("done", "nobody", "completed"),
                                                             ("done", "recalled", "recalled"),
                                                             ("failed", *CANCELLED)}),
    (talks,             COMPLETE,       hangs_up("target"), {("done", "nobody", "completed"),
                                                             ("done", "recalled", "recalled"),
                                                             ("failed", *CANCELLED)}),
    (consults,          target_leaves,  says("complete"),   {("rejected", *CANCELLED), ("failed", *CANCELLED)}),
    (talks,             target_leaves,  says("complete"),   {("rejected", *CANCELLED), ("failed", *CANCELLED)}),
    # cancel and the target's answer
    (rings_for_consult, target_answers, says("cancel"),     {("done", *CANCELLED)}),
    (rings_for_consult, CANCEL,         target_picks_up,    {("done", *CANCELLED)}),
    # complete and the target's answer
    (rings_for_consult, target_answers, says("complete"),   {("done", *COMPLETED)}),
    (rings_for_consult, COMPLETE,       target_picks_up,    {("done", *COMPLETED)}),
    # complete and cancel
    (consults,          COMPLETE,       says("cancel"),     {("done", "rejected", *COMPLETED),
                                                             ("failed", "done", *CANCELLED)}),
    (consults,          CANCEL,         says("complete"),   {("done", "rejected", *CANCELLED)}),
    (talks,             COMPLETE,       says("cancel"),     {("done", "rejected", *COMPLETED)}),
    (talks,             CANCEL,         says("complete"),   {("done", "rejected", *CANCELLED)}),
    # agent and target leave
    (consults,          agent_leaves,   hangs_up("target"), {("nobody", "completed"), ("recalled", "recalled")}),
    (consults,          target_leaves,  hangs_up("agent"),  {("nobody", "cancelled"), ("recalled", "recalled")}),
    (talks,             agent_leaves,   hangs_up("target"), {("nobody", "completed"), ("recalled", "recalled")}),
]  # fmt: skip
IDS = [
    "target-leaves-after-complete", "target-leaves-after-complete-of-warm", "complete-after-target-left",
    "complete-of-warm-after-target-left", "cancel-after-answer", "answer-after-cancel", "complete-after-answer",
    "answer-after-complete", "cancel-after-complete", "complete-after-cancel", "cancel-after-complete-of-warm",
    "complete-after-cancel-of-warm", "target-leaves-after-agent", "agent-leaves-after-target",
    "target-leaves-after-agent-of-warm",
]  # fmt: skip


def _marked(race: tuple[Any, ...]) -> Any:
    """A warm transfer goes a part of a consult's way: its races are in the long run alone."""
    return pytest.param(*race, marks=[pytest.mark.soak] if race[0] is talks else [])


@pytest.mark.parametrize("opening, plot, act, possible", [_marked(race) for race in RACES], ids=IDS)
async def test_two_things_at_once_have_one_outcome(redis_server, opening, plot, act, possible):
    """The second comes after each event of the first. No event of the first is without its turn."""

    async def ending(cast: SmallSystem) -> None:
        company = await cast.company()
        found = await cast.answers()
        commands = [outcome.status for kind, outcome in found.items() if kind != "transfer"]
        result, reason = await cast.published()
        assert (*commands, company, result) in possible, found
        assert reason in REASONS

    await Stage(redis_server.url, opening, plot, act, ending).play_at_every_step()


# ---- two operators -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("converted", [False, True], ids=["bridged", "conferenced"])
@pytest.mark.parametrize("modes", [("consult", "blind"), ("blind", "warm"), ("warm", "consult"), ("blind", "blind")])
async def test_one_of_two_concurrent_transfers_is_rejected(system, converted, modes):
    customer, _ = await (system.converted() if converted else system.talking())
    wanted = zip((TARGET, SECOND), modes, strict=True)
    given = [system.command("transfer", customer.sid, to=to, mode=mode) for to, mode in wanted]
    first, second = sorted(await asyncio.gather(*given), key=lambda outcome: outcome.status)
    assert (first.status, second.status) == ("done", "rejected")
    assert second.reason.startswith("another transfer is in progress")
    assert sorted((system.dials_to(TARGET), system.dials_to(SECOND))) == [0, 1]
    await system.ended_by_hang_up(customer, customer.sid, "customer-left")


async def test_same_command_given_twice_is_carried_out_once(system):
    """With one id it is one command, with one answer; with another id it is another, which comes too late."""
    customer, _ = await system.converted()
    for kind, fields in CONSULT:
        twice = [system.command(kind, customer.sid, id=f"the-{kind}", **fields) for _ in range(2)]
        one, other = await asyncio.gather(*twice)
        assert one == other
        assert one.status == "done"
    assert system.dials_to(TARGET) == 1
    again = await system.command("complete", customer.sid)
    assert again.status == "rejected"
    await system.ended_by_hang_up(customer, customer.sid, "customer-left")
