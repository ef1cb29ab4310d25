"""The laws of the transition table, read from the table itself."""

import ast
import inspect
import re
from collections import defaultdict
from importlib import import_module
from pkgutil import walk_packages

import pytest

import conferral.statemachine as statemachine
from conferral.statemachine import actions, guards, table
from conferral.statemachine.events import (
    COMMANDS,
    EFFECT_RESULTS,
    EVENTS,
    FACTS,
    TIMERS,
    AgeOverdue,
    Automatic,
    Event,
    Offer,
)
from conferral.statemachine.machine import MACHINE
from conferral.statemachine.relevance import CHECKS
from conferral.statemachine.states import Opening, State, TransferStage, UnsettledName
from conferral.statemachine.table import DEFAULT, GROUPS, LIMITS, ROWS, TABLE, TRANSFER_STAGES, UNSETTLED, Transition
from conferral.statemachine.table.automatic import AUTOMATIC
from conferral.statemachine.table.row import expand
from conferral.statemachine.table.stages import STAGE_ENDS, TIMEOUTS
from conferral.statemachine.table.unsettled import read_is_due
from tests.docs.generated import ROOT, generated_page, load_script
from tests.support.each import each

diagram = load_script("diagram")

ALL_ROWS: dict[tuple[State, type[Event]], list[Transition]] = defaultdict(list)
for _row in TABLE:
    ALL_ROWS[_row.source, _row.event].append(_row)
#: Without what is asked after every event, which has laws of its own.
BY_PAIR = {pair: rows for pair, rows in ALL_ROWS.items() if pair[1] is not Automatic}

#: In an order that is the same in every test process.
GUARDS = sorted({guard for row in TABLE for guard in row.guards}, key=lambda guard: guard.__name__)
ACTIONS = sorted({action for row in TABLE for action in row.actions}, key=lambda action: action.__name__)


def public_functions(module):
    return {
        name: member
        for name, member in vars(module).items()
        if inspect.isfunction(member) and member.__module__ == module.__name__ and not name.startswith("_")
    }


@each("state", State)
@each("event", EVENTS)
def test_every_pair_of_state_and_event_has_rows_unless_no_state_uses_the_event(state, event):
    assert ((state, event) in BY_PAIR) is not bool(event.ignored_because)


def test_what_no_row_names_changes_nothing_and_is_no_command():
    answered = {(one.source, one.event) for one in expand(ROWS) if one.is_unconditional}
    defaults = {pair: rows[-1] for pair, rows in BY_PAIR.items() if pair not in answered}

    assert {event for _, event in defaults} <= DEFAULT.keys()
    assert {row.actions for row in defaults.values()} == {(actions.ignore_late,), (actions.log_only,)}
    assert not {*COMMANDS} & DEFAULT.keys()


@each("event", CHECKS)
def test_relevance_is_asked_of_events_that_have_rows(event):
    """Otherwise, the default would do."""
    assert event in {row.event for row in expand(ROWS)}


@each("pair", BY_PAIR)
def test_the_last_row_of_every_pair_and_no_other_has_no_guard(pair):
    unguarded = [row.is_unconditional for row in BY_PAIR[pair]]

    assert unguarded == [False] * (len(unguarded) - 1) + [True]


@pytest.mark.parametrize("state", State)
def test_automatic_rows_always_have_a_condition(state):
    """Without one it would be taken for ever."""
    assert not any(row.is_unconditional for row in ALL_ROWS.get((state, Automatic), ()))


def test_rows_of_the_last_groups_leave_state_and_stage_as_they_are():
    """So the desired state is final when participants are updated, and nothing is decided after a read."""
    people, reconcile, read = GROUPS[-3:]

    assert [row.target for group in (people, reconcile, read) for row in group.rows if row.target] == []
    assert [group.name for group in GROUPS] == ["LOSS", "ENDS", "PROGRESS", "PEOPLE", "RECONCILE", "READ"]


