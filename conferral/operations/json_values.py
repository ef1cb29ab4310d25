"""JSON of what operators see, for pages and programs."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

from conferral.storage.codecs.text_codec import to_iso

#: The largest integer that JavaScript represents exactly. Source: ECMA-262, Number.MAX_SAFE_INTEGER.
NUMBER_MAX = 2**53 - 1
#: Attributes that are times, besides all that end in `_at_ms`; every other `_ms` is a duration.
_TIMESTAMPS = frozenset({"at_ms", "since_ms", "until_ms"})


def to_json_value(value: object) -> object:
    """Convert a value for JSON: dataclasses to objects, times to ISO 8601."""
    if is_dataclass(value) and not isinstance(value, type):
        return to_json_object(value)
    if isinstance(value, Mapping):
        return {str(name): to_json_value(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [to_json_value(one) for one in value]
    # Integers that JavaScript can't represent aren't valid values.
    return None if isinstance(value, int) and abs(value) > NUMBER_MAX else value


def to_json_object(record: Any) -> dict[str, object]:
    """Convert a dataclass's instance for JSON."""
    found: dict[str, object] = {}
    for name, json_name, is_timestamp in _json_names(tuple(one.name for one in fields(record))):
        value = getattr(record, name)
        found[json_name] = _timestamp(value) if is_timestamp else to_json_value(value)
    return found


@cache
def _json_names(names: tuple[str, ...]) -> tuple[tuple[str, str, bool], ...]:
    """Return attributes, their names in JSON, and which are times."""
    found = []
    for name in names:
        is_timestamp = name in _TIMESTAMPS or name.endswith("_at_ms")
        found.append((name, name.removesuffix("_ms" if is_timestamp else "_"), is_timestamp))
    return tuple(found)


def _timestamp(at_ms: int | None) -> str | None:
    return to_iso(at_ms) if at_ms else None
