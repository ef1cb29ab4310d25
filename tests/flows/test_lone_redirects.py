"""A redirect whose answer is lost may leave a leg alone in our conference: it is hung up, and no one else is."""

import pytest

from offhook import CallHandle
from offhook.model.behavior import Behavior
from tests.flows.test_moved_away import move
from tests.flows.test_sweep import swept
from tests.support.foreign_calls import add_foreign_calls
from tests.support.local_system import LocalSystem

SWEEPS = {"CONFERRAL_SWEEP_INTERVAL": 0.4}
#: No list shows a conference in which someone is alone.
UNLISTED = Behavior(init_conference_list="refused")
#: All lists show it.
LISTED = Behavior(init_conference_list="all")
#: Longer than a redirect is tried (s).
LATE_S = 12.0
pytestmark = [pytest.mark.redis]


@pytest.mark.soak
@pytest.mark.system(behavior=UNLISTED, **SWEEPS)
@pytest.mark.parametrize("who", ["action", "customer"])
async def test_agent_whom_a_given_up_redirect_moved_is_not_left_alone(system, who):
    """The redirect moved the agent, but its answer, the join, and every read are lost; the action comes late."""
    customer, agent = await system.talking()
    system.sandbox.faults.next_rest("POST", f"/Calls/{agent.sid}", status=500, moment="after")
    system.sandbox.faults.next_rest("GET", "*", status=503, count=10_000)
    system.sandbox.faults.lose_callbacks("participant-join")
    system.sandbox.faults.delay_fetches("/voice/dial-action", LATE_S)
    await system.failed("Twilio did not move the parties in time", "convert", customer.sid)
    assert str(agent.hears_now) == "silence"
    system.sandbox.faults.clear()
    if who == "action":  # it asks where the agent's call is, and lets the customer follow
        await system.until_talk(customer, agent)
    customer.hang_up()
    await system.until(customer.sid, state="ended", end_reason="customer-left")
    await system.settled()
    assert agent.status == "completed"


async def customer_is_moved_away(system: LocalSystem) -> CallHandle:
    """Another program has moved the customer, and the session is over."""
    customer, _ = await system.converted()
    move(customer)
    await system.until(customer.sid, state="ended")
    await system.settled()
    return customer


async def enters(system: LocalSystem, customer: CallHandle, label: str) -> None:
    """The customer enters a conference of the session's name, and no callback says so."""
    name = (await system.session(customer.sid))["conference_name"]
    system.sandbox.faults.lose_callbacks("participant-join")
    label_attribute = f'participantLabel="{label}"' if label else ""
    document = f'<Conference waitUrl="" {label_attribute}>{name}</Conference>'
    customer.move(twiml=f"<Response><Dial>{document}</Dial></Response>")
    await system.until_hears(customer, "silence")


@pytest.mark.system(behavior=LISTED, **SWEEPS)
async def test_customer_whom_a_late_redirect_brings_back_alone_is_hung_up(system):
    customer = await customer_is_moved_away(system)
    await enters(system, customer, "customer-1")
    customer.record.is_foreign = False
    await system.settled()
    assert customer.status == "completed"


@pytest.mark.system(behavior=LISTED, **SWEEPS)
@pytest.mark.parametrize("what", ["label", "company"])
async def test_customer_in_another_programs_hands_is_left_alone(system, what):
    """A conference's name proves nothing; and no one who talks there is hung up."""
    customer = await customer_is_moved_away(system)
    await enters(system, customer, "customer-1" if what == "company" else "")
    if what == "company":
        (other,) = add_foreign_calls(system.sandbox, 1)
        name = (await system.session(customer.sid))["conference_name"]
        other.move(twiml=f"<Response><Dial><Conference>{name}</Conference></Dial></Response>")
        await system.until_talk(customer, other)
    await swept(system, 4)
    assert customer.status == "in-progress"
