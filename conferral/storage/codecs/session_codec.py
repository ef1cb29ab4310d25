"""Session codec: sessions to and from flat text fields."""

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

import orjson

from conferral.statemachine.deduplication import SeenEvents
from conferral.statemachine.pending_command import PendingCommand, Recording
from conferral.statemachine.session import AGENT, CUSTOMER, Party, Session, changed_parties
from conferral.statemachine.transfer import TransferState
from conferral.storage.codecs.hash_codec import ChangeFinder, HashCodec
from conferral.storage.codecs.text_codec import parse_object

_T = TypeVar("_T")

_PARTY_ORDER = "party_order"


def encode(session: Session) -> dict[str, str]:
    """Return all fields of the session."""
    fields = _encode(_ALL, session)
    names = list(session.parties)
    if names != sorted(names, key=_default_position):
        fields[_PARTY_ORDER] = " ".join(names)
    return fields


def encode_readable(session: Session) -> dict[str, str]:
    """Return the fields that other programs may read."""
    return _encode(_READABLE, session)


class Changes(NamedTuple):
    """The fields that differ from an earlier version's; None if removed."""

    #: Those of `encode_readable`.
    readable: dict[str, str | None]
    #: Those in the session's log: applied in order, they give the session at each version. They exclude addresses, the
    #: log entry's own state, version, and time, and what `with_initial` adds to a new session's.
    logged: dict[str, str | None]


def changes(session: Session, before: Session, changed: Collection[str] | None = None) -> Changes:
    """Return what an event changed; `before` has version 0 in a new session.

    `changed` names the parties that are new or changed, if known.
    """
    found = Changes({} if before.version else dict(NO_TRANSFER), {})
    _FINDERS.session.add_changes(session, before if before.version else None, found, "")
    if session.transfer is not before.transfer:
        _FINDERS.transfer.add_changes(session.transfer, before.transfer, found, "transfer.")
        if before.version and before.transfer is None:
            for name in [name for name in NO_TRANSFER if found.readable.get(name) == ""]:
                del found.readable[name]
    if session.recording is not before.recording:
        _FINDERS.recording.add_changes(session.recording, before.recording, found, "recording.")
    if session.parties is not before.parties:
        changed = changed_parties(session.parties, before.parties) if changed is None else changed
        known = sum(map(before.parties.__contains__, changed))
        if len(before.parties) + len(changed) - known > len(session.parties):
            for name in [name for name in before.parties if name not in session.parties]:
                _FINDERS.party.add_changes(None, before.parties[name], found, f"party.{name}.")
        for name in changed:
            _FINDERS.party.add_changes(session.parties[name], before.parties.get(name), found, f"party.{name}.")
    if before.version:
        return found
    return Changes(found.readable, {name: text for name, text in found.logged.items() if text != _initial(name)})


@lru_cache(4_096)
def _initial(name: str) -> str | None:
    """Return a field's value in a new session that its log leaves out."""
    return _INITIAL_SESSION.get(name, _INITIAL_PARTY.get(name.rpartition(".")[2]))


def with_initial(changes: Mapping[str, str | None]) -> dict[str, str | None]:
    """Add the initial values that the log of a new session leaves out."""
    parties = (name.removesuffix("label") for name in changes if name.endswith(".label"))
    initial = {party + name: value for party in parties for name, value in _INITIAL_PARTY.items()}
    return {**_INITIAL_SESSION, **initial, **changes}


def _encode(codecs: "_Codecs", session: Session) -> dict[str, str]:
    fields: dict[str, str] = {}
    codecs.session.encode(session, fields)
    for party in session.parties.values():
        codecs.party.encode(party, fields, f"party.{party.name}.")
    fields |= NO_TRANSFER
    if session.transfer is not None:
        codecs.transfer.encode(session.transfer, fields, "transfer.")
    if session.recording is not None:
        codecs.recording.encode(session.recording, fields, "recording.")
    return fields


def decode(fields: Mapping[str, str]) -> Session:
    """Decode a session from its text fields; may raise CorruptHashError."""
    transfer = TransferState(**_ALL.transfer.decode(fields, "transfer.")) if fields.get("transfer.status") else None
    recording = Recording(**_ALL.recording.decode(fields, "recording.")) if "recording.status" in fields else None
    parties = {name: Party(name=name, **_ALL.party.decode(fields, f"party.{name}.")) for name in _party_names(fields)}
    return Session(**_ALL.session.decode(fields), parties=parties, transfer=transfer, recording=recording)


def _party_names(fields: Mapping[str, str]) -> list[str]:
    """Return the names of the parties in the session's order."""
    # A step numbers its effects in this order, so a repeated decision needs it; Redis keeps no field order.
    statuses = (name for name in fields if name.startswith("party.") and name.endswith(".status"))
    names = {name.removeprefix("party.").removesuffix(".status") for name in statuses}
    stored = [name for name in fields.get(_PARTY_ORDER, "").split() if name in names]
    return stored + sorted(names - set(stored), key=_default_position)


def _default_position(name: str) -> tuple[bool, bool, str]:
    """Sort key of the order that is not stored: customer, agent, then name."""
    return name != CUSTOMER, name != AGENT, name


def _encode_timers(timers: Mapping[str, int]) -> str:
    return " ".join(f"{timer}={due}" for timer, due in timers.items())


def _decode_timers(text: str) -> dict[str, int]:
    return {timer: int(due) for timer, due in (entry.split("=") for entry in text.split())}


