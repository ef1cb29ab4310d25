"""Who is alone by what callbacks say may talk to someone whose join no callback reported."""

import pytest

from offhook import CallHandle
from tests.flows.flow_helpers import talking
from tests.flows.group_call import GroupCall
from tests.flows.test_sweep import waits_for_nothing
from tests.support.foreign_calls import add_foreign_calls
from tests.support.local_system import LocalSystem
from tests.support.people import TARGET

pytestmark = [pytest.mark.redis, pytest.mark.system(CONFERRAL_SWEEP_INTERVAL=600)]


async def group(system: LocalSystem) -> GroupCall:
    """Customer and agent in a conference that no one's leaving ends, as someone was added."""
    talk = await talking(system, conferenced=True)
    crowd = GroupCall(system, talk.session, {"customer": talk.customer, "agent": talk.agent})
    await crowd.add("bob", TARGET)
    crowd.people.pop("bob").hang_up()
    await crowd.party("bob", status="left")
    await waits_for_nothing(system, crowd.id)
    return crowd


async def enters(crowd: GroupCall, call: CallHandle) -> None:
    """Another program brings a call into our conference."""
    name = (await crowd.session())["conference_name"]
    call.move(twiml=f"<Response><Dial><Conference>{name}</Conference></Dial></Response>")


async def talk_on(crowd: GroupCall, other: CallHandle) -> None:
    """The lone grace has expired, and the customer and the other still talk."""

    async def was_read() -> bool:
        return "calls_read" in [entry["event"] for entry in await crowd.system.log(crowd.id)]

    await crowd.system.eventually(was_read, "Twilio was read")
    await waits_for_nothing(crowd.system, crowd.id)
    await crowd.wait_until(state="conferenced")
    await crowd.system.until_talk(crowd["customer"], other)
    await crowd.system.ended_by_command(crowd.id)


@pytest.mark.parametrize("failures", [0, 5])
async def test_customer_who_talks_to_a_guest_whose_join_was_lost_is_not_hung_up(system, failures):
    crowd = await group(system)
    (guest,) = add_foreign_calls(system.sandbox, 1)
    system.sandbox.faults.lose_callbacks("participant-join")
    await enters(crowd, guest)
    await system.until_hears(guest, [crowd["customer"], crowd["agent"]])
    if failures:
        system.sandbox.faults.next_rest("GET", "/Conferences/*", status=503, count=failures)
    crowd["agent"].hang_up()
    await talk_on(crowd, guest)
