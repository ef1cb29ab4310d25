"""Whether a session's stored state is damaged: changed by hand, or by another program that writes to the same keys."""

from collections.abc import Mapping

from conferral.statemachine.states import State
from conferral.storage.codecs.hash_codec import CorruptHashError
from conferral.storage.codecs.session_codec import decode

#: What every surface tells the operator to do.
REPAIR = (
    "no worker decides about it until the field is repaired (then: conferral dead retry) or the session is erased "
    "(conferral forget SESSION); its calls go on until someone hangs up"
)
_STATES = frozenset(State)


def damaged_field(fields: Mapping[str, str]) -> str:
    """Return the first field of a session's hash that can't be understood; empty if all can.

    Workers refuse to decide about a session whose record does not decode, by the same rule.

    Args:
        fields: The session's hash.
    """
    try:
        decode(fields)
    except CorruptHashError as error:
        return error.field
    return ""


def has_unknown_state(fields: Mapping[str, str]) -> bool:
    """Whether the state alone gives the damage away; for lists, where decoding every session costs too much."""
    return bool(fields) and fields.get("state", "") not in _STATES
