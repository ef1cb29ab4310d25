"""More parties: added from everywhere, side by side, refused and removed; nothing ends until one is left."""

import pytest

from tests.flows.flow_helpers import CAROL
from tests.flows.group_call import two
from tests.flows.three_party_call import GAP_S
from tests.support.people import SECOND, TARGET
from tests.support.phones import answers, busy, presses, refuses, rings, unreachable

pytestmark = pytest.mark.redis


# ---- added -------------------------------------------------------------------------------------------------------


async def test_several_are_added_side_by_side_and_each_talks_as_soon_as_it_answers(system):
    crowd = await two(system, "bridged")
    phones = {"bob": TARGET, "eve": SECOND, "carol": CAROL}
    added = {}
    for name, to in phones.items():
        system.not_answered_by(to)
        added[name] = await crowd.say("add", to=to, party=name)
    legs = {name: await system.dialed(to) for name, to in phones.items()}
    for name in ("carol", "bob", "eve"):
        legs[name].answer()
        crowd.people[name] = legs[name]
        assert await crowd.outcome(added[name]) == ("done", "")
        await crowd.talk()
    # No one's dial disturbs those who talk.
    assert system.longest_gap_s(crowd["customer"], 0) < GAP_S, crowd.heard()
    labels = await crowd.shown("label")
    assert len(set(labels.values())) == 5
    for name in ("eve", "customer", "carol"):
        await crowd.leaves(name)
        await crowd.talk()
    await crowd.ended_by_hang_up("bob", "customer-left")
    assert all(system.dials_to(to) == 1 for to in phones.values())


@pytest.mark.parametrize("script, reason, fields", [
    (busy(),        "busy",      {}),
    (refuses(),     "rejected",  {}),
    (unreachable(), "failed",    {}),
    (busy(),        "busy",      {"brief": "A question."}),
    (presses("2"),  "rejected",  {"confirm": "true"}),
], ids=["busy", "refuses", "unreachable", "busy-before-the-gate", "refuses-at-the-gate"])  # fmt: skip
@pytest.mark.parametrize("start", ["bridged", "conferenced"])
async def test_two_parties_keep_talking_when_an_add_fails_and_is_retried(system, start, script, reason, fields):
    crowd = await two(system, start)
    system.sandbox.phone(TARGET).script_in_turn(script)
    await crowd.failed(reason, "add", to=TARGET, party="bob", **fields)
    await crowd.talk("customer", "agent")
    assert system.longest_gap_s(crowd["customer"], 0) < GAP_S, crowd.heard()
    before = (await crowd.session())["party.bob.label"]
    await crowd.add("bob", TARGET)
    await crowd.talk()
    assert (await crowd.session())["party.bob.label"] != before
    await crowd.let_go()
    assert system.dials_to(TARGET) == 2


@pytest.mark.parametrize("fields, script", [
    ({"brief": "A question about a bill."},                  answers()),
    ({"confirm": "true"},                                    presses("1")),
    ({"brief": "A question.", "confirm": "true"},            presses("", "1", key_after_s=0.05)),
], ids=["brief", "confirm", "both"])  # fmt: skip
@pytest.mark.system(speed=20)
async def test_gated_party_is_heard_by_no_one_before_passing_the_gate(system, fields, script):
    crowd = await two(system)
    bob = await crowd.add("bob", TARGET, script, **fields)
    await crowd.talk()
    spoken = [what for what in system.listening.whats(bob) if isinstance(what, str) and what.startswith("said ")]
    assert bool(spoken)
    assert ("brief" not in fields) or fields["brief"] in spoken[0]
    (dial,) = system.dial_requests(TARGET)
    assert dial.path.endswith("/Calls.json")
    # At the gate the party hears no one, and no one hears the party: whatever is said is said before.
    joined_s = next(span.from_s for span in system.listening.heard(bob) if not isinstance(span.what, str))
    for name in ("customer", "agent"):
        assert system.listening.never_heard(crowd[name], bob, until_s=joined_s - 0.001)
        assert set(system.listening.whats(crowd[name], joined_s - 0.5, joined_s - 0.001)) == {
            frozenset({crowd["agent" if name == "customer" else "customer"].sid})
        }
    await crowd.leaves("customer")
    await crowd.talk()
    await crowd.let_go()


async def test_party_is_dialed_only_after_no_leave_can_end_the_conference(system):
    crowd = await two(system)
    system.sandbox.faults.next_rest(
        "POST", "/Conferences/*/Participants/*", status=400, count=99, EndConferenceOnExit="false"
    )
    await crowd.failed("end-flag-unconfirmed", "add", to=TARGET, party="bob")
    assert system.dials_to(TARGET) == 0
    await crowd.talk("customer", "agent")
    system.sandbox.faults.clear()
    await crowd.let_go()


# ---- a party hangs up while another is dialed ------------------------------------------------------------------------


