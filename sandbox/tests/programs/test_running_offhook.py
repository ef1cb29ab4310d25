"""Fixtures that use an Offhook of another process, which `OFFHOOK_URL` names."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

pytest_plugins = ["pytester"]
QUICK = ("-q", "-n", "0", *(f"-pno:{name}" for name in ("randomly", "schemathesis", "hypothesispytest", "anyio")))
STRANGERS_TESTS = """
import sys

import pytest
from offhook import Behavior, PhoneScript, UnknownNumberError

BUSINESS, ANN, ALICE = "+12025550100", "+12025550123", "client:alice"
TALK = "<Response><Say>Hello, Ann</Say><Play>https://example.com/waltz.mp3</Play><Pause length='9999'/></Response>"

def test_nothing_that_serves_is_imported(twilio_sandbox):
    assert not {"aiohttp", "offhook.service"} & set(sys.modules)

def test_call(twilio_sandbox, twilio_client):
    twilio_sandbox.add_number(BUSINESS)
    alice = twilio_sandbox.phones[ALICE].script_in_turn(PhoneScript(outcome="busy"), PhoneScript(answer_after_s=1))
    for _ in range(2):
        twilio_client.calls.create(to=ALICE, from_=BUSINESS, twiml=TALK)
    twilio_sandbox.wait_until(lambda: alice.last_call.hears("music", "waltz"))
    assert [call.status for call in alice.calls] == ["busy", "in-progress"]
    assert alice.last_call.was_told("Hello")
    alice.last_call.press("1")
    alice.last_call.hang_up()
    assert (alice.last_call.status, alice.rings) == ("completed", False)
    assert [it.path for it in twilio_sandbox.requests.rest] == ["/Calls.json"] * 2
    assert "client:alice presses 1" in twilio_sandbox.story()
    with pytest.raises(ValueError, match="can't press keys: the call is completed"):
        alice.last_call.press("1")

def test_conference(twilio_sandbox, twilio_client):
    twilio_sandbox.add_number(BUSINESS)
    for address in (ANN, ALICE):
        twilio_sandbox.phones[address].script(answer_after_s=0)
        conference = "<Response><Dial><Conference>support</Conference></Dial></Response>"
        twilio_client.calls.create(to=address, from_=BUSINESS, twiml=conference)
    ann, alice = twilio_sandbox.phones[ANN], twilio_sandbox.phones[ALICE]
    twilio_sandbox.wait_until(lambda: ann.calls and ann.last_call.hears(alice))
    assert len(twilio_sandbox.conference("support").participants) == 2

@pytest.mark.parametrize("twilio_sandbox_options", [{"speed": 3.0, "behavior": Behavior(busy_rings=True)}])
def test_options_and_faults(twilio_sandbox, twilio_client):
    twilio_sandbox.add_number(BUSINESS)
    twilio_sandbox.faults.next_rest("POST", "/Calls.json", status=503)
    with pytest.raises(Exception, match="503"):
        twilio_client.calls.create(to=ALICE, from_=BUSINESS, twiml=TALK)
    assert twilio_sandbox.faults.pending_faults() == []
    alice = twilio_sandbox.phones[ALICE].script(outcome="busy")
    twilio_client.calls.create(to=ALICE, from_=BUSINESS, twiml=TALK)
    twilio_sandbox.wait_until(lambda: alice.last_call.status == "busy")
    assert alice.last_call.record.rang_at_s is not None

@pytest.mark.parametrize("clock", ["virtual", "waiting"])
def test_clock_that_stands_still(twilio_sandbox, clock):
    with pytest.raises(ValueError, match="in another process is 'running'"):
        twilio_sandbox.empty(clock=clock)
    with pytest.raises(RuntimeError, match="needs a sandbox in the test's process"):
        twilio_sandbox.advance(1)

def test_caller_and_text(twilio_sandbox):
    twilio_sandbox.add_number(BUSINESS)
    twilio_sandbox.phones[ANN].text(BUSINESS, "Hi")
    assert [it.body for it in twilio_sandbox.messages] == ["Hi"]
    call = twilio_sandbox.phones[ANN].call(BUSINESS, url="http://127.0.0.1:9/gone")
    twilio_sandbox.expect_alerts(11205)
    twilio_sandbox.wait_until(lambda: call.was_told("application error"))
    with pytest.raises(UnknownNumberError):
        twilio_sandbox.phones[ANN].call("+12025550199")

def test_what_is_ignored(twilio_sandbox, twilio_client):
    twilio_sandbox.add_number(BUSINESS)
    twilio_client.calls.create(to=ALICE, from_=BUSINESS, twiml=TALK, client_notification_url="https://x.example")
"""


@pytest.fixture
def running_url() -> Iterator[str]:
    command = [sys.executable, "-m", "offhook", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        yield next(line.split()[1] for line in running.stdout if line.startswith("URL:"))
        running.terminate()


def test_fixtures_use_a_running_offhook(
    pytester: pytest.Pytester, running_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFFHOOK_URL", running_url)
    pytester.makepyfile(test_theirs=STRANGERS_TESTS)
    ran = pytester.runpytest_subprocess(*QUICK)
    ran.assert_outcomes(passed=7, failed=1)
    ran.stdout.fnmatch_lines(["*unexpected alert: error, Twilio has ClientNotificationUrl*"])


def test_url_where_no_one_answers_is_named(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFHOOK_URL", "http://127.0.0.1:9")
    pytester.makepyfile("def test_it(twilio_sandbox): pass")
    ran = pytester.runpytest_subprocess(*QUICK)
    ran.stdout.fnmatch_lines(["*no Offhook answers at OFFHOOK_URL, http://127.0.0.1:9*"])
