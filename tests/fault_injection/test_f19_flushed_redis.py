"""Redis is emptied during calls: the calls continue, and Conferral recovers the parties in conferences."""

import pytest

from tests.fault_injection.calls import all_hang_up, transferred
from tests.fault_injection.redis_losses import SWEEP_S, Life
from tests.flows.flow_helpers import TARGET
from tests.support.local_system import DEADLINE_S

pytestmark = pytest.mark.redis


@pytest.mark.parametrize("step", ["converted", pytest.param("all talk", marks=pytest.mark.soak)])
@pytest.mark.system(CONFERRAL_SWEEP_INTERVAL=SWEEP_S)
async def test_fault_19_redis_is_flushed_during_a_conference(system, step):
    """The sweep finds the conference, whose name is the session's id, and recovers it with its participants."""
    life = Life(system)
    await life.go_to(step)
    await system.nothing_under_way()
    in_conference = [call.sid for call in system.sandbox.live_calls()]
    await system.client.flushall()
    session = await system.until(life.customer.sid, state="conferenced" if step == "converted" else "transferring")
    assert (session["direction"], session["party.agent.call_sid"]) == ("inbound", life.agent.sid)
    # Lists that the sweep has read a moment before may show the bridge; then a read finds the conference.
    assert (await system.log(life.customer.sid))[0]["event"] in ("conference_found", "call_received")
    assert [call.sid for call in system.sandbox.live_calls()] == in_conference
    if step == "converted":
        await transferred(system, life.customer)
        assert system.dials_to(TARGET) == 1
    await all_hang_up(system, outage_s=2 * SWEEP_S)


@pytest.mark.system(CONFERRAL_SWEEP_INTERVAL=SWEEP_S, CONFERRAL_LONE_GRACE=0.5)
async def test_fault_19_customer_who_is_left_alone_is_found_by_the_sweep(system):
    """Callbacks name a session that no one knows, and change nothing."""
    life = Life(system)
    await life.go_to("all talk")
    await system.nothing_under_way()
    await system.client.flushall()
    for call in (life.agent, life.target):
        call.hang_up()
    await system.sandbox.wait_until(lambda: life.customer.record.is_final, DEADLINE_S)


@pytest.mark.parametrize("leaves", ["customer", pytest.param("agent", marks=pytest.mark.soak)])
@pytest.mark.system(CONFERRAL_SWEEP_INTERVAL=SWEEP_S)
async def test_fault_19_redis_is_flushed_during_a_bridge(system, leaves):
    """The session is lost, and is not needed: Twilio's own rules disconnect the remaining party."""
    customer, agent = await system.talking()
    await system.client.flushall()
    next_customer, next_agent = await system.talking()
    await system.until_hears(customer, [agent])
    {"customer": customer, "agent": agent}[leaves].hang_up()
    await system.sandbox.wait_until(lambda: customer.record.is_final and agent.record.is_final, DEADLINE_S)
    await system.done("convert", next_customer.sid)
    await system.until_hears(next_customer, [next_agent])
    await all_hang_up(system, outage_s=2 * SWEEP_S)
