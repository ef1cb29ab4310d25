"""Views of the traffic: webhook requests, REST requests, debugger entries."""

import re
from typing import Any
from xml.etree import ElementTree

from conferral.sandbox.http import pick
from conferral.sandbox.model.formats import split_url
from conferral.sandbox.model.outputs import DebuggerEntry
from conferral.sandbox.request_log import RESPONSE_BYTES_MAX, DeliveryAttempt, DeliveryEntry, RestEntry
from conferral.sandbox.runtime import SandboxRuntime
from conferral.sandbox.views.phones import iso, name_of, phone_of

_CALL_SID = re.compile(r"CA[0-9a-f]{32}")
NEWEST_MAX = 200  #: Shown of each kind.


def delivery_view(sandbox: SandboxRuntime, number: int, entry: DeliveryEntry) -> dict[str, Any]:
    """Return the view of one webhook request."""
    url = split_url(entry.url)
    return {
        **_pick_with_times(entry, "kind", "event", "method", "url", "params", "call_sid"),
        **pick(entry, "verdict", "status", "answer_type", "fault", "again_of"),
        "number": number,
        "path": url.path,
        "who": _party_name(sandbox, entry.call_sid),
        "conference_sid": entry.get("ConferenceSid"),
        "headers": _twilio_headers(entry),
        "answer": _pretty_twiml(entry.answer),
        "attempts": [_pick_with_times(it, "status", "failure") for it in entry.attempts],
    }


def rest_view(sandbox: SandboxRuntime, number: int, entry: RestEntry) -> dict[str, Any]:
    """Return the view of one REST request."""
    call_sid = _CALL_SID.search(entry.path)
    return {
        **_pick_with_times(entry, "method", "path", "params", "status", "code", "applied", "fault"),
        "number": number,
        "who": _party_name(sandbox, call_sid[0]) if call_sid else "",
    }


def debugger_view(_sandbox: SandboxRuntime, number: int, entry: DebuggerEntry) -> dict[str, Any]:
    """Return the view of one Twilio debugger entry."""
    return {"number": number, **pick(entry, "code", "message", "call_sid", "url")}


def _party_name(sandbox: SandboxRuntime, call_sid: str) -> str:
    call = sandbox.model.state.calls.get(call_sid)
    return name_of(sandbox, phone_of(call)) if call is not None else ""


def _twilio_headers(entry: DeliveryEntry) -> dict[str, str]:
    sent = {"X-Twilio-Signature": entry.signature, "I-Twilio-Idempotency-Token": entry.token}
    return {name: value for name, value in sent.items() if value}


def _pick_with_times(entry: DeliveryAttempt | DeliveryEntry | RestEntry, *names: str) -> dict[str, Any]:
    return {"at": iso(entry.at_s), **pick(entry, *names), "duration_ms": round(entry.duration_ms, 1)}


def _pretty_twiml(body: str) -> str:
    """Return TwiML with one element per line; other or cut bodies unchanged."""
    if not body.lstrip().startswith("<") or len(body) >= RESPONSE_BYTES_MAX or "<!" in body:
        return body
    try:
        document = ElementTree.fromstring(body)  # noqa: S314  short, and entities were excluded above
    except ElementTree.ParseError:
        return body
    ElementTree.indent(document)
    return ElementTree.tostring(document, encoding="unicode")
