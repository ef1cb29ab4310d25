"""Generate the reference page of the command line."""

import inspect
import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import Any

import typer
from page_parts import page, prose, words

from conferral import main
from conferral.commands.parser import fields_of
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
    counted = Counter(row for name, (_, rows) in commands.items() for row in rows if not _is_field(name, row[0]))
    shared: dict[str, tuple[str, str]] = {}
    for row, count in counted.most_common():  # of one name, only its most common meaning
        if count >= _SHARED_BY:
            shared.setdefault(row[0], row)
    parts = [
        f"# Command line\n\n{_help(tree.help)}\n",
        f"## Shared by many commands\n\n{_list(sorted(shared.values()))}",
        f"## Commands for calls\n\n{prose(_FOR_CALLS)}",
    ]
    for name, (command, rows) in commands.items():
        if name in _FIELDS:
            continue
        parts += [f"## conferral {name}\n", f"{_help(command.help)}\n"]
        own = [row for row in rows if row not in shared.values()]
        if own:
            parts.append(_list(own))
        if also := [row[0] for row in rows if row in shared.values()]:
            parts.append(f"{'Also' if own else 'Takes'} {', '.join(also)}.\n")
    return page("conferral/main.py", *parts)


#: The fields of each command for calls, which docs/commands.md explains.
_FIELDS = {command.name: {one.name for one in fields_of(command)} - {"id", "session"} for command in COMMANDS}
_FOR_CALLS = (
    f"{words(_FIELDS)}: [Commands](../commands.md) explains them. Their [fields](api.md#commands-and-their-fields) are "
    "options with the same names; all take `--wait`, `--no-wait`, `--id`, `--deadline`, and `--json`, all but `call` "
    "`SESSION`, and `end` and `remove` `--yes`."
)


def _is_field(name: str, option: str) -> bool:
    return option.strip("`-").replace("-", "_") in _FIELDS.get(name, ())


def _list(rows: list[tuple[str, str]]) -> str:
    return "".join(f"- {shown}: {meaning}\n" for shown, meaning in rows)


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
        parts += [head] * (head != "Examples:") + [f"```sh\n{block}\n```"]
    return "\n\n".join(parts)


def _parameters(name: str, command: Any) -> list[tuple[str, str]]:
    parameters = command.get_params(command.make_context(name, [], resilient_parsing=True))
    return [_parameter(one) for one in parameters if one.name != "help" and not getattr(one, "hidden", False)]


def _parameter(one: Any) -> tuple[str, str]:
    if one.param_type_name == "argument":
        shown = f"`{(one.metavar or one.name).upper()}`"
    else:
        shown = ", ".join(f"`{name}`" for name in (*one.opts, *one.secondary_opts))
    meaning = " ".join((getattr(one, "help", None) or "").split())
    default = one.default
    if one.required:
        return shown, f"{meaning} **Required.**"
    if default is None or default is False or default == "" or callable(default):
        return shown, meaning
    return shown, f"{meaning} Default: `{default}`."
