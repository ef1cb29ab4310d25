"""Record codec: records to and from flat text fields.

A field has its attribute's name; times drop the `_ms` suffix and are ISO 8601. Texts are stored as they are, everything
else as JSON. Most fields are omitted while they equal the class's default.
"""

from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from itertools import compress
from operator import is_not
from typing import Annotated, Any, NamedTuple, get_type_hints

import msgspec
from msgspec import NODEFAULT
from msgspec.structs import astuple

from conferral.runtime.errors import StoreError
from conferral.storage.codecs.text_codec import from_iso, to_iso

#: Numbers that every reader of JSON takes for what they are. -1 stands for none.
_Count = Annotated[int, msgspec.Meta(ge=-1, le=2**53)]
_BOUNDED: dict[Any, Any] = {int: _Count, Mapping[str, int]: Mapping[str, _Count]}


class CorruptHashError(StoreError):
    """A session's hash can't be decoded; `field` is the first invalid one."""

    def __init__(self, field: str) -> None:
        super().__init__(f"the session's field {field} can't be understood")
        self.field = field  # never its value, which may be a phone number


class Decoded(NamedTuple):
    """What a record's fields hold."""

    #: By attribute; invalid and absent fields are missing, but unknown words stay as they are.
    values: dict[str, Any]
    #: The first invalid field; empty if there is none.
    damaged: str


class _Field(NamedTuple):
    """One attribute, and its field in a hash."""

    name: str
    attribute: str
    #: Among the attributes of the class.
    position: int
    default: Any
    #: Whether the field is present even if it has the default.
    is_always: bool
    #: What stands for a field that must be present but is not; NODEFAULT: the attribute's default.
    empty: Any
    encode: Callable[[Any], str]
    decode: Callable[[str], Any]


class RecordCodec:
    """The fields of one record class. A new attribute is stored automatically.

    Args:
        always: Attributes whose fields are always present, and before the others.
        logged: Fields that a session's log includes.
        without: Attributes that are stored elsewhere.
    """

    def __init__(
        self,
        kind: type[msgspec.Struct],
        *,
        always: Collection[str],
        logged: Collection[str],
        without: Collection[str] = (),
    ) -> None:
        hints = get_type_hints(kind)
        infos = msgspec.structs.fields(kind)
        positions = {info.name: at for at, info in enumerate(infos) if info.name not in without}
        required = [info.name for info in infos if info.required and info.name in positions]
        first = dict.fromkeys((*always, *required))
        self._fields = [
            _make_field(infos[positions[name]], positions[name], hints[name], is_always=name in first)
            for name in {**first, **positions}
        ]
        self.logged = frozenset(logged)
        self._at = {field.position: field for field in self._fields}

    def encode(self, record: msgspec.Struct) -> dict[str, str]:
        """Return the record's fields."""
        values = astuple(record)
        return {
            field.name: field.encode(values[field.position])
            for field in self._fields
            if field.is_always or values[field.position] != field.default
        }

    def changes(self, record: msgspec.Struct, before: msgspec.Struct) -> dict[str, str | None]:
        """Return the fields that differ; None for one that is omitted now."""
        found: dict[str, str | None] = {}
        values, earlier = astuple(record), astuple(before)
        for at in compress(range(len(values)), map(is_not, values, earlier)):
            value, field = values[at], self._at.get(at)
            if field is not None and value != earlier[at]:
                is_there = field.is_always or value != field.default
                found[field.name] = field.encode(value) if is_there else None
        return found

    def decode(self, fields: Mapping[str, str], prefix: str = "") -> Decoded:
        """Return what the fields hold; never fails."""
        values: dict[str, Any] = {}
        damaged = ""
        for field in self._fields:
            name = prefix + field.name
            if name not in fields:
                if field.is_always:
                    damaged = damaged or name
                    if field.empty is not NODEFAULT:
                        values[field.attribute] = field.empty
                continue
            try:
                values[field.attribute] = field.decode(fields[name])
            except (ValueError, msgspec.DecodeError):
                damaged = damaged or name
                if field.empty is not NODEFAULT:
                    values[field.attribute] = fields[name] if field.empty == "" else field.empty
        return Decoded(values, damaged)


def _make_field(info: msgspec.structs.FieldInfo, position: int, kind: Any, *, is_always: bool) -> _Field:
    default = info.default if info.default_factory is NODEFAULT else info.default_factory()
    name = info.name
    empty: Any = NODEFAULT
    encode: Callable[[Any], str] = _to_json
    decode: Callable[[str], Any] = msgspec.json.Decoder(_BOUNDED.get(kind, kind)).decode
    if kind is int and name.endswith("_ms"):
        name, encode, decode = name.removesuffix("_ms"), to_iso, from_iso
    elif isinstance(kind, type) and issubclass(kind, str):
        encode, decode = str, kind
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        empty = ""
    elif info.required:
        empty = kind()
    return _Field(name, info.name, position, default, is_always, empty, encode, decode)


def _to_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
