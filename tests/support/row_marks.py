"""Which rows of the transition table were taken: coverage marks for stories, explorations, and simulations.

A row's mark is its position in the table, which means the same in every process.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from conferral.statemachine.machine import MACHINE
from conferral.statemachine.table import TABLE, Transition

_taken: Counter[int] = Counter()


def _note(position: int, *_: Any) -> None:
    _taken[position] += 1


_ROWS = {
    pair: iter(MACHINE.get_transitions(*pair)) for pair in {(row.event.name, row.source): None for row in TABLE}
}  # fmt: skip
for _position, _row in enumerate(TABLE):
    next(_ROWS[_row.event.name, _row.source]).add_callback("after", partial(_note, _position))


@contextmanager
def marked() -> Iterator[Counter[int]]:
    """Count how often each row is taken in this process; complete when the block ends."""
    before, taken = _taken.copy(), Counter[int]()
    try:
        yield taken
    finally:
        taken.update(_taken - before)


def never_taken(taken: Counter[int]) -> list[str]:
    """The rows that were not, in the order of the table: `STATE event stages guard -> action`."""
    return [
        f"{row.source.name} {row.event.name} {_words(row)} -> {', '.join(action.__name__ for action in row.actions)}"
        for position, row in enumerate(TABLE)
        if not taken[position]
    ]


def _words(row: Transition) -> str:
    return " ".join([*row.stages, *(guard.__name__ for guard in row.guards)]) or "-"
