"""Messages to pages: JSON with ISO times; phone numbers are masked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache

import orjson

from conferral.operations import wording
from conferral.operations.session_queries import Fields
from conferral.storage.codecs.timestamps import to_iso

#: The largest integer that JavaScript represents exactly. Source: ECMA-262, Number.MAX_SAFE_INTEGER.
NUMBER_MAX = 2**53 - 1
#: Attributes that are times, besides all that end in `_at_ms`; every other `_ms` is a duration.
_TIMESTAMPS = frozenset({"at_ms", "since_ms", "until_ms"})
#: Fields of nothing but addresses, separated by spaces or commas.
_ADDRESSES = re.compile(r"party\..+\.(address|caller_id)|transfer\.to|agents|parked_by|called_number")


def encode_message(about: str, **content: object) -> bytes:
    """Encode a message to a page: `about` is its kind, `content` its fields."""
    return orjson.dumps({"about": about, **{name: to_json_value(value) for name, value in content.items()}})


def encode_message_with_lists(about: str, lists: Mapping[str, Sequence[bytes]], **content: object) -> bytes:
    """Encode a message with lists of values that are already JSON.

    >>> encode_message_with_lists("log", {"entries": [b"1", b"2"]}, id="CA1")
    b'{"about":"log","id":"CA1","entries":[1,2]}'
    """
    head = encode_message(about, **content)[:-1]
    return head + b"".join(b',"%b":[%b]' % (name.encode(), b",".join(some)) for name, some in lists.items()) + b"}"


def to_json_value(value: object) -> object:
    """Convert a value for JSON: dataclasses to objects, times to ISO 8601."""
    if is_dataclass(value) and not isinstance(value, type):
        return {
            json_name: _timestamp(getattr(value, name)) if is_timestamp else to_json_value(getattr(value, name))
            for name, json_name, is_timestamp in _json_fields(type(value))
        }
    if isinstance(value, Mapping):
        return {str(name): to_json_value(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [to_json_value(one) for one in value]
    # Integers that JavaScript can't represent aren't valid values.
    return None if isinstance(value, int) and abs(value) > NUMBER_MAX else value


@cache
def _json_fields(kind: type) -> tuple[tuple[str, str, bool], ...]:
    """Return a dataclass's attributes, JSON names, and which are times."""
    found = []
    for one in fields(kind):
        is_timestamp = one.name in _TIMESTAMPS or one.name.endswith("_at_ms")
        found.append((one.name, one.name.removesuffix("_ms" if is_timestamp else "_"), is_timestamp))
    return tuple(found)


def _timestamp(at_ms: int | None) -> str | None:
    return to_iso(at_ms) if at_ms else None


def redact_fields(fields: Fields, *, full: bool) -> Fields:
    """Return the fields, with phone numbers masked unless `full`.

    >>> redact_fields({"transfer.to": "+14155550123,client:bob", "id": "CA1"}, full=False)
    {'transfer.to': '+…23,client:bob', 'id': 'CA1'}
    """
    return fields if full else {name: _redact_value(name, value) for name, value in fields.items()}


def _redact_value(name: str, value: str) -> str:
    if not _ADDRESSES.fullmatch(name):
        return wording.mask_numbers(value)
    return "".join(part if part in " ," else wording.display_address(part) for part in re.split(r"([ ,])", value))
