"""Calls that go out of which Twilio refuses or forgets a part: no one is called twice, no one waits for nothing."""

import pytest

from conferral.storage.commands.command_stream import session_id_of
from tests.support.local_system import AGENT, CUSTOMER, LocalSystem
from tests.support.phones import presses, rings, voicemail

pytestmark = [pytest.mark.redis, pytest.mark.system(policy={"ring_timeout_ms": 1_000}, answered_by=[CUSTOMER])]

PAIR = {"agent": AGENT, "customer": CUSTOMER}
#: The agent's and the customer's callbacks differ in whom they are about.
OF_AGENT = {"To": AGENT}


async def is_a_call(system, session):
    """The two talk; then the agent hangs up, and nothing is left."""
    agent, customer = await system.leg(session, "agent"), await system.leg(session, "customer")
    await system.until_talk(agent, customer)
    assert (system.sandbox.request_log.dials_to(AGENT), system.sandbox.request_log.dials_to(CUSTOMER)) == (1, 1)
    await system.ended_by_hang_up(agent, session, "agent-left")


# ---- the agent's dial ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [
    {"status": 429}, {"status": 500, "moment": "after"}, {"cut": "after"},
], ids=["429", "500-after-effect", "cut-after"])  # fmt: skip
async def test_agent_is_called_once_though_the_answer_to_the_request_is_bad(system, fault):
    system.sandbox.faults.next_rest("POST", "/Calls.json", **fault)
    await is_a_call(system, (await system.done("call", "", **PAIR)).session)


async def test_agent_dial_without_callbacks_is_found_in_the_call_list(system):
    """Neither the answer to the request nor a callback came."""
    system.agent_phone.script_in_turn(rings())
    system.sandbox.faults.next_rest("POST", "/Calls.json", cut="after")
    system.sandbox.faults.lose_callbacks("*", count=2, **OF_AGENT)
    command = await system.begins("call", "", **PAIR)
    session = session_id_of(command)
    await system.sandbox.wait_until(lambda: system.sandbox.calls_of(AGENT), 5)
    await system.sandbox.wait_until(lambda: system.sandbox.request_log.requests("GET", "/Calls.json"), 5)
    system.sandbox.calls_of(AGENT)[0].answer()
    assert (await system.outcome_of(command)).status == "done"
    await is_a_call(system, session)


# ---- the gate --------------------------------------------------------------------------------------------------------


async def test_gate_failing_once_is_requested_again_and_the_customer_is_called_once(system):
    system.sandbox.faults.fail_fetches("/voice/gate", status=503)
    session = (await system.done("call", "", **PAIR)).session
    agent = await system.leg(session, "agent")
    assert agent.status == "in-progress"
    assert system.sandbox.request_log.dials_to(CUSTOMER) == 1
    await system.ended_by_hang_up(agent, session, "agent-left", debugger=frozenset({11200}))


@pytest.mark.parametrize("script, reason", [
    (presses("1"), ""),
    (voicemail(),  "agent-no-confirmation"),
], ids=["presses-1", "voicemail"])  # fmt: skip
async def test_every_number_that_is_called_must_press_one_where_the_setting_says_so(redis_server, script, reason):
    number = "+14155550188"
    async with LocalSystem(redis_server.url, speed=20, CONFERRAL_CONFIRM="phones") as system:
        system.answered_by(CUSTOMER)
        system.sandbox.phone(number).script_in_turn(script)
        command = await system.begins("call", "", agent=number, customer=CUSTOMER)
        outcome = await system.outcome_of(command)
        assert outcome.reason == reason
        agent = system.sandbox.calls_of(number)[0]
        assert system.sounds(agent)[0] == "said Press 1 to take the call."
        # The customer, whom the `<Dial>` calls, is asked for nothing.
        assert system.sandbox.request_log.dials_to(CUSTOMER) == (0 if reason else 1)
        if not reason:
            agent.hang_up()
        await system.everyone_is_gone(session_id_of(command), reason or "agent-left")
