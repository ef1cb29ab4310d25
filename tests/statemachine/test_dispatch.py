"""The compiled rows: those of the table, and of the library's machine, which decides the same with them."""

from collections import defaultdict

import pytest

from conferral.statemachine import dispatch, machine
from conferral.statemachine.dispatch import build_machine, compile_rows
from conferral.statemachine.draft import Draft
from conferral.statemachine.events import Automatic, End
from conferral.statemachine.machine import DEFAULT_POLICY
from conferral.statemachine.states import State
from conferral.statemachine.table import TABLE
from conferral.worker.consumer import batch
from tests.simulation.__main__ import play
from tests.simulation.plan import Plan
from tests.statemachine.scenario import Scenario
from tests.support.each import each

LIBRARY = build_machine()
COMPILED = compile_rows(LIBRARY)
ROWS = defaultdict(list)
for _row in TABLE:
    ROWS[_row.event.name, _row.source].append(_row)
#: Of `enter_stage`, which makes an action for each row that leads to a stage.
ENTER = "enter_stage.<locals>.enter"


def take_row_of_the_library(draft, event):
    """Let the library's own trigger do what `take_row` does."""
    rows = LIBRARY.events[event.name]
    return draft.state.name in rows.transitions and rows.trigger(draft, draft, event)


def test_every_state_and_event_of_the_table_has_compiled_rows_and_no_others_have():
    assert {(name, state) for name, states in COMPILED.items() for state in states} == ROWS.keys()


@each("name, state", ROWS)
def test_the_compiled_rows_are_those_of_the_table_in_its_order(name, state):
    compiled = COMPILED[name][state]

    assert [row.conditions for row in compiled] == [row.conditions for row in ROWS[name, state]]
    assert [row.target for row in compiled] == [row.target for row in ROWS[name, state]]
    assert [row.actions[: len(written.actions)] for row, written in zip(compiled, ROWS[name, state], strict=True)] == [
        row.actions for row in ROWS[name, state]
    ]


@each("name, state", ROWS)
def test_the_last_action_of_a_compiled_row_enters_the_stages_to_which_it_leads(name, state):
    for row, written in zip(COMPILED[name][state], ROWS[name, state], strict=True):
        more = row.actions[len(written.actions) :]
        entered = [action.__closure__[0].cell_contents for action in more if action.__qualname__ == ENTER]

        assert entered == ([written.next_stages] if written.next_stages else [])
        assert len(more) == len(entered)


def test_the_process_uses_rows_compiled_from_such_a_machine():
    used = {(name, state): rows for name, states in dispatch._ROWS.items() for state, rows in states.items()}
    assert used.keys() == ROWS.keys()
    for place, rows in used.items():
        compiled = COMPILED[place[0]][place[1]]
        assert [conditions for conditions, _ in rows] == [row.conditions for row in compiled]
        assert [row.target for _, row in rows] == [row.target for row in compiled]
        # An action that enters stages is another object in each machine; the test above compares what it enters.
        assert [[action.__qualname__ for action in row.actions] for _, row in rows] == [
            [action.__qualname__ for action in row.actions] for row in compiled
        ]


def test_the_library_decides_recorded_events_as_the_compiled_rows_do(monkeypatch):
    compared = 0
    step, take_row = machine.step, machine.take_row

    def both(session, event, now_ms, *rest):
        nonlocal compared
        compared += 1
        monkeypatch.setattr(machine, "take_row", take_row_of_the_library)
        by_library = step(session, event, now_ms, *rest)
        monkeypatch.setattr(machine, "take_row", take_row)
        by_rows = step(session, event, now_ms, *rest)
        assert by_rows == by_library, (session, event)
        return by_rows

    monkeypatch.setattr(batch, "step", both)
    play(Plan(seed=103, sessions=20, arrivals_per_s=2.0, talk_s=15.0, talk_max_s=60.0, noise=2.0))

    assert compared > 200


def test_an_action_that_raises_leaves_the_state(monkeypatch):
    def fail(_draft, _event):
        raise ArithmeticError

    session = Scenario().answered().session
    draft = Draft(session, End(session_id=session.id), 1, DEFAULT_POLICY)
    row = COMPILED["end"][State.BRIDGED][0]
    monkeypatch.setitem(dispatch._ROWS["end"], State.BRIDGED, (((), row._replace(actions=(fail,))),))

    with pytest.raises(ArithmeticError):
        dispatch.take_row(draft, draft.event)
    assert draft.state is State.BRIDGED


def test_no_row_is_taken_where_none_holds():
    session = Scenario().answered().session
    draft = Draft(session, Automatic(session_id=session.id), 1, DEFAULT_POLICY)
    draft.state = State.ENDED

    assert dispatch.take_row(draft, draft.event) is None
    assert draft.session is session


def test_step_without_an_end_is_a_mistake_of_the_table(monkeypatch):
    story, taken = Scenario().answered(), []
    monkeypatch.setattr(machine, "take_row", lambda _draft, event: taken.append(event.name) or True)

    with pytest.raises(AssertionError, match=r"^no end of what follows from end in bridged$"):
        story.end()
    assert taken == ["end", *["automatic"] * 16]
