"""Hold and mute: what each hears, from a bridge and in a conference, with Twilio slow, refusing, or silent about it."""

import pytest

from tests.flows.flow_helpers import CAROL
from tests.flows.group_call import GroupCall, two
from tests.support.people import TARGET

pytestmark = pytest.mark.redis
PARTICIPANT = "/Conferences/*/Participants/*"
#: A hold, a mute and their undoing: the command, what Twilio is asked with it, and its callback.
CHANGES = {
    "hold": ("Hold", "true", "participant-hold"),
    "unhold": ("Hold", "false", "participant-unhold"),
    "mute": ("Muted", "true", "participant-mute"),
    "unmute": ("Muted", "false", "participant-unmute"),
}


async def undone(crowd: GroupCall, kind: str) -> None:
    """What goes before an unhold or an unmute."""
    if kind.startswith("un"):
        await crowd.done(kind.removeprefix("un"), party="customer")


# ---- Twilio ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["hold", "mute", "unhold", "unmute"])
@pytest.mark.system(policy={"command_timeout_ms": 700})
async def test_refused_change_has_failed_and_leaves_everything_as_it_was(system, kind):
    crowd = await two(system)
    await undone(crowd, kind)
    name, value, _ = CHANGES[kind]
    system.sandbox.faults.next_rest("POST", PARTICIPANT, status=400, code=20001, count=99, **{name: value})
    status, _ = await crowd.outcome(await crowd.say(kind, party="customer"))
    assert status == "failed"
    system.sandbox.faults.clear()
    # A failed hold is forgotten; the unhold is sent all the same.
    if kind == "unhold":
        await crowd.talk()
    elif kind in ("hold", "mute"):
        await crowd.expect_heard(customer="agent")
    await crowd.let_go()


# ---- then a transfer ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("held", ["customer", "agent", "bob"])
@pytest.mark.parametrize("mode", ["warm", "consult", "blind"])
async def test_transfer_with_a_held_party(system, held, mode):
    """Everyone is off hold once the transfer is complete: the agent who held them has left."""
    crowd = await two(system)
    if held == "bob":
        await crowd.add("bob", TARGET)
    await crowd.done("hold", party=held)
    system.answered_by(CAROL)
    await crowd.done("transfer", to=CAROL, mode=mode)
    crowd.people["target"] = await system.dialed(CAROL)
    if mode == "consult":
        await crowd.expect_heard(customer="music", agent="target", target="agent")
        assert crowd.never_heard("customer", "target")
    if mode != "blind":
        await crowd.done("complete")
    await crowd.wait_until(state="conferenced", **{"party.agent.address": CAROL})
    await crowd.talk("customer", "target", *(["bob"] if held == "bob" else []))
    assert set((await crowd.shown("held")).values()) == {"false"}
    await crowd.let_go()


async def test_muted_customer_stays_muted_through_a_consult(system):
    crowd = await two(system)
    await crowd.done("mute", party="customer")
    system.answered_by(CAROL)
    await crowd.done("transfer", to=CAROL, mode="consult")
    crowd.people["target"] = await system.dialed(CAROL)
    await crowd.done("merge")
    await crowd.expect_heard(customer=["agent", "target"], agent="target", target="agent")
    await crowd.done("unmute", party="customer")
    await crowd.talk()
    await crowd.let_go()
