"""Generate the reference page of the command line."""

import inspect
import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import Any

import typer
from page_parts import page, table

from conferral import main
from conferral.statemachine.events import COMMANDS

#: What so many commands or more take with the same meaning is described once.
_SHARED_BY = 3


def command_tree() -> Any:
    """Return the CLI as click's command tree."""
    return typer.main.get_command(main.app)


def cli_page() -> str:
    """Return every command with its arguments and options."""
    tree = command_tree()
    commands = {name: (command, _parameters(name, command)) for name, command in _commands(tree)}
    counted = Counter(row for _, rows in commands.values() for row in rows)
    shared: dict[str, tuple[str, str, str]] = {}
    for row, count in counted.most_common():  # of one name, only its most common meaning
        if count >= _SHARED_BY:
            shared.setdefault(row[0], row)
    parts = [
        "# Command line\n",
        f"{_help(tree.help)}\n\n[Commands](../commands.md) explains those for calls.\n",
        "## Shared by many commands\n",
        _table(sorted(shared.values())),
    ]
    for name, (command, rows) in commands.items():
        parts += [f"## conferral {name}\n", f"{_brief(command.help) if name in _EXPLAINED else _help(command.help)}\n"]
        own = [row for row in rows if row not in shared.values()]
        if own:
            parts.append(_table(own))
        if also := [row[0] for row in rows if row in shared.values()]:
            parts.append(f"{'Also' if own else 'Takes'} {', '.join(also)}.\n")
    return page("conferral/main.py", *parts)


#: docs/commands.md explains these.
_EXPLAINED = frozenset(command.name for command in COMMANDS)


def _brief(text: str) -> str:
    """Return the first sentence of a command's help, and its first example."""
    summary, _, more = inspect.cleandoc(text).partition("\n\n")
    example = next(line for line in more.splitlines() if line.strip().startswith("conferral "))
    return f"{summary}\n\n```sh\n{example.strip()}\n```"


def _table(rows: list[tuple[str, str, str]]) -> str:
    return table(("Argument or option", "Meaning", "Default"), rows)


def _commands(tree: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield all commands by name, each followed by its subcommands."""
    for name, command in sorted(tree.commands.items()):
        if not command.hidden:
            yield before + name, command
            if hasattr(command, "commands"):
                yield from _commands(command, f"{before}{name} ")


def _help(text: str | None) -> str:
    """Return help as Markdown; fixed lines become shell blocks."""
    parts = []
    for paragraph in inspect.cleandoc(text or "").split("\n\n"):
        if not paragraph.startswith("\b"):
            parts.append(paragraph)
            continue
        head, *lines = paragraph.removeprefix("\b").strip("\n").splitlines()
        block = textwrap.dedent("\n".join(lines))
        parts.append(f"{head}\n\n```sh\n{block}\n```")
    return "\n\n".join(parts)


def _parameters(name: str, command: Any) -> list[tuple[str, str, str]]:
    parameters = command.get_params(command.make_context(name, [], resilient_parsing=True))
    return [_parameter(one) for one in parameters if one.name != "help" and not getattr(one, "hidden", False)]


def _parameter(one: Any) -> tuple[str, str, str]:
    if one.param_type_name == "argument":
        shown = f"`{(one.metavar or one.name).upper()}`"
    else:
        shown = ", ".join(f"`{name}`" for name in (*one.opts, *one.secondary_opts))
    default = one.default
    if one.required:
        word = "**required**"
    elif default is None or default is False or default == "" or callable(default):
        word = ""
    else:
        word = f"`{default}`"
    return shown, " ".join((getattr(one, "help", None) or "").split()), word
