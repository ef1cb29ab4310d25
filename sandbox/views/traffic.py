"""Views of the traffic: webhook requests, REST requests, debugger entries."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

from conferral.sandbox.model import DebuggerEntry
from conferral.sandbox.request_log import RESPONSE_BYTES_MAX, DeliveryAttempt, DeliveryEntry, RestEntry
from conferral.sandbox.runtime import SandboxRuntime
from conferral.sandbox.views.phones import iso, name_of, phone_of

_CALL_SID = re.compile(r"CA[0-9a-f]{32}")
NEWEST_MAX = 200
"""Maximum number shown of each kind."""


def delivery_view(sandbox: SandboxRuntime, number: int, entry: DeliveryEntry) -> dict[str, Any]:
    """Return the view of one webhook request."""
    url = urlsplit(entry.url)
    return {
        "number": number,
        "at": iso(entry.at_s),
        "kind": entry.kind,
        "event": entry.event,
        "method": entry.method,
        "url": entry.url,
        "path": url.path,
        "params": entry.params,
        "call_sid": entry.call_sid,
        "who": _party_name(sandbox, entry.call_sid),
        "conference_sid": entry.get("ConferenceSid"),
        "headers": _headers(entry),
        "verdict": entry.verdict,
        "status": entry.status,
        "answer_type": entry.answer_type,
        "answer": _pretty(entry.answer),
        "attempts": [_attempt_view(it) for it in entry.attempts],
        "duration_ms": round(entry.duration_ms, 1),
        "fault": entry.fault,
        "again_of": entry.again_of,
    }


def rest_view(sandbox: SandboxRuntime, number: int, entry: RestEntry) -> dict[str, Any]:
    """Return the view of one REST request; arguments as for `delivery_view`."""
    call_sid = _CALL_SID.search(entry.path)
    return {
        "number": number,
        "at": iso(entry.at_s),
        "method": entry.method,
        "path": entry.path,
        "who": _party_name(sandbox, call_sid[0]) if call_sid else "",
        "params": entry.params,
        "status": entry.status,
        "code": entry.code,
        "applied": entry.applied,
        "fault": entry.fault,
        "duration_ms": round(entry.duration_ms, 1),
    }


def debugger_view(_sandbox: SandboxRuntime, number: int, entry: DebuggerEntry) -> dict[str, Any]:
    """Return the view of one Twilio debugger entry."""
    return {
        "number": number,
        "code": entry.code,
        "message": entry.message,
        "call_sid": entry.call_sid,
        "url": entry.url,
    }


def _party_name(sandbox: SandboxRuntime, call_sid: str) -> str:
    """Return the name of a leg's party; empty for an unknown call."""
    call = sandbox.model.state.calls.get(call_sid)
    return name_of(sandbox, phone_of(call)) if call is not None else ""


def _headers(entry: DeliveryEntry) -> dict[str, str]:
    sent = {"X-Twilio-Signature": entry.signature, "I-Twilio-Idempotency-Token": entry.token}
    return {name: value for name, value in sent.items() if value}


def _attempt_view(attempt: DeliveryAttempt) -> dict[str, Any]:
    return {
        "at": iso(attempt.at_s),
        "status": attempt.status,
        "failure": attempt.failure,
        "duration_ms": round(attempt.duration_ms, 1),
    }


def _pretty(body: str) -> str:
    """Return TwiML with one element per line; other or truncated bodies unchanged."""
    if not body.lstrip().startswith("<") or len(body) >= RESPONSE_BYTES_MAX or "<!" in body:
        return body
    try:
        document = ElementTree.fromstring(body)  # noqa: S314  short, and entities were excluded above
    except ElementTree.ParseError:
        return body
    ElementTree.indent(document)
    return ElementTree.tostring(document, encoding="unicode")
