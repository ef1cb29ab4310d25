"""Session codec: a session to and from its hash, and its public JSON.

The hash has one field for all, `session`, and some to look at, and for scripts. This is the only place that decodes it.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from conferral.runtime.errors import StoreError
from conferral.runtime.json_decoding import json_decoder
from conferral.statemachine.parts import TransferState
from conferral.statemachine.record import BaseRecord, replace
from conferral.statemachine.session import AGENT, CUSTOMER, SUPERVISOR, TARGET, Party, Session
from conferral.statemachine.states import INTERNAL_MODES
from conferral.storage.codecs.text_codec import parse_code, to_iso

#: The field that has the whole record.
RECORD = "session"
#: The attributes that other programs get, by record; of the conference and the transfer, in another form.
PUBLIC: Mapping[type[BaseRecord], Collection[str]] = {
    Session: ("id", "state", "phase", "version", "direction", "created_at_ms", "updated_at_ms", "ended_at_ms",
              "end_reason", "conference_sid", "conference_name", "number", "by", "ref"),
    Party: ("label", "call_sid", "address", "status", "since_ms", "held", "muted", "left_reason"),
    TransferState: ("mode", "to", "by", "fallback", "status", "reason", "code"),
}  # fmt: skip

_ROLES = (CUSTOMER, AGENT, TARGET)
#: Roles listed after added parties: former agents and supervisors.
_LAST_ROLES = (AGENT, SUPERVISOR)


class CorruptHashError(StoreError):
    """A session's key can't be read; `field` is the invalid one."""

    def __init__(self, field: str) -> None:
        super().__init__(f"the session can't be read: {field}")
        self.field = field  # never its value, which may have a phone number


_decode = json_decoder(Session)
#: Replaces digits, for a search that is ten times as fast as a pattern.
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
#: As long is no time, nor a number that every reader of JSON takes for what it is.
_HUGE = b"0" * 16
_TEXTS = re.compile(rb'"(?:[^"\\]|\\.)*"')


def encode(session: Session) -> dict[str, str]:
    """Return the session's hash."""
    return {
        "state": session.state,
        "phase": session.phase,
        "people": "; ".join(map(_person, session.present.values())),
        "version": str(session.version),
        "updated_at": to_iso(session.updated_at_ms),
        "end_reason": session.end_reason,
        RECORD: msgspec.json.encode(_swapped(session)).decode(),
    }


def load(session_id: str, record: Mapping[bytes, bytes] | None) -> Session:
    """Return the session of a hash, a new one if it is empty.

    Raise CorruptHashError if it can't be decoded, or has another session, or if the key is not a hash (None).
    """
    if record is None:
        raise CorruptHashError("(wrong type)")
    if not record:
        return Session(session_id)
    try:
        session = _swapped(_decode(text := record[RECORD.encode()]))
    except (KeyError, ValueError):
        raise CorruptHashError(RECORD) from None
    if _HUGE in text.translate(_DIGITS) and _HUGE in _TEXTS.sub(b"", text).translate(_DIGITS):
        raise CorruptHashError(RECORD)
    if session.id != session_id:
        raise CorruptHashError("id")
    if str(session.version).encode() != record.get(b"version"):  # scripts compare the field
        raise CorruptHashError("version")
    return session


def for_readers(session: Session) -> Session:
    """Return a session as it is shown: its parties in order, without secrets.

    First customer and agent, then dialed and added parties, then former agents and supervisors.
    """
    names = sorted(session.parties, key=_display_position)
    return replace(session, parties={name: session.parties[name] for name in names}, call_token="")


def public(session: Session) -> dict[str, Any]:
    """Return its JSON for other programs, in which what is empty is null."""
    found = _public(session)
    conference = {"sid": found.pop("conference_sid"), "name": found.pop("conference_name")}
    transfer = session.public_transfer
    return found | {
        "conference": conference if any(conference.values()) else None,
        "parties": {name: _public(party) for name, party in session.parties.items()},
        "transfer": transfer and _public(transfer) | {"code": parse_code(transfer.code)},
    }


def _public(record: BaseRecord) -> dict[str, Any]:
    found = {}
    for name in PUBLIC[type(record)]:
        value = getattr(record, name)
        if name.endswith("_ms"):
            name, value = name.removesuffix("_ms"), to_iso(value)
        elif isinstance(value, tuple):
            value = ",".join(value)
        found[name] = None if value == "" else value
    return found


def _person(party: Party) -> str:
    """Return how a party is, for eyes, without numbers."""
    return f"{party.name} {party.status}{', held' * party.held}{', muted' * party.muted}"


def _swapped(session: Session) -> Session:
    """Return a session whose `transfer` is the one that users know, or back.

    In the state machine, it is the newest. Users know the fallback of an inbound call, and the recall of a lost agent,
    as no transfer: these are stored as `internal_transfer`.
    """
    transfer, other = session.transfer, session.earlier_transfer
    has_internal = any(one is not None and one.mode in INTERNAL_MODES for one in (transfer, other))
    return replace(session, transfer=other, earlier_transfer=transfer) if has_internal else session


def _display_position(party: str) -> tuple[int, str, int, str]:
    """Sort key of the display order; see `for_readers`."""
    role, _, number = party.partition("-")
    rank = _ROLES.index(party) if party in _ROLES else len(_ROLES) + (role in _LAST_ROLES) - (role == TARGET)
    # Another program may have named a party with digits that `int` rejects.
    return rank, role, int(number) if number.isdecimal() and len(number) < 10 and number.isascii() else 0, party
