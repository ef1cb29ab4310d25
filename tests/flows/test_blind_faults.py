"""Blind transfers of which Twilio refuses, delays or forgets a part."""

import pytest

from tests.flows.flow_helpers import BOTH_DIRECTIONS, TARGET, talking

pytestmark = [pytest.mark.redis, pytest.mark.system(answered_by=[TARGET])]


async def is_handed_over(system, talk, debugger=frozenset()):
    """The customer talks to the target, then hangs up, and nothing is left."""
    target = await system.leg(talk.session, "agent")
    await system.until_talk(talk.customer, target)
    assert system.listening.never_heard(talk.agent, target)
    assert system.dials_to(TARGET) == 1
    await system.ended_by_hang_up(talk.customer, talk.session, "customer-left", debugger=debugger)


# ---- the redirect of a customer who was called -----------------------------------------------------------------------


@pytest.mark.parametrize("fault", [
    {"status": 429}, {"status": 503}, {"status": 500, "moment": "after"}, {"cut": "before"}, {"cut": "after"},
], ids=["429", "503", "500-after-effect", "cut-before", "cut-after"])  # fmt: skip
async def test_redirect_whose_answer_is_bad_is_never_repeated_once_it_has_moved_the_customer(system, fault):
    talk = await talking(system, "outbound")
    system.sandbox.faults.next_rest("POST", f"/Calls/{talk.customer.sid}", **fault)
    await system.done("transfer", talk.session, to=TARGET, mode="blind")
    assert system.redirects_of(talk.customer) == 1
    await is_handed_over(system, talk)


# ---- an inbound customer's way into the conference -------------------------------------------------------------------


async def test_customer_who_never_arrives_is_moved_once_and_handed_over(system):
    """Neither the action nor the fallback responds to Twilio, so neither brings the customer in; a redirect does."""
    talk = await talking(system)
    for path in ("/voice/dial-action", "/voice/fallback"):
        system.sandbox.faults.fail_fetches(path, status=0, count=8)
    await system.done("transfer", talk.session, to=TARGET, mode="blind")
    assert system.redirects_of(talk.customer) == 1
    system.sandbox.faults.clear()
    await is_handed_over(system, talk, debugger=frozenset({11205}))


# ---- the wait audio --------------------------------------------------------------------------------------------------


@BOTH_DIRECTIONS
@pytest.mark.parametrize("late", ["", "participant-leave", "conference-end"])
@pytest.mark.system(speed=20)
async def test_customer_removed_by_twilio_for_failed_wait_audio_waits_elsewhere_for_the_agent(system, direction, late):
    """Twilio ends a `<Conference>` whose wait URL fails; the customer is led into another one, in silence in the end.

    A party dialed into the ended one can't reach them, so the agent is rung again. The agent hears why, which
    takes time: so the local Twilio's clock runs faster.
    """
    talk = await talking(system, direction)
    system.not_answered_by(TARGET)
    system.sandbox.faults.fail_fetches("/voice/wait", status=500, count=50)
    if late:
        system.sandbox.faults.delay_callbacks(late, 0.1, count=2)
    # A target dialed once the customer waits in silence is rung; one dialed into a conference that ends is not.
    await system.failed("failed no-answer", "transfer", talk.session, to=TARGET, mode="blind")
    await system.until(talk.session, state="conferenced")
    back = await system.leg(talk.session, "agent")
    await system.until_talk(talk.customer, back)
    talk.customer.hang_up()
    await system.until(talk.session, state="ended", end_reason="customer-left")
    await system.settled()
    assert system.dials_to(TARGET) <= 1
    # If the end is reported late, the agent may join the ended conference, and is rung a second time.
    may_be = {11200, 13236} if late == "conference-end" else {11200}
    assert {entry.code for entry in system.sandbox.request_log.debugger} <= may_be


@pytest.mark.system(speed=20)
async def test_outbound_customer_is_served_by_the_fallback_when_the_dial_action_fails(system):
    """No number's fallback applies to a call that we placed: the request that moves it has to name one."""
    talk = await talking(system, "outbound")
    system.not_answered_by(TARGET)
    system.sandbox.faults.fail_fetches("/voice/wait", status=500, count=50)
    system.sandbox.faults.fail_fetches("/voice/dial-action", status=503, count=50)
    await system.failed("failed", "transfer", talk.session, to=TARGET, mode="blind")
    await system.until(talk.session, state="conferenced")
    back = await system.leg(talk.session, "agent")
    await system.until_hears(talk.customer, [back])
    await system.ended_by_hang_up(talk.customer, talk.session, "customer-left", debugger=frozenset({11200}))


# ---- the customer's hold, in a conference ----------------------------------------------------------------------------
