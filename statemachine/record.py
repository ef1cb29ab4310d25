"""Base class of records: the state machine's immutable values.

Each event makes and compares dozens, some with 45 fields; a frozen `msgspec.Struct` does that in C. The functions of
`dataclasses` (`fields`, `asdict`, `is_dataclass`, `replace`) take records, too.
"""

import re
from dataclasses import Field, field, make_dataclass
from enum import StrEnum
from functools import cache
from inspect import get_annotations
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar, get_args

import msgspec
from msgspec.structs import replace

__all__ = ["CODE", "BaseRecord", "Hidden", "Takes", "about", "always", "replace", "snake_case"]

_T = TypeVar("_T")
_HIDDEN = "not in a repr"
#: What a field `code` is.
CODE = "Twilio's error code, if Twilio refused or failed what was needed"
#: A field that no repr and no log shows: addresses, messages, and tokens. `BaseRecord` refuses a class that logs one.
Hidden = Annotated[_T, _HIDDEN]


class Takes(NamedTuple):
    """What a field of a command takes, as its senders learn it."""

    #: A kind of value that `conferral/commands/field_values.py` has, or the only words.
    kind: str | tuple[StrEnum, ...]
    summary: str


def always(default: _T) -> _T:
    """Return a field's default that JSON has all the same: readers rely on it."""
    # msgspec leaves a value out if it is the default itself. Source: its docs, "Omit default values".
    made: Any = msgspec.field(default_factory=lambda: default)
    return made  # type: ignore[no-any-return]


def about(description: str, *words: str) -> msgspec.Meta:
    """Describe a field in JSON, and the only words that it can have."""
    return msgspec.Meta(description=description, extra_json_schema={"enum": [*map(str, words)]} if words else None)


class _DataclassFields:
    """Descriptor that holds a record class's fields as `dataclasses` expects."""

    def __get__(self, _instance: object, kind: type["BaseRecord"]) -> dict[str, "Field[Any]"]:
        return _fields_of(kind)


# Out of garbage collection: what is immutable is in no reference cycle.
class BaseRecord(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Base class of records; encoded without attributes that equal defaults."""

    __dataclass_fields__: ClassVar[Any] = _DataclassFields()
    #: Fields that a session's log keeps; of a record in one of them, those that its own class names.
    logged: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        hints: dict[str, Any] = {}
        for kind in reversed(cls.__mro__):
            hints |= get_annotations(kind)
        if hidden := [name for name in cls.logged if _hides(hints[name])]:
            raise TypeError(f"{cls.__name__} logs {', '.join(hidden)}, which must not reach a log")

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(shown.name, getattr(self, shown.name)) for shown in _fields_of(type(self)).values() if shown.repr]


def _hides(hint: Any) -> bool:
    """Whether a field with this type holds what must not reach a log."""
    if isinstance(hint, type) and issubclass(hint, BaseRecord):
        return not hint.logged
    return _HIDDEN in getattr(hint, "__metadata__", ()) or any(map(_hides, get_args(hint)))


@cache
def _fields_of(kind: type[BaseRecord]) -> dict[str, "Field[Any]"]:
    """Return a record class's fields by name, as `dataclasses` has them."""
    fields = []
    for info in msgspec.structs.fields(kind):
        defaults = {"default": info.default, "default_factory": info.default_factory}
        defaults = {name: value for name, value in defaults.items() if value is not msgspec.NODEFAULT}
        fields.append((info.name, info.type, field(**defaults, repr=_HIDDEN not in get_args(info.type))))
    twin: Any = make_dataclass(kind.__name__, fields, kw_only=True)
    return dict(twin.__dataclass_fields__)


def snake_case(class_name: str) -> str:
    """Return a name in snake case: `CallReceived` becomes `call_received`."""
    return re.sub(r"\B(?=[A-Z])", "_", class_name).lower()
