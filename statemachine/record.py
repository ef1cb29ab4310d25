"""Base class of records: the immutable values of the state machine, such as sessions, events, and effects.

Each event makes and compares dozens of records, some with 45 fields. A frozen `msgspec.Struct` does that in C. The
functions of `dataclasses` (`fields`, `asdict`, `is_dataclass`, `replace`) take records, too.
"""

from dataclasses import Field, field, make_dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar, get_args

import msgspec
from msgspec.structs import replace

__all__ = ["BaseRecord", "Hidden", "replace"]

_T = TypeVar("_T")
_HIDDEN = "not in a repr"
#: The type of a field that no repr shows: addresses, messages, and tokens must not reach a log.
Hidden = Annotated[_T, _HIDDEN]


class _DataclassFields:
    """Descriptor that holds a record class's fields in the form that the functions of `dataclasses` expect."""

    def __get__(self, _instance: object, kind: type["BaseRecord"]) -> dict[str, "Field[Any]"]:
        return _fields_of(kind)


class BaseRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base class of records. Their encoded form leaves out attributes that equal their defaults."""

    __dataclass_fields__: ClassVar[Any] = _DataclassFields()

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(one.name, getattr(self, one.name)) for one in _fields_of(type(self)).values() if one.repr]


@cache
def _fields_of(kind: type[BaseRecord]) -> dict[str, "Field[Any]"]:
    described: Any = make_dataclass(
        kind.__name__, [(one.name, one.type, _as_field(one)) for one in msgspec.structs.fields(kind)], kw_only=True
    )
    return dict(described.__dataclass_fields__)


def _as_field(one: msgspec.structs.FieldInfo) -> Any:
    given = {"default": one.default, "default_factory": one.default_factory}
    given = {name: value for name, value in given.items() if value is not msgspec.NODEFAULT}
    return field(**given, repr=_HIDDEN not in get_args(one.type))