@pytest.mark.parametrize("leaver, stays", [("customer", "agent"), ("agent", "customer")])
@pytest.mark.parametrize("answered", [True, False], ids=["answered", "busy"])
async def test_party_alone_while_another_rings_waits_for_the_answer_or_is_hung_up(system, leaver, stays, answered):
    crowd = await two(system)
    added, bob = await crowd.rings("bob", TARGET, rings())
    await crowd.party("bob", status="ringing")
    await crowd.leaves(leaver)
    # No one is disconnected while someone is being dialed.
    assert crowd[stays].status == "in-progress"
    crowd.people["bob"] = bob
    if answered:
        bob.answer()
        await crowd.talk(stays, "bob")
        assert await crowd.outcome(added) == ("done", "")
        crowd[stays].hang_up()
    else:
        bob.reject()
        assert await crowd.outcome(added) == ("failed", "rejected")
    await crowd.ends(f"{leaver}-left")
    assert system.dials_to(TARGET) == 1


# ---- then a transfer ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["consult", "warm", "blind"])
async def test_party_whose_phone_rings_while_the_call_is_handed_on_comes_in_all_the_same(system, mode):
    crowd = await two(system)
    added, bob = await crowd.rings("bob", TARGET, rings())
    await crowd.party("bob", status="ringing")
    system.answered_by(CAROL)
    await crowd.done("transfer", to=CAROL, mode=mode)
    crowd.people |= {"bob": bob, "target": await system.dialed(CAROL)}
    bob.answer()
    assert await crowd.outcome(added) == ("done", "")
    if mode == "consult":
        await crowd.expect_heard(customer="music", bob=["agent", "target"])
        assert crowd.never_heard("customer", "target")
    if mode != "blind":
        await crowd.done("complete")
    await crowd.wait_until(state="conferenced", **{"party.agent.address": CAROL})
    assert crowd.people.pop("agent").status == "completed"
    await crowd.talk("customer", "bob", "target")
    await crowd.leaves("target", "agent")
    await crowd.talk("customer", "bob")
    await crowd.let_go()
    assert system.dials_to(TARGET) == system.dials_to(CAROL) == 1


@pytest.mark.parametrize("fault", [{"latency_s": 0.3}, {"status": 500}, {"cut": "before"}],
                         ids=["late", "500", "cut-before"])  # fmt: skip
async def test_agent_who_is_removed_right_behind_an_add_does_not_take_the_customer_along(system, fault):
    """No one's leaving may end the conference before someone is dialed, and that may take a while."""
    crowd = await two(system)
    system.answered_by(TARGET)
    agents = f"/Conferences/*/Participants/{crowd['agent'].sid}"
    system.sandbox.faults.next_rest("POST", agents, EndConferenceOnExit="false", **fault)
    given = [await crowd.say("add", to=TARGET, party="bob"), await crowd.say("remove", party="agent")]
    assert [await crowd.outcome(one) for one in given] == [("done", "")] * 2
    crowd.people.pop("agent")
    await crowd.comes("bob", TARGET, 1)
    await crowd.talk("customer", "bob")
    await crowd.ended_by_hang_up("bob", "agent-left")


# ---- Twilio ----------------------------------------------------------------------------------------------------


@pytest.mark.system(CONFERRAL_SWEEP_INTERVAL=3_600)
async def test_hang_up_of_a_call_whose_end_no_callback_reported_is_settled_by_a_read(system):
    """Twilio answers 21220. The timer of the removal reads; the sweep is far away."""
    system.answered_by(TARGET)
    crowd = await two(system)
    bob = await crowd.add("bob", TARGET)
    faults = system.sandbox.faults
    faults.lose_callbacks("completed", CallSid=bob.sid)
    faults.lose_callbacks("participant-leave", CallSid=bob.sid)
    bob.hang_up()
    await system.sandbox.wait_until(lambda: not faults.pending_faults())
    del crowd.people["bob"]
    await crowd.done("remove", party="bob")
    await crowd.party("bob", status="left")
    await crowd.let_go()


@pytest.mark.parametrize("fields", [{}, {"brief": "A question."}], ids=["direct", "gated"])
@pytest.mark.parametrize("start", ["bridged", "conferenced"])
@pytest.mark.system(speed=20)
async def test_party_added_muted_hears_all_and_is_heard_by_no_one_until_unmuted(system, start, fields):
    crowd = await two(system, start)
    await crowd.add("bob", TARGET, muted="true", **fields)
    await crowd.expect_heard(bob=["customer", "agent"], customer="agent", agent="customer")
    assert (await crowd.shown("muted")) == {"customer": "false", "agent": "false", "bob": "true"}
    assert crowd.never_heard("customer", "bob")
    assert not [word for word in crowd.asked() if "mute" in word]  # it was never off mute
    await crowd.done("unmute", party="bob")
    await crowd.talk()
    # It counts as a party: the call goes on without the agent.
    await crowd.leaves("agent")
    await crowd.talk("customer", "bob")
    await crowd.let_go()
