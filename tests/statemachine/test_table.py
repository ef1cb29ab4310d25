"""The laws of the transition table, read from the table itself."""

import inspect
from collections import defaultdict
from importlib import import_module
from pkgutil import iter_modules
from xml.etree import ElementTree

import pytest

from statemachine import actions, diagram, guards
from statemachine.events import COMMANDS, EVENTS, FACTS, OUTCOMES, TIMERS, Event
from statemachine.machine import IGNORED_BECAUSE, build_machine
from statemachine.states import State
from statemachine.table import IGNORED, TABLE, Row
from tests.docs.generated import ROOT, generated_pages

ROWS: dict[tuple[State, type[Event]], list[Row]] = defaultdict(list)
for _row in TABLE:
    ROWS[_row.source, _row.event].append(_row)
IGNORED_PAIRS = [(state, event) for entry in IGNORED for state in entry.states for event in entry.events]

#: No command of this version starts a transfer; the state stands in the table so that its name is taken.
NOT_YET_REACHED = {State.TRANSFERRING}
#: What a module of guards or actions holds beside them: helpers that others call by name.
HELPERS = {"party_of_call", "seen_agent"}


#: In an order that is the same in every test process.
GUARDS = sorted({row.guard for row in TABLE if row.guard}, key=lambda guard: guard.__name__)
ACTIONS = sorted({row.action for row in TABLE}, key=lambda action: action.__name__)


def public_functions(module):
    return {
        name: member
        for name, member in vars(module).items()
        if inspect.isfunction(member) and member.__module__ == module.__name__ and not name.startswith("_")
    }


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_every_pair_of_state_and_event_is_either_decided_or_ignored_with_a_reason(state, event):
    is_decided = (state, event) in ROWS
    is_ignored = (state, event) in IGNORED_PAIRS

    assert is_decided != is_ignored, "in neither" if not is_decided else "in both"


def test_no_pair_is_ignored_twice():
    assert len(IGNORED_PAIRS) == len(set(IGNORED_PAIRS)) == len(IGNORED_BECAUSE)


def test_every_reason_for_ignoring_says_something():
    assert all(entry.reason.strip() for entry in IGNORED)


@pytest.mark.parametrize("pair", ROWS, ids=lambda pair: f"{pair[0]}-{pair[1].name}")
def test_the_last_row_of_every_pair_and_no_other_has_no_guard(pair):
    unguarded = [row.guard is None for row in ROWS[pair]]

    assert unguarded == [False] * (len(unguarded) - 1) + [True]


@pytest.mark.parametrize("pair", ROWS, ids=lambda pair: f"{pair[0]}-{pair[1].name}")
def test_no_guard_is_asked_twice_for_one_pair(pair):
    asked = [row.guard for row in ROWS[pair]]

    assert len(asked) == len(set(asked))


def test_rows_of_one_state_stand_together_and_rows_of_one_event_within_it_too():
    order = [(row.source, row.event) for row in TABLE]
    blocks = [pair for index, pair in enumerate(order) if index == 0 or order[index - 1] != pair]
    states = [state for index, (state, _) in enumerate(blocks) if index == 0 or blocks[index - 1][0] is not state]

    assert len(blocks) == len(set(blocks))
    assert len(states) == len(set(states))


def test_no_row_names_the_state_that_it_stays_in_as_its_target():
    assert [row for row in TABLE if row.target is row.source] == []


def test_every_state_but_those_not_used_yet_is_reached_from_bridged():
    reached = {State.BRIDGED}
    while more := {target for source, target in diagram.moves() if source in reached} - reached:
        reached |= more

    assert reached == set(State) - NOT_YET_REACHED


def test_a_state_that_is_not_used_yet_ignores_everything():
    for state in NOT_YET_REACHED:
        assert {event for source, event in IGNORED_PAIRS if source is state} == set(EVENTS)


@pytest.mark.parametrize("state", [state for state in State if state not in {State.ENDED, *NOT_YET_REACHED}])
def test_every_live_state_has_a_way_to_the_end_by_command_by_age_and_by_a_fact(state):
    endings = {row.event for row in TABLE if row.source is state and row.target is State.ENDED}

    assert {"end", "age_overdue"} <= {event.name for event in endings}
    assert endings & set(FACTS)


