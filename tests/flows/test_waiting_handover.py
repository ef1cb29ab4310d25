"""Conferences from the start are ordinary ones afterwards: consult, blind transfer, and who may leave meanwhile."""

import pytest

from tests.flows.conference_starts import by_way, in_conference, some
from tests.flows.flow_helpers import CAROL, TARGET
from tests.flows.three_party_call import dials, joined_by_target, published

pytestmark = pytest.mark.redis


async def starts(system, way):
    opening, leg = await in_conference(system, way)
    return opening.trio(leg)


async def target_stays(system, trio):
    """The target has the call; when it hangs up nothing is left."""
    session = await trio.until(state="conferenced", phase="", transfer_status="completed")
    assert (session["party.agent.call_sid"], session["party.agent.address"]) == (trio.target.sid, TARGET)
    assert session["party.customer.call_sid"] == trio.customer.sid
    await trio.ended_by_hang_up(trio.target, "agent-left")
    transfer, end = await published(system, 2)
    assert (transfer["kind"], transfer["result"], transfer["to"]) == ("transfer", "completed", TARGET)
    assert (end["kind"], end["reason"]) == ("session", "agent-left")
    assert system.dials_to(TARGET) == 1


@by_way("waiting")
async def test_consult_with_swap_and_merge_and_complete(system, way):
    trio = await starts(system, way)
    before_s = system.listening.now()
    await joined_by_target(trio, "consult")
    await trio.hear(customer="music")
    await trio.only_two_talk("agent", "target")
    assert trio.kept_apart(before_s)
    await trio.done("swap")
    await trio.hear(target="music")
    await trio.only_two_talk("customer", "agent")
    assert trio.kept_apart(before_s)
    await trio.done("merge")
    await trio.all_talk()
    await trio.done("complete")
    await trio.only_two_talk("customer", "target")
    await target_stays(system, trio)


@by_way("call")
async def test_blind_transfer_lets_the_agent_go_and_the_customer_hears_ringing_until_the_answer(system, way):
    trio = await starts(system, way)
    agent = trio.agent
    await dials(trio, "blind")
    await trio.hear(customer="ringback")
    await system.sandbox.wait_until(lambda: agent.status == "completed")
    trio.target.answer()
    await trio.only_two_talk("customer", "target")
    assert system.listening.never_heard(agent, trio.target)
    await target_stays(system, trio)


@by_way("client")
@pytest.mark.parametrize("mode", some(["warm", "consult"], "consult"))
async def test_agent_who_hangs_up_while_all_are_there_hands_over(system, way, mode):
    trio = await starts(system, way)
    await joined_by_target(trio, mode)
    trio.agent.hang_up()
    await trio.only_two_talk("customer", "target")
    await target_stays(system, trio)


async def test_group_of_three_transfers_and_continues_until_one_is_left(system):
    """In a browser's call, no leave ends the conference, before or after a transfer."""
    trio = await starts(system, "client")
    system.answered_by(CAROL)
    await system.done("add", trio.id, to=CAROL, party="expert")
    carol = await system.dialed(CAROL)
    await system.until_hears(carol, [trio.customer, trio.agent])
    await joined_by_target(trio, "warm")
    await trio.done("complete")
    await system.until_hears(carol, [trio.customer, trio.target])
    trio.customer.hang_up()
    await system.until_talk(carol, trio.target)
    await system.ended_by_hang_up(carol, trio.id, "customer-left")
