"""Outcome: its entry in the stream, and typed as other systems get it."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import orjson

from conferral.outcomes.durations import DURATIONS, Timeline, durations_of
from conferral.statemachine.parts import Attempt
from conferral.statemachine.step import OutcomeRecord
from conferral.storage.codecs.text_codec import parse_rows, parse_texts, to_iso

#: Agents of one session whom its outcome names (count).
AGENTS_MAX = 30
#: What a header can hold. Our ids have this form, other programs' may not.
_HEADER_VALUE = re.compile(r"[!-~]{1,256}")
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")


def _number_of(text: str) -> float | None:
    if not _NUMBER.fullmatch(text):
        return None  # another program's entry
    return float(text) if "." in text else int(text)


#: The fields of an entry that are no texts, and how each is read.
_TYPED: Mapping[str, Callable[[str], Any]] = {
    **{f"{name}_s": _number_of for name in (*DURATIONS, "duration")},
    "code": _number_of,
    "attempts": parse_rows,
    "agents": parse_rows,
    "recordings": lambda text: [*parse_texts(text)],
}


def encode_outcome(
    record: OutcomeRecord, timeline: Timeline | None = None, addresses: Mapping[str, str] = MappingProxyType({})
) -> dict[str, str]:
    """Return the fields of an outcome's entry, empty where they don't apply.

    Args:
        timeline: The session's; None if its log lacks entries.
        addresses: Of the session's parties, by label.
    """
    durations = durations_of(record, timeline)
    fields = {
        "id": record.id,
        "kind": record.kind,
        "session": record.session_id,
        "by": record.by,
        "ref": record.ref,
        "customer": record.customer,
        "number": record.our_number,
        "direction": record.direction,
        "result": record.result,
        "reason": record.reason,
        "code": record.code,
        "mode": record.mode,
        "to": record.to,
        "landed_on": record.landed_on,
        **{f"{name}_s": str(durations[name] / 1000) if name in durations else "" for name in DURATIONS},
        "attempts": "",
        "recordings": "",
        "agents": "",
        "recording_sid": record.recording_sid,
        "duration_s": str(record.duration_s) if record.kind == "voicemail" else "",
        "started_at": to_iso(record.started_at_ms),
        "ended_at": to_iso(record.ended_at_ms),
    }
    if record.kind != "voicemail":
        fields["attempts"] = _to_json([_encode_attempt(one, record.ended_at_ms) for one in record.attempts])
    if record.kind == "session" and timeline is not None:
        fields["recordings"] = _to_json([*timeline.recordings])
        fields["agents"] = _to_json(_encode_agents(timeline, durations, addresses))
    return fields


def _encode_attempt(attempt: Attempt, until_ms: int) -> dict[str, Any]:
    """Return an attempt's public fields; who still rings did until then."""
    end_ms = attempt.answered_at_ms or attempt.ended_at_ms or until_ms
    return {
        "to": attempt.to,
        "label": attempt.label,
        "result": attempt.result,
        "rang_s": max(0, end_ms - attempt.started_at_ms) / 1000,
        "at": to_iso(attempt.started_at_ms),
    }


def _encode_agents(
    timeline: Timeline, talk_ms: Mapping[str, int], addresses: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return who took part as an agent; one who was called back counts once.

    An address is empty if its leg left so long ago that the session no longer has it.
    """
    agents: dict[str, dict[str, Any]] = {}
    for label, holds in timeline.holds.items():
        address = addresses.get(label, "")
        agent = agents.setdefault(address, {"address": address, "talk_s": 0, "holds": 0})
        agent["talk_s"] += talk_ms.get(label, 0)
        agent["holds"] += holds
    return [agent | {"talk_s": agent["talk_s"] / 1000} for agent in agents.values()][:AGENTS_MAX]


def _to_json(value: Any) -> str:
    return orjson.dumps(value).decode()


def outcome_data(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return an outcome's `data`: a stream entry's fields, typed.

    Seconds and `code` are numbers, `attempts`, `agents`, and `recordings` lists, the rest texts. An empty one is None.

    >>> outcome_data({"kind": "voicemail", "duration_s": "12.5", "mode": "", "recordings": '["RE1"]'})
    {'kind': 'voicemail', 'duration_s': 12.5, 'mode': None, 'recordings': ['RE1']}
    """
    return {name: _TYPED.get(name, str)(text) if text else None for name, text in fields.items()}


def outcome_message(entry_id: str, fields: Mapping[str, str]) -> tuple[str, str]:
    """Return an outcome's id and its JSON, as sent to other systems.

    Source: Standard Webhooks, "Payload structure".
    """
    data, name = outcome_data(fields), fields.get("id", "")
    kind = f"{fields.get('kind', '')}.{fields.get('result', '')}"
    body = orjson.dumps({"type": kind, "timestamp": data.get("ended_at"), "data": data}).decode()
    return (name if _HEADER_VALUE.fullmatch(name) else entry_id), body
