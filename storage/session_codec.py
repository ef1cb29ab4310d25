"""Sessions to flat fields of text and back.

The fields that people read stand first and are always there; what only the worker needs is left out while it is empty.
Fields that this version does not know are never touched, so that a newer version's survive.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from conferral.statemachine.attributes import Attributes
from conferral.statemachine.order import Order, Recording
from conferral.statemachine.seen import Seen
from conferral.statemachine.session import AGENT, CUSTOMER, Party, Session
from conferral.statemachine.transfer import Attempt, DialOptions, TransferState
from conferral.storage.record import BrokenRecordError as BrokenRecordError
from conferral.storage.record import Columns, Reader, from_json, json_of, json_of_changed, known_part


def encode(session: Session) -> dict[str, str]:
    """The session's hash, whole."""
    fields: dict[str, str] = {}
    _SESSION.encode(session, fields)
    for party in session.parties.values():
        _PARTY.encode(party, fields, f"party.{party.name}.")
    if session.transfer is not None:
        _TRANSFER.encode(session.transfer, fields, "transfer.")
    if session.recording is not None:
        _RECORDING.encode(session.recording, fields, "recording.")
    _encode_order(session.parties, fields)
    return fields


def encode_onto(session: Session, before: Session, fields: Mapping[str, str]) -> dict[str, str]:
    """The session's hash, whole, made from that of an earlier version: only what has changed since is encoded.

    Most events change a handful of the attributes, so that this takes a third to a half of the time.

    Args:
        session: The session as it is now.
        before: The same session earlier.
        fields: Its hash then; not changed.
    """
    changed = dict(fields)
    _SESSION.encode_onto(session, before, changed)
    _TRANSFER.encode_onto(session.transfer, before.transfer, changed, "transfer.")
    _RECORDING.encode_onto(session.recording, before.recording, changed, "recording.")
    if session.parties is before.parties:
        return changed
    for name in {**before.parties, **session.parties}:
        _PARTY.encode_onto(session.parties.get(name), before.parties.get(name), changed, f"party.{name}.")
    if list(session.parties) != list(before.parties):
        changed.pop("party_order", None)
        _encode_order(session.parties, changed)
    return changed


def _encode_order(parties: Mapping[str, Party], fields: dict[str, str]) -> None:
    names = list(parties)
    if names != sorted(names, key=_usual_place):
        fields["party_order"] = " ".join(names)


def changes(session: Session, before: Session) -> dict[str, str | None]:
    """What people look at of a session that an event has changed: fields as the hash has them, None for one that is
    there no more. Folded from the beginning they give the session as it was at each version.

    Addresses are not among them, nor what the log's entry tells anyway: state, version and time.

    Args:
        session: The session as it is now.
        before: As it was before the event; of version 0 where there was none.
    """
    found: dict[str, str | None] = {}
    _PUBLIC_SESSION.changes(session, before if before.version else None, found)
    if session.transfer is not before.transfer:
        _PUBLIC_TRANSFER.changes(session.transfer, before.transfer, found, "transfer.")
    if session.recording is not before.recording:
        _PUBLIC_RECORDING.changes(session.recording, before.recording, found, "recording.")
    if session.parties is not before.parties:
        earlier = before.parties
        for name, party in session.parties.items():
            if party is not (was := earlier.get(name)):
                _PUBLIC_PARTY.changes(party, was, found, f"party.{name}.")
        if earlier.keys() != session.parties.keys():
            for name in earlier.keys() - session.parties.keys():
                _PUBLIC_PARTY.changes(None, earlier[name], found, f"party.{name}.")
    return found


def decode(fields: Mapping[str, str]) -> Session:
    """The session of a hash.

    Raises:
        BrokenRecordError: a field is missing or makes no sense.
    """
    reader = Reader(fields)
    transfer = None
    if "transfer.status" in fields:
        transfer = TransferState(**_TRANSFER.decode(reader, "transfer."))
    recording = None
    if "recording.status" in fields:
        recording = Recording(**_RECORDING.decode(reader, "recording."))
    parties = {name: Party(name=name, **_PARTY.decode(reader, f"party.{name}.")) for name in _party_names(fields)}
    return Session(**_SESSION.decode(reader), parties=parties, transfer=transfer, recording=recording)


def _party_names(fields: Mapping[str, str]) -> list[str]:
    """Names of the parties in the order in which the session had them.

    Redis keeps no order of fields. What is decided goes through the parties in theirs and numbers what it orders, so
    that the same entry has to meet the same order when it is decided again.
    """
    names = {name[6:-7] for name in fields if name.startswith("party.") and name.endswith(".status")}
    told = [name for name in fields.get("party_order", "").split() if name in names]
    return told + sorted(names - set(told), key=_usual_place)


def _usual_place(name: str) -> tuple[bool, bool, str]:
    """The order that needs no telling: customer, agent, then by name."""
    return name != CUSTOMER, name != AGENT, name


