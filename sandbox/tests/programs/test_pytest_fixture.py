"""The fixtures of the pytest plug-in, as a stranger's tests use them."""

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from twilio.rest import Client

from offhook import UnknownNumberError
from offhook.testing import Phone, TwilioSandbox
from webhook_app import WebhookApp

pytest_plugins = ["pytester"]
BUSINESS, CUSTOMER, ALICE = "+12025550100", "+12025550123", "client:alice"
ON_AND_ON = "<Response><Say>Hello, Ann</Say><Play>https://example.com/waltz.mp3</Play><Pause length='9999'/></Response>"
CONFERENCE = "<Response><Dial><Conference>support</Conference></Dial></Response>"


@pytest.fixture
def dialed(twilio_sandbox: TwilioSandbox, twilio_client: Client) -> Callable[[str, str], Phone]:
    """A call of the program to a phone."""
    twilio_sandbox.add_number(BUSINESS)

    def dial(address: str, twiml: str) -> Phone:
        twilio_client.calls.create(to=address, from_=BUSINESS, twiml=twiml)
        return twilio_sandbox.phones[address]

    return dial


def test_call_is_asserted_as_a_story(twilio_sandbox: TwilioSandbox, dialed: Callable[[str, str], Phone]) -> None:
    alice = dialed(ALICE, ON_AND_ON)
    twilio_sandbox.wait_until(lambda: alice.rings)
    assert [call.status for call in alice.calls] == ["ringing"]
    call = alice.last_call
    call.answer()
    twilio_sandbox.wait_until(lambda: call.hears("music", "waltz.mp3"))

    assert call.was_told("Ann")
    assert not call.was_told("Bob")
    assert (call.hears("music"), call.hears("speech"), call.was_told("Hello")) == (True, False, True)
    with pytest.raises(ValueError, match="no sound is 'musik': there are ringback, music"):
        call.hears("musik")  # type: ignore[arg-type]
    assert alice.rang_for_s == 0
    assert call.heard == ["“Hello, Ann”", "music"]
    assert repr(call) == f"<Call {BUSINESS} to {ALICE}: in-progress, playing, hears music>"
    call.hang_up()
    assert (call.status, call.is_live, alice.rings) == ("completed", False, False)


def test_conference_has_the_calls_in_it(
    twilio_sandbox: TwilioSandbox, twilio_client: Client, dialed: Callable[[str, str], Phone]
) -> None:
    for phone in (twilio_sandbox.phones[CUSTOMER], twilio_sandbox.phones[ALICE]):
        phone.script(answer_after_s=1)
    customer = dialed(CUSTOMER, CONFERENCE)
    twilio_sandbox.wait_until(lambda: customer.last_call.hears("music"))
    alice = dialed(ALICE, CONFERENCE)
    twilio_sandbox.wait_until(lambda: customer.last_call.hears(alice))

    conference = twilio_sandbox.conference("support")
    assert conference.participants == [customer.last_call, alice.last_call]
    assert alice.last_call.conference == conference
    twilio_client.conferences(conference.sid).participants(alice.last_call.sid).update(hold=True)
    assert (alice.last_call.is_held, alice.last_call.is_muted, alice.last_call.label) == (True, False, "")
    assert alice.last_call.hears("music")
    with pytest.raises(LookupError, match="no conference 'sales'"):
        twilio_sandbox.conference("sales")


def test_fault_is_one_line(twilio_sandbox: TwilioSandbox, dialed: Callable[[str, str], Phone]) -> None:
    twilio_sandbox.faults.lose_callback("participant-leave")
    assert [fault["count"] for fault in twilio_sandbox.faults.pending_faults()] == [1]
    twilio_sandbox.faults.next_rest("POST", "/Calls.json", status=503)
    with pytest.raises(Exception, match="503"):
        dialed(ALICE, ON_AND_ON)
    assert [entry.status for entry in twilio_sandbox.requests.rest] == [503]


