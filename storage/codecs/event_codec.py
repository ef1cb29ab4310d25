"""Event codec: events to and from the fields of a stream entry.

Every entry consists of text fields: `type`, `session`, and the event's attributes under the names of the classes in
`statemachine/events/`. Those that equal the class's default are omitted. An empty number, boolean, or JSON text counts
as absent.
"""

from collections.abc import Mapping
from typing import Any

from conferral.runtime.errors import StoreError
from conferral.statemachine.events import EVENTS, Event
from conferral.storage.codecs.hash_codec import CorruptHashError, Decode, Encode, HashCodec, json_codec_of


class BadEntryError(StoreError):
    """A stream entry is invalid.

    Attributes:
        reason: The problem; names fields, but never their values.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


_BY_NAME: dict[str, type[Event]] = {event.name: event for event in EVENTS}
#: Texts may contain spaces, and the script that fires timers writes milliseconds.
_OVERRIDES: dict[Any, tuple[Encode, Decode]] = {
    tuple[str, ...]: json_codec_of(tuple[str, ...]),
    "due_ms": (str, int),
    "queue_ms": (str, int),
}
_CODECS = {
    name: HashCodec(
        event,
        codecs=_OVERRIDES,
        without=("entry_id",),
        names={"session_id": "session", "occurred_at_ms": "at"},
    )
    for name, event in _BY_NAME.items()
}
_TEXT_FIELDS = {
    name: frozenset(field for field, (_, decode_field) in codec.decoders.items() if decode_field is str)
    for name, codec in _CODECS.items()
}


def encode(event: Event) -> dict[str, str]:
    """Return the fields of the event's entry."""
    entry = {"type": event.name}
    _CODECS[event.name].encode(event, entry)
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
    if "" in entry.values():
        texts = _TEXT_FIELDS[name]
        entry = {field: text for field, text in entry.items() if text or field in texts}
    try:
        values = _CODECS[name].decode(entry)
    except CorruptHashError as error:
        raise BadEntryError(f"{'invalid' if error.field in entry else 'missing'} field {error.field}") from None
    values["entry_id"] = entry_id
    return event(**values)
