"""Events to the fields of a stream entry and back.

Every entry is fields of text: `type`, `session`, and what the event carries under the names that the classes in
`statemachine/events.py` use. Empty ones are left out.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields as fields_of
from typing import Any

import orjson

from runtime.errors import StoreError
from statemachine.events import EVENTS, CallSeen, Event, ParticipantSeen
from streams.times import from_iso, to_iso

#: What stands in an entry under another name than in the class.
_ENTRY_NAMES = {"session_id": "session", "occurred_at_ms": "at"}
#: Set by whoever reads the stream.
_NOT_STORED = frozenset({"entry_id"})


class BadEntryError(StoreError):
    """A stream entry can't be understood.

    Attributes:
        reason: What is wrong with it, naming fields but never their values.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _bool_of(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError
    return text == "true"


_ENCODERS: dict[str, Callable[[Any], str]] = {
    "str": str,
    "int": str,
    "int | None": lambda value: "" if value is None else str(value),
    "bool": lambda value: "true" if value else "false",
    "tuple[CallSeen, ...]": lambda calls: orjson.dumps([_plain(call) for call in calls]).decode(),
    "tuple[ParticipantSeen, ...]": lambda seen: orjson.dumps([_plain(one) for one in seen]).decode(),
}
_DECODERS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "int": int,
    "int | None": int,
    "bool": _bool_of,
    "tuple[CallSeen, ...]": lambda text: tuple(CallSeen(**one) for one in orjson.loads(text)),
    "tuple[ParticipantSeen, ...]": lambda text: tuple(ParticipantSeen(**one) for one in orjson.loads(text)),
}


def _plain(value: Any) -> dict[str, str]:
    return {field.name: getattr(value, field.name) for field in fields_of(value)}


def _kind_of(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))


def _spec(event: type[Event]) -> tuple[tuple[str, str, str, bool], ...]:
    """For each field: its name, its name in an entry, its kind, whether it has to be there."""
    found = []
    for field in fields_of(event):
        if field.name in _NOT_STORED:
            continue
        kind = str(field.type) if "|" in str(field.type) or "[" in str(field.type) else _kind_of(field.type)
        kind = kind.replace("statemachine.events.", "")
        needed = field.default is field.default_factory  # both are dataclasses.MISSING
        name = _ENTRY_NAMES.get(field.name, field.name)
        if field.name == "occurred_at_ms":
            kind = "time"
        found.append((field.name, name, kind, needed))
    return tuple(found)


_ENCODERS["time"] = to_iso
_DECODERS["time"] = from_iso
_BY_NAME: dict[str, type[Event]] = {event.name: event for event in EVENTS}
_SPECS = {event.name: _spec(event) for event in EVENTS}


def encode(event: Event) -> dict[str, str]:
    """The fields of the event's entry."""
    entry = {"type": event.name}
    for attribute, name, kind, needed in _SPECS[event.name]:
        text = _ENCODERS[kind](getattr(event, attribute))
        if text or needed:
            entry[name] = text
    return entry


def decode(entry: Mapping[str, str], entry_id: str) -> Event:
    """The event of an entry; fields that this version does not know are passed over.

    Raises:
        BadEntryError: no or an unknown type, a missing field, or one that makes no sense.
    """
    name = entry.get("type", "")
    if not name:
        raise BadEntryError("no type")
    event = _BY_NAME.get(name)
    if event is None:
        raise BadEntryError("unknown type")
    values: dict[str, Any] = {"entry_id": entry_id}
    for attribute, field, kind, needed in _SPECS[name]:
        text = entry.get(field)
        if text is None or (text == "" and kind != "str"):
            if needed:
                raise BadEntryError(f"no {field}")
            continue
        try:
            values[attribute] = _DECODERS[kind](text)
        except (ValueError, TypeError):
            raise BadEntryError(f"{field} makes no sense") from None
    return event(**values)
