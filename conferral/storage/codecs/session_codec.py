"""Session codec: sessions to and from the text fields of their hash.

A session is a flat mapping of texts, such as `state` and `party.agent.held`. The reference page of Redis's keys says
which of them people may read.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from enum import StrEnum
from itertools import compress
from operator import is_not
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT
from msgspec.structs import astuple

from conferral.runtime.errors import StoreError
from conferral.runtime.json_decoding import decode_json, json_decoder
from conferral.runtime.text import split_list
from conferral.statemachine.parts import PendingCommand, Recording, TransferState
from conferral.statemachine.record import BaseRecord, Hidden, is_listed
from conferral.statemachine.session import AGENT, CUSTOMER, SUPERVISOR, TARGET, Party, Session
from conferral.storage.codecs.text_codec import decode_fields, from_iso, parse_code, to_iso

#: Numbers that every reader of JSON takes for what they are. -1 stands for none.
_Count = Annotated[int, msgspec.Meta(ge=-1, le=2**53)]
_BOUNDED: dict[Any, Any] = {int: _Count, Mapping[str, int]: Mapping[str, _Count]}


class CorruptHashError(StoreError):
    """A session's key can't be read; `field` is the first invalid one."""

    def __init__(self, field: str) -> None:
        super().__init__(f"the session can't be read: {field}")
        self.field = field  # never its value, which may be a phone number


class _Field(NamedTuple):
    """One attribute, and its field in a hash."""

    name: str
    attribute: str
    default: Any
    #: Whether the field is present even if it has the default.
    is_always: bool
    #: What stands for a damaged field; NODEFAULT: the attribute's default.
    empty: Any
    encode: Callable[[Any], str]
    decode: Callable[[str], Any]


class RecordCodec:
    """The fields of one record class. A new attribute is stored automatically.

    Args:
        always: Attributes whose fields are always present, besides the required ones.
        without: Attributes that are stored elsewhere.
    """

    def __init__(
        self,
        kind: type[BaseRecord],
        *,
        always: Collection[str],
        without: Collection[str] = (),
    ) -> None:
        hints = get_type_hints(kind, include_extras=True)
        #: Of each attribute of the class; None if it is stored elsewhere.
        self._fields = [
            None if info.name in without else _make_field(info, hints[info.name], is_always=info.name in always)
            for info in msgspec.structs.fields(kind)
        ]
        self.kind = kind
        self.always = always
        self.logged = frozenset(field.name for field in self._fields if field and field.attribute in kind.logged)

    def encode(self, record: msgspec.Struct) -> dict[str, str]:
        """Return the record's fields."""
        return {
            field.name: field.encode(value)
            for field, value in zip(self._fields, astuple(record), strict=False)
            if field is not None and (field.is_always or value != field.default)
        }

    def public(self, record: msgspec.Struct) -> dict[str, Any]:
        """Return the public JSON: what is always present; null if empty."""
        found: dict[str, Any] = {}
        for field, value in zip(self._fields, astuple(record), strict=False):
            if field is not None and field.attribute in self.always:
                is_text = field.attribute.endswith("_ms") or isinstance(value, tuple)
                shown = field.encode(value) if is_text else value
                found[field.name] = None if shown == "" else shown
        return found

    def changes(self, record: msgspec.Struct, before: msgspec.Struct) -> dict[str, str | None]:
        """Return the fields that differ; None for one that is now omitted."""
        changed: dict[str, str | None] = {}
        values, earlier = astuple(record), astuple(before)
        for index in compress(range(len(self._fields)), map(is_not, values, earlier)):  # most are the same objects
            field, value = self._fields[index], values[index]
            if field is not None and value != earlier[index]:
                is_present = field.is_always or value != field.default
                changed[field.name] = field.encode(value) if is_present else None
        return changed

    def decode(self, fields: Mapping[str, str], prefix: str, damaged: list[str]) -> dict[str, Any]:
        """Return the record's attributes; never fail, but add to `damaged`.

        `damaged` gets the names of fields that are invalid, or required and absent. An optional one is left out of the
        result, so the attribute has its default. A required one is empty, but a word that this version does not know
        stays.
        """
        values: dict[str, Any] = {}
        for field in filter(None, self._fields):
            text = fields.get(prefix + field.name)
            if text is not None:
                try:
                    values[field.attribute] = field.decode(text)
                except ValueError:
                    pass
                else:
                    continue
            elif not field.is_always:
                continue
            damaged.append(prefix + field.name)
            if field.empty is not NODEFAULT:
                values[field.attribute] = (text or "") if field.empty == "" else field.empty
        return values


