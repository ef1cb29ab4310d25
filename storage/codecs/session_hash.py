"""Session hash: text fields for programs, one packed field for workers.

The documentation names the text fields. The packed field holds the layout's number and the whole session as JSON, which
is written in a tenth of the time of as many text fields, and read in a third. JSON, because clients that decode every
field as UTF-8 must be able to read the hash. If the two forms differ, another program has written to the hash.
"""

from collections.abc import Mapping, Sequence

import msgspec

from conferral.statemachine.session import Session
from conferral.storage.codecs import session_codec
from conferral.storage.codecs.hash_codec import CorruptHashError
from conferral.storage.codecs.session_view import is_session
from conferral.storage.codecs.text_codec import decode_fields
from conferral.storage.schema import SCHEMA_VERSION

PACKED = "packed"
#: The fields that workers read. The packed session is not trusted if the other two contradict it.
LOADED = (PACKED, "version", "state")
#: The layout written and read: the schema version, since workers drop attributes that they do not know.
LAYOUT = SCHEMA_VERSION
#: In the fields of `all_fields`, the name of the first field that is damaged; absent if none is.
DAMAGED = "damaged"
#: Stands in for the name of a damaged field when the session's key is not a hash.
WRONG_TYPE = "(the key is of the wrong type)"

_PACKED = PACKED.encode()
_ENCODER = msgspec.json.Encoder()


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    layout: int
    session: Session


_DECODER = msgspec.json.Decoder(_Packed)


def pack(session: Session) -> bytes:
    """Return a session in packed form."""
    return _ENCODER.encode(_Packed(LAYOUT, session))


def unpack(packed: bytes) -> Session:
    """Return a packed session; raise CorruptHashError if it can't be decoded."""
    try:
        found = _DECODER.decode(packed)
    except msgspec.DecodeError:
        raise CorruptHashError(PACKED) from None
    if found.layout != LAYOUT:
        raise CorruptHashError(PACKED)
    return found.session


def load(session_id: str, values: Sequence[bytes | None]) -> Session:
    """Return the session from the values of `LOADED`; a new one if all None.

    Raise CorruptHashError if a value can't be decoded, or the values contradict each other.
    """
    packed, version, state = values
    if packed is None:
        if version is None and state is None:
            return Session(session_id)
        raise CorruptHashError(PACKED)
    session = unpack(packed)
    if session.id != session_id:
        raise CorruptHashError(PACKED)
    if version != str(session.version).encode():
        raise CorruptHashError("version")
    if state != session.state.value.encode():
        raise CorruptHashError("state")
    return session


def encode(session: Session) -> dict[str, str | bytes]:
    """Return a session's complete hash."""
    return {**session_codec.encode_readable(session), PACKED: pack(session)}


def all_fields(record: Mapping[bytes, bytes]) -> dict[str, str]:
    """Return all fields as text, those of the hash and of the packed session.

    Accepts any hash. If the two disagree, the hash's value is returned, and the field `damaged` names it.
    """
    readable = decode_fields({name: value for name, value in record.items() if name != _PACKED})
    if not is_session(readable):
        return readable
    try:
        session = unpack(record.get(_PACKED, b""))
    except CorruptHashError:
        return {**readable, DAMAGED: PACKED}
    expected = session_codec.encode(session)
    # An older version's worker leaves out empty fields of the newest transfer.
    for name, value in expected.items():
        if readable.get(name, "") != value and session_codec.is_readable(name):
            return {**expected, **readable, DAMAGED: name}
    return {**expected, **readable}
