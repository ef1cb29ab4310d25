"""What a row of the transition table is."""

from collections.abc import Callable
from typing import NamedTuple

from conferral.statemachine.events import Event
from conferral.statemachine.states import State


class Row(NamedTuple):
    """One transition."""

    source: State
    event: type[Event]
    guard: Callable[..., bool] | None
    target: State | None
    action: Callable[..., None]


class Ignored(NamedTuple):
    """Pairs in which nothing happens, and why."""

    states: tuple[State, ...]
    events: tuple[type[Event], ...]
    reason: str


B, V, C, T, E = State.BRIDGED, State.CONVERTING, State.CONFERENCED, State.TRANSFERRING, State.ENDED
#: The light model's state must not change on a refused command, so those rows stay.
STAY = None
