"""Any error that no code foresaw, in any function of a handler: the caller gets TwiML, a report is repeated."""

import gc
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from conferral.statemachine.parts import PendingCommand
from tests.support.metric_values import value_of
from tests.webhooks.documents import verbs
from tests.webhooks.webhook_helpers import (
    AGENT_CALL,
    CALLER,
    CONFERENCE_URL,
    DIAL,
    DIAL_ACTION,
    PUBLIC_URL,
    a_party,
    facts,
    fields,
    post,
)

ROOT = Path(__file__).parents[2]
#: What runs in a handler; the request's reception is another matter.
HANDLERS = {
    str(ROOT / "conferral" / "webhooks" / f"{name}.py")
    for name in (
        *("call_routing", "dial_action", "gate", "handoff", "responses", "status_callbacks", "visits", "voice"),
        *("voice_client", "wait_url"),
    )
} | {str(path) for path in (ROOT / "conferral" / "telephony").glob("*.py")}
GATE = f"/voice/gate?session={CALLER}&dial={DIAL}&question=1&v=1"
WAIT = f"/voice/wait?session={CALLER}&party=customer&audio=music&v=1"

AGENTS = ("+14155550123", "+14155550124")

#: New calls: target, form, and the session that Redis has.
NEW = {
    "inbound": ("/voice/inbound", fields("call_arrives"), None),
    "conference": ("/voice/conference", fields("call_arrives"), None),
    "client": ("/voice/client", fields("browser_calls_somebody"), None),
    "fallback": ("/voice/fallback", fields("call_arrives"), facts("bridged")),
    "fallback of a hand-off": (
        "/voice/fallback",
        fields("call_arrives", Direction="outbound-api", ErrorUrl=f"{PUBLIC_URL}/voice/handoff", To="+14155550199"),
        facts("bridged"),
    ),
}
RUNNING = {
    "dial action": (DIAL_ACTION, fields("call_arrives", DialCallStatus="completed"), facts("converting")),
    "next agent": (DIAL_ACTION, fields("call_arrives", DialCallStatus="no-answer"), facts("bridged", agents=AGENTS)),
    "gate": (
        GATE,
        fields("call_arrives", Direction="outbound-api"),
        facts("transferring", target=a_party(dial_id=DIAL, label="target-1", status="ringing")),
    ),
    "wait": (WAIT, fields("call_arrives"), facts("conferenced")),
}
REPORTS = {
    "status": ("/voice/status", fields("call_arrives", CallStatus="completed"), None),
    "call": (AGENT_CALL, fields("agent_rings"), facts("bridged")),
    "room": (CONFERENCE_URL, fields("agent_joins"), facts("converting")),
    "announcement": (
        f"/voice/announcement?session={CALLER}&command=c1&v=1",
        fields("call_arrives"),
        facts("conferenced", pending_commands=(PendingCommand("c1", "announce", say="Hello"),)),
    ),
}
#: What no document can be made without, and what is cached.
_UNBROKEN = {"twiml", "twiml_response", "date_ms"}


class UnforeseenError(Exception):
    """An error that no code knows."""


@contextmanager
def traced(on_call):
    """Call `on_call` with each function of a handler that is entered; an error that it raises comes from there."""

    def trace(frame, what, _given):
        if what == "call" and frame.f_code.co_filename in HANDLERS and frame.f_code.co_name != "<module>":
            on_call(frame.f_code)

    before = sys.gettrace()
    # The collector would enter the generators of earlier requests, to close them.
    gc.disable()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)
        gc.enable()


@contextmanager
def broken(code):
    """Let every call of a function fail."""

    def fail(entered):
        if entered is code:
            raise UnforeseenError

    with traced(fail):
        yield


async def calls_of(client, webhook_store, case):
    """Each function that a request enters, in order."""
    target, form, webhook_store.facts = case
    seen = []
    await post(client, target, form)  # so that what is cached from the first request on is not seen
    with traced(seen.append):
        status, _ = await post(client, target, form)
    assert status in (200, 204)
    assert len(seen) > 3
    return seen


