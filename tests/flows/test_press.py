"""Digits to one party: who hears them, that they stay nowhere, and what goes wrong with them."""

import json

import pytest
from structlog.testing import capture_logs

from tests.flows.group_call import two
from tests.flows.test_announce import asked, times_heard, world_debugger
from tests.support.people import TARGET
from tests.support.redis_dump import everything_in

pytestmark = [pytest.mark.redis, pytest.mark.system(speed=5.0)]
DIGITS = "1ww739164#"
PIN = "739164"
HEARD = f"digits {DIGITS}"


async def test_one_party_gets_the_digits_and_nothing_keeps_them(system, redis_server):
    crowd = await two(system)
    await crowd.add("bob", TARGET)
    with capture_logs() as lines:
        command_id = (await crowd.done("press", party="bob", digits=DIGITS)).command_id
    assert asked(crowd) == ["bob"]
    assert [times_heard(crowd, name, HEARD) for name in ("customer", "agent", "bob")] == [0, 0, 1]
    assert await system.client.get(system.keys.digits(command_id)) == b""
    with redis_server.client() as client:
        assert PIN not in everything_in(client)
    assert PIN not in str(lines)
    assert PIN not in json.dumps(await system.log(crowd.id))
    assert PIN not in str([request.params for request in system.sandbox.request_log.requests("POST")])
    await crowd.talk()
    await crowd.let_go()


async def test_bridged_call_is_converted_before_digits_are_played(system):
    crowd = await two(system, "inbound")
    await crowd.done("press", party="agent", digits="5")
    assert [times_heard(crowd, name, "digits 5") for name in ("customer", "agent")] == [0, 1]
    await crowd.wait_until(state="conferenced")
    await crowd.let_go()


async def test_party_on_hold_is_refused_and_pressing_again_works_afterward(system, redis_server):
    crowd = await two(system)
    await crowd.done("hold", party="customer")
    await crowd.rejected("the party is on hold", "press", party="customer", digits=DIGITS)
    with redis_server.client() as client:
        assert PIN not in everything_in(client)
    await crowd.done("unhold", party="customer")
    await crowd.done("press", party="customer", digits=DIGITS)
    assert times_heard(crowd, "customer", HEARD) == 1
    await crowd.let_go()


# ---- Twilio ------------------------------------------------------------------------------------------------------


async def test_digits_whose_document_can_not_be_had_fail_and_both_keep_talking(system):
    crowd = await two(system)
    system.sandbox.faults.fail_fetches("announcement", status=503, count=9)
    status, reason = await crowd.outcome(await crowd.say("press", party="agent", digits=DIGITS))
    assert (status, reason[:32]) == ("failed", "the digits could not be played (")
    assert PIN not in reason
    await crowd.talk()
    await crowd.let_go(debugger=world_debugger(system))


@pytest.mark.system(speed=5.0, policy={"command_timeout_ms": 800})
async def test_digits_without_end_callback_fail_and_are_not_played_again(system):
    crowd = await two(system)
    system.sandbox.faults.lose_callbacks("announcement-end")
    status, reason = await crowd.outcome(await crowd.say("press", party="agent", digits="5"))
    assert (status, reason) == ("failed", "unknown: Twilio did not confirm it")
    await crowd.done("press", party="agent", digits="6")
    assert [times_heard(crowd, "agent", f"digits {key}") for key in "56"] == [1, 1]
    await crowd.let_go()


async def test_digits_that_expired_before_twilio_asks_for_them_fail(system):
    crowd = await two(system)
    system.sandbox.faults.delay_fetches("announcement", by_s=1.0)
    command_id = await crowd.say("press", party="agent", digits=DIGITS)
    key = system.keys.digits(command_id)
    await system.eventually(lambda: system.client.delete(key), "the digits are kept")
    status, reason = await crowd.outcome(command_id)
    assert (status, reason[:32]) == ("failed", "the digits could not be played (")
    assert times_heard(crowd, "agent", HEARD) == 0
    await crowd.let_go(debugger=world_debugger(system))
