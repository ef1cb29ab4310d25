"""Text decoding of any hash or stream entry; never fails."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson


def decode_fields(raw_fields: Mapping[bytes, bytes]) -> dict[str, str]:
    """Decode the fields of a hash or entry; replace invalid UTF-8."""
    return {_decode_name(name): value.decode(errors="replace") for name, value in raw_fields.items()}


@lru_cache(4_096)
def _decode_name(raw: bytes) -> str:
    """Decode a name; cached, since thousands of hashes share the same few."""
    return raw.decode(errors="replace")


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
        return orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        return None


def int_of(raw: bytes | None) -> int:
    """Return a number; 0 if it is missing or something else."""
    try:
        return int(raw or 0)
    except ValueError:
        return 0
