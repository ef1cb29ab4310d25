"""What the rows of the transition table are, and how they expand to one transition for each state and event."""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import NamedTuple

from conferral.statemachine.draft import Draft
from conferral.statemachine.events import Command, Event
from conferral.statemachine.states import State

Guard = Callable[..., bool]
Action = Callable[..., None]
#: Why a command is refused: a text, or a function of the draft that returns one.
Reason = str | Callable[[Draft], str]
Events = type[Event] | tuple[type[Event], ...]

B, V, C, T, E = (frozenset({state}) for state in State)
#: Every state but `ended`.
LIVE = B | V | C | T
#: The state does not change.
STAY = None


class Row(NamedTuple):
    """What events lead to in some states, if the guard agrees."""

    states: frozenset[State]
    events: Events
    guard: Guard | None
    #: One state; None where the state stays.
    target: frozenset[State] | None
    action: Action


class Refuse(NamedTuple):
    """Commands that some states refuse, if the guard agrees. The state stays."""

    states: frozenset[State]
    events: Events
    guard: Guard | None
    reason: Reason


class Ignored(NamedTuple):
    """Pairs of a state and an event in which nothing happens, and why."""

    states: frozenset[State]
    events: tuple[type[Event], ...]
    reason: str


class Transition(NamedTuple):
    """What one event leads to in one state, if the guard agrees."""

    source: State
    event: type[Event]
    guard: Guard | None
    target: State | None
    action: Action


def expand(rows: Iterable[Row | Refuse]) -> Iterator[Transition]:
    """Return a row's transitions, in the order of the rows."""
    for row in rows:
        for event in row.events if isinstance(row.events, tuple) else (row.events,):
            for source in State:
                if source not in row.states:
                    continue
                if isinstance(row, Refuse):
                    yield Transition(source, event, row.guard, None, refusal(row.reason))
                else:
                    (target,) = row.target or (None,)
                    yield Transition(source, event, row.guard, target, row.action)


@cache
def refusal(reason: Reason) -> Action:
    """Return the action that refuses a command for this reason. Its docstring is for the generated page."""

    def refuse(draft: Draft, _event: Command) -> None:
        draft.refusal = reason if isinstance(reason, str) else reason(draft)

    refuse.__doc__ = f'Refuse: "{reason}".' if isinstance(reason, str) else f"Refuse: {reason.__doc__}"
    return refuse
