"""Hash codec: dataclasses to and from flat text fields; the other codecs define a hash's fields.

A field has its attribute's name; times drop the `_ms` suffix and are ISO 8601. Most fields are omitted while they equal
the class's default.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, Field
from dataclasses import fields as fields_of
from enum import StrEnum
from functools import cache, lru_cache
from itertools import compress
from operator import attrgetter, is_not, ne
from typing import Any, NamedTuple, get_type_hints

import orjson

from conferral.runtime.errors import StoreError
from conferral.storage.codecs.timestamps import from_iso, to_iso

#: Party names are few, and the same in every session.
_PREFIXES_REMEMBERED = 256

Encode = Callable[[Any], str]
Decode = Callable[[str], Any]


class CorruptHashError(StoreError):
    """A session's hash can't be decoded.

    Attributes:
        field: Name of the first invalid field; never its value, which may be a phone number.
    """

    def __init__(self, field: str) -> None:
        super().__init__(f"the session's field {field} can't be understood")
        self.field = field


class FieldDecoder:
    """Decodes values of a hash, and names the field that fails."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = fields

    def decode_field(self, name: str, convert: Decode) -> Any:
        """Return the value of a required field.

        Raises:
            CorruptHashError: The field is missing or invalid.
        """
        value = self.fields.get(name)
        if value is None:
            raise CorruptHashError(name)
        try:
            return convert(value)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            raise CorruptHashError(name) from None


class _Field(NamedTuple):
    """One attribute, and its field in a hash."""

    attribute: str
    name: str
    #: The attribute's value if the field is absent.
    default: Any
    #: None where the value is already text.
    encode: Encode | None
    decode: Decode


class HashCodec:
    """The fields of one dataclass.

    They follow from the class: a new attribute is stored automatically, and a type without a codec fails at import.

    Args:
        kind: A dataclass.
        codecs: Encoder and decoder by type, for types that are not plain values.
        always: Attributes whose fields people read: always present, and before the others.
        without: Attributes stored in another way.
        only: The attributes to include; empty for all.
        names: Field names that differ from the attribute's name.
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
        first = [*always, *(name for name in needed if name not in always)]
        columns = {name: _make_field(field, hints[name], codecs or {}) for name, field in stored.items()}
        for name, called in (names or {}).items():
            columns[name] = columns[name]._replace(name=called)
        self._columns = tuple(columns[name] for name in (*first, *(name for name in stored if name not in first)))
        # Every commit encodes the sessions it changes, so this is optimized: it reads all values at once, uses text
        # values as they are, and finds optional values that differ from the default without Python code of ours.
        self._all = attrgetter(*(column.attribute for column in self._columns))
        self._always = len(first)
        self._always_coded = tuple(
            (place, column.encode) for place, column in enumerate(self._columns[: len(first)]) if column.encode
        )
        self._places = range(len(self._columns))
        #: The fields' names without prefix.
        self.names = frozenset(column.name for column in self._columns)
        self._others = self._places[len(first) :]
        self._defaults = tuple(column.default for column in self._columns[len(first) :])
        self._names = lru_cache(_PREFIXES_REMEMBERED)(self._names_under)

    def _names_under(self, prefix: str) -> tuple[str, ...]:
        return tuple(prefix + column.name for column in self._columns)

    def encode(self, instance: Any, fields: dict[str, str], prefix: str = "") -> None:
        """Add the instance's fields."""
        names, values = self._names(prefix), self._all(instance)
        fields.update(zip(names[: self._always], values, strict=False))
        for place, encode in self._always_coded:
            fields[names[place]] = encode(values[place])
        for place in compress(self._others, map(is_not, values[self._always :], self._defaults)):
            _, _, default, encode_other, _ = self._columns[place]
            value = values[place]
            if value != default:
                fields[names[place]] = encode_other(value) if encode_other else value

    def encode_changes(self, instance: Any, previous: Any, fields: dict[str, str], prefix: str = "") -> None:
        """Update an earlier version's fields to this instance. Attributes that are the same object are skipped.

        Args:
            instance: The current instance; None if there is none any more.
            previous: The instance that the fields belong to; None if there was none.
            fields: The fields to update.
            prefix: Prefix of the fields' names.
        """
        if instance is previous:
            return
        if previous is None:
            self.encode(instance, fields, prefix)
            return
        names = self._names(prefix)
        if instance is None:
            for name in names:
                fields.pop(name, None)
            return
        values = self._all(instance)
        for place in compress(self._places, map(is_not, values, self._all(previous))):
            _, _, default, encode, _ = self._columns[place]
            value = values[place]
            if place >= self._always and value == default:
                fields.pop(names[place], None)
            else:
                fields[names[place]] = encode(value) if encode else value

    def public_changes(self, instance: Any, previous: Any, found: dict[str, str | None], prefix: str = "") -> None:
        """Add the fields that differ from an earlier version; None for a field that was removed.

        Args:
            instance: The current instance; None if there is none any more.
            previous: The earlier instance; None if there was none.
            found: The result to add to.
            prefix: Prefix of the fields' names.
        """
        if instance is previous:
            return
        if instance is None or previous is None:
            fields: dict[str, str] = {}
            self.encode(previous if instance is None else instance, fields, prefix)
            found.update(dict.fromkeys(fields) if instance is None else fields)
            return
        values, earlier = self._all(instance), self._all(previous)
        if values == earlier:
            return
        names = self._names(prefix)
        for place in compress(self._places, map(ne, values, earlier)):
            value, name = values[place], names[place]
            _, _, default, encode, _ = self._columns[place]
            if place >= self._always and value == default:
                found[name] = None
            else:
                found[name] = encode(value) if encode else value

    def decode(self, reader: FieldDecoder, prefix: str = "") -> dict[str, Any]:
        """Return the values by attribute; absent fields keep the class's default.

        Raises:
            CorruptHashError: A field is missing or invalid.
        """
        return {
            column.attribute: reader.decode_field(name, column.decode)
            for place, (name, column) in enumerate(zip(self._names(prefix), self._columns, strict=True))
            if place < self._always or name in reader.fields
        }


