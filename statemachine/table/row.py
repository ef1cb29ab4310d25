"""Rows of the transition table, and how they expand to transitions."""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

from conferral.statemachine.events import Automatic, Command, Event
from conferral.statemachine.states import Opening, Phase, State, TransferStage
from conferral.statemachine.step import Draft

#: Whether a row is taken; a guard may return what its actions change, such as a party, or None.
Guard = Callable[..., object]
#: All of them must hold.
Guards = Guard | tuple[Guard, ...] | None
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
#: In the order of `Phase`; they combine like states.
RINGING, CONNECTED, WARM, CONSULT, BLIND, RECALL, PARK, PARKED, QUEUED, RETRIEVE, FALLBACK, VOICEMAIL = (
    frozenset({phase}) for phase in Phase if phase
)
#: The agent takes part.
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
    guards: Guards
    target: Target
    actions: Actions


def auto(source: Source, phases: Phases | None, guards: Guards, target: Target, actions: Actions) -> Row:
    """Return an automatic row, which needs no event."""
    return Row(source, phases, Automatic, guards, target, actions)


class Group(NamedTuple):
    """Automatic rows that are tried if none of an earlier group holds."""

    name: str
    #: One sentence: what its rows need not check again.
    assumes: str
    rows: tuple[Row, ...]


class Transition(NamedTuple):
    """What one event leads to in one state, if the guard agrees."""

    source: State
    event: type[Event]
    guards: tuple[Guard, ...]
    target: State | None
    actions: tuple[Action, ...]
    #: Stages and phases in which it applies, empty for all.
    stages: Stages
    phases: Phases
    #: The stage to which it leads, None if it stays.
    next_stage: Stage | None

    @property
    def is_unconditional(self) -> bool:
        """Whether it applies in every stage and phase, and has no guard."""
        return not (self.stages or self.phases or self.guards)

    @classmethod
    def unconditional(cls, source: State, event: type[Event], action: Action) -> "Transition":
        """Return what follows if no row of the state names the event."""
        return cls(source, event, (), None, (action,), (), frozenset(), None)


def expand(rows: Iterable[Row]) -> Iterator[Transition]:
    """Yield the rows' transitions, in the order of the rows."""
    for row in rows:
        states, stages = _states_and_stages(row.source)
        phases, guards = row.phases or frozenset(), _each(row.guards)
        for event in _each(row.events):
            for source in [state for state in State if state in states]:
                target, stage = _state_and_stage(row.target, source)
                yield Transition(source, event, guards, target, _each(row.actions), stages, phases, stage)


def _each(one_or_more: Any) -> tuple[Any, ...]:
    if one_or_more is None:
        return ()
    return one_or_more if isinstance(one_or_more, tuple) else (one_or_more,)


def _states_and_stages(source: Source) -> tuple[frozenset[State], Stages]:
    """Return the states and the stages of a row; a stage implies its state."""
    if isinstance(source, frozenset):
        return source, ()
    stages = _each(source)
    return (C if isinstance(stages[0], Opening) else T), stages


def _state_and_stage(target: Target, source: State) -> tuple[State | None, Stage | None]:
    """Return the state to enter, None if it stays, and the stage, if any."""
    if target is None:
        return None, None
    (state,), stages = _states_and_stages(target)
    return (None if stages and state is source else state), (stages[0] if stages else None)


@cache
def refuse(reason: Reason) -> Action:
    """Return the action that refuses a command; the page shows its docstring."""

    def refuse_for_reason(draft: Draft, _event: Command) -> None:
        draft.refusal = reason if isinstance(reason, str) else reason(draft)

    refuse_for_reason.__name__ = refuse.__name__
    refuse_for_reason.__doc__ = f'Refuse: "{reason}".' if isinstance(reason, str) else f"Refuse: {reason.__doc__}"
    return refuse_for_reason
