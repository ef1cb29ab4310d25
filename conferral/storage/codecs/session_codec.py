"""Session codec: sessions to and from the text fields of their hash.

A session is a flat mapping of texts, such as `state` and `party.agent.held`. The hash has a field for each that the
documentation names. The rest of each record (the session, its transfer, its recording, each party) is a JSON object of
such texts in one field, `internal`: in Redis, a field costs more than its text.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
import orjson

from conferral.statemachine.pending_command import Recording
from conferral.statemachine.record import Hidden
from conferral.statemachine.session import AGENT, CUSTOMER, SUPERVISOR, TARGET, Party, Session
from conferral.statemachine.transfer import TransferState
from conferral.storage.codecs.record_codec import CorruptHashError, RecordCodec
from conferral.storage.codecs.text_codec import decode_fields, parse_object

_T = TypeVar("_T", bound=msgspec.Struct)

#: The field that holds those of a record's fields that only Conferral reads.
INTERNAL = "internal"
#: If the session's key is not a hash: its only field besides `id`, and that field's text.
DAMAGED = "damaged"
WRONG_TYPE = "(the key is of the wrong type)"

_PARTY_ORDER = "party_order"
_CODECS: dict[type[msgspec.Struct], RecordCodec] = {
    Session: RecordCodec(
        Session,
        always=("id", "state", "phase", "version", "direction", "created_at_ms", "updated_at_ms", "ended_at_ms",
                "end_reason", "conference_sid", "conference_name", "by"),
        also=("mode", "parked_until_ms"),
        without=("parties", "transfer", "recording"),
    ),
    Party: RecordCodec(
        Party,
        always=("label", "call_sid", "address", "status", "held", "muted", "left_reason"),
        also=("supervises", "coaches"),
        without=("name",),
    ),
    TransferState: RecordCodec(TransferState, always=("mode", "to", "by", "status", "reason")),
    Recording: RecordCodec(Recording, always=("sid", "status", "url", "duration_s")),
}  # fmt: skip
_KINDS: dict[str, type[msgspec.Struct]] = {
    "": Session, "party": Party, "transfer": TransferState, "recording": Recording,
}  # fmt: skip
#: The newest transfer's fields before the first transfer.
NO_TRANSFER = dict.fromkeys((f"transfer.{name}" for name in ("mode", "to", "by", "status", "reason")), "")
#: The fields that the log's `changes` includes: without addresses, and what each entry has anyway.
_LOGGED: dict[type[msgspec.Struct], frozenset[str]] = {
    Session: frozenset({
        "phase", "ended_at", "end_reason", "conference_sid", "agent_number", "pending_commands", "parked_until",
        "timers",
    }),
    Party: frozenset({
        "label", "call_sid", "status", "held", "muted", "left_reason", "in_conference", "early_media", "is_leaving",
        "wait_audio", "waits_for_start", "pending_update", "supervises", "coaches",
    }),
    TransferState: frozenset({"mode", "status", "reason", "stage", "number"}),
    Recording: frozenset({"sid", "status", "pending_update"}),
}  # fmt: skip

_ROLES = (CUSTOMER, AGENT, TARGET)
#: Roles listed after added parties: former agents and supervisors.
_LAST_ROLES = (AGENT, SUPERVISOR)
#: Changed fields; None for one that was removed.
Changes = dict[str, str | None]


class StoredSession(Session, frozen=True, kw_only=True):
    """A session as it was found in Redis, whatever its hash holds.

    Callbacks must be answered, and lists shown, even if another program has changed the hash: invalid values count as
    absent, and unknown words stay. Its parties are in display order: customer and agent, dialed and added parties, then
    former agents and supervisors.
    """

    #: As stored, including those that this version doesn't know.
    fields: Hidden[dict[str, str]] = msgspec.field(default_factory=dict)
    #: The first field that can't be decoded, or `WRONG_TYPE`; empty if there is none.
    damaged: str = ""

    @property
    def is_known(self) -> bool:
        """Whether the hash is a session's, neither expired nor foreign."""
        return "id" in self.fields and "state" in self.fields


