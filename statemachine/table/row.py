"""Rows of the transition table, and how they expand to transitions."""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import NamedTuple

from conferral.statemachine.events import Command, Event
from conferral.statemachine.states import Opening, Phase, State, TransferStage
from conferral.statemachine.step import Draft

#: Whether a row is taken; a guard may return what its actions change, such as a party, or None.
Guard = Callable[..., object]
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
Phases = frozenset[Phase]
#: Phases say who is with the customer: see `Phase`. They combine like states.
RINGING, CONNECTED, WARM, CONSULT, BLIND, RECALL, PARK, PARKED, RETRIEVE, FALLBACK, VOICEMAIL, SETTLED = (
    frozenset({phase}) for phase in Phase
)
#: The agent stays until the target answers.
WITH_AGENT = WARM | CONSULT
#: The phase does not decide.
ANY = None
#: One state or stage, or `STAY`.
Target = frozenset[State] | Stage | None
#: Neither state nor stage changes.
STAY = None


class Row(NamedTuple):
    """What events lead to in some states or stages, if the guard agrees."""

    source: Source
    phases: Phases | None
    events: Events
    guard: Guard | None
    target: Target
    actions: Actions


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
    #: Stages and phases in which it applies, empty for all.
    stages: Stages
    phases: Phases
    #: The stage to which it leads, None if it stays.
    next_stage: Stage | None
    #: The stages, the phases, and the guard.
    conditions: tuple[Callable[..., bool], ...]


def expand(rows: Iterable[Row]) -> Iterator[Transition]:
    """Yield the rows' transitions, in the order of the rows."""
    for row in rows:
        states, stages = _states_and_stages(row.source)
        conditions = tuple(_conditions(stages, row.phases, row.guard))
        for event in row.events if isinstance(row.events, tuple) else (row.events,):
            for source in [state for state in State if state in states]:
                target, stage = _state_and_stage(row.target, source)
                actions = row.actions if isinstance(row.actions, tuple) else (row.actions,)
                yield Transition(
                    source, event, row.guard, target, actions, stages, row.phases or frozenset(), stage, conditions
                )


def _states_and_stages(source: Source) -> tuple[frozenset[State], Stages]:
    """Return the states and the stages of a row; a stage implies its state."""
    if isinstance(source, frozenset):
        return source, ()
    stages = source if isinstance(source, tuple) else (source,)
    return (C if isinstance(stages[0], Opening) else T), stages


def _state_and_stage(target: Target, source: State) -> tuple[State | None, Stage | None]:
    """Return the state to enter, None if it stays, and the stage, if any."""
    if target is None:
        return None, None
    (state,), stages = _states_and_stages(target)
    return (None if stages and state is source else state), (stages[0] if stages else None)


def _conditions(stages: Stages, phases: Phases | None, guard: Guard | None) -> Iterator[Callable[..., bool]]:
    """Yield what must hold for a row: the stage, the phase, and the guard."""
    if stages:
        is_opening = isinstance(stages[0], Opening)
        yield lambda draft, _: (draft.session.opening if is_opening else draft.transfer.stage) in stages
    if phases:
        yield lambda draft, _: draft.session.phase in phases
    if guard:
        yield lambda draft, event: bool(guard(draft, event))


@cache
def refuse(reason: Reason) -> Action:
    """Return the action that refuses a command; the page shows its docstring."""

    def refuse_for_reason(draft: Draft, _event: Command) -> None:
        draft.refusal = reason if isinstance(reason, str) else reason(draft)

    refuse_for_reason.__name__ = refuse.__name__
    refuse_for_reason.__doc__ = f'Refuse: "{reason}".' if isinstance(reason, str) else f"Refuse: {reason.__doc__}"
    return refuse_for_reason
