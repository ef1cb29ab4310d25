"""Outcomes as other systems get them: typed, over HTTP and from the API."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from conferral.storage.codecs.text_codec import parse_rows, parse_texts

_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")


def _number_of(text: str) -> float | None:
    if not _NUMBER.fullmatch(text):
        return None  # another program's entry
    return float(text) if "." in text else int(text)


#: The fields of an entry that are no texts, and how each is read.
_TYPED: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(
        (
            "hold_s", "consult_s", "answer_s", "bridged_s", "conference_s", "participant_s", "held_s", "alone_s",
            "duration_s",
        ),
        _number_of,
    ),
    "attempts": parse_rows,
    "recordings": lambda text: [*parse_texts(text)],
}  # fmt: skip


def outcome_data(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return an outcome's `data`: a stream entry's fields, typed.

    Seconds are numbers, `attempts` and `recordings` lists, the rest texts. An empty field is None.

    >>> outcome_data({"kind": "voicemail", "duration_s": "12.5", "mode": "", "recordings": '["RE1"]'})
    {'kind': 'voicemail', 'duration_s': 12.5, 'mode': None, 'recordings': ['RE1']}
    """
    return {name: _TYPED.get(name, str)(text) if text else None for name, text in fields.items()}
