"""The fixture `conferral_stack`; its use with an app is in `test_handoff_examples.py`."""

import io
import subprocess
import sys

import pytest
from standardwebhooks import Webhook

from conferral import Client
from conferral.testing import ConferralStack
from offhook.testing import TwilioSandbox
from tests.support.people import BOB

pytestmark = pytest.mark.redis


@pytest.mark.parametrize("_once_more", range(2))
async def test_stack_of_a_test_is_empty_and_serves_coroutines(conferral_stack: ConferralStack, _once_more: int) -> None:
    alice = conferral_stack.sandbox.phones[conferral_stack.agent].script(answer_after_s=1)
    bob = conferral_stack.sandbox.phones[BOB].script(answer_after_s=1)
    async with Client(conferral_stack.redis_url, conferral_stack.prefix) as client:
        assert await client.sessions() == []
        caller = conferral_stack.call()
        await conferral_stack.sandbox.wait_until(lambda: caller.hears(alice))
        await client.transfer(caller.sid, to=BOB, mode="blind")
    await conferral_stack.sandbox.wait_until(lambda: caller.hears(bob))


@pytest.mark.parametrize(
    "conferral_stack_settings", [{"CONFERRAL_AGENT": BOB, "CONFERRAL_API_TOKEN": "a-token-of-ones-own-42"}]
)
def test_settings_hold_for_a_test(conferral_stack: ConferralStack, conferral_stack_settings: dict[str, str]) -> None:
    assert [conferral_stack.agent, conferral_stack.api_token] == [*conferral_stack_settings.values()]
    caller = conferral_stack.call()
    bob = conferral_stack.sandbox.phones[conferral_stack.agent]
    conferral_stack.sandbox.wait_until(lambda: bob.rings)
    assert caller.hears("ringback")


def a_call(stack: ConferralStack) -> str:
    """A call that is answered, and ended by the caller; returns its SID."""
    alice = stack.sandbox.phones[stack.agent].script(answer_after_s=0.1)
    caller = stack.call()
    stack.sandbox.wait_until(lambda: caller.hears(alice))
    caller.hang_up()
    return caller.sid


def test_outcomes_of_a_test_are_delivered_and_verified(conferral_stack: ConferralStack) -> None:
    outcomes = conferral_stack.outcomes
    assert [*outcomes] == []
    first, second = a_call(conferral_stack), a_call(conferral_stack)
    found = [outcomes.next(), outcomes.next("session")]
    assert [(one.type, one.data["reason"]) for one in found] == [("session.ended", "customer-left")] * 2
    assert [one.data["session"] for one in outcomes] == [one.data["session"] for one in found]
    assert {one.data["session"] for one in outcomes} == {first, second}
    assert isinstance(outcomes[0].data["attempts"], list)
    with pytest.raises(
        TimeoutError, match=r"no outcome transfer within 0.1 s; delivered: session.ended, session.ended"
    ):
        outcomes.next("transfer", timeout_s=0.1)


async def test_outcomes_may_be_awaited(conferral_stack: ConferralStack) -> None:
    caller = conferral_stack.call()
    await conferral_stack.sandbox.wait_until(lambda: conferral_stack.sandbox.phones[conferral_stack.agent].rings)
    caller.hang_up()
    outcome = await conferral_stack.outcomes.anext("session.ended")
    assert outcome.data["session"] == caller.sid


def test_outcomes_go_to_the_app_under_test_instead(conferral_stack: ConferralStack) -> None:
    outcomes, answers, requests = conferral_stack.outcomes, ["503 Busy", "204 OK"], []

    def app(environ, start_response):
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        headers = {name: environ[f"HTTP_{name.upper().replace('-', '_')}"] for name in names}
        requests.append((environ["PATH_INFO"], environ["QUERY_STRING"], Webhook(outcomes.secret).verify(body, headers)))
        start_response(answers.pop(0), [])
        return []

    conferral_stack.serve(app)
    outcomes.deliver_to(f"{conferral_stack.app_url}/outcomes?from=conferral")
    sid = a_call(conferral_stack)
    with pytest.raises(TimeoutError, match=r"delivered: none; .*/outcomes.* answered 503"):
        outcomes.next(timeout_s=2.0)
    assert outcomes.next().data["session"] == sid  # Conferral has sent it again
    assert [(path, query, sent["data"]["session"]) for path, query, sent in requests] == [
        ("/outcomes", "from=conferral", sid)
    ] * 2
    with pytest.raises(ValueError, match="no http:// URL"):
        outcomes.deliver_to("/outcomes")


def test_unsigned_requests_are_no_outcomes(conferral_stack: ConferralStack) -> None:
    statuses = []
    environ = {"wsgi.input": io.BytesIO(b"{}"), "CONTENT_LENGTH": "2"}
    conferral_stack.outcomes.receive(environ, lambda status, _: statuses.append(status))
    assert statuses == ["401 Unauthorized"]
    assert len(conferral_stack.outcomes) == 0


@pytest.mark.parametrize("twilio_sandbox_options", [{"clock": "virtual"}, {"clock": "waiting"}])
def test_clock_that_stands_still_is_refused(
    twilio_sandbox_options: dict[str, str], request: pytest.FixtureRequest
) -> None:
    with pytest.raises(pytest.fail.Exception, match="Conferral acts on timers of its own, in real time"):
        request.getfixturevalue("conferral_stack")


def test_virtual_clock_of_the_sandbox_is_not_replaced(
    twilio_sandbox: TwilioSandbox, request: pytest.FixtureRequest
) -> None:
    twilio_sandbox.empty(clock="virtual")
    with pytest.raises(ValueError, match="clock='virtual', but Conferral acts on timers of its own"):
        request.getfixturevalue("conferral_stack")


def test_twilios_time_runs_as_conferrals_does(conferral_stack: ConferralStack) -> None:
    before_s, after_s = (conferral_stack.sandbox.run(lambda it: it.now_s) for _ in range(2))
    assert before_s < after_s


def test_plug_in_costs_nothing_unused() -> None:
    program = "import sys, conferral.pytest_plugin; print(*(it for it in sys.modules if it.startswith('conferral')))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["conferral", "conferral.pytest_plugin"]
