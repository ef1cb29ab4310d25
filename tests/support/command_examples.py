"""Examples of commands, which follow from their classes and from the kinds of their fields."""

from collections.abc import Mapping
from typing import Any

from conferral.commands.parser import own_fields
from conferral.statemachine.events.commands import COMMANDS, Command, DialCommand
from conferral.statemachine.parts import DialOptions

#: The fields of each command's first example, by its name.
FIRST = {command.name: dict(command.examples[0]) for command in COMMANDS}


def whole(command: type[Command]) -> dict[str, str]:
    """Return every field that the command has; of those that exclude each other, the first."""
    return {one.name: one.value.example for one in own_fields(command) if one.name not in command.one_of[1:]}


def with_options(kind: type[Command], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of which the dial options are in their struct, as the command has them."""
    options = {name: value for name, value in given.items() if name in DialOptions.__struct_fields__}
    if not options or not issubclass(kind, DialCommand):
        return dict(given)
    others = {name: value for name, value in given.items() if name not in options}
    return others | {"options": DialOptions(**options)}