def _make_field(field: "Field[Any]", kind: Any, codecs: Mapping[Any, tuple[Encode, Decode]]) -> _Field:
    default = field.default if field.default_factory is MISSING else field.default_factory()
    if kind is int and field.name.endswith("_ms"):
        return _Field(field.name, field.name.removesuffix("_ms"), default, to_iso, from_iso)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _Field(field.name, field.name, default, str, kind)
    encode, decode = codecs[kind] if kind in codecs else _PLAIN[kind]
    return _Field(field.name, field.name, default, encode, decode)


_PLAIN: dict[Any, tuple[Encode | None, Decode]] = {
    str: (None, str),
    int: (str, int),
    bool: ({True: "true", False: "false"}.__getitem__, lambda text: text == "true"),
    tuple[str, ...]: (" ".join, lambda text: tuple(text.split())),
}


def to_json(instance: Any) -> str:
    """Return the JSON of a dataclass, or of a list of them, by attribute name."""
    return orjson.dumps(instance).decode()


def to_json_without_defaults(instance: Any) -> str:
    """Return the JSON of the attributes that differ from the class's defaults."""
    kind: Any = type(instance)
    return orjson.dumps(
        {
            name: value
            for name in _field_names(kind)
            if (value := getattr(instance, name)) != getattr(_default_instance(kind), name)
        }
    ).decode()


@cache
def _field_names(kind: Any) -> frozenset[str]:
    return frozenset(field.name for field in fields_of(kind))


@cache
def _default_instance(kind: Any) -> Any:
    return kind()


def texts_from_json(text: str) -> tuple[str, ...]:
    """Return the texts in a JSON list.

    Raises:
        ValueError: The JSON is invalid.
    """
    found = orjson.loads(text)
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ValueError
    return tuple(found)


def from_json(kind: Any, text: str) -> Any:
    """Decode a dataclass from JSON; ignore unknown fields.

    Raises:
        ValueError, TypeError, AttributeError: The JSON is invalid.
    """
    return from_known_fields(kind, orjson.loads(text))


def from_known_fields(kind: Any, record: Any) -> Any:
    """Return the dataclass of a decoded JSON object; see `from_json`."""
    known = _field_names(kind)
    return kind(**{name: value for name, value in record.items() if name in known})
