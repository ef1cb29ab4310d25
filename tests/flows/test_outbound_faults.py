"""Calls that go out of which Twilio refuses or forgets a part: no one is called twice, no one waits for nothing."""

import pytest

from conferral.commands.identity import session_id_of
from tests.support.local_system import AGENT, CUSTOMER, LocalSystem
from tests.support.phones import presses, voicemail

pytestmark = [pytest.mark.redis, pytest.mark.system(policy={"ring_timeout_ms": 1_000}, answered_by=[CUSTOMER])]

PAIR = {"agent": AGENT, "customer": CUSTOMER}


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
        outcome = await system.result_of(command)
        assert outcome.reason == reason
        agent = system.sandbox.calls_of(number)[0]
        assert system.sounds(agent)[0] == "said 1 to accept, 2 to decline."
        # The customer, whom the `<Dial>` calls, is asked for nothing.
        assert system.sandbox.request_log.dials_to(CUSTOMER) == (0 if reason else 1)
        if not reason:
            agent.hang_up()
        await system.everyone_is_gone(session_id_of(command), reason or "agent-left")