def encode(session: Session) -> dict[str, str]:
    """Return all fields of the session."""
    found: dict[str, str] = {}
    for prefix, record in _records(session):
        found |= _encode_record(prefix, record)
    return found


def to_hash(session: Session) -> dict[str, str]:
    """Return the session's hash."""
    return _grouped(encode(session))


def hash_changes(session: Session, before: Session) -> Changes:
    """Return what differs in the hash; a new session's `before` has version 0."""
    changed = _changes(session, before)
    found = {name: text for name, text in changed.items() if is_readable(name)}
    records = dict(_records(session))
    for prefix in {name.rpartition(".")[0] for name in changed.keys() - found.keys()}:
        dotted = f"{prefix}." if prefix else ""
        found[dotted + INTERNAL] = _grouped(_encode_record(dotted, records.get(dotted))).get(dotted + INTERNAL)
    return found


def log_changes(session: Session, before: Session) -> Changes:
    """Return what an event changed, for the session's log.

    Applied in order, the changes give the session at each version, without addresses.
    """
    found = {name: text for name, text in _changes(session, before).items() if is_logged(name)}
    if commands := found.get("pending_commands"):  # without destinations and messages, which are private
        rows = [{name: one[name] for name in ("command_id", "name", "party") if name in one}
                for one in orjson.loads(commands)]  # fmt: skip
        found["pending_commands"] = orjson.dumps(rows).decode()
    return found


def load(session_id: str, record: Mapping[bytes, bytes]) -> Session:
    """Return the session of a hash, a new one if it is empty.

    Raise CorruptHashError if a field can't be decoded, or names another session.
    """
    if not record:
        return Session(session_id)
    session = decode(fields_of(record))
    if session.id != session_id:
        raise CorruptHashError("id")
    return session


def decode(fields: Mapping[str, str]) -> Session:
    """Return the session with these fields; may raise CorruptHashError."""
    values, damaged = _decode(fields)
    if damaged:
        raise CorruptHashError(damaged)
    return Session(**values)


def stored_session(fields: dict[str, str]) -> StoredSession:
    """Return a session with any fields, also none or a foreign hash's."""
    values, damaged = _decode(fields)
    values["parties"] = {name: values["parties"][name] for name in sorted(values["parties"], key=_display_position)}
    return StoredSession(**values, fields=fields, damaged=fields.get(DAMAGED) or damaged)


def fields_of(record: Mapping[bytes, bytes]) -> dict[str, str]:
    """Return all fields of a hash as text; those in `internal`, too."""
    found = decode_fields(record)
    for name in [name for name in found if name.rpartition(".")[2] == INTERNAL]:
        texts = parse_object(found[name])
        if texts and all(isinstance(text, str) for text in texts.values()):
            del found[name]
            found |= {f"{name.removesuffix(INTERNAL)}{inner}": text for inner, text in texts.items()}
    return found


def decode_logged_changes(text: str) -> Changes:
    """Return the logged changes by field; empty for invalid text."""
    return {name: value for name, value in parse_object(text).items() if value is None or isinstance(value, str)}


@lru_cache(4_096)
def is_readable(name: str) -> bool:
    """Whether a field, such as `party.agent.held`, stands in the hash itself."""
    kind, attribute = _locate(name)
    return kind is None or attribute in _CODECS[kind].readable


@lru_cache(4_096)
def is_logged(name: str) -> bool:
    """Whether the log's changes include a field."""
    kind, attribute = _locate(name)
    return kind is not None and attribute in _LOGGED[kind]


def _locate(name: str) -> tuple[type[msgspec.Struct] | None, str]:
    """Return the kind of record that a field belongs to, and its name there."""
    group, _, attribute = name.rpartition(".")
    return _KINDS.get(group.partition(".")[0]), attribute


