"""`docs/commands.md` explains the words that commands are answered with."""

from pathlib import Path

from conferral.statemachine.events.commands import COMMANDS
from conferral.storage.commands.command_parser import own_fields

PAGE = (Path(__file__).parents[2] / "docs" / "commands.md").read_text("utf-8")


def test_every_field_of_every_command_is_explained():
    rows = PAGE.partition("## Fields\n")[2].partition("\n## ")[0]

    for field in {one.name for command in COMMANDS for one in own_fields(command)}:
        assert f"`{field}`" in rows
