"""Damaged session hashes: edited by hand, or by another program."""

from collections.abc import Mapping

from conferral.statemachine.states import State
from conferral.storage.codecs.hash_codec import CorruptHashError
from conferral.storage.codecs.session_codec import decode, is_readable
from conferral.storage.codecs.session_hash import DAMAGED, LOADED, WRONG_TYPE
from conferral.storage.codecs.session_view import SessionView

_REPAIR = (
    "a worker that has the session in memory may carry on and overwrite the field; otherwise, workers skip the session "
    "until the field is repaired (then: conferral dead retry --all) or the session is erased (conferral forget "
    "SESSION); its calls continue until someone hangs up"
)
_RESTORE = (
    "another program changed this field; workers do not read it, so the call continues, but programs that read the "
    "hash see a wrong value until a later event changes the field; of most fields, the session's log has the right one"
)
_REMOVE = (
    "another program added this field; nothing reads it, so the call continues; remove it (HDEL), since no later event "
    "does"
)
_ERASE = (
    "another program replaced the key; workers skip the session until it is erased (conferral forget SESSION); its "
    "calls continue until someone hangs up"
)


def damaged_field(fields: Mapping[str, str]) -> str:
    """Return the first undecodable field, or `WRONG_TYPE`; empty for none."""
    if DAMAGED in fields:
        return fields[DAMAGED]
    try:
        decode(fields)
    except CorruptHashError as error:
        return error.field
    return ""


def describe_damage(field: str) -> str:
    """Name what is damaged, from the result of `damaged_field`."""
    return "the Redis type of the key" if field == WRONG_TYPE else f"field {field}"


def stops_workers(field: str) -> bool:
    """Whether workers skip a session for it: they read only `LOADED` fields."""
    return field == WRONG_TYPE or field in LOADED


def repair_of(field: str) -> str:
    """Return what a damaged field means for the session, and its repair."""
    if field == WRONG_TYPE:
        return _ERASE
    if field in LOADED:
        return _REPAIR
    return _RESTORE if is_readable(field) else _REMOVE


def has_unknown_state(session: SessionView) -> bool:
    """Whether the state alone shows damage; decoding all is slow for lists."""
    return bool(session.fields) and session.state not in tuple(State)
