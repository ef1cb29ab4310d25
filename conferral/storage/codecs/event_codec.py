"""Event codec: events to and from the fields of a stream entry.

An entry has the fields `type`, `session`, `effect_id` if the event answers an effect, and `packed`: the whole event as
JSON, which takes Redis and workers a third of the time of as many fields as attributes.

The text form has a field for each attribute instead, under the names of the classes in `statemachine/events/`; those
with the default are omitted, and an empty number, boolean, or JSON text counts as absent. The script that fires timers
writes this form, and dead letters are shown in it.
"""

import contextlib
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
from msgspec.structs import force_setattr

from conferral.runtime.errors import StoreError
from conferral.statemachine.events import EVENTS, Event
from conferral.storage.codecs.hash_codec import CorruptHashError, Decode, Encode, HashCodec, json_codec_of


class BadEntryError(StoreError):
    """A stream entry is invalid; the message holds no value of a field."""


PACKED = "packed"
_BY_NAME: dict[str, type[Event]] = {event.name: event for event in EVENTS}
#: Texts may contain spaces, the script that fires timers writes milliseconds, and durations are no times.
_OVERRIDES: dict[Any, tuple[Encode, Decode]] = {
    tuple[str, ...]: json_codec_of(tuple[str, ...]),
    "due_ms": (str, int),
    "queue_ms": (str, int),
    "retry_after_ms": (str, int),
}


@cache
def codec_of(name: str) -> HashCodec:
    """Return an event's text codec; making all took a tenth of CLI startup."""
    event, names = _BY_NAME[name], {"session_id": "session", "occurred_at_ms": "at"}
    return HashCodec(event, codecs=_OVERRIDES, without=("entry_id",), names=names)


_ENCODER = msgspec.json.Encoder()
_DECODERS = {name.encode(): msgspec.json.Decoder(event) for name, event in _BY_NAME.items()}


def encode(event: Event) -> dict[str, str]:
    """Return the fields of the event's entry."""
    # By the registry: an event that nothing could decode is never stored.
    entry = {"type": _BY_NAME[event.name].name, "session": event.session_id}
    if effect_id := getattr(event, "effect_id", ""):
        entry["effect_id"] = effect_id
    entry[PACKED] = _ENCODER.encode(event).decode()
    return entry


def as_text(entry: Mapping[str, str]) -> dict[str, str]:
    """Return an entry in text form; leave an invalid packed event as it is."""
    text = dict(entry)
    if PACKED in entry:
        with contextlib.suppress(BadEntryError):
            event = decode(entry, "")
            del text[PACKED]
            codec_of(event.name).encode(event, text)
    return text


def decode_packed(entry: Mapping[bytes, bytes], entry_id: str) -> Event | None:
    """Decode a packed event, None if it is another; may raise BadEntryError."""
    packed, name = entry.get(b"packed"), entry.get(b"type", b"")
    return None if packed is None or name not in _DECODERS else _unpack(name, packed, entry_id)


def _unpack(name: bytes, packed: bytes | str, entry_id: str) -> Event:
    try:
        event = _DECODERS[name].decode(packed)
    except UnicodeDecodeError:
        raise BadEntryError("not UTF-8") from None
    except msgspec.DecodeError:
        raise BadEntryError(f"invalid field {PACKED}") from None
    force_setattr(event, "entry_id", entry_id)  # no one else has the event yet
    return event


def decode(entry: Mapping[str, str], entry_id: str) -> Event:
    """Decode an event in either form; raise BadEntryError if it is invalid."""
    name = entry.get("type", "")
    if not name:
        raise BadEntryError("missing field type")
    kind = _BY_NAME.get(name)
    if kind is None:
        raise BadEntryError("unknown type")
    if PACKED in entry:
        return _unpack(name.encode(), entry[PACKED], entry_id)
    codec = codec_of(name)
    if "" in entry.values():
        texts = {field for field, (_, decode_field) in codec.decoders.items() if decode_field is str}
        entry = {field: text for field, text in entry.items() if text or field in texts}
    try:
        values = codec.decode(entry)
    except CorruptHashError as error:
        raise BadEntryError(f"{'invalid' if error.field in entry else 'missing'} field {error.field}") from None
    return kind(**values, entry_id=entry_id)
