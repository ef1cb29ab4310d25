"""`docs/commands.md` explains the words that commands are answered with."""

from pathlib import Path

import pytest

from conferral.statemachine.events import GateDecision
from conferral.statemachine.events.commands import COMMANDS, own_fields
from conferral.statemachine.reasons import LAST_UNHELD

PAGE = (Path(__file__).parents[2] / "docs" / "commands.md").read_text("utf-8")


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