def _encode_deduplication(seen: SeenEvents) -> str:
    windows = {source: [highest, bits.hex()] for source, (highest, bits) in seen.windows.items()}
    return orjson.dumps({"windows": windows, "tokens": seen.tokens}).decode()


def _decode_deduplication(text: str) -> SeenEvents:
    record = orjson.loads(text)
    windows = {str(source): (int(window[0]), bytes.fromhex(window[1])) for source, window in record["windows"].items()}
    return SeenEvents(windows=windows, tokens=tuple(str(token) for token in record["tokens"]))


def _encode_logged_commands(commands: tuple[PendingCommand, ...]) -> str:
    """Encode commands without destinations and messages, which are private."""
    return orjson.dumps([{"name": command.name, "party": command.party} for command in commands]).decode()


class _OfRecords(NamedTuple, Generic[_T]):
    session: _T
    party: _T
    transfer: _T
    recording: _T


_Codecs = _OfRecords[HashCodec]


_TIMERS = {Mapping[str, int]: (_encode_timers, _decode_timers)}
_SESSION_ALWAYS = ("id", "state", "phase", "version", "direction", "created_at_ms", "updated_at_ms", "ended_at_ms",
                   "end_reason", "conference_sid", "conference_name", "by")  # fmt: skip
_PARTY_ALWAYS = ("label", "call_sid", "address", "status", "held", "muted", "left_reason")
_TRANSFER_ALWAYS = ("mode", "to", "by", "status", "reason", "stage")
_RECORDING_ALWAYS = ("recording_sid", "status", "url", "duration_s")
#: The newest transfer's fields before the first transfer.
NO_TRANSFER = dict.fromkeys((f"transfer.{name}" for name in ("mode", "to", "by", "status", "reason")), "")
#: What a new session's first log entry leaves out.
_INITIAL_SESSION = {"ended_at": "", "end_reason": "", "conference_sid": "", **NO_TRANSFER}
_INITIAL_PARTY = {"call_sid": "", "held": "false", "muted": "false", "left_reason": ""}
_RECORDING_NAMES = {"recording_sid": "sid"}
_ALL = _Codecs(
    HashCodec(
        Session,
        codecs={**_TIMERS, SeenEvents: (_encode_deduplication, _decode_deduplication)},
        always=_SESSION_ALWAYS,
        without=("parties", "transfer", "recording"),
    ),
    HashCodec(Party, always=_PARTY_ALWAYS, without=("name",)),
    HashCodec(TransferState, always=_TRANSFER_ALWAYS),
    HashCodec(Recording, always=_RECORDING_ALWAYS, names=_RECORDING_NAMES),
)
#: The fields that other programs may read in the session's hash.
_READABLE = _Codecs(
    HashCodec(Session, always=_SESSION_ALWAYS, only=(*_SESSION_ALWAYS, "mode", "parked_until_ms")),
    HashCodec(Party, always=_PARTY_ALWAYS, only=(*_PARTY_ALWAYS, "supervises", "coaches")),
    HashCodec(TransferState, always=_TRANSFER_ALWAYS, only=_TRANSFER_ALWAYS),
    HashCodec(Recording, always=_RECORDING_ALWAYS, only=_RECORDING_ALWAYS, names=_RECORDING_NAMES),
)
#: The fields that the log's `changes` includes.
_LOGGED = _Codecs(
    HashCodec(
        Session,
        codecs={**_TIMERS, "pending_commands": (_encode_logged_commands, orjson.loads)},
        always=_SESSION_ALWAYS,
        only=("phase", "ended_at_ms", "end_reason", "conference_sid", "agent_number", "pending_commands",
              "parked_until_ms", "timers"),
    ),
    HashCodec(
        Party,
        always=_PARTY_ALWAYS,
        only=("label", "call_sid", "status", "held", "muted", "left_reason", "in_conference", "early_media",
              "is_leaving", "wait_audio", "waits_for_start", "pending_update", "supervises", "coaches"),
    ),
    HashCodec(TransferState, always=_TRANSFER_ALWAYS, only=("mode", "status", "reason", "stage", "number")),
    HashCodec(
        Recording, always=_RECORDING_ALWAYS, only=("recording_sid", "status", "pending_update"), names=_RECORDING_NAMES
    ),
)  # fmt: skip
#: For the fields of `Changes`, in their order.
_FINDERS = _OfRecords[ChangeFinder](*map(ChangeFinder, _READABLE, _LOGGED))


def decode_logged_changes(text: str) -> dict[str, str | None]:
    """Return the logged `changes` by field; empty for invalid text."""
    return {name: value for name, value in parse_object(text).items() if value is None or isinstance(value, str)}


@lru_cache(4_096)
def is_readable(name: str) -> bool:
    """Whether other programs may read a field of the hash."""
    return _have_field(_READABLE, name)


@lru_cache(4_096)
def is_known(name: str) -> bool:
    """Whether `encode` may return the field; a newer version may have others."""
    return name == _PARTY_ORDER or _have_field(_ALL, name)


def is_logged(name: str) -> bool:
    """Whether the log's `changes` includes a field of the hash."""
    return _have_field(_LOGGED, name)


def _have_field(codecs: _Codecs, name: str) -> bool:
    """Whether the codecs have a field, such as `state` or `party.agent.held`."""
    group, _, attribute = name.rpartition(".")
    codec = codecs._asdict().get(group.partition(".")[0] or "session")
    return codec is not None and attribute in codec.names