@pytest.fixture
def started(open_client, write_directory):
    """The webhooks, with two agents to be tried."""
    directory = write_directory('[inbound."+14155550100"]\nagents = ["+14155550123", "+14155550124"]\n')
    return lambda: open_client(CONFERRAL_ALLOWED_DESTINATIONS="US,client:", **directory)


def keeps_the_caller(document):
    """Whether the call goes on after the document, or hears something and asks again."""
    return bool({"Dial", "Redirect", "Gather"} & set(verbs(document)))


def count_of(metrics):
    return value_of(metrics.unexpected_errors.labels("webhook"))


@pytest.mark.parametrize("case", (NEW | RUNNING).values(), ids=(NEW | RUNNING).keys())
async def test_an_error_anywhere_in_a_handler_keeps_the_caller_connected(started, webhook_store, metrics, lines, case):
    client = await started()
    for number, code in enumerate(await calls_of(client, webhook_store, case)):
        webhook_store.gates.clear()
        seen, before = [], count_of(metrics)

        def fail_once(_code, number=number, seen=seen):
            seen.append(1)
            if len(seen) == number + 1:
                raise UnforeseenError

        with traced(fail_once):
            status, document = await post(client, case[0], case[1])

        assert (status, keeps_the_caller(document)) == (200, True), (code.co_qualname, document)
        assert count_of(metrics) == before + 1, code.co_qualname
    assert {line["url_path"] for line in lines if line["event"] == "unexpected_error" and "url_path" in line} == {
        case[0].partition("?")[0]
    }
    assert not [line for line in lines if line["event"] == "store_unreachable"]


async def functions_of(client, webhook_store, case):
    """Each function that a request enters."""
    seen = dict.fromkeys(await calls_of(client, webhook_store, case))
    return [code for code in seen if code.co_name not in _UNBROKEN]


@pytest.mark.parametrize("case", NEW.values(), ids=NEW.keys())
async def test_a_function_that_always_fails_leaves_a_new_call_with_twiml(started, webhook_store, metrics, lines, case):
    client = await started()
    connected = 0
    for code in await functions_of(client, webhook_store, case):
        with broken(code):
            status, document = await post(client, case[0], case[1])

        assert (status, verbs(document)[-1:]) in [(200, ["Dial"]), (200, ["Hangup"])], code.co_qualname
        connected += keeps_the_caller(document)
    assert connected > 4 or case[0] == "/voice/client"
    assert count_of(metrics) > 0


@pytest.mark.parametrize("case", RUNNING.values(), ids=RUNNING.keys())
async def test_a_function_that_always_fails_leaves_a_call_to_the_fallback(started, webhook_store, metrics, lines, case):
    client = await started()
    for code in await functions_of(client, webhook_store, case):
        webhook_store.gates.clear()
        with broken(code):
            status, document = await post(client, case[0], case[1])

        assert (status == 200 and keeps_the_caller(document)) or (status, document) == (500, ""), code.co_qualname


@pytest.mark.parametrize("case", REPORTS.values(), ids=REPORTS.keys())
async def test_an_error_anywhere_in_a_report_gets_500_so_that_it_is_repeated(
    client, webhook_store, metrics, lines, case
):
    for code in await functions_of(client, webhook_store, case):
        before = count_of(metrics)
        with broken(code):
            answered = await post(client, case[0], case[1])

        assert answered == (500, ""), code.co_qualname
        assert count_of(metrics) == before + 1


async def test_after_a_message_an_error_hangs_up(client, webhook_store, lines, monkeypatch):
    def fail(*_args, **_options):
        raise UnforeseenError

    monkeypatch.setattr("conferral.webhooks.status_callbacks.message_recorded", fail)

    status, document = await post(client, f"/voice/voicemail?session={CALLER}&v=1", fields("call_arrives"))

    assert (status, verbs(document)) == (200, ["Hangup"])