def test_nothing_leads_out_of_ended():
    assert [edge for edge in diagram.moves() if edge[0] is State.ENDED] == []


def test_every_event_is_in_one_group_and_its_name_is_its_own():
    assert (*FACTS, *OUTCOMES, *TIMERS, *COMMANDS) == EVENTS
    assert len({event.name for event in EVENTS}) == len(EVENTS)


def test_every_event_decides_something_somewhere_unless_it_is_only_kept_for_the_log():
    assert {event.name for event in EVENTS} - {row.event.name for row in TABLE} == {"conference_noted"}


def test_every_event_class_that_has_a_name_is_listed():
    found = {kind.name for kind in _subclasses(Event) if kind.name}

    assert found == {event.name for event in EVENTS}


def _subclasses(kind):
    return {kind} | {below for child in kind.__subclasses__() for below in _subclasses(child)}


@pytest.mark.parametrize("event", TIMERS, ids=lambda event: event.name)
def test_a_timers_event_is_named_after_the_timer(event):
    assert event.name == f"{event.timer}_overdue"


def test_every_guard_is_asked_by_the_table():
    used = {row.guard.__name__ for row in TABLE if row.guard is not None}

    assert public_functions(guards).keys() - HELPERS == used


def test_every_action_is_taken_by_the_table():
    modules = [import_module(f"statemachine.actions.{found.name}") for found in iter_modules(actions.__path__)]
    defined = {name for module in modules for name in public_functions(module)}
    shared = {
        name
        for module in modules
        for name, member in vars(module).items()
        if inspect.isfunction(member)
        and member.__module__.startswith("statemachine.actions.")
        and member.__module__ != module.__name__
    }
    taken = {row.action.__name__ for row in TABLE}

    assert defined == taken | shared


@pytest.mark.parametrize(
    "thing",
    [*EVENTS, *GUARDS, *ACTIONS],
    ids=lambda thing: thing.__name__,
)
def test_every_event_guard_and_action_says_what_it_is(thing):
    assert thing.__doc__
    assert thing.__doc__.strip()


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
def test_every_guard_puts_a_question(guard):
    assert guard.__doc__.startswith("Whether ")


def test_the_machine_has_the_tables_rows_and_no_others():
    machine = build_machine()
    in_machine = {
        (state.name.lower(), trigger, len(transitions))
        for trigger, event in machine.events.items()
        for source, transitions in event.transitions.items()
        for state in [State[source]]
    }

    assert in_machine == {(pair[0].value, pair[1].name, len(rows)) for pair, rows in ROWS.items()}


@pytest.mark.parametrize("name", ["docs/statemachine.md", "docs/statemachine.svg"])
def test_the_page_and_the_drawing_are_those_of_the_table(name):
    committed = (ROOT / name).read_text("utf-8")

    assert committed == generated_pages()[name], "run `make docs` and commit what it changed"


def test_the_drawing_is_well_formed_and_names_its_parts():
    drawing = ElementTree.fromstring(diagram.svg())
    titles = {element.text for element in drawing.iter("{http://www.w3.org/2000/svg}title")}

    assert {"bridged", "converting", "conferenced", "ended"} <= titles
    assert any(title.startswith("From bridged to converting: ") for title in titles)


def test_the_drawing_refuses_a_transition_that_has_no_place(monkeypatch):
    monkeypatch.delitem(diagram.LINES, (State.BRIDGED, State.CONVERTING))

    with pytest.raises(ValueError, match="bridged to converting"):
        diagram.svg()


def test_the_drawing_keeps_states_and_labels_inside_its_frame():
    for box in diagram.BOXES.values():
        assert diagram.BOX_WIDTH / 2 <= box.x <= diagram.WIDTH - diagram.BOX_WIDTH / 2
        assert diagram.BOX_HEIGHT / 2 <= box.y <= diagram.HEIGHT - diagram.BOX_HEIGHT / 2
    for edge, names in diagram.moves().items():
        line = diagram.LINES[edge]
        assert line.y + diagram.LINE_HEIGHT * (len(names) - 1) < diagram.HEIGHT, edge
