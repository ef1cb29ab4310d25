"""Hash codec: records to and from flat text fields.

A field has its attribute's name; times drop the `_ms` suffix and are ISO 8601. Most fields are omitted while they equal
the class's default.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field
from dataclasses import fields as fields_of
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple, get_origin, get_type_hints

import msgspec
from msgspec.structs import astuple

from conferral.runtime.errors import StoreError
from conferral.storage.codecs.timestamps import from_iso, to_iso

#: Party names are few, and the same in every session.
_PREFIXES_REMEMBERED = 256

#: What decoders raise.
INVALID = (ValueError, KeyError, TypeError, AttributeError, IndexError, msgspec.DecodeError)

Encode = Callable[[Any], str]
Decode = Callable[[str], Any]


class CorruptHashError(StoreError):
    """A session's hash can't be decoded; `field` is the first invalid one."""

    def __init__(self, field: str) -> None:
        super().__init__(f"the session's field {field} can't be understood")
        self.field = field  # never its value, which may be a phone number


class _Field(NamedTuple):
    """One attribute, and its field in a hash."""

    name: str
    attribute: str
    #: The attribute's value if the field is absent; `MISSING` if it is always present.
    default: Any
    #: Both are None where the value is already text.
    encode: Encode | None
    decode: Decode | None


class HashCodec:
    """The fields of one record class; of a dataclass, it only decodes them.

    A new attribute is stored automatically, and a type without a codec fails at import.

    Args:
        codecs: Encoder and decoder by type or attribute, where they are not what the type says.
        always: Attributes whose fields people read: always present, and before the others.
    """

    def __init__(
        self,
        kind: type[Any],
        *,
        codecs: Mapping[Any, tuple[Encode, Decode]] | None = None,
        always: Collection[str] = (),
        without: Collection[str] = (),
        only: Collection[str] = (),
        names: Mapping[str, str] | None = None,
    ) -> None:
        hints = get_type_hints(kind)
        stored = {field.name: field for field in fields_of(kind)
                  if field.name not in without and (not only or field.name in only)}  # fmt: skip
        needed = [name for name, field in stored.items() if field.default is field.default_factory]  # both MISSING
        first = dict.fromkeys(name for name in (*always, *needed) if name in stored)
        columns = {name: _make_field(field, hints[name], codecs or {}) for name, field in stored.items()}
        columns |= {name: columns[name]._replace(default=MISSING) for name in first}
        columns |= {name: columns[name]._replace(name=called) for name, called in (names or {}).items()}
        #: By attribute, in the order of the hash's fields.
        self.columns = {name: columns[name] for name in {**first, **columns}}
        self.names = frozenset(column.name for column in columns.values())
        #: Attribute and decoder by field name without prefix.
        self.decoders = {column.name: (column.attribute, column.decode or str) for column in columns.values()}
        # Every commit encodes sessions. C code reads all values at once; leaving some out would take longer.
        places = [field.name for field in fields_of(kind)]
        self._encoders = lru_cache(_PREFIXES_REMEMBERED)(
            lambda prefix: [
                (places.index(name), prefix + column.name, column.default, column.encode)
                for name, column in self.columns.items()
            ]
        )

    def encode(self, instance: Any, fields: dict[str, str], prefix: str = "") -> None:
        """Add the instance's fields to `fields`, with prefixed names."""
        values = astuple(instance)
        for place, name, default, encode in self._encoders(prefix):
            value = values[place]
            if value is not default and (default is MISSING or value != default):
                fields[name] = value if encode is None else encode(value)

    def decode(self, fields: Mapping[str, str], prefix: str = "") -> dict[str, Any]:
        """Return present values by attribute; may raise CorruptHashError."""
        values: dict[str, Any] = {}
        for name, attribute, default, _, decode in self.columns.values():
            name = prefix + name
            text = fields.get(name)
            if text is None:
                if default is MISSING:
                    raise CorruptHashError(name)
                continue
            try:
                values[attribute] = text if decode is None else decode(text)
            except INVALID:
                raise CorruptHashError(name) from None
        return values


