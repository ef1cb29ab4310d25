"""Entries of the outcomes stream, as a worker writes them."""

from itertools import count
from typing import Any

import msgspec

from conferral.outcomes.outcome import json_types
from conferral.storage.codecs.text_codec import to_iso

_NUMBERS = count(1)


def attempt(to: str, result: str = "answered", rang_s: float | None = 5.0) -> dict[str, Any]:
    return {"to": to, "label": "target-2", "result": result, "rang_s": rang_s, "at": to_iso(1_800_000_000_000)}


def outcome(kind: str, ended_ms: int, *attempts: dict[str, Any], **fields: str) -> dict[str, str]:
    """An entry; fields that are not given are empty."""
    number = next(_NUMBERS)
    known = {
        "id": f"outcome-{number}",
        "kind": kind,
        "session": f"CA{number:032x}",
        "by": "api",
        "started_at": to_iso(ended_ms - 60_000),
        "ended_at": to_iso(ended_ms),
        "attempts": msgspec.json.encode(attempts).decode(),
    }
    return {**dict.fromkeys(json_types(), ""), **known, **fields}


def transfer(ended_ms: int, result: str = "completed", *attempts: dict[str, Any], **fields: str) -> dict[str, str]:
    return outcome("transfer", ended_ms, *attempts, **{"result": result, "mode": "consult", **fields})


def session(ended_ms: int, *attempts: dict[str, Any], **fields: str) -> dict[str, str]:
    return outcome("session", ended_ms, *attempts, **{"result": "ended", "reason": "customer-left", **fields})
