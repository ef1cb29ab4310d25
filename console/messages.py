"""What the server tells a page, as JSON: snake_case keys, times in ISO 8601."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache

import orjson

from conferral.storage.times import to_iso

#: The largest whole number that JavaScript holds exactly. Source: ECMA-262, Number.MAX_SAFE_INTEGER.
NUMBER_MAX = 2**53 - 1
#: Attributes that are moments, beside all that end in `_at_ms`; every other `_ms` is a duration.
_MOMENTS = frozenset({"at_ms", "since_ms", "until_ms"})


def told(about: str, **content: object) -> bytes:
    """A message.

    Args:
        about: What it tells of.
        content: Its fields, as `plain` takes them.
    """
    return orjson.dumps({"about": about, **{name: plain(value) for name, value in content.items()}})


def joined(about: str, lists: Mapping[str, Sequence[bytes]], **content: object) -> bytes:
    """A message with lists of what is JSON already.

    >>> joined("log", {"entries": [b"1", b"2"]}, id="CA1")
    b'{"about":"log","id":"CA1","entries":[1,2]}'
    """
    head = told(about, **content)[:-1]
    return head + b"".join(b',"%b":[%b]' % (name.encode(), b",".join(some)) for name, some in lists.items()) + b"}"


def plain(value: object) -> object:
    """A value as JSON has it: dataclasses become objects, moments in milliseconds become texts, or null for none."""
    if is_dataclass(value) and not isinstance(value, type):
        return {
            told_as: _moment(getattr(value, name)) if is_moment else plain(getattr(value, name))
            for name, told_as, is_moment in _columns(type(value))
        }
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    # What a script can't count to is no number of ours.
    return None if isinstance(value, int) and abs(value) > NUMBER_MAX else value


@cache
def _columns(kind: type) -> tuple[tuple[str, str, bool], ...]:
    """Of a dataclass: each attribute, its name in JSON, and whether it is a moment."""
    found = []
    for one in fields(kind):
        is_moment = one.name in _MOMENTS or one.name.endswith("_at_ms")
        told_as = one.name.removesuffix("_ms") if is_moment else one.name.removesuffix("_")
        found.append((one.name, told_as, is_moment))
    return tuple(found)


def _moment(at_ms: int | None) -> str | None:
    return to_iso(at_ms) if at_ms else None