def _make_field(info: msgspec.structs.FieldInfo, hint: Any, *, is_always: bool) -> _Field:
    kind = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    default = info.default if info.default_factory is NODEFAULT else info.default_factory()
    name = info.name
    empty: Any = NODEFAULT
    encode: Callable[[Any], str] = _to_json
    decode: Callable[[str], Any] = json_decoder(_BOUNDED.get(kind, kind))
    if kind is int and name.endswith("_ms"):
        name, encode, decode = name.removesuffix("_ms"), to_iso, from_iso
    elif is_listed(hint):
        encode, decode = ",".join, split_list
    elif isinstance(kind, type) and issubclass(kind, str):
        encode, decode = str, kind
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        empty = ""
    elif info.required:
        empty = kind()
    return _Field(name, info.name, default, is_always or info.required, empty, encode, decode)


def _to_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


_T = TypeVar("_T", bound=msgspec.Struct)

#: The parties' names. A step numbers its effects in their order, and Redis keeps none of its own.
PARTY_ORDER = "party_order"
#: By the first word of the fields' prefix. Each record says what the log includes; not what each entry has anyway.
_CODECS = {
    "": RecordCodec(
        Session,
        always=("id", "state", "phase", "version", "direction", "created_at_ms", "updated_at_ms", "ended_at_ms",
                "end_reason", "conference_sid", "conference_name", "number", "by", "ref"),
        without=("parties", "transfer", "earlier_transfer", "recording"),
    ),
    "party": RecordCodec(
        Party,
        always=("label", "call_sid", "address", "status", "since_ms", "held", "muted", "left_reason"),
        without=("name",),
    ),
    "transfer": RecordCodec(
        TransferState,
        always=("mode", "to", "by", "fallback", "status", "reason", "code"),
    ),
    # Not public: the fallback of an inbound call is no transfer, nor is the recall of a lost agent.
    "internal_transfer": RecordCodec(TransferState, always=("status",)),
    "recording": RecordCodec(
        Recording,
        always=("sid", "status", "url", "duration_s"),
    ),
}  # fmt: skip
#: The attributes that other programs get, by record; of the conference and the transfer, in another form.
PUBLIC: Mapping[type[msgspec.Struct], Collection[str]] = {
    codec.kind: codec.always for codec in (_CODECS[""], _CODECS["party"], _CODECS["transfer"])
}
#: The newest transfer's fields before the first transfer.
_NO_TRANSFER = dict.fromkeys(_CODECS["transfer"].always, "")

_ROLES = (CUSTOMER, AGENT, TARGET)
#: Roles listed after added parties: former agents and supervisors.
_LAST_ROLES = (AGENT, SUPERVISOR)
#: Changed fields; None for one that was removed.
ChangedFields = dict[str, str | None]


class Changes(NamedTuple):
    """What differs between two versions of a session."""

    #: In its hash.
    stored: ChangedFields
    #: In its log. Applied in order, these give the session at each version, without addresses.
    logged: ChangedFields


class StoredSession(Session, frozen=True, kw_only=True):
    """A session as it was found in Redis, whatever its hash holds.

    A callback must be answered even if another program has changed the hash, and a log has no addresses: invalid values
    count as absent, and unknown words stay. Its parties are in display order: customer and agent, dialed and added
    parties, then former agents and supervisors.
    """

    #: As stored, including those that this version doesn't know.
    fields: Hidden[dict[str, str]] = msgspec.field(default_factory=dict)
    #: The first field that can't be decoded; empty if there is none.
    damaged: str = ""

    def can_be_read_as(self, session_id: str) -> bool:
        """Whether each field could be decoded, and it is this session's hash."""
        return not self.damaged and self.id == session_id

    def public(self) -> dict[str, Any]:
        """Return its JSON for other programs, in which what is empty is null."""
        found = _CODECS[""].public(self)
        conference = {"sid": found.pop("conference_sid"), "name": found.pop("conference_name")}
        parties = {name: _CODECS["party"].public(party) for name, party in self.parties.items()}
        transfer = None
        if (newest := self.public_transfer) is not None:
            transfer = _CODECS["transfer"].public(newest) | {"code": parse_code(newest.code)}
        return found | {
            "conference": conference if any(conference.values()) else None,
            "parties": parties,
            "transfer": transfer,
        }

    @property
    def is_known(self) -> bool:
        """Whether the hash is a session's, not expired or another program's."""
        return "id" in self.fields and "state" in self.fields


def encode(session: Session) -> dict[str, str]:
    """Return the session's hash."""
    return {
        prefix + name: text for prefix, record in _records(session) for name, text in _encode(record, prefix).items()
    }


