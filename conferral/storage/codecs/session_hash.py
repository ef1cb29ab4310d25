"""Session hash: text fields for programs, one packed field for workers.

The documentation names the text fields. The packed field holds the layout's number and the whole session as JSON, which
is written in a tenth of the time of as many text fields, and read in a third. JSON, because clients that decode every
field as UTF-8 must be able to read the hash. If the two forms differ, another program has written to the hash.

Of a session with many parties, most stay as they are. Those have a field of their own, which is seldom written; parties
changed since then are in the packed session.
"""

from collections.abc import Mapping, Sequence
from itertools import chain, compress, repeat
from operator import eq, is_not
from typing import NamedTuple

import msgspec

from conferral.statemachine.record import replace
from conferral.statemachine.session import RESTLESS, Party, Session
from conferral.storage.codecs import session_codec
from conferral.storage.codecs.hash_codec import CorruptHashError
from conferral.storage.codecs.session_view import is_session
from conferral.storage.codecs.text_codec import decode_fields
from conferral.storage.schema import SCHEMA_VERSION

PACKED = "packed"
PACKED_PARTIES = "packed_parties"
#: The fields that workers read. The packed session is not trusted if the others contradict it.
LOADED = (PACKED, PACKED_PARTIES, "version", "state")
#: Most parties in the packed session; if there are more, those that have not changed lately go apart (count).
TOGETHER_MAX = 16
#: The layout written and read: the schema version, since workers drop attributes that they do not know.
LAYOUT = SCHEMA_VERSION
#: In the fields of `all_fields`, the name of the first field that is damaged; absent if none is.
DAMAGED = "damaged"
#: Stands in for the name of a damaged field when the session's key is not a hash.
WRONG_TYPE = "(the key is of the wrong type)"

_PACKED, _PACKED_PARTIES = PACKED.encode(), PACKED_PARTIES.encode()
_APART = "apart"
_ENCODER = msgspec.json.Encoder()


class Apart(NamedTuple):
    """The stored parties that are not in the packed session."""

    #: The session's version when they were packed.
    number: int
    parties: Sequence[Party]
    packed: bytes


_NONE_APART = Apart(0, (), b"")


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    layout: int
    session: Session
    #: The number of the parties apart; 0 if there are none.
    apart: int = 0
    #: Of a session with parties apart: its `RESTLESS`, by that name.
    notes: Mapping[str, Sequence[str]] = {}


class _PackedParties(msgspec.Struct, array_like=True, frozen=True):
    number: int
    parties: Sequence[Party]


_DECODER = msgspec.json.Decoder(_Packed)
_PARTIES_DECODER = msgspec.json.Decoder(_PackedParties)


def pack(session: Session) -> bytes:
    """Return a session in packed form, with all its parties."""
    return _ENCODER.encode((LAYOUT, session))


def pack_changes(session: Session, before: Session) -> tuple[bytes, dict[str, str | None]]:
    """Return the packed session, and `PACKED_PARTIES` if changed or removed."""
    apart, parties = apart_of(before), session.parties
    if len(parties) <= TOGETHER_MAX:
        return pack(session), {PACKED_PARTIES: None} if apart.number else {}
    written: dict[str, str | None] = {}
    # As in `changed_parties`, but place by place: when a session is loaded, those apart come first.
    differ = [*map(is_not, parties.values(), chain(apart.parties, repeat(None)))]
    changed, replaced = [*compress(parties, differ)], compress(apart.parties, differ)
    is_in_place = len(parties) >= len(apart.parties) and all(map(eq, changed, (party.name for party in replaced)))
    if len(changed) > TOGETHER_MAX or not is_in_place:
        stored = [*parties.values()]
        apart = Apart(session.version, stored, _ENCODER.encode(_PackedParties(session.version, stored)))
        changed, written = [], {PACKED_PARTIES: apart.packed.decode()}
    session.__dict__[_APART] = apart
    together = replace(session, parties={name: parties[name] for name in changed})
    notes = {RESTLESS: session.__dict__[RESTLESS]} if RESTLESS in session.__dict__ else {}
    return _ENCODER.encode(_Packed(LAYOUT, together, apart.number, notes)), written


