"""The example of a card payment, by both ways of docs/handoff.md."""

import pytest

from conferral import Client
from conferral.processes.subprocesses import poll_until
from tests.conferral.examples.test_handoff_examples import load

pytestmark = pytest.mark.redis
CARD = "4111111111111111"
KEYS = (f"{CARD}#", "1230#", "739#", "94109#")


async def transferred(stack, _twilio, caller, url):
    stack.sandbox.phones["client:card_payment"].script(outcome="fail")  # no browser has this name
    async with Client(stack.redis_url, stack.prefix) as client:
        to = "client:card_payment"
        await client.transfer(
            caller.sid, to=to, mode="blind", fallback=url, ref="order-7", ring_timeout_s=5, wait=False
        )


async def updated(_stack, twilio, caller, url):
    twilio.calls(caller.sid).update(url=f"{url}&ref=order-7")


@pytest.mark.parametrize(
    ("way", "end_reason", "keys", "brief"),
    [
        (transferred, "returned", KEYS, "order-7 is paid."),
        (updated, "moved", KEYS, "order-7 is paid."),
        (transferred, "returned", (KEYS[0], "*"), "order-7 is not paid: caller interrupted with star."),
    ],
)
async def test_caller_pays_by_card_and_is_back_with_the_agent(
    conferral_stack, twilio_client, monkeypatch, way, end_reason, keys, brief
):
    sandbox, alice = conferral_stack.sandbox, conferral_stack.sandbox.phones[conferral_stack.agent]
    example = load("card_payment", monkeypatch, app_url=conferral_stack.app_url, voice_url=conferral_stack.url)
    conferral_stack.serve(example.app)
    alice.script(answer_after_s=1)
    caller = sandbox.phones["+12025550123"].script(keys=keys).call(conferral_stack.number)
    await sandbox.wait_until(lambda: caller.hears(alice))

    await way(conferral_stack, twilio_client, caller, f"{conferral_stack.app_url}/pay?agent={conferral_stack.agent}")
    await sandbox.wait_until(lambda: any(leg.was_told(brief) for leg in alice.calls) and caller.hears(alice))

    assert list(example.paid) == (["order-7"] if "is paid" in brief else [])
    async with Client(conferral_stack.redis_url, conferral_stack.prefix) as client:

        async def has_ended():
            return (await client.session(caller.sid)).end_reason == end_reason

        assert await poll_until(has_ended, 10)
    (form,) = [dict(it.params) for it in sandbox.requests.deliveries if "/paid" in it.url]
    assert form["PaymentCardNumber"] == "xxxxxxxxxxxx1111"
    shown = f"{sandbox.requests.deliveries} {sandbox.story()}"
    assert CARD not in shown
    assert form.get("SecurityCode", "xxx") == "xxx"  # missing if they gave up before it
