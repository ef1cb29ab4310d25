"""Which rows of the transition table were taken: coverage marks for stories, explorations, and simulations."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from conferral.statemachine import machine
from conferral.statemachine.table import TABLE, Transition

#: A row as it is compiled: source, event, conditions, action.
_Mark = tuple[str, str, Any, Any]


def _mark_of(row: Transition) -> _Mark:
    return row.source.name, row.event.name, row.conditions, row.actions[0]


_MARKS = [_mark_of(row) for row in TABLE]
_POSITIONS = {mark: position for position, mark in enumerate(_MARKS)}


def position_of(mark: _Mark) -> int:
    """Return the position of a row in the table, which means the same in every process."""
    return _POSITIONS[mark]


def taken_at(positions: Counter[int]) -> Counter[_Mark]:
    """Return the marks of the rows at these positions."""
    return Counter({_MARKS[position]: times for position, times in positions.items()})


@contextmanager
def marked() -> Iterator[Counter[_Mark]]:
    """Counts, while the block runs, how often each row is taken in this process."""
    taken: Counter[_Mark] = Counter()
    take_row = machine.take_row

    def counting(draft: Any, event: Any) -> Any:
        source = draft.state.name
        row = take_row(draft, event)
        if row:
            taken[source, event.name, row.conditions, row.actions[0]] += 1
        return row

    machine.take_row = counting
    try:
        yield taken
    finally:
        machine.take_row = take_row


def never_taken(taken: Counter[_Mark]) -> list[str]:
    """The rows that were not, in the order of the table: `STATE event stages guard -> action`."""
    return [
        f"{row.source.name} {row.event.name} {_words(row)} -> {', '.join(action.__name__ for action in row.actions)}"
        for row in TABLE
        if not taken[_mark_of(row)]
    ]


def _words(row: Transition) -> str:
    return " ".join([*row.stages, *([row.guard.__name__] if row.guard else [])]) or "-"
