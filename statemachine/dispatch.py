"""Dispatch of events to the rows, which `transitions` has validated.

The library defines what a row means, but its contexts and callback lists for up to ten rows per event take as long as
the rows' own guards and actions. So `take_row` walks what it has built. Tests prove that both decide the same.
"""

from typing import Any, NamedTuple

from transitions import Machine

from conferral.statemachine.draft import Draft
from conferral.statemachine.events import Event
from conferral.statemachine.states import State
from conferral.statemachine.table import TABLE
from conferral.statemachine.table.row import Action, Guard
from conferral.statemachine.table.stages import enter_stage


class CompiledRow(NamedTuple):
    """A row of the machine: its actions run in order before the state changes."""

    conditions: tuple[Guard, ...]
    actions: tuple[Action, ...]
    #: None if the state stays.
    target: State | None


#: By event name and state, in the order in which rows are tried.
CompiledRows = dict[str, dict[State, tuple[CompiledRow, ...]]]


def build_machine() -> Machine:
    """Build the machine: no automatic transitions, and no model of its own."""
    machine = Machine(model=None, states=State, initial=None, auto_transitions=False)
    for row in TABLE:
        machine.add_transition(
            trigger=row.event.name,
            source=row.source,
            dest=row.target,
            conditions=list(row.conditions),
            # Before the state changes, so that an action that raises leaves everything unchanged.
            before=[*row.actions, enter_stage(row.next_stages)] if row.next_stages else list(row.actions),
        )
    return machine


def compile_rows(machine: Machine) -> CompiledRows:
    """Return the machine's transitions as plain tuples."""
    return {
        name: {State[source]: tuple(map(_compile_row, found)) for source, found in event.transitions.items()}
        for name, event in machine.events.items()
    }


def _compile_row(transition: Any) -> CompiledRow:
    return CompiledRow(
        conditions=tuple(condition.func for condition in transition.conditions),
        actions=tuple(transition.before),
        target=None if transition.dest is None else State[transition.dest],
    )


#: Next to each row its conditions: unpacking a tuple takes less time than reading an attribute.
_ROWS = {
    name: {state: tuple((row.conditions, row) for row in rows) for state, rows in states.items()}
    for name, states in compile_rows(build_machine()).items()
}


def take_row(draft: Draft, event: Event) -> CompiledRow | None:
    """Take the first row whose conditions hold, and return it, or None."""
    for conditions, row in _ROWS[event.name].get(draft.state, ()):
        for condition in conditions:
            if not condition(draft, event):
                break
        else:
            for action in row.actions:
                action(draft, event)
            if row.target is not None:
                draft.state = row.target
            return row
    return None