def apart_of(session: Session) -> Apart:
    """Return the parties apart of a session, loaded or being stored."""
    # To ask a small session would give it a dictionary.
    found: Apart = session.__dict__.get(_APART, _NONE_APART) if len(session.parties) > TOGETHER_MAX else _NONE_APART
    return found


def unpack(packed: bytes, packed_parties: bytes | None = None) -> Session:
    """Return a packed session; raise CorruptHashError if it can't be decoded."""
    try:
        found = _DECODER.decode(packed)
    except msgspec.DecodeError:
        raise CorruptHashError(PACKED) from None
    if found.layout != LAYOUT:
        raise CorruptHashError(PACKED)
    if not found.apart:
        return found.session
    try:
        apart = _PARTIES_DECODER.decode(packed_parties or b"")
    except msgspec.DecodeError:
        raise CorruptHashError(PACKED_PARTIES) from None
    if apart.number != found.apart:
        raise CorruptHashError(PACKED_PARTIES)
    parties = {party.name: party for party in apart.parties}
    parties |= found.session.parties
    session = replace(found.session, parties=parties)
    session.__dict__[_APART] = Apart(apart.number, apart.parties, packed_parties or b"")
    if (restless := found.notes.get(RESTLESS)) is not None:
        if not parties.keys() >= set(restless):
            raise CorruptHashError(PACKED)
        session.__dict__[RESTLESS] = restless
    return session


def load(session_id: str, values: Sequence[bytes | None]) -> Session:
    """Return the session from the values of `LOADED`; a new one if all None.

    Raise CorruptHashError if a value can't be decoded, or the values contradict each other.
    """
    packed, packed_parties, version, state = values
    if packed is None:
        if version is None and state is None:
            return Session(session_id)
        raise CorruptHashError(PACKED)
    session = unpack(packed, packed_parties)
    if session.id != session_id:
        raise CorruptHashError(PACKED)
    if version != str(session.version).encode():
        raise CorruptHashError("version")
    if state != session.state.value.encode():
        raise CorruptHashError("state")
    return session


def encode(session: Session) -> dict[str, str | bytes]:
    """Return a session's complete hash."""
    packed, parties = pack_changes(replace(session), Session(session.id))  # a copy: it may not be what is stored
    return {
        **session_codec.encode_readable(session),
        PACKED: packed,
        **{name: text or "" for name, text in parties.items()},
    }


def all_fields(record: Mapping[bytes, bytes]) -> dict[str, str]:
    """Return all fields as text, those of the hash and of the packed session.

    Accepts any hash. If the two disagree, the field `damaged` names the first difference. The hash's value is returned
    if other programs may read the field, else the packed session's.
    """
    readable = decode_fields({name: value for name, value in record.items() if name not in (_PACKED, _PACKED_PARTIES)})
    if not is_session(readable):
        return {**readable, DAMAGED: "state" if "id" in readable else "id"} if _PACKED in record else readable
    try:
        session = unpack(record.get(_PACKED, b""), record.get(_PACKED_PARTIES))
    except CorruptHashError as error:
        return {**readable, DAMAGED: error.field}
    expected = session_codec.encode(session)
    only_packed = {name for name in readable if session_codec.is_known(name) and not session_codec.is_readable(name)}
    shown = expected | {name: value for name, value in readable.items() if name not in only_packed}
    # First those without which workers skip the session.
    for name in dict.fromkeys(("version", "state", *expected, *readable)):
        # An older version's worker leaves out empty fields of the newest transfer.
        is_equal = readable.get(name, "") == expected.get(name, "") or not session_codec.is_readable(name)
        if name in only_packed or not is_equal:
            return {**shown, DAMAGED: name}
    return shown
