"""Rows of the transition table, and how they expand to transitions."""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import NamedTuple

from conferral.statemachine.draft import Draft
from conferral.statemachine.events import Command, Event
from conferral.statemachine.states import Opening, State, TransferStage

Guard = Callable[..., bool]
Action = Callable[..., None]
#: Why a command is refused: a text, or a function of the draft that returns one.
Reason = str | Callable[[Draft], str]
Actions = Action | tuple[Action, ...]
Events = type[Event] | tuple[type[Event], ...]

#: `bridged`, `converting` (V), `conferenced`, `transferring`, `ended`.
B, V, C, T, E = (frozenset({state}) for state in State)
LIVE = B | V | C | T
#: Stages divide `transferring` (of a transfer) and `conferenced` (of an opening).
S = TransferStage
O = Opening  # noqa: E741
Stage = TransferStage | Opening
Stages = tuple[Stage, ...]
Source = frozenset[State] | Stage | Stages
#: Neither state nor stage changes.
STAY = None


class Row(NamedTuple):
    """What events lead to in some states or stages, if the guard agrees."""

    source: Source
    events: Events
    guard: Guard | None
    #: One state or stage, or several stages of which the action chooses one; None if nothing changes.
    target: Source | None
    actions: Actions


class Refuse(NamedTuple):
    """Commands that some states or stages refuse, if the guard agrees."""

    source: Source
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
    actions: tuple[Action, ...]
    #: Stages in which it applies, empty for all; and those to which it may lead, empty if it stays.
    stages: Stages = ()
    next_stages: Stages = ()
    #: The stages and the guard.
    conditions: tuple[Guard, ...] = ()


def expand(rows: Iterable[Row | Refuse]) -> Iterator[Transition]:
    """Yield the rows' transitions, in the order of the rows."""
    for row in rows:
        states, stages = _states_and_stages(row.source)
        conditions = (*([in_stages_guard(stages)] if stages else ()), *([row.guard] if row.guard else ()))
        for event in row.events if isinstance(row.events, tuple) else (row.events,):
            for source in [state for state in State if state in states]:
                if isinstance(row, Refuse):
                    yield Transition(source, event, row.guard, None, (refusal(row.reason),), stages, (), conditions)
                else:
                    target, next_stages = _target_and_stages(row.target, source)
                    actions = row.actions if isinstance(row.actions, tuple) else (row.actions,)
                    yield Transition(source, event, row.guard, target, actions, stages, next_stages, conditions)


def _states_and_stages(source: Source) -> tuple[frozenset[State], Stages]:
    """Return the states and the stages of a row; a stage implies its state."""
    if isinstance(source, frozenset):
        return source, ()
    stages = source if isinstance(source, tuple) else (source,)
    return (C if isinstance(stages[0], Opening) else T), stages


def _target_and_stages(target: Source | None, source: State) -> tuple[State | None, Stages]:
    """Return the state to enter, None if it stays, and the possible stages."""
    if target is None:
        return None, ()
    (state,), stages = _states_and_stages(target)
    return (None if stages and state is source else state), stages


@cache
def refusal(reason: Reason) -> Action:
    """Return the action that refuses a command; the page shows its docstring."""

    def refuse(draft: Draft, _event: Command) -> None:
        draft.refusal = reason if isinstance(reason, str) else reason(draft)

    refuse.__doc__ = f'Refuse: "{reason}".' if isinstance(reason, str) else f"Refuse: {reason.__doc__}"
    return refuse


def in_stages_guard(stages: Stages) -> Guard:
    """Return the guard: is the opening or the transfer in one of these stages?"""
    if isinstance(stages[0], Opening):
        return lambda draft, _event: draft.session.opening in stages
    return lambda draft, _event: draft.transfer.stage in stages