async def test_text_message_is_answered(app: WebhookApp, twilio_sandbox: TwilioSandbox) -> None:
    app.on("/sms", "<Response><Message>On its way.</Message></Response>")
    twilio_sandbox.add_number(BUSINESS, sms_url=f"{app.url}/sms")
    twilio_sandbox.phones[CUSTOMER].text(BUSINESS, "Where is it?")
    await twilio_sandbox.wait_until(lambda: len(twilio_sandbox.messages) == 2)
    assert [(it.to, it.body) for it in twilio_sandbox.messages][1] == (CUSTOMER, "On its way.")
    with pytest.raises(UnknownNumberError):
        twilio_sandbox.phones[CUSTOMER].text("+12025550199", "Hi")


def test_time_that_a_test_freezes_does_not_stop_it(
    twilio_sandbox: TwilioSandbox, dialed: Callable[[str, str], Phone], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = time.time()
    for name in ("time", "monotonic", "perf_counter"):  # as freezegun does
        monkeypatch.setattr(time, name, lambda: now_s)
    twilio_sandbox.phones[ALICE].script(answer_after_s=1)
    alice = dialed(ALICE, ON_AND_ON)
    twilio_sandbox.wait_until(lambda: alice.last_call.hears("music"))
    with pytest.raises(TimeoutError):
        twilio_sandbox.wait_until(lambda: False, 0.1)


def test_phone_calls_what_exists(twilio_sandbox: TwilioSandbox) -> None:
    with pytest.raises(UnknownNumberError):
        twilio_sandbox.phones[CUSTOMER].call(BUSINESS)
    with pytest.raises(ValueError, match="no phone has the address"):
        twilio_sandbox.phones["alice"]
    with pytest.raises(LookupError, match="no call from or to"):
        assert twilio_sandbox.phones[ALICE].last_call


def test_sandbox_of_a_test_is_empty(twilio_sandbox: TwilioSandbox, twilio_client: Client) -> None:
    assert (twilio_sandbox.calls, twilio_sandbox.conferences, list(twilio_sandbox.phones)) == ([], [], [])
    assert (twilio_client.incoming_phone_numbers.list(), twilio_client.calls.list()) == ([], [])
    # Those two requests of this test alone.
    assert len(twilio_sandbox.requests.rest) == 2


@pytest.mark.parametrize("twilio_sandbox_options", [{"speed": 3.0}])
def test_options_hold_for_one_test(twilio_sandbox: TwilioSandbox, twilio_sandbox_options: dict[str, Any]) -> None:
    assert twilio_sandbox.run(lambda sandbox: sandbox.speed) == 3.0
    with pytest.raises(TypeError, match="no option 'sped': there are speed"):
        twilio_sandbox.empty(sped=1)
    twilio_sandbox.empty()
    assert twilio_sandbox.run(lambda sandbox: sandbox.speed) == 20.0


@pytest.mark.parametrize(
    ("options", "error", "why"),
    [
        ({"speed": 0}, ValueError, "speed takes a number above 0, not 0"),
        ({"speed": float("inf")}, ValueError, "speed takes a number above 0, not inf"),
        ({"speed": "20"}, TypeError, "speed takes int or float, not '20'"),
        ({"speed": True}, TypeError, "speed takes int or float, not True"),
        ({"behavior": {"greeting_s": 1}}, TypeError, "behavior takes Behavior or None, not {'greeting_s': 1}"),
        ({"strict": "yes"}, TypeError, "strict takes bool, not 'yes'"),
        ({"clock": "real"}, ValueError, "clock takes 'running', 'waiting', 'virtual', not 'real'"),
        ({"unmodeled": "ignore"}, ValueError, "unmodeled takes 'error' or 'warn', not 'ignore'"),
        ({"strict": True, "records_all_calls": 1}, TypeError, "records_all_calls takes bool, not 1"),
    ],
)
def test_wrong_option_is_named_and_none_is_set(
    twilio_sandbox: TwilioSandbox, options: dict[str, Any], error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=re.escape(why)):
        twilio_sandbox.empty(**options)
    assert twilio_sandbox.run(lambda sandbox: (sandbox.speed, sandbox.strict)) == (20.0, False)


async def test_application_in_the_loop_of_the_test_answers(app: WebhookApp, twilio_sandbox: TwilioSandbox) -> None:
    app.on("/voice", ON_AND_ON)
    twilio_sandbox.add_number(BUSINESS, voice_url=f"{app.url}/voice")
    caller = twilio_sandbox.phones[CUSTOMER].call(BUSINESS)
    await twilio_sandbox.wait_until(lambda: caller.was_told("Hello") and app.at("/voice"))
    caller.press("7")
    with pytest.raises(TimeoutError, match=r"(?s)/voice.*: 200.*waltz.* presses 7"):
        await twilio_sandbox.wait_until(lambda: False, 0.01)


def test_polling_by_rest_is_no_busy_loop(
    twilio_sandbox: TwilioSandbox, twilio_client: Client, dialed: Callable[[str, str], Phone]
) -> None:
    sid = dialed(ALICE, ON_AND_ON).last_call.sid
    checks = 0

    def is_completed() -> bool:
        nonlocal checks
        checks += 1
        return twilio_client.calls(sid).fetch().status == "completed"

    with pytest.raises(TimeoutError) as raised:
        twilio_sandbox.wait_until(is_completed, 0.5)

    assert 2 <= checks <= 20  # every 50 ms, and at the few changes of a call that rings
    story = str(raised.value)
    assert story.count(f"REST GET /Calls/{sid}.json: 200") <= 4  # once more after each other event
    assert f"REST GET /Calls/{sid}.json: 200 (" in story
    assert "REST POST /Calls.json: 201" in story
    assert f"Twilio dials {ALICE}" in story


def test_equal_reads_are_counted_until_something_else_happens(
    twilio_sandbox: TwilioSandbox, twilio_client: Client
) -> None:
    for _ in range(30):
        twilio_client.calls.list()
    twilio_client.conferences.list()
    twilio_client.calls.list()
    lines = [line.strip().split("  ", 1)[-1] for line in twilio_sandbox.story().splitlines()]
    assert lines[1:4] == [
        "REST GET /Calls.json: 200 (30 times)",
        "REST GET /Conferences.json: 200",
        "REST GET /Calls.json: 200",
    ]


#: Without other plug-ins, which take seconds to import.
QUICK = ("-q", "-n", "0", *(f"-pno:{name}" for name in ("randomly", "schemathesis", "hypothesispytest", "anyio")))
STRANGERS_TESTS = """
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from offhook import Alert

WRONG = "<Response><Redirect>http://127.0.0.1:9/gone</Redirect></Response>"

@pytest.fixture
def calls(twilio_sandbox, twilio_client):
    twilio_sandbox.add_number("+12025550100")
    twilio_sandbox.phones["client:alice"].script(answer_after_s=0, keys="12")
    return lambda twiml: twilio_client.calls.create(to="client:alice", from_="+12025550100", twiml=twiml)

class Slow(BaseHTTPRequestHandler):
    def do_POST(self):
        time.sleep(10 if self.path == "/never" else 0.02)  # and no response

@pytest.fixture
def slow_url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    server.block_on_close = False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()

def alerted(sandbox):
    return lambda: sandbox.alerts

def test_error_fails(calls, twilio_sandbox):
    calls(WRONG)
    twilio_sandbox.wait_until(alerted(twilio_sandbox))

def test_expected_error(calls, twilio_sandbox):
    calls(WRONG)
    twilio_sandbox.expect_alerts(Alert.NO_CONNECTION)
    twilio_sandbox.wait_until(alerted(twilio_sandbox))

def test_expected_error_that_lacks(twilio_sandbox):
    twilio_sandbox.expect_alerts(11205)

UNMODELED = "<Response><Dial record='record-from-ringing'><Sim>DE1</Sim></Dial></Response>"

def test_what_is_ignored(calls, twilio_sandbox, twilio_client):
    calls(UNMODELED.replace("Dial", "Dail"))
    calls(UNMODELED)
    with pytest.raises(Exception, match="the sandbox does not model GET"):
        twilio_client.sip.credential_lists.list()

@pytest.mark.parametrize("twilio_sandbox_options", [{"unmodeled": "warn"}])
def test_what_is_ignored_on_purpose(calls, twilio_sandbox):
    calls(UNMODELED)
    twilio_sandbox.wait_until(alerted(twilio_sandbox))

def test_time_out(calls, twilio_sandbox):
    calls("<Response><Gather numDigits='3'><Say>Your number?</Say></Gather></Response>")
    twilio_sandbox.wait_until(lambda: twilio_sandbox.calls[0].hears("speech", "Your number"))
    twilio_sandbox.wait_until(lambda: False, 0.5)

def test_own_time_out(calls, twilio_sandbox):
    calls("<Response><Pause length='600'/></Response>")
    raise TimeoutError("the test's own")

def test_last_callback_fails(twilio_sandbox, twilio_client, slow_url, monkeypatch):
    monkeypatch.setattr("offhook.testing.twilio_sandbox.SETTLE_S", 9)  # the machine may be busy
    call_with_callback(twilio_sandbox, twilio_client, slow_url)

def test_callback_without_end_is_not_awaited(twilio_sandbox, twilio_client, slow_url):
    call_with_callback(twilio_sandbox, twilio_client, slow_url + "never")

def call_with_callback(twilio_sandbox, twilio_client, url):
    twilio_sandbox.add_number("+12025550100")
    twilio_client.calls.create(
        to="client:alice", from_="+12025550100", twiml="<Response/>", status_callback=url,
        status_callback_event=["initiated"],
    )
def test_nothing_left(twilio_sandbox):
    assert not twilio_sandbox.calls and not twilio_sandbox.alerts

@pytest.mark.parametrize("number", range(40))
def test_quick(number, twilio_sandbox, calls):
    assert calls("<Response><Pause length='600'/></Response>").sid == twilio_sandbox.calls[0].sid

def test_without_library(monkeypatch, request):
    monkeypatch.setitem(sys.modules, "twilio.rest", None)
    request.getfixturevalue("twilio_client")

def test_assertion(calls, twilio_sandbox):
    calls("<Response><Pause length='600'/></Response>")
    assert twilio_sandbox.calls[0].hears("music")
"""


def test_strangers_tests_fail_with_what_happened(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_theirs=STRANGERS_TESTS)

    ran = pytester.runpytest_subprocess(*QUICK, "--durations=0", "-vv")

    ran.assert_outcomes(passed=44, failed=8)
    ran.stdout.fnmatch_lines_random(
        [
            "*unexpected alert: error 11205*http://127.0.0.1:9/gone*twilio_sandbox.expect_alerts(11205)*",
            "*expected alert 11205 did not come*",
            "*unexpected alert: error 12200*no <Dail>*",
            "*unexpected alert: error, Twilio has <Sim> in <Dial>*unmodeled='warn'*",
            "*unexpected alert: error, the sandbox does not model GET */SIP/CredentialLists.json*",
            "*client:alice presses 12*",
            "*twilio_client needs Twilio's library*pip install twilio*",
            "*where False = hears('music')*",
            "*<Call +12025550100 to client:alice: in-progress, pausing, hears silence>*",
            "*Twilio sandbox*",
            "*unexpected alert: error *Status callback failed*",
        ]
    )
    assert ran.stdout.str().count("- Twilio sandbox -") == 7  # not after the time-out that shows it itself


def test_without_hook_wrappers_tests_run_without_fixtures_and_say_so(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("")
    pytester.makepyfile(
        old_pluggy="""
        import pytest

        def hookimpl(function=None, hookwrapper=False, optionalhook=False, tryfirst=False, trylast=False):
            raise AssertionError("not used")

        pytest.hookimpl, new = hookimpl, pytest.hookimpl
        import offhook.pytest_plugin
        pytest.hookimpl = new
        """,
        test_theirs="def test_it(): pass\ndef test_fixture(twilio_sandbox): pass",
    )
    ran = pytester.runpytest_subprocess(*QUICK, "-p", "old_pluggy")
    ran.assert_outcomes(passed=1, errors=1)
    ran.stdout.fnmatch_lines(["*fixture 'twilio_sandbox' not found*", "offhook: no fixtures: they need pluggy 1.2*"])


def test_plug_in_costs_nothing_unused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_it():
            plug_in = {"offhook", "offhook.pytest_plugin", "offhook.pytest_fixtures"}
            assert plug_in == {name for name in sys.modules if name.startswith(("offhook", "aiohttp"))}
        """
    )

    pytester.runpytest_subprocess(*QUICK).assert_outcomes(passed=1)
