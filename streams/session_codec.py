"""Sessions to flat fields of text and back.

The fields that people read stand first and are always there; what only the worker needs is left out while it is empty.
Fields that this version does not know are never touched, so that a newer version's survive.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from runtime.errors import StoreError
from statemachine.seen import Seen
from statemachine.session import Party, Session
from statemachine.states import PartyStatus, Phase, State
from streams.times import from_iso, to_iso


class BrokenRecordError(StoreError):
    """A session's hash can't be understood.

    Attributes:
        field: Name of the first field at fault; never its value, which may be a number.
    """

    def __init__(self, field: str) -> None:
        super().__init__(f"the session's field {field} can't be understood")
        self.field = field


def encode(session: Session) -> dict[str, str]:
    """The session's hash, whole."""
    fields = {
        "id": session.id,
        "state": session.state.value,
        "phase": session.phase.value,
        "version": str(session.version),
        "direction": session.direction,
        "created_at": to_iso(session.created_at_ms),
        "updated_at": to_iso(session.updated_at_ms),
        "ended_at": to_iso(session.ended_at_ms),
        "end_reason": session.end_reason,
        "conference_sid": session.conference_sid,
    }
    for party in session.parties.values():
        _encode_party(party, fields)
    inner = {
        "first_left": session.first_left,
        "dial_call_status": session.dial_call_status,
        "repaired": "true" if session.repaired else "",
        "redirecting": " ".join(session.redirecting),
        "moved_at": to_iso(session.moved_at_ms),
        "facts_version": str(session.facts_version) if session.facts_version else "",
        "converting_for": " ".join(session.converting_for),
        "ending_for": session.ending_for,
        "ending_effects": " ".join(session.ending_effects),
        "timers": " ".join(f"{timer}={due}" for timer, due in session.timers.items()),
        "seen": _encode_seen(session.seen),
    }
    fields.update((name, value) for name, value in inner.items() if value)
    return fields


def decode(fields: Mapping[str, str]) -> Session:
    """The session of a hash.

    Raises:
        BrokenRecordError: a field is missing or makes no sense.
    """
    reader = _Reader(fields)
    return Session(
        id=reader.take("id", str),
        state=reader.take("state", State),
        phase=reader.take("phase", Phase),
        version=reader.take("version", int),
        direction=reader.take("direction", str),
        created_at_ms=reader.take("created_at", from_iso),
        updated_at_ms=reader.take("updated_at", from_iso),
        ended_at_ms=reader.take("ended_at", from_iso),
        end_reason=reader.take("end_reason", str),
        conference_sid=reader.take("conference_sid", str),
        parties={name: _decode_party(name, reader) for name in _party_names(fields)},
        first_left=fields.get("first_left", ""),
        dial_call_status=fields.get("dial_call_status", ""),
        repaired=fields.get("repaired") == "true",
        redirecting=tuple(fields.get("redirecting", "").split()),
        moved_at_ms=reader.take("moved_at", from_iso, ""),
        facts_version=reader.take("facts_version", int, "0"),
        converting_for=tuple(fields.get("converting_for", "").split()),
        ending_for=fields.get("ending_for", ""),
        ending_effects=tuple(fields.get("ending_effects", "").split()),
        timers=reader.take("timers", _decode_timers, ""),
        seen=reader.take("seen", _decode_seen, ""),
    )


class _Reader:
    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = fields

    def take(self, name: str, convert: Any, default: str | None = None) -> Any:
        value = self.fields.get(name, default)
        if value is None:
            raise BrokenRecordError(name)
        try:
            return convert(value)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BrokenRecordError(name) from None


def _encode_party(party: Party, fields: dict[str, str]) -> None:
    start = f"party.{party.name}."
    fields[start + "call_sid"] = party.call_sid
    fields[start + "address"] = party.address
    fields[start + "label"] = party.label
    fields[start + "status"] = party.status.value
    fields[start + "held"] = "true" if party.held else "false"
    fields[start + "muted"] = "true" if party.muted else "false"
    fields[start + "left_reason"] = party.left_reason
    if party.in_room:
        fields[start + "in_room"] = "true"
    if party.room_sequence >= 0:
        fields[start + "room_sequence"] = str(party.room_sequence)


def _party_names(fields: Mapping[str, str]) -> list[str]:
    return [name[6:-7] for name in fields if name.startswith("party.") and name.endswith(".status")]


def _decode_party(name: str, reader: _Reader) -> Party:
    start = f"party.{name}."
    return Party(
        name=name,
        label=reader.take(start + "label", str, ""),
        call_sid=reader.take(start + "call_sid", str, ""),
        address=reader.take(start + "address", str, ""),
        status=reader.take(start + "status", PartyStatus),
        held=reader.take(start + "held", str, "false") == "true",
        muted=reader.take(start + "muted", str, "false") == "true",
        left_reason=reader.take(start + "left_reason", str, ""),
        in_room=reader.take(start + "in_room", str, "false") == "true",
        room_sequence=reader.take(start + "room_sequence", int, "-1"),
    )


def _decode_timers(text: str) -> dict[str, int]:
    pairs = (entry.split("=", 1) for entry in text.split())
    return {timer: int(due) for timer, due in pairs}


def _encode_seen(seen: Seen) -> str:
    if not seen.windows and not seen.tokens:
        return ""
    # Bits as hexadecimal text: JSON readers elsewhere lose the lowest bits of large whole numbers.
    windows = {source: [highest, f"{bits:x}"] for source, (highest, bits) in seen.windows.items()}
    return orjson.dumps({"windows": windows, "tokens": seen.tokens}).decode()


def _decode_seen(text: str) -> Seen:
    if not text:
        return Seen()
    record = orjson.loads(text)
    windows = {str(source): (int(window[0]), int(window[1], 16)) for source, window in record["windows"].items()}
    return Seen(windows=windows, tokens=tuple(str(token) for token in record["tokens"]))
