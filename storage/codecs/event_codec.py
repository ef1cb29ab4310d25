"""Event codec: events to and from the fields of a stream entry.

Every entry consists of text fields: `type`, `session`, and the event's attributes under the names of the classes in
`statemachine/events/`. Empty ones are omitted.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import fields as fields_of
from operator import attrgetter
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import orjson

from conferral.runtime.errors import StoreError
from conferral.statemachine.conference_attributes import DEFAULT_ATTRIBUTES, ConferenceAttributes
from conferral.statemachine.events import EVENTS, CallSeen, Event, ParticipantFound, ParticipantSeen
from conferral.storage.codecs.hash_codec import from_json, from_known_fields, texts_from_json, to_json_without_defaults
from conferral.storage.codecs.timestamps import from_iso, to_iso

#: Attributes whose entry field has another name.
_ENTRY_NAMES = {"session_id": "session", "occurred_at_ms": "at"}
#: Set by the reader of the stream.
_NOT_STORED = frozenset({"entry_id"})


#: Type annotations include the module path; the codec must not depend on it.
_MODULE = re.compile(r"conferral\.statemachine\.(?:[a-z_]+\.)+")


class BadEntryError(StoreError):
    """A stream entry is invalid.

    Attributes:
        reason: The problem; names fields, but never their values.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _parse_bool(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError
    return text == "true"


#: None where the value is already text, as most are: saves a function call.
_ENCODERS: dict[str, Callable[[Any], str] | None] = {
    "str": None,
    "int": str,
    "int | None": lambda value: "" if value is None else str(value),
    "bool": lambda value: "true" if value else "false",
    "tuple[str, ...]": lambda texts: orjson.dumps(texts).decode() if texts else "",
    "ConferenceAttributes": lambda attributes: (
        "" if attributes == DEFAULT_ATTRIBUTES else to_json_without_defaults(attributes)
    ),
    "tuple[CallSeen, ...]": lambda calls: orjson.dumps([_without_defaults(call) for call in calls]).decode(),
    "tuple[ParticipantSeen, ...]": lambda seen: orjson.dumps([_without_defaults(one) for one in seen]).decode(),
    "tuple[ParticipantFound, ...]": lambda found: orjson.dumps([_without_defaults(one) for one in found]).decode(),
}
_DECODERS: dict[str, Callable[[str], Any] | None] = {
    "str": None,
    "int": int,
    "int | None": int,
    "bool": _parse_bool,
    "tuple[str, ...]": texts_from_json,
    "ConferenceAttributes": lambda text: from_json(ConferenceAttributes, text),
    "tuple[CallSeen, ...]": lambda text: tuple(from_known_fields(CallSeen, one) for one in orjson.loads(text)),
    "tuple[ParticipantSeen, ...]": lambda text: tuple(
        from_known_fields(ParticipantSeen, one) for one in orjson.loads(text)
    ),
    "tuple[ParticipantFound, ...]": lambda text: tuple(
        from_known_fields(ParticipantFound, one) for one in orjson.loads(text)
    ),
}


def _without_defaults(value: Any) -> dict[str, Any]:
    """Return the fields that differ from their defaults and are not empty: an entry may list 250 participants."""
    fields = ((field, getattr(value, field.name)) for field in fields_of(value))
    return {field.name: found for field, found in fields if found or found != field.default}


def _annotation_name(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


class _Field(NamedTuple):
    """One attribute of an event, and its field in an entry."""

    attribute: str
    name: str
    encode: Callable[[Any], str] | None
    decode: Callable[[str], Any] | None
    #: Whether the field is in every entry: an omitted empty value would be read as the default.
    is_always_written: bool
    #: Whether the event requires it.
    is_required: bool


def _fields_of(event: type[Event]) -> tuple[_Field, ...]:
    found = []
    for field in fields_of(event):
        if field.name in _NOT_STORED:
            continue
        annotation = get_args(field.type)[0] if get_origin(field.type) is Annotated else field.type
        kind = str(annotation) if "|" in str(annotation) or "[" in str(annotation) else _annotation_name(annotation)
        kind = _MODULE.sub("", kind)
        is_needed = field.default is field.default_factory  # both are dataclasses.MISSING
        is_written = is_needed or (isinstance(field.default, str) and field.default != "")
        name = _ENTRY_NAMES.get(field.name, field.name)
        if field.name == "occurred_at_ms":
            kind = "time"
        found.append(_Field(field.name, name, _ENCODERS[kind], _DECODERS[kind], is_written, is_needed))
    return tuple(found)


_ENCODERS["time"] = to_iso
_DECODERS["time"] = from_iso
_BY_NAME: dict[str, type[Event]] = {event.name: event for event in EVENTS}
_FIELDS = {event.name: _fields_of(event) for event in EVENTS}
#: Reads all values of an event at once.
_VALUES = {name: attrgetter(*(field.attribute for field in fields)) for name, fields in _FIELDS.items()}


def encode(event: Event) -> dict[str, str]:
    """Return the fields of the event's entry."""
    entry = {"type": event.name}
    for field, value in zip(_FIELDS[event.name], _VALUES[event.name](event), strict=True):
        text = value if field.encode is None else field.encode(value)
        if text or field.is_always_written:
            entry[field.name] = text
    return entry


def decode(entry: Mapping[str, str], entry_id: str) -> Event:
    """Decode an entry's event; ignore unknown fields.

    Raises:
        BadEntryError: The type is missing or unknown, or a field is missing or invalid.
    """
    name = entry.get("type", "")
    if not name:
        raise BadEntryError("missing field type")
    event = _BY_NAME.get(name)
    if event is None:
        raise BadEntryError("unknown type")
    values: dict[str, Any] = {"entry_id": entry_id}
    for attribute, field, _, convert, _, is_needed in _FIELDS[name]:
        text = entry.get(field)
        if text is None or (text == "" and convert is not None):
            if is_needed:
                raise BadEntryError(f"missing field {field}")
            continue
        try:
            values[attribute] = text if convert is None else convert(text)
        except (ValueError, TypeError, AttributeError):
            raise BadEntryError(f"invalid field {field}") from None
    return event(**values)