def _records(session: Session) -> Iterator[tuple[str, msgspec.Struct | None]]:
    """Yield the session's records, each with the prefix of its fields."""
    yield "", session
    yield "transfer.", session.transfer
    yield "recording.", session.recording
    for party in session.parties.values():
        yield f"party.{party.name}.", party


def _encode_record(prefix: str, record: msgspec.Struct | None) -> dict[str, str]:
    if record is None:
        return NO_TRANSFER if prefix == "transfer." else {}
    if isinstance(record, Session):
        # A step numbers its effects in the order of the parties, so a repeated decision needs it; Redis keeps none.
        return _CODECS[Session].encode(record) | {_PARTY_ORDER: " ".join(record.parties)}
    return _CODECS[type(record)].encode(record, prefix)


def _changes(session: Session, before: Session) -> Changes:
    """Return the fields that differ, without comparing unchanged records."""
    old, new = dict(_records(before)) if before.version else {}, dict(_records(session))
    found: Changes = {}
    for prefix in {**old, **new}:
        record, earlier = new.get(prefix), old.get(prefix)
        if record is None or earlier is None:
            fields = _encode_record(prefix, record) if prefix in new else {}
            former = _encode_record(prefix, earlier) if prefix in old else {}
            found |= {name: text for name, text in fields.items() if former.get(name) != text}
            found |= dict.fromkeys(former.keys() - fields.keys())
        elif record is not earlier:
            found |= _CODECS[type(record)].changes(record, earlier, prefix)
    if [*session.parties] != [*before.parties]:
        found[_PARTY_ORDER] = " ".join(session.parties)
    return found


def _grouped(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the fields of the hash: those that people read, and `internal`."""
    found: dict[str, str] = {}
    internal: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for name, text in fields.items():
        if is_readable(name):
            found[name] = text
        else:
            group, dot, attribute = name.rpartition(".")
            internal[f"{group}{dot}{INTERNAL}"][attribute] = text
    return found | {name: orjson.dumps(texts).decode() for name, texts in internal.items()}


def _decode(fields: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """Return a session's attributes, and its first damaged field, or empty."""
    values, damaged = _CODECS[Session].decode(fields)
    problems = [damaged]

    def decode_record(kind: type[_T], prefix: str, **known: str) -> _T:
        found, problem = _CODECS[kind].decode(fields, prefix)
        problems.append(problem)
        return kind(**found, **known)

    if fields.get("transfer.status") or fields.get("transfer.mode"):
        values["transfer"] = decode_record(TransferState, "transfer.")
    if "recording.status" in fields:
        values["recording"] = decode_record(Recording, "recording.")
    statuses = (name for name in fields if name.startswith("party.") and name.endswith(".status"))
    stored = {name.removeprefix("party.").removesuffix(".status") for name in statuses}
    order = fields.get(_PARTY_ORDER, "").split()
    # The order is always stored. So this also shows that `internal` is missing.
    problems.append("" if _PARTY_ORDER in fields and {*order} == stored else _PARTY_ORDER)
    names = [name for name in order if name in stored] + sorted(stored - {*order})
    values["parties"] = {name: decode_record(Party, f"party.{name}.", name=name) for name in names}
    problems += (name for name in fields if name.rpartition(".")[2] == INTERNAL)
    return values, next(filter(None, problems), "")


def _display_position(party: str) -> tuple[int, str, int, str]:
    """Sort key of the display order; see `StoredSession`."""
    role, _, number = party.partition("-")
    rank = _ROLES.index(party) if party in _ROLES else len(_ROLES) + (role in _LAST_ROLES) - (role == TARGET)
    # Another program may have named a party with digits that `int` rejects.
    return rank, role, int(number) if number.isdecimal() and len(number) < 10 and number.isascii() else 0, party


#: A session that Redis does not have.
UNKNOWN_SESSION = stored_session({})