def _encode_timers(timers: Mapping[str, int]) -> str:
    return " ".join(f"{timer}={due}" for timer, due in timers.items())


def _decode_timers(text: str) -> dict[str, int]:
    pairs = (entry.split("=", 1) for entry in text.split())
    return {timer: int(due) for timer, due in pairs}


def _encode_seen(seen: Seen) -> str:
    # Bits as hexadecimal text: JSON readers elsewhere lose the lowest bits of large whole numbers.
    windows = {source: [highest, f"{bits:x}"] for source, (highest, bits) in seen.windows.items()}
    return orjson.dumps({"windows": windows, "tokens": seen.tokens}).decode()


def _decode_seen(text: str) -> Seen:
    record = orjson.loads(text)
    windows = {str(source): (int(window[0]), int(window[1], 16)) for source, window in record["windows"].items()}
    return Seen(windows=windows, tokens=tuple(str(token) for token in record["tokens"]))


def _decode_attempts(text: str) -> tuple[Attempt, ...]:
    return tuple(known_part(Attempt, record) for record in orjson.loads(text))


def _decode_options(text: str) -> Any:
    return from_json(DialOptions, text)


def _decode_orders(text: str) -> tuple[Order, ...]:
    return tuple(_order_of(record) for record in orjson.loads(text))


def _encode_shown_orders(orders: tuple[Order, ...]) -> str:
    """Without whom they dial and what they play."""
    return orjson.dumps([{"name": order.name, "party": order.party} for order in orders]).decode()


def _order_of(record: dict[str, Any]) -> Any:
    # JSON has lists in place of tuples.
    values = {name: tuple(one) if isinstance(one, list) else one for name, one in record.items()}
    return known_part(Order, values | {"options": known_part(DialOptions, record.get("options", {}))})


def _decode_attributes(text: str) -> Any:
    return from_json(Attributes, text)


_OPTIONS = {DialOptions: (json_of, _decode_options)}
_SESSION = Columns(
    Session,
    codecs={Mapping[str, int]: (_encode_timers, _decode_timers), Seen: (_encode_seen, _decode_seen), **_OPTIONS,
            Attributes: (json_of_changed, _decode_attributes), tuple[Order, ...]: (json_of, _decode_orders)},
    always=("id", "state", "phase", "version", "direction", "created_at_ms", "updated_at_ms", "ended_at_ms",
            "end_reason", "conference_sid", "conference_name"),
    without=("parties", "transfer", "recording"),
)  # fmt: skip
_PARTY = Columns(
    Party,
    always=("label", "call_sid", "address", "status", "held", "muted", "left_reason"),
    without=("name",),
)
_TRANSFER = Columns(
    TransferState,
    codecs={tuple[Attempt, ...]: (json_of, _decode_attempts), **_OPTIONS},
    always=("mode", "to", "status", "reason", "stage"),
)
_RECORDING = Columns(
    Recording,
    always=("recording_sid", "status", "url", "duration_s"),
    names={"recording_sid": "sid"},
)
# What of each the log's field `changes` tells.
_PUBLIC_SESSION = Columns(
    Session,
    codecs={Mapping[str, int]: (_encode_timers, _decode_timers),
            tuple[Order, ...]: (_encode_shown_orders, _decode_orders)},
    always=("phase", "ended_at_ms", "end_reason", "conference_sid"),
    only=("phase", "ended_at_ms", "end_reason", "conference_sid", "agent_number", "orders", "parked_until_ms",
          "timers"),
)  # fmt: skip
_PUBLIC_PARTY = Columns(
    Party,
    always=("label", "call_sid", "status", "held", "muted", "left_reason"),
    only=("label", "call_sid", "status", "held", "muted", "left_reason", "in_room", "early_media", "is_leaving", "tune",
          "waits", "asked", "supervises", "coaches"),
)  # fmt: skip
_PUBLIC_TRANSFER = Columns(
    TransferState,
    always=("mode", "status", "reason", "stage"),
    only=("mode", "status", "reason", "stage", "number"),
)
_PUBLIC_RECORDING = Columns(
    Recording,
    always=("recording_sid", "status"),
    only=("recording_sid", "status", "asked"),
    names={"recording_sid": "sid"},
)

_PUBLIC_OF = {"": _PUBLIC_SESSION, "transfer": _PUBLIC_TRANSFER, "recording": _PUBLIC_RECORDING}


def decode_changes(text: str) -> dict[str, str | None]:
    """What `changes` has put into a log, by field; nothing of a text that makes no sense."""
    try:
        found = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: value for name, value in found.items() if value is None or isinstance(value, str)}


def is_logged(name: str) -> bool:
    """Whether the log's field `changes` tells of a field of the hash."""
    kind, _, attribute = name.rpartition(".")
    columns = _PUBLIC_PARTY if kind.startswith("party.") else _PUBLIC_OF.get(kind)
    return columns is not None and attribute in columns.names
