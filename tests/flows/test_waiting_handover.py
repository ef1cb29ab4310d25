"""Conferences from the start are ordinary ones afterwards: consult, blind transfer, and who may leave meanwhile."""

import pytest

from tests.flows.conference_starts import by_way, in_conference
from tests.flows.flow_helpers import TARGET
from tests.flows.three_party_call import joined_by_target, published

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
