"""Parties come and go while Twilio's answers and callbacks go wrong, workers die over requests, and people leave.

The customer never hears a whispering supervisor, and no one is dialed twice.
"""

import pytest

from tests.flows.group_call import BOB, EVE, GroupCall, two

pytestmark = [pytest.mark.redis, pytest.mark.examples(1)]

PLOT = (
    ("add", {"to": BOB, "party": "bob"}),
    ("hold", {"party": "customer"}),
    ("unhold", {"party": "customer"}),
    ("mute", {"party": "bob"}),
    ("supervise", {"to": EVE, "mode": "whisper"}),
    ("remove", {"party": "bob"}),
)


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


DONE = [("done", "")] * len(PLOT)

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
