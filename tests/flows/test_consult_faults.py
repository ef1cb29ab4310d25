"""Consults in which Twilio refuses, fails, or does not say what it did: no one is overheard, no one stays on hold."""

import pytest

from tests.flows.flow_helpers import TARGET
from tests.flows.three_party_call import dials, held, three, two

#: Twilio is asked early for what it has not confirmed, and given up early.
HASTY = {"confirm_ms": 100, "read_pause_ms": 100, "hold_timeout_ms": 400}
pytestmark = [pytest.mark.redis, pytest.mark.system(policy=HASTY)]

HOLDS = "/Conferences/*/Participants/*"


async def test_customer_who_can_not_be_held_is_not_talked_about(system):
    """No one is dialed, and the customer goes on with the agent."""
    trio = await two(system)
    system.sandbox.faults.next_rest("POST", HOLDS, Hold="true", count=20, status=400)
    await system.failed("hold-failed", "transfer", trio.id, to=TARGET, mode="consult")
    session = await trio.until(state="conferenced", transfer_status="failed", transfer_reason="hold-failed")
    assert not held(session)
    assert system.dials_to(TARGET) == 0
    assert trio.asked().count("hold customer") >= 2
    await trio.talk("customer", "agent")
    assert trio.customer_was_never_in_silence(), trio.heard()
    await trio.ended_by_hang_up("customer", "customer-left")


@pytest.mark.parametrize("step, fault", [
    ("complete", {"status": 400, "count": 2}),
    ("complete", {"status": 500, "count": 4}),
    ("cancel",   {"status": 400, "count": 2}),
    ("cancel",   {"cut": "before", "count": 3}),
], ids=["complete-400", "complete-500", "cancel-400", "cancel-cut"])  # fmt: skip
async def test_unhold_that_fails_is_repeated_until_the_customer_is_back(system, step, fault):
    trio = await three(system, "consult")
    system.sandbox.faults.next_rest("POST", HOLDS, Hold="false", EndConferenceOnExit="", **fault)
    await trio.done(step)
    assert not system.sandbox.faults.pending_faults()
    await trio.expect_heard(customer={"complete": "target", "cancel": "agent"}[step])
    # The agent waits until the customer can be heard: no one is left alone with music.
    await system.ended_by_command(trio.id)


async def test_transfer_fails_while_agent_exit_would_still_end_the_conference(system):
    """Without that flag cleared, letting the agent go later would end the conference for all."""
    trio = await two(system, "conferenced")
    system.sandbox.faults.next_rest("POST", HOLDS, EndConferenceOnExit="false", count=20, status=500)
    await system.failed("end-flag-unconfirmed", "transfer", trio.id, to=TARGET, mode="consult")
    await trio.until(state="conferenced", transfer_status="failed", transfer_reason="end-flag-unconfirmed")
    assert system.dials_to(TARGET) == 0
    assert "hold customer" not in trio.asked()
    await trio.expect_heard(customer="agent")
    await trio.ended_by_hang_up("customer", "customer-left")


@pytest.mark.parametrize("fallback", [
    pytest.param(name, marks=pytest.mark.system(policy=HASTY, CONFERRAL_TRANSFER_FALLBACK=name))
    for name in ("recall", "voicemail")
])  # fmt: skip
async def test_customer_whose_agent_is_gone_as_the_consult_fails_lands_in_the_fallback(system, fallback):
    """The target declines, and the agent hangs up before Twilio has taken the customer off hold."""
    trio = await dials(await two(system, "conferenced"), "consult")
    path = f"/Conferences/*/Participants/{trio['customer'].sid}"
    system.sandbox.faults.next_rest("POST", path, latency_s=0.5, Hold="false")
    trio["target"].reject()
    await system.eventually(system.sandbox.faults.pending_faults, "the unhold is on its way", equals=[])
    trio["agent"].hang_up()
    outcome = await system.result_of(trio.transfer_id)
    assert (outcome.status, outcome.reason) == ("failed", "rejected")
    await trio.until(phase=fallback, transfer_status="failed")
    assert trio.customer_was_never_in_silence(), trio.heard()
    await system.ended_by_command(trio.id)
