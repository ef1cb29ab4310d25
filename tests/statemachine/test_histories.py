"""What the state machine decides in recorded histories stays the same; `histories.py` says how they were recorded."""

import pytest

from tests.statemachine.histories import History, load


@pytest.mark.parametrize(
    "history, expected", [pytest.param(*one, id=f"{number}") for number, one in enumerate(load(), start=1)]
)
def test_recorded_history_is_decided_as_before(history: History, expected: list[str]) -> None:
    found = list(history.lines())
    for number, pair in enumerate(zip(expected, found, strict=True), start=1):
        assert pair[1] == pair[0], f"decision {number} of {history.session_id}"