def test_only_the_last_automatic_row_asks_twilio_about_a_live_session():
    asking = {(row.source, row.event) for row in TABLE if actions.read_calls in row.actions}

    assert asking == {(state, Automatic) for state in State if state is not State.ENDED}
    assert AUTOMATIC[-1].actions is actions.read_calls


def test_nothing_is_requested_for_an_ended_session():
    assert (State.ENDED, Automatic) not in ALL_ROWS


@each("pair", ALL_ROWS)
def test_no_guard_appears_twice_for_one_pair(pair):
    asked = [(row.stages, row.phases, row.guards) for row in ALL_ROWS[pair]]

    assert len(asked) == len(set(asked))


def test_no_row_names_the_state_that_it_stays_in_as_its_target():
    assert [row for row in TABLE if row.target is row.source] == []


def test_every_state_is_reached_from_bridged():
    reached = {State.BRIDGED}
    while more := {target for source, target in diagram.edge_labels() if source in reached} - reached:
        reached |= more

    assert reached == set(State)


@pytest.mark.parametrize("state", [state for state in State if state is not State.ENDED])
def test_every_live_state_has_a_way_to_the_end_by_command_by_age_and_by_a_fact(state):
    endings = {row.event for row in TABLE if row.source is state and row.target is State.ENDED}

    assert {"end", "calls_read"} <= {event.name for event in endings}
    assert AgeOverdue in {row.event for row in TABLE if row.source is state}
    assert endings & {*FACTS, Automatic}


def test_nothing_leads_out_of_ended():
    assert [edge for edge in diagram.edge_labels() if edge[0] is State.ENDED] == []


def test_every_event_is_in_one_group_and_its_name_is_its_own():
    assert (*FACTS, *EFFECT_RESULTS, *TIMERS, *COMMANDS, Offer) == EVENTS
    assert len({event.name for event in EVENTS}) == len(EVENTS)


def test_automatic_is_not_an_event():
    assert Automatic not in EVENTS


def test_every_event_class_but_the_base_classes_is_listed():
    found = {kind.name for kind in _subclasses(Event) if not kind.__subclasses__()}

    assert found - {Automatic.name} == {event.name for event in EVENTS}


def _subclasses(kind):
    return {kind} | {below for child in kind.__subclasses__() for below in _subclasses(child)}


@each("event", TIMERS)
def test_a_timers_event_is_named_after_the_timer(event):
    assert event.name == f"{event.timer}_overdue"


def modules_of(package):
    return [import_module(found.name) for found in walk_packages(package.__path__, f"{package.__name__}.")]


def used_elsewhere(package):
    """Names of what the package's modules, or the rest of the state machine, take from its modules."""
    everywhere = [*modules_of(package), *modules_of(statemachine), *modules_of(guards), *modules_of(actions)]
    return {
        name
        for module in everywhere
        if module is not table
        for name, member in vars(module).items()
        if inspect.isfunction(member)
        and member.__module__.startswith(f"{package.__name__}.")
        and member.__module__ != module.__name__
    }


def used_beside(module):
    """Names of the functions that a module's own functions use."""
    functions = [member for member in vars(module).values() if inspect.isfunction(member)]
    return {name for function in functions for name in function.__code__.co_names}


@pytest.mark.parametrize("package, taken", [
    (guards, {guard.__name__ for guard in (*GUARDS, *(row.what for row in UNSETTLED))} - {read_is_due.__name__}),
    (actions, {action.__name__ for row in TABLE for action in row.actions} - {"refuse"}),
], ids=["guards", "actions"])  # fmt: skip
def test_every_guard_and_action_is_used(package, taken):
    modules = modules_of(package)
    defined = {name for module in modules for name in public_functions(module)}
    helpers = used_elsewhere(package) | {
        name for module in modules for name in used_beside(module) & public_functions(module).keys()
    }

    assert defined - helpers - taken == set()
    assert taken <= defined


@each("thing", [*EVENTS, *GUARDS, *ACTIONS])
def test_every_event_guard_and_action_says_what_it_is(thing):
    assert thing.__doc__
    assert thing.__doc__.strip()


