"""Texts of hashes and stream entries: JSON, and times in ISO 8601, UTC."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from typing import Any

from conferral.runtime.json_decoding import decode_json

#: Levels of JSON that are read, count. Ours has a tenth. msgspec reads more than it can write.
_LEVELS_MAX = 100
#: The latest time that can be formatted, Unix milliseconds.
_LATEST_MS = 253_402_300_799_000


@lru_cache(256)  # a batch has few times
def to_iso(unix_ms: int) -> str:
    """Format as ISO 8601; return empty text for 0, which means "unknown".

    >>> to_iso(1_000)
    '1970-01-01T00:00:01.000Z'
    """
    if not unix_ms:
        return ""
    unix_ms = min(max(unix_ms, 0), _LATEST_MS)  # hand-written entry ids may use any unit
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_iso(text: str) -> int:
    """Parse what `to_iso` formats; raise ValueError if it is not a time."""
    if not text:
        return 0
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except (OverflowError, OSError):
        raise ValueError("a time out of range") from None


def parse_time_ms(text: str) -> int:
    """Parse a stored time into Unix milliseconds; 0 if missing or invalid."""
    try:
        return from_iso(text)
    except ValueError:
        return 0


def decode_fields(raw_fields: Mapping[bytes, bytes]) -> dict[str, str]:
    """Decode the fields of a hash or entry; replace invalid UTF-8."""
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in raw_fields.items()}


def parse_object(text: str) -> dict[str, Any]:
    """Return a JSON object; empty if the text is anything else."""
    found = _parse(text)
    return found if isinstance(found, dict) else {}


def parse_rows(text: str) -> list[dict[str, Any]]:
    """Return the objects of a JSON list; empty if the text is anything else."""
    found = _parse(text)
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def parse_texts(text: str) -> tuple[str, ...]:
    """Return the strings of a JSON list; empty if the text is anything else."""
    found = _parse(text)
    return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else ()


def _parse(text: str) -> Any:
    try:
        found = decode_json(text) if text else None
    except ValueError:
        return None
    return None if text.count("[") + text.count("{") > _LEVELS_MAX and _is_too_deep(found) else found


def _is_too_deep(value: object) -> bool:
    level = [value]
    for _ in range(_LEVELS_MAX):
        parts = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list))
        level = [*chain.from_iterable(parts)]
    return any(isinstance(one, dict | list) for one in level)


def int_of(raw: bytes | None) -> int:
    """Return a number; 0 if it is missing or something else."""
    try:
        return int(raw or 0)
    except ValueError:
        return 0


#: As many digits as Twilio's codes have, and more.
_CODE = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)


def parse_code(text: str) -> int | None:
    """Return an error code of Twilio's as a number; None for any other text."""
    return int(text) if _CODE.fullmatch(text) else None
