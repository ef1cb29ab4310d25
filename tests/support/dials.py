"""How often each intended dial was placed."""

from collections import Counter
from urllib.parse import parse_qs, urlsplit

from offhook import Sandbox


def assert_one_dial_an_intent(sandbox: Sandbox) -> None:
    """No dial was carried out twice, whether it was refused, lost or answered late in between."""
    twice = dialed_twice(sandbox)
    assert not twice, twice


def dialed_twice(sandbox: Sandbox) -> list[str]:
    """The dials that were carried out more than once."""
    log = sandbox.request_log
    carried_out = Counter(
        intent
        for entry in log.rest
        if entry.method == "POST" and entry.applied and 200 <= (entry.status or 200) < 300
        if (intent := _intent(entry.get("StatusCallback"))) and entry.get("To")
    )
    labels = Counter((entry.label, _session(sandbox, entry.call_sid)) for entry in log.dials if entry.label)
    counts = [*carried_out.items(), *labels.items()]
    return [f"dialed more than once ({count} times): {intent}" for intent, count in counts if count > 1]


def _intent(status_callback: str) -> str:
    """The id of the dial that a call was placed for, as its callback URL says."""
    return parse_qs(urlsplit(status_callback).query).get("dial", [""])[0]


def _session(sandbox: Sandbox, call_sid: str) -> str:
    subscription = sandbox.model.state.calls[call_sid].subscription
    return parse_qs(urlsplit(subscription.url).query).get("session", [""])[0] if subscription else ""
