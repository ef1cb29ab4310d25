"""What happened in a sandbox, in lines, for a test that fails."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from offhook.call_handle import CallHandle, heard_words
from offhook.model import messages
from offhook.model.formats import split_url
from offhook.model.messages import NOT_MODELED, DebuggerEntry
from offhook.phones import phone_of
from offhook.request_log import DeliveryEntry, RestEntry

if TYPE_CHECKING:
    from offhook.testing.served import Act, ServedSandbox

EVENTS_MAX = 20
READ = "REST GET "
TWIML_LENGTH_MAX = 400
SHOWN = ("Digits", "SpeechResult", "CallStatus", "DialCallStatus", "StatusCallbackEvent", "ReasonParticipantLeft")


def story_lines(sandbox: "ServedSandbox") -> Iterator[str]:
    """Yield the last events, oldest first, then the live calls, and the clock."""
    log = sandbox.request_log
    events = [(at_s, _act_words(sandbox, act)) for at_s, act in sandbox.acts]
    events += [(it.at_s, f"Twilio dials {it.to}") for it in log.dials]
    events += [(it.at_s, _rest_words(it)) for it in log.rest]
    events += [(it.at_s, _delivery_words(it)) for it in log.deliveries]
    events += _heard(sandbox)
    events.sort(key=lambda event: event[0])
    yield f"Last events, in Twilio's seconds{'' if events else ': none'}"
    for at_s, words in list(_with_reads_counted(events))[-EVENTS_MAX:]:
        yield f"  {at_s - sandbox.epoch_s:8.2f}  {words}"
    yield from (f"Alert: {line}" for line in map(_alert_words, log.debugger))
    live = sandbox.model.live_calls()
    yield f"Live calls{'' if live else ': none'}"
    yield from (f"  {CallHandle(sandbox, call.sid)}" for call in live)
    yield sandbox.pace.in_words()


def _heard(sandbox: "ServedSandbox") -> Iterator[tuple[float, str]]:
    """Yield what each call's user heard, but silence."""
    calls = sandbox.model.state.calls
    for sid, intervals in sandbox.model.audibility.history.items():
        for it in intervals if sid in calls else ():
            if it.sound.kind != "silence":
                names = sorted(phone_of(calls[one]) for one in it.sound.parties if one in calls)
                yield it.since_s, f"{phone_of(calls[sid])} hears {heard_words(it.sound, names)}"


def _with_reads_counted(events: Iterable[tuple[float, str]]) -> Iterator[tuple[float, str]]:
    """Yield the events, consecutive equal reads as one: a test that polls."""
    for words, group in groupby(events, key=lambda event: event[1]):
        equal = list(group)
        if words.startswith(READ) and len(equal) > 1:
            yield equal[0][0], f"{words} ({len(equal)} times)"
        else:
            yield from equal


def alert_lines(alerts: Iterable[DebuggerEntry], expected: set[int]) -> Iterator[str]:
    """Yield a line for each unexpected error, and each code that lacks."""
    alerts = list(alerts)
    for alert in alerts:
        if alert.level == "error" and alert.code not in expected:
            way_out = f"if it is right: twilio_sandbox.expect_alerts({alert.code})"
            if alert.code == NOT_MODELED:
                way_out = "if your test needs none of it: the option unmodeled='warn'"
            yield f"unexpected alert: {_alert_words(alert)}; {way_out}"
    for code in sorted(expected - {alert.code for alert in alerts}):
        yield f"expected alert {code} did not come"


def _alert_words(alert: DebuggerEntry) -> str:
    url = f" ({alert.url})" if alert.url else ""
    return f"{alert.level}{f' {alert.code}' if alert.code else ''}, {alert.message}{url}"


def _act_words(sandbox: "ServedSandbox", act: "Act") -> str:
    match act:
        case messages.PhoneAnswers():
            does = "answers"
        case messages.PhoneRefuses(sip_code=code):
            does = f"refuses ({code})"
        case messages.PhoneHangsUp():
            does = "hangs up"
        case messages.PhonePresses(digits=keys):
            does = f"presses {keys}"
        case messages.PhoneSpeaks(text=text):
            does = f"says “{text}”" if text else "starts speaking"
    call = sandbox.model.state.calls.get(act.call_sid)
    return f"{phone_of(call) if call is not None else act.call_sid} {does}"


def _rest_words(entry: RestEntry) -> str:
    fault = f", fault: {entry.fault}" if entry.fault else ""
    code = f", code {entry.code}" if entry.code else ""
    return f"REST {entry.method} {entry.path}: {entry.status or 'no response'}{code}{fault}"


def _delivery_words(entry: DeliveryEntry) -> str:
    params = ", ".join(f"{name}={entry.get(name)}" for name in SHOWN if entry.get(name))
    fault = f", fault: {entry.fault}" if entry.fault else ""
    answer = " ".join(entry.answer.split()) if entry.kind == "voice" else ""
    twiml = f"\n            {answer[:TWIML_LENGTH_MAX]}" if answer else ""
    status = entry.status or ("no response" if entry.attempts else "not answered yet")
    path = split_url(entry.url).path
    return f"webhook {entry.event} {path} ({params}): {status}{fault}{twiml}"
