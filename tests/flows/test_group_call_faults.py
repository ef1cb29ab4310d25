"""Parties come and go while Twilio's answers and callbacks go wrong, workers die over requests, and people leave.

The customer never hears a whispering supervisor, and no one is dialed twice.
"""

from collections.abc import Callable
from typing import Any

import pytest

from conferral.sandbox.faults import Faults
from tests.flows.group_call import BOB, EVE, GroupCall, two
from tests.flows.small_systems import side_by_side, small_world

pytestmark = [pytest.mark.redis, pytest.mark.examples(1)]

#: Worlds that are played side by side (count).
AT_ONCE = 8
PLOT = (
    ("add", {"to": BOB, "party": "bob"}),
    ("hold", {"party": "customer"}),
    ("unhold", {"party": "customer"}),
    ("mute", {"party": "bob"}),
    ("supervise", {"to": EVE, "mode": "whisper"}),
    ("remove", {"party": "bob"}),
)
Arm = Callable[[Faults], None]


async def play(redis_url: str, arm: Arm, **policy: int) -> list[tuple[str, str]]:
    """The story with a fault; returns what became of each command."""
    async with small_world(redis_url, policy={"hold_timeout_ms": 3_000, **policy}) as system:
        system.answered_by(BOB, EVE)
        crowd = await two(system)
        arm(system.sandbox.faults)
        return await played(crowd)


async def played(crowd: GroupCall) -> list[tuple[str, str]]:
    """Gives all the commands and lets everyone go at the end; returns what became of each of them."""
    found = [await crowd.outcome(await crowd.say(kind, **fields)) for kind, fields in PLOT]
    assert not crowd.system.sandbox.faults.pending_count(), "the fault has not happened"
    await crowd.comes("supervisor", EVE, 1)
    await crowd.expect_heard(customer="agent", agent=["customer", "supervisor"], supervisor=["customer", "agent"])
    bob = await crowd.system.dialed(BOB)
    assert bob.status == "completed"
    assert crowd.never_heard("customer", "supervisor"), crowd.heard()
    assert crowd.system.dials_to(BOB) == crowd.system.dials_to(EVE) == 1
    await crowd.let_go()
    return found


async def play_all(redis_url: str, arms: dict[str, Arm], **policy: int) -> dict[str, Any]:
    """Many stories side by side."""
    results = await side_by_side((play(redis_url, arm, **policy) for arm in arms.values()), AT_ONCE)
    return dict(zip(arms, results, strict=True))


DONE = [("done", "")] * len(PLOT)

# ---- requests ----------------------------------------------------------------------------------------------------

FAULTS: dict[str, dict[str, Any]] = {
    "after-effect": {"cut": "after"},
    "before-effect": {"cut": "before"},
    "500": {"status": 500},
    "429": {"status": 429},
}


# ---- callbacks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["doubled", "late", "overtaken"])
@pytest.mark.system(policy={"hold_timeout_ms": 3_000})
async def test_callbacks_may_come_twice_late_or_in_another_order(system, kind):
    system.answered_by(BOB, EVE)
    crowd = await two(system)
    faults = system.sandbox.faults
    if kind == "doubled":
        faults.callback_duplication = 1.0
    elif kind == "late":
        faults.callback_delay_s = (0.0, 0.2)
    else:
        faults.callback_reordering = 0.5
    assert await played(crowd) == DONE


@pytest.mark.system(policy={"leave_timeout_ms": 600_000}, CONFERRAL_SWEEP_INTERVAL=3_600)
async def test_hang_up_of_a_call_whose_end_no_callback_reported_is_settled_by_a_read(system):
    """Twilio answers 21220. The timer and the sweep that read after lost callbacks are far away."""
    system.answered_by(BOB)
    crowd = await two(system)
    bob = await crowd.add("bob", BOB)
    faults = system.sandbox.faults
    faults.lose_callbacks("completed", CallSid=bob.sid)
    faults.lose_callbacks("participant-leave", CallSid=bob.sid)
    bob.hang_up()
    await system.sandbox.wait_until(lambda: not faults.pending_count())
    del crowd.people["bob"]
    await crowd.done("remove", party="bob")
    await crowd.party("bob", status="left")
    await crowd.let_go()


# ---- people ------------------------------------------------------------------------------------------------------
