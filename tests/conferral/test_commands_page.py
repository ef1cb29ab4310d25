"""`docs/commands.md` explains the words that commands are answered with."""

import re
from pathlib import Path

import pytest

from conferral.statemachine.draft import Draft
from conferral.statemachine.events import GateDecision, Swap
from conferral.statemachine.events.commands import COMMANDS, own_fields
from conferral.statemachine.policy import Policy
from conferral.statemachine.refusals import LAST_UNHELD
from conferral.statemachine.states import TransferMode
from conferral.statemachine.table import ROWS, Refuse
from conferral.statemachine.transfer import TransferState
from tests.conferral.cli_helpers import CALL, make_session
from tests.statemachine.test_allowed import SITUATIONS
from tests.support.each import each

PAGE = (Path(__file__).parents[2] / "docs" / "commands.md").read_text("utf-8")
REASONS = list(dict.fromkeys(row.reason for row in ROWS if isinstance(row, Refuse)))


@each("reason", REASONS)
def test_every_refusal_of_a_command_is_explained(reason):
    transfer = TransferState(1, TransferMode.CONSULT, "client:bob", step_name="swap")
    draft = Draft(make_session(end_reason="agent-left", transfer=transfer), Swap(session_id=CALL), 0, Policy())

    refusal = reason if isinstance(reason, str) else reason(draft)

    assert refusal
    assert f"\n| `{refusal}; " in PAGE


@each("reason", ["Conferral is still looking for the agent's call", "a swap is still being reverted"])
def test_refusals_of_rare_moments_are_explained(reason):
    assert f"\n| `{reason}; " in PAGE


def test_refusal_of_a_hold_is_also_listed_as_its_failure():
    rows = PAGE.partition("## Why a command fails\n")[2].partition("\n## ")[0]

    assert f"\n| `hold` | `{LAST_UNHELD}` |" in rows


def test_every_field_of_every_command_is_explained():
    rows = PAGE.partition("## Fields\n")[2].partition("\n## ")[0]

    for field in {one.name for command in COMMANDS for one in own_fields(command)}:
        assert f"`{field}`" in rows


@pytest.mark.parametrize("word", [GateDecision.REJECTED, GateDecision.NO_CONFIRMATION])
def test_gate_decisions_are_listed_among_the_failure_reasons(word):
    rows = PAGE.partition("## Why a command fails\n")[2].partition("\n## ")[0]

    assert f"`{word.value}`" in rows


#: By row of the page's table: situations of the state machine's tests.
STATES = {
    "`bridged`, ringing": ("ringing",),
    "`bridged`, connected": ("bridged", "outbound"),
    "`converting`": ("converting",),
    "`conferenced`, ringing": ("waiting for the agent",),
    "`conferenced`": ("conferenced", "several", "supervised"),
    "`conferenced`, parked": ("parked",),
    "`transferring`": ("clearing", "target rings", "consult", "warm", "blind"),
    "`ended`": ("ended",),
}


def cells(line):
    return [cell.strip() for cell in line.strip("| ").split(" | ")]


def test_each_state_takes_and_rejects_the_commands_that_the_page_says():
    """A cell's first word holds for all commands of its column, except for those that the cell names."""
    heading, _, *lines = PAGE.partition("\n| State | `park` |")[2].partition("\n\n")[0].splitlines()
    columns = [re.findall(r"`(\w+)`", column) for column in cells("| State | `park` |" + heading)[1:]]
    rows = {state: found for state, *found in map(cells, lines)}
    assert rows.keys() == STATES.keys()

    for state, situations in STATES.items():
        allowed = [set(SITUATIONS[name][1].split()) for name in situations]
        for cell, column in zip(rows[state], columns, strict=True):
            for command in set(column) - set(re.findall(r"`(\w+)`", cell)):
                expected = {"accepted": {True}, "rejected": {False}}[re.match(r"\w+", cell)[0]]
                assert {command in one for one in allowed} == expected, (state, command)
