"""Event codec: events to and from the fields of a stream entry.

An entry has the fields `type`, `session`, and `event`: the event's attributes as JSON, without those that equal their
default. If traces are sent, `traceparent` names the current span.
"""

from collections.abc import Mapping

import msgspec
from msgspec.structs import force_setattr

from conferral.runtime import tracing
from conferral.runtime.errors import StoreError
from conferral.runtime.json_decoding import json_decoder
from conferral.statemachine.events import EVENTS, Event
from conferral.storage.codecs.text_codec import parse_object


class BadEntryError(StoreError):
    """A stream entry is invalid; the message holds no value of a field."""


#: The field that holds the event.
EVENT = "event"
_BY_NAME: dict[str, type[Event]] = {event.name: event for event in EVENTS}
_DECODERS = {name: json_decoder(event) for name, event in _BY_NAME.items()}


def encode(event: Event) -> dict[str, str]:
    """Return the fields of the event's entry."""
    # By the registry: an event that nothing could decode is never stored.
    entry = {"type": _BY_NAME[event.name].name, "session": event.session_id}
    entry[EVENT] = msgspec.json.encode(event).decode()
    if traceparent := tracing.traceparent():
        entry[tracing.FIELD] = traceparent
    return entry


def decode(entry: Mapping[str, str], entry_id: str) -> Event:
    """Decode an event; raise BadEntryError if it is invalid."""
    name = entry.get("type", "")
    if not name:
        raise BadEntryError("missing field type")
    if name not in _DECODERS:
        raise BadEntryError("unknown type")
    if EVENT not in entry:
        raise BadEntryError(f"missing field {EVENT}")
    try:
        event = _DECODERS[name](entry[EVENT])
    except ValueError:
        raise BadEntryError(f"invalid field {EVENT}") from None
    force_setattr(event, "entry_id", entry_id)  # no one else has the event yet
    return event


def as_text(entry: Mapping[str, str]) -> dict[str, str]:
    """Return an entry with the event's attributes as fields; never fails."""
    attributes = parse_object(entry.get(EVENT, ""))
    if not attributes:
        return dict(entry)
    texts = {name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
             for name, value in attributes.items() if name != "session_id"}  # fmt: skip
    return texts | {name: text for name, text in entry.items() if name != EVENT}