@each("guard", GUARDS)
def test_every_guard_puts_a_question(guard):
    assert guard.__doc__.startswith(("Whether ", "Return "))  # the latter return what they find


def test_the_machine_has_the_tables_rows_and_no_others():
    in_machine = {
        (state.name.lower(), trigger, len(transitions))
        for trigger, event in MACHINE.events.items()
        for source, transitions in event.transitions.items()
        for state in [State[source]]
    }

    assert in_machine == {(pair[0].value, pair[1].name, len(rows)) for pair, rows in ALL_ROWS.items()}


@pytest.mark.parametrize("state", State)
def test_the_page_of_a_state_has_its_events_and_rows(state):
    page = generated_page(f"docs/reference/state-{state}.md")
    rows = [row for pair, rows in ALL_ROWS.items() if pair[0] is state for row in rows]

    for row in rows:
        assert re.search(rf"^(.*, )?{row.event.name}(, .*)?$", page, re.MULTILINE)
        assert all(action.__name__ in page for action in row.actions if action.__name__ != "refuse")
    assert {guard.__name__ for row in rows for guard in row.guards} <= {*re.findall(r"\w+", page)}


def blocks(path, calls):
    """The rows between blank lines."""
    lines, found = path.read_text("utf-8").splitlines(), []
    for call in calls:
        if not found or not all(line.strip() for line in lines[found[-1][-1].end_lineno : call.lineno - 1]):
            found.append([])
        found[-1].append(call)
    return found


def written_tables(path):
    """The rows in each tuple of a file of the table."""
    tuples = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Tuple)]
    calls = [[node for node in one.elts if isinstance(node, ast.Call)] for one in tuples]
    return [[call for call in one if getattr(call.func, "id", "") in ("Row", "Limit", "auto")] for one in calls]


def written_rows(path):
    return [row for table in written_tables(path) for row in table]


TABLE_FILES = sorted(path for path in (ROOT / "statemachine" / "table").glob("*.py") if written_rows(path))


def test_the_files_hold_every_row():
    elsewhere = len(ROWS) - len(STAGE_ENDS) - len(TIMEOUTS)

    assert sum(len(written_rows(path)) for path in TABLE_FILES) == elsewhere + len(TRANSFER_STAGES)


@pytest.mark.parametrize("kind", [TransferStage, Opening])
def test_every_stage_that_rows_lead_to_has_an_end(kind):
    entered = {row.next_stage for row in TABLE if isinstance(row.next_stage, kind)}
    left = {
        stage
        for row in TABLE
        if row.next_stage is not None or row.target
        for stage in row.stages
        if isinstance(stage, kind)
    }

    assert entered - {Opening.OVER} == left
    assert {limit.stage for limit in LIMITS} <= {*TransferStage}


@each("path", TABLE_FILES)
def test_columns_of_the_table_are_aligned_between_blank_lines(path):
    for rows in (block for written in written_tables(path) for block in blocks(path, written)):
        # A limit and an automatic row have no event.
        cells = [[*row.args[:2], *[None] * (row.func.id != "Row"), *row.args[2:], None, None][:6] for row in rows]
        for column in range(5):
            starts = {row[column].col_offset: row[column].lineno for row in cells if row[column]}
            assert len(starts) <= 1, f"{path.name}: column {column + 1} differs in lines {sorted(starts.values())}"


def test_the_table_is_small_enough_to_be_read():
    assert len(ROWS) <= 420


@each("path", TABLE_FILES)
def test_rows_fit_on_a_screen(path):
    assert [line for line in path.read_text("utf-8").splitlines() if len(line) > 140] == []


def test_what_is_unsettled_has_a_written_name_of_its_own() -> None:
    """Stored sessions have it, so it is no function's name."""
    assert [row.name for row in UNSETTLED] == [*UnsettledName]
    assert not {*UnsettledName} & {row.what.__name__ for row in UNSETTLED}


def test_no_opening_equals_a_stage_of_a_transfer() -> None:
    # Members of two `StrEnum` classes are equal if their text is.
    assert not {*Opening} & {*TransferStage}