def changes(session: Session, before: Session) -> Changes:
    """Return what differs; a new session's `before` has version 0."""
    old, new = dict(_records(before)) if before.version else {}, dict(_records(session))
    found = Changes({}, {})
    for prefix in {**old, **new}:
        record, earlier = new.get(prefix), old.get(prefix)
        if record is earlier and prefix in old:
            continue
        codec = _codec_of(prefix)
        if record is not None and earlier is not None:
            changed = codec.changes(record, earlier)
        else:
            fields = _encode(record, prefix) if prefix in new else {}
            former = _encode(earlier, prefix) if prefix in old else {}
            changed = {name: text for name, text in fields.items() if former.get(name) != text}
            changed |= dict.fromkeys(former.keys() - fields.keys())
        for name, text in changed.items():
            found.stored[prefix + name] = text
            if name in codec.logged:
                found.logged[prefix + name] = text
    if [*session.parties] != [*before.parties]:
        found.stored[PARTY_ORDER] = " ".join(session.parties)
    if commands := found.logged.get("pending_commands"):
        rows = [{name: one[name] for name in PendingCommand.logged if name in one} for one in decode_json(commands)]
        found.logged["pending_commands"] = msgspec.json.encode(rows).decode()
    return found


def load(session_id: str, record: Mapping[bytes, bytes] | None) -> Session:
    """Return the session of a hash, a new one if it is empty.

    Raise CorruptHashError if a field can't be decoded, or names another session, or if the key is not a hash (None).
    """
    if record is None:
        raise CorruptHashError("(wrong type)")
    if not record:
        return Session(session_id)
    values, damaged = _decode(decode_fields(record))
    if damaged or values["id"] != session_id:
        raise CorruptHashError(damaged or "id")
    return Session(**values)


def stored_session(fields: dict[str, str]) -> StoredSession:
    """Return a session with any fields, also none or another program's."""
    values, damaged = _decode(fields)
    values["parties"] = {name: values["parties"][name] for name in sorted(values["parties"], key=_display_position)}
    return StoredSession(**values, fields=fields, damaged=damaged)


def is_logged(name: str) -> bool:
    """Whether the log's changes include a field, such as `party.agent.held`."""
    prefix, _, attribute = name.rpartition(".")
    codec = _CODECS.get(prefix.partition(".")[0])
    return codec is not None and attribute in codec.logged


def _codec_of(prefix: str) -> RecordCodec:
    return _CODECS[prefix.partition(".")[0]]


def _records(session: Session) -> Iterator[tuple[str, msgspec.Struct | None]]:
    """Yield the session's records, each with the prefix of its fields.

    None: the session has none.
    """
    yield "", session
    yield "transfer.", session.public_transfer
    yield "internal_transfer.", session.internal_transfer
    yield "recording.", session.recording
    for party in session.parties.values():
        yield f"party.{party.name}.", party


def _encode(record: msgspec.Struct | None, prefix: str) -> dict[str, str]:
    if record is None:
        return _NO_TRANSFER if prefix == "transfer." else {}
    if isinstance(record, Session):
        return _codec_of(prefix).encode(record) | {PARTY_ORDER: " ".join(record.parties)}
    return _codec_of(prefix).encode(record)


def _decode(fields: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """Return a session's attributes, and its first damaged field, or empty.

    The parties are in their stored order; those that it lacks follow, by name.
    """
    damaged: list[str] = []
    values = _CODECS[""].decode(fields, "", damaged)

    def decode_record(kind: type[_T], prefix: str, **known: str) -> _T:
        return kind(**_codec_of(prefix).decode(fields, prefix, damaged), **known)

    if fields.get("transfer.status") or fields.get("transfer.mode"):
        values["transfer"] = decode_record(TransferState, "transfer.")
    if "internal_transfer.status" in fields:  # a transfer to the state machine, but not to those who read the hash
        values["earlier_transfer"] = values.get("transfer")
        values["transfer"] = decode_record(TransferState, "internal_transfer.")
    if "recording.status" in fields:
        values["recording"] = decode_record(Recording, "recording.")
    statuses = (name for name in fields if name.startswith("party.") and name.endswith(".status"))
    stored = {name.removeprefix("party.").removesuffix(".status") for name in statuses}
    order = fields.get(PARTY_ORDER, "").split()
    if PARTY_ORDER not in fields or {*order} != stored:
        damaged.append(PARTY_ORDER)
    names = [name for name in order if name in stored] + sorted(stored - {*order})
    values["parties"] = {name: decode_record(Party, f"party.{name}.", name=name) for name in names}
    return values, damaged[0] if damaged else ""


def _display_position(party: str) -> tuple[int, str, int, str]:
    """Sort key of the display order; see `StoredSession`."""
    role, _, number = party.partition("-")
    rank = _ROLES.index(party) if party in _ROLES else len(_ROLES) + (role in _LAST_ROLES) - (role == TARGET)
    # Another program may have named a party with digits that `int` rejects.
    return rank, role, int(number) if number.isdecimal() and len(number) < 10 and number.isascii() else 0, party


#: A session that Redis does not have.
UNKNOWN_SESSION = stored_session({})
