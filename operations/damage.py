"""Detect damaged session hashes: edited by hand, or written by another program that shares the keys."""

from collections.abc import Mapping

from conferral.statemachine.states import State
from conferral.storage.codecs.hash_codec import CorruptHashError
from conferral.storage.codecs.session_codec import decode
from conferral.storage.codecs.session_view import SessionView

#: Repair instructions, the same on every surface.
REPAIR = (
    "workers skip it until the field is repaired (then: conferral dead retry) or the session is erased "
    "(conferral forget SESSION); its calls continue until someone hangs up"
)
_STATES = frozenset(State)


def damaged_field(fields: Mapping[str, str]) -> str:
    """Return the first field of a session's hash that can't be decoded; empty if all can.

    Workers use the same rule: they process no events of a session whose hash can't be decoded.

    Args:
        fields: The session's hash.
    """
    try:
        decode(fields)
    except CorruptHashError as error:
        return error.field
    return ""


def has_unknown_state(session: SessionView) -> bool:
    """Whether the state field alone shows the damage. For lists, where decoding every session costs too much."""
    return bool(session.fields) and session.state not in _STATES
