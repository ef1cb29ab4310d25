"""The `transitions` machine, and how a step uses it."""

import pytest

from conferral.statemachine import machine
from conferral.statemachine.events import Automatic, End
from conferral.statemachine.machine import DEFAULT_POLICY, MACHINE, take_row
from conferral.statemachine.states import State
from conferral.statemachine.step import Draft
from tests.statemachine.scenario import Scenario


def test_an_action_that_raises_leaves_the_state(monkeypatch):
    def fail(_draft, _event):
        raise ArithmeticError

    session = Scenario().answered().session
    draft = Draft(session, End(session_id=session.id), 1, DEFAULT_POLICY)
    (row,) = MACHINE.get_transitions("end", State.BRIDGED)
    monkeypatch.setattr(row, "before", [fail])

    with pytest.raises(ArithmeticError):
        take_row(draft, draft.event)
    assert draft.state is State.BRIDGED


def test_no_row_is_taken_where_none_holds():
    session = Scenario().answered().session
    draft = Draft(session, Automatic(session_id=session.id), 1, DEFAULT_POLICY)

    assert not take_row(draft, draft.event)
    assert draft.session is session


def test_step_without_an_end_is_a_mistake_of_the_table(monkeypatch):
    story, taken = Scenario().answered(), []
    monkeypatch.setattr(machine, "take_row", lambda _draft, event: taken.append(event.name) or True)

    with pytest.raises(AssertionError, match=r"^no end of what follows from end in bridged$"):
        story.end()
    assert taken == ["end", *["automatic"] * 16]