class ChangeFinder:
    """Finds changed fields for several codecs of a record class at once."""

    def __init__(self, *codecs: HashCodec) -> None:
        self._codecs = codecs
        self._changed = _compile_comparison(dict.fromkeys(name for codec in codecs for name in codec.columns))
        self._encoders = lru_cache(_PREFIXES_REMEMBERED)(self._encoders_under)

    def _encoders_under(self, prefix: str) -> dict[str, list[tuple[int, str, Any, Encode | None]]]:
        """Return, by attribute, its fields, each with the number of its codec."""
        found: dict[str, list[tuple[int, str, Any, Encode | None]]] = defaultdict(list)
        for number, codec in enumerate(self._codecs):
            for attribute, column in codec.columns.items():
                found[attribute].append((number, prefix + column.name, column.default, column.encode))
        return dict(found)

    def add_changes(self, instance: Any, previous: Any, found: Sequence[dict[str, str | None]], prefix: str) -> None:
        """Add the changed fields to `found`, which has one dictionary per codec.

        A removed field has the value None. Without the instance or its earlier version, all of its fields differ.
        """
        if instance is None or previous is None:
            for codec, changes in zip(self._codecs, found, strict=True):
                fields: dict[str, str] = {}
                codec.encode(previous if instance is None else instance, fields, prefix)
                changes.update(dict.fromkeys(fields) if instance is None else fields)
            return
        encoders = self._encoders(prefix)
        for attribute, value in self._changed(instance, previous):
            for number, name, default, encode in encoders[attribute]:
                found[number][name] = None if value == default else value if encode is None else encode(value)


def _compile_comparison(attributes: Iterable[str]) -> Callable[[Any, Any], list[tuple[str, Any]]]:
    """Compile a function that lists the changed attributes and their values."""
    check = "    if new.{0} is not old.{0} and new.{0} != old.{0}:\n        found.append(({0!r}, new.{0}))\n"
    checks = "".join(map(check.format, attributes))
    # A loop over the attributes takes ten times as long, and every event is compared.
    namespace: dict[str, Any] = {}
    exec(f"def changed(new, old):\n    found = []\n{checks}    return found\n", namespace)  # noqa: S102 - of our own names
    compiled: Callable[[Any, Any], list[tuple[str, Any]]] = namespace["changed"]
    return compiled


def _make_field(field: "Field[Any]", kind: Any, codecs: Mapping[Any, tuple[Encode, Decode]]) -> _Field:
    name, default = field.name, field.default if field.default_factory is MISSING else field.default_factory()
    if name not in codecs and kind is int and name.endswith("_ms"):
        return _Field(name.removesuffix("_ms"), name, default, to_iso, from_iso)
    encode, decode = codecs.get(name) or codecs.get(kind) or _PLAIN.get(kind) or _codec_of(kind)
    return _Field(name, name, default, encode, decode)


def _codec_of(kind: Any) -> tuple[Encode, Decode]:
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return str, kind
    if get_origin(kind) is not tuple and not issubclass(kind, msgspec.Struct):
        raise TypeError(f"no codec for {kind}")
    return json_codec_of(kind)


def json_codec_of(kind: Any) -> tuple[Encode, Decode]:
    """Return the codec of a record class or of a tuple of records or texts."""
    return lambda value: msgspec.json.encode(value).decode(), msgspec.json.Decoder(kind).decode


_PLAIN: dict[Any, tuple[Encode | None, Decode | None]] = {
    str: (None, None),
    int: (str, int),
    int | None: (str, int),
    bool: ({True: "true", False: "false"}.__getitem__, {"true": True, "false": False}.__getitem__),
    tuple[str, ...]: (" ".join, lambda text: tuple(text.split())),
}
