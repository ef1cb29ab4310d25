"""JSON codec: dataclasses, and tuples of them, to and from JSON; the types of their fields say how.

An object leaves out what equals the class's default, and what it does not know is ignored.
"""

from collections.abc import Callable, Hashable
from dataclasses import MISSING, Field, is_dataclass
from dataclasses import fields as fields_of
from enum import StrEnum
from functools import cache
from operator import attrgetter
from typing import Any, get_args, get_origin, get_type_hints

import orjson


def default_of(field: "Field[Any]") -> Any:
    """Return a field's default; `MISSING` without one."""
    return field.default if field.default_factory is MISSING else field.default_factory()


def to_json(value: Any) -> str:
    """Return the JSON of a dataclass, or of a tuple."""
    return orjson.dumps(value, without_defaults, orjson.OPT_PASSTHROUGH_DATACLASS).decode()


def without_defaults(instance: Any) -> dict[str, Any]:
    """Return the attributes that differ from the class's defaults."""
    kind: Any = type(instance)
    names, values_of, defaults = _attributes_of(kind)
    values = values_of(instance)
    return {name: value for name, value, default in zip(names, values, defaults, strict=True) if value != default}


@cache
def _attributes_of(kind: Any) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]], tuple[Any, ...]]:
    names = tuple(field.name for field in fields_of(kind))
    # With one name, an attrgetter would return the value itself.
    values_of = attrgetter(*names) if len(names) > 1 else lambda instance: (getattr(instance, names[0]),)
    return names, values_of, tuple(map(default_of, fields_of(kind)))


def from_json(kind: Any, text: str | bytes) -> Any:
    """Decode JSON of a type.

    Raises:
        ValueError, TypeError, AttributeError, KeyError: The JSON is invalid.
    """
    return decoder(kind)(orjson.loads(text))


@cache
def decoder(kind: Hashable) -> Callable[[Any], Any]:
    """Return what converts parsed JSON to a type; see `from_json` for what that raises."""
    if get_origin(kind) is tuple:
        decode_item = decoder(get_args(kind)[0])
        return lambda items: tuple(map(decode_item, _checked(list, items)))
    if is_dataclass(kind):
        return _object_decoder(kind)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind
    return (lambda text: _checked(str, text)) if kind is str else lambda value: value


def _checked(kind: type[Any], value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError
    return value


def _object_decoder(kind: Any) -> Callable[[Any], Any]:
    hints = get_type_hints(kind)
    known = {field.name for field in fields_of(kind)}
    nested = [(name, decoder(hints[name])) for name in known if _is_nested(hints[name])]

    def decode(record: Any) -> Any:
        values = record if record.keys() <= known else {name: record[name] for name in record.keys() & known}
        for name, decode_value in nested:
            if name in values:
                values = values | {name: decode_value(values[name])}
        return kind(**values)

    return decode


def _is_nested(hint: Any) -> bool:
    return get_origin(hint) is tuple or (isinstance(hint, type) and (is_dataclass(hint) or issubclass(hint, StrEnum)))
