"""From a bot or your own app to a person: the four ways in, and back."""

import pytest

from offhook import CallHandle
from offhook.model.messages import RestRequest
from tests.flows.flow_helpers import CAROL
from tests.support.foreign_app import ForeignApp
from tests.support.local_system import AGENT, CUSTOMER, NUMBER, LocalSystem
from tests.support.phones import busy

pytestmark = pytest.mark.redis
QUICK = {"speed": 20, "CONFERRAL_RING_TIMEOUT": 5}
BRIEF = "said Caller wants to change an order."


def placed_by_app(system: LocalSystem, **document: str) -> CallHandle:
    """A call to the customer that another app places by REST, with its own document."""
    params = {"To": CUSTOMER, "From": NUMBER, **document}
    system.sandbox.apply(RestRequest("POST", "/Calls.json", tuple(params.items())))
    return system.sandbox.calls_of(CUSTOMER)[-1]


@pytest.mark.parametrize("mode", ["conference", "bridge"])
@pytest.mark.system(**QUICK)
async def test_a_redirect_hands_the_caller_to_the_person_it_names(system, mode):
    system.answered_by(CAROL)
    query = f"to={CAROL}&mode={mode}&brief=Caller+wants+to+change+an+order.&ref=T-1"
    customer = await system.sandbox.call_in(CUSTOMER, NUMBER, url=f"{system.public_url}/voice/handoff?{query}")
    carol = await system.dialed(CAROL)
    await system.until_talk(customer, carol)
    state = {"bridge": "bridged", "conference": "conferenced"}[mode]
    session = await system.until(customer.sid, state=state, phase="connected")
    assert (session["ref"], session["party.agent.address"]) == ("T-1", CAROL)
    assert BRIEF in system.sounds(carol)
    assert BRIEF not in system.sounds(customer)
    await system.ended_by_hang_up(customer, customer.sid, "customer-left")


@pytest.mark.parametrize("mode", ["conference", "bridge"])
@pytest.mark.system(**QUICK)
async def test_a_call_that_the_app_placed_is_handed_over(system, mode):
    system.answered_by(CUSTOMER, CAROL)
    customer = placed_by_app(system, Url=f"{system.public_url}/voice/handoff?to={CAROL}&mode={mode}")
    carol = await system.dialed(CAROL)
    await system.until_talk(customer, carol)
    session = await system.until(customer.sid, phase="connected")
    assert (session["direction"], session["party.customer.call_sid"]) == ("outbound", customer.sid)
    assert session["party.customer.address"] == CUSTOMER
    await system.done("transfer", customer.sid, to=AGENT, mode="blind")
    agent = await system.dialed(AGENT)
    await system.until_talk(customer, agent)
    await system.ended_by_hang_up(customer, customer.sid, "customer-left")


@pytest.mark.system(**QUICK)
async def test_no_one_answers_and_the_voicemail_follows(system):
    system.sandbox.phone(CAROL).script_in_turn(busy())
    query = f"to={CAROL}&mode=bridge&fallback={AGENT},voicemail"
    system.agent_phone.script_in_turn(busy())
    customer = await system.sandbox.call_in(CUSTOMER, NUMBER, url=f"{system.public_url}/voice/handoff?{query}")
    await system.until(customer.sid, phase="voicemail")
    assert [entry.to for entry in system.sandbox.request_log.dials] == [CAROL, AGENT]
    await system.ended_by_hang_up(customer, customer.sid, "customer-left")


@pytest.mark.system(**QUICK)
async def test_an_app_moves_a_live_call_to_a_hand_off_and_the_call_comes_back_a_second_time(system):
    """The first visit ends as moved; the second one has a session of its own."""
    system.answered_by(CAROL)
    customer = await system.customer_calls()
    await system.dialed(AGENT)
    await system.until(customer.sid, phase="connected")
    customer.move(url=f"{system.public_url}/voice/handoff?to={CAROL}")
    carol = await system.dialed(CAROL)
    await system.until_talk(customer, carol)
    second = await system.until(f"{customer.sid}-2", state="conferenced", phase="connected")
    assert second["party.agent.address"] == CAROL
    assert (await system.until(customer.sid, state="ended"))["end_reason"] == "moved"
    await system.ended_by_hang_up(customer, f"{customer.sid}-2", "customer-left")


@pytest.fixture
async def queue():
    """An app that enqueues its callers, and hands those over who leave the queue."""
    async with ForeignApp(wait="<Play>/music.mp3</Play>") as app:
        yield app


@pytest.mark.parametrize("by", ["leave", "request"])
@pytest.mark.system(**QUICK)
async def test_a_queued_caller_is_handed_to_a_person(system, queue, by):
    system.answered_by(CAROL)
    leads_to = f"{system.public_url}/voice/handoff?to={CAROL}"
    queue.verbs["enter"] = f'<Enqueue waitUrl="/wait">support</Enqueue><Redirect>{leads_to}</Redirect>'
    customer = await system.sandbox.call_in(CUSTOMER, NUMBER, url=f"{queue.url}/enter")
    await system.until_hears(customer, "music")
    if by == "leave":
        queue.verbs["wait"] = "<Leave/>"
    else:
        customer.move(url=leads_to)
    carol = await system.dialed(CAROL)
    await system.until_talk(customer, carol)
    session = await system.until(customer.sid, state="conferenced", phase="connected")
    assert session["party.agent.address"] == CAROL
    await system.ended_by_hang_up(customer, customer.sid, "customer-left")
