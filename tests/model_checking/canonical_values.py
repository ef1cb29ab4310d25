"""Values in one plain form, whatever way they came about: what is equal has the same digest.

All moments are relative to now: an exploration never ends, so its clock must not show how long it has run.
`NOW_MS` is what every clock shows, and what time passes is taken off all moments instead.
"""

import hashlib
import marshal
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from operator import attrgetter
from typing import Any, TypeVar

from conferral.statemachine.effects import Effect, FindCall
from conferral.statemachine.parts import Attempt, PendingCommand, TransferState
from conferral.statemachine.session import Party, Session

_T = TypeVar("_T")

#: What every clock shows: a whole second, since Twilio reports no fractions.
NOW_S = 1_000_000.0
NOW_MS = 1_000_000_000
#: What is longer ago than this differs in nothing from what is this long ago.
LONG_AGO_MS = NOW_MS - 120_000
#: The version of a session that exists; the one at which its open read was requested, the last answered one, and any
#: that was replaced.
VERSION, FRESH, VERIFIED, OLD = 10, 5, 3, 1

#: Fields that hold a moment, by class.
MOMENTS: dict[type, tuple[str, ...]] = {
    Session: (
        "created_at_ms",
        "updated_at_ms",
        "ended_at_ms",
        "parked_until_ms",
        "queued_since_ms",
        "open_read_since_ms",
        "asked_ms",
        "unsettled_since_ms",
        "lone_until_ms",
        "lost_at_ms",
        "moved_at_ms",
        "refused_transfer_at_ms",
        "state_since_ms",
    ),
    Party: (
        "answered_at_ms",
        "dialed_at_ms",
        "dial_check_at_ms",
        "pending_since_ms",
        "late_unhold_ms",
        "since_ms",
        "status_since_ms",
        "repair_moved_at_ms",
        "unproven_redirect_at_ms",
    ),
    PendingCommand: ("due_ms",),
    TransferState: ("deadline_ms", "started_at_ms", "step_deadline_ms"),
    Attempt: ("started_at_ms", "answered_at_ms", "ended_at_ms"),
    FindCall: ("since_ms",),
}


# ---- digests -----------------------------------------------------------------------------------------------------


def _same(value: Any) -> Any:
    return value


_FLAT: dict[type, Callable[[Any], Any]] = {
    str: _same, int: _same, float: _same, bool: _same, bytes: _same, type(None): _same,
    tuple: lambda value: tuple([flat(one) for one in value]),
    list: lambda value: tuple([flat(one) for one in value]),
    dict: lambda value: tuple([(flat(key), flat(one)) for key, one in value.items()]),
    frozenset: lambda value: tuple(sorted(value)),
}  # fmt: skip


def flat(value: Any) -> Any:
    """The value as nested tuples of texts and numbers."""
    kind = type(value)
    flatten = _FLAT.get(kind)
    if flatten is None:
        flatten = _FLAT[kind] = _flattener(kind)
    return flatten(value)


def _flattener(kind: type) -> Callable[[Any], Any]:
    if issubclass(kind, Enum):
        return lambda value: value.value
    if issubclass(kind, Mapping):
        return lambda value: tuple([(flat(key), flat(one)) for key, one in value.items()])
    if issubclass(kind, tuple):
        return lambda value: tuple([flat(one) for one in value])
    assert is_dataclass(kind), kind
    names = [field.name for field in fields(kind)]
    if len(names) < 2:
        return lambda value: (kind.__name__, *(flat(getattr(value, name)) for name in names))
    values_of = attrgetter(*names)
    return lambda value: (kind.__name__, tuple([flat(one) for one in values_of(value)]))


def digest(plain: Any) -> bytes:
    """16 bytes that name what `flat` has given. Version 2 of the format knows no references between equal parts."""
    return hashlib.blake2b(marshal.dumps(plain, 2), digest_size=16).digest()


# ---- names -------------------------------------------------------------------------------------------------------


def renamed(effect: Effect, names: Mapping[str, str]) -> Effect:
    """The effect with another id."""
    changes = {"effect_id": names[effect.effect_id]}
    if isinstance(effect, FindCall) and effect.dial_id in names:
        changes["dial_id"] = names[effect.dial_id]
    return replace(effect, **changes)


def session_renamed(session: Session, names: Mapping[str, str]) -> Session:
    """The session with other names for the effects that it speaks of."""

    def of(name: str) -> str:
        return names.get(name, name)

    changes: dict[str, Any] = {
        "open_redirects": tuple(map(of, session.open_redirects)),
        "open_read_id": of(session.open_read_id),
        "parties": {
            name: replace(
                party,
                dial_id=of(party.dial_id),
                update_effect_id=of(party.update_effect_id),
            )
            if not names.keys().isdisjoint((party.dial_id, party.update_effect_id))
            else party
            for name, party in session.parties.items()
        },
        "pending_commands": tuple(
            replace(order, effects=tuple(map(of, order.effects))) for order in session.pending_commands
        ),
    }
    if session.recording is not None:
        changes["recording"] = replace(session.recording, update_effect_id=of(session.recording.update_effect_id))
    if session.transfer is not None:
        attempts = tuple(replace(one, dial_id=of(one.dial_id)) for one in session.transfer.attempts)
        changes["transfer"] = replace(session.transfer, attempts=attempts)
    return replace(session, **changes)


# ---- moments -----------------------------------------------------------------------------------------------------


def earlier(value: _T, by_ms: int) -> _T:
    """An effect or a part of a session with all its moments moved back; a moment of 0 is none."""
    names = MOMENTS.get(type(value), ())
    changes = {name: _earlier(moment, by_ms) for name in names if (moment := getattr(value, name))}
    return replace(value, **changes) if changes else value  # type: ignore[type-var]


def _earlier(moment: Any, by_ms: int) -> Any:
    return {key: one - by_ms for key, one in moment.items()} if isinstance(moment, Mapping) else moment - by_ms


def session_earlier(session: Session, by_ms: int) -> Session:
    """The same session, that much later."""
    return replace(
        earlier(session, by_ms),
        parties={name: earlier(party, by_ms) for name, party in session.parties.items()},
        pending_commands=tuple(earlier(order, by_ms) for order in session.pending_commands),
        transfer=None if session.transfer is None else _transfer_earlier(session.transfer, by_ms),
        timers={name: due_ms - by_ms for name, due_ms in session.timers.items()},
    )


def _transfer_earlier(transfer: TransferState, by_ms: int) -> TransferState:
    return replace(earlier(transfer, by_ms), attempts=tuple(earlier(one, by_ms) for one in transfer.attempts))


def since(moment_ms: int) -> int:
    """A moment of the past of which no one asks how long ago it was, once that is very long."""
    return max(moment_ms, LONG_AGO_MS) if moment_ms else 0


def merely(moment_ms: int) -> int:
    """A moment of which only counts whether there was one."""
    return NOW_MS if moment_ms else 0
