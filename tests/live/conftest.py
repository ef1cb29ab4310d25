"""A Twilio for the tests of this folder: Offhook, or, with CONFERRAL_LIVE=1, the real one and numbers of your own."""

import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client
from twilio.rest.api.v2010.account.call import CallInstance

from offhook import Behavior
from offhook.testing import TwilioSandbox
from tests.live.program import Program
from tests.live.trace import lines_of, trace_of

LIVE = os.environ.get("CONFERRAL_LIVE") == "1"
#: What the real service needs; README.md says what each is.
NEEDED = ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "LIVE_CALLER", "LIVE_ANSWER", "LIVE_URL", "LIVE_PORT")
#: Where a run keeps what it has shown: on the real service always.
TRACE = os.environ.get("LIVE_TRACE", "live-trace.json" if LIVE else "")
_TRACES = pytest.StashKey[list[dict[str, Any]]]()
_CALLER, _ANSWER = "+12025550151", "+12025550152"
#: Of each call, seconds: no call of a run that dies goes on for longer.
_TIME_LIMIT_S = 60
#: Answers, and stays on the line.
TALKS = "<Response><Say>Hello.</Say><Pause length='40'/></Response>"
#: Rings for as long, since a pause that comes first isn't an answer. Source: twilio.com/docs/voice/twiml/pause.
RINGS = "<Response><Pause length='20'/><Reject/></Response>"
CALL_EVENTS = ("initiated", "ringing", "answered", "completed")


@dataclass
class Twilio:
    """Twilio, a program that it requests, and two numbers. Nothing else is dialed."""

    client: Client
    program: Program
    caller: str
    answering: str
    #: What Offhook does where we know of several readings.
    readings: Behavior = field(default_factory=Behavior)
    name: str = field(default_factory=lambda: f"live-{secrets.token_hex(6)}")
    calls: list[str] = field(default_factory=list)
    #: Twilio's, of requests that it has refused.
    codes: list[int] = field(default_factory=list)
    sandbox: TwilioSandbox | None = None

    def call(self, twiml: str, *answers: str) -> CallInstance:
        """Call the number that answers, which does this; on its answer, the call does that."""
        self.program.documents["/answer"] = list(answers or (TALKS,))
        call = self.client.calls.create(
            to=self.answering,
            from_=self.caller,
            twiml=twiml,
            time_limit=_TIME_LIMIT_S,
            status_callback=f"{self.program.url}/call",
            status_callback_event=list(CALL_EVENTS),
        )
        self.calls.append(str(call.sid))
        return call

    def dial(self, attributes: str = "") -> str:
        """Return TwiML that dials the number that answers, once more."""
        events = " ".join(CALL_EVENTS)
        callback = f"statusCallback='{self.program.url}/child' statusCallbackEvent='{events}'"
        dial = f"<Dial callerId='{self.caller}' timeLimit='{_TIME_LIMIT_S}' {attributes}>"
        return f"<Response>{dial}<Number {callback}>{self.answering}</Number></Dial></Response>"

    def conference(self, attributes: str = "") -> str:
        """Return TwiML that joins the test's conference."""
        events = "start end join leave mute hold modify"
        callback = f"statusCallback='{self.program.url}/conference' statusCallbackEvent='{events}'"
        noun = f"<Conference beep='false' {callback} {attributes}>{self.name}</Conference>"
        return f"<Response><Dial>{noun}</Dial></Response>"

    def status(self, sid: str, *statuses: str) -> str:
        """Wait until a call has one of these statuses."""

        def read() -> str | None:
            now = str(self.client.calls(sid).fetch().status)
            return now if now in statuses else None

        return self.program.until(read, f"{sid} in {statuses}")

    def refused(self, change: Any, **fields: Any) -> int:
        """Return the code with which a request is refused."""
        with pytest.raises(TwilioRestException) as error:
            change(**fields)
        self.codes.append(int(error.value.code))
        return self.codes[-1]

    def expect_alerts(self, *codes: int) -> None:
        """Expect errors in the debugger, which would fail a test on Offhook."""
        if self.sandbox:
            self.sandbox.expect_alerts(*codes)

    def trace(self, name: str) -> dict[str, Any]:
        """Return what the test has shown so far."""
        billed_s = {sid: int(self.client.calls(sid).fetch().duration or 0) for sid in self.calls}
        return trace_of(name, self.program.kept, self.codes, billed_s)

    def hang_up_all(self) -> None:
        for sid in self.calls:
            call = self.client.calls(sid).fetch()
            if call.status in ("queued", "ringing", "in-progress"):
                call.update(status="completed")


@pytest.fixture
def twilio_sandbox_options() -> dict[str, str]:
    """Twilio's time always passes, as that of the live service."""
    return {"clock": "running"}


@pytest.fixture
def twilio(request: pytest.FixtureRequest) -> Iterator[Twilio]:
    yield from _live(request) if LIVE else _offhook(request)


def _keep(request: pytest.FixtureRequest, twilio: Twilio) -> None:
    """Hang up all calls, and keep what the test has shown."""
    twilio.hang_up_all()
    if TRACE:
        request.config.stash.setdefault(_TRACES, []).append(twilio.trace(request.node.name))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if traces := config.stash.get(_TRACES, []):
        Path(TRACE).write_text(json.dumps({"tests": traces}, indent=1) + "\n", "utf-8")
        terminalreporter.section(f"kept in {TRACE}")
        for trace in traces:
            for line in lines_of(trace):
                terminalreporter.write_line(line)


def _offhook(request: pytest.FixtureRequest) -> Iterator[Twilio]:
    sandbox: TwilioSandbox = request.getfixturevalue("twilio_sandbox")
    client: Client = request.getfixturevalue("twilio_client")
    with Program(0, "", patience_s=10) as program:
        sandbox.add_number(_CALLER)
        sandbox.add_number(_ANSWER, voice_url=f"{program.url}/answer")
        twilio = Twilio(client, program, _CALLER, _ANSWER, sandbox=sandbox)
        yield twilio
        _keep(request, twilio)
        sandbox.wait_until_idle()


def _live(request: pytest.FixtureRequest) -> Iterator[Twilio]:
    values = [os.environ.get(name, "") for name in NEEDED]
    if missing := [name for name, value in zip(NEEDED, values, strict=True) if not value]:
        pytest.fail(f"CONFERRAL_LIVE=1 needs {', '.join(missing)}", pytrace=False)
    account, token, caller, answering, url, port = values
    client = Client(account, token)
    own = {str(one.phone_number): one for one in client.incoming_phone_numbers.list()}
    if not {caller, answering} <= own.keys() or caller == answering:
        pytest.fail("LIVE_CALLER and LIVE_ANSWER must be two numbers of the account", pytrace=False)
    number, before = own[answering], own[answering].voice_url
    with Program(int(port), url.rstrip("/"), patience_s=60) as program:
        number.update(voice_url=f"{program.url}/answer")
        twilio = Twilio(client, program, caller, answering)
        try:
            yield twilio
        finally:
            _keep(request, twilio)
            number.update(voice_url=before)
