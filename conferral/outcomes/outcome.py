"""Outcomes as other systems get them: typed, over HTTP and from the API."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from conferral.statemachine.durations import DURATIONS
from conferral.storage.codecs.text_codec import parse_rows, parse_texts

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
