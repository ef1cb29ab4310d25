"""One CLI command per command, with its described fields as options."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import typer

from conferral.cli.options import (
    WAIT,
    WAIT_FOR_DIAL,
    AsJson,
    CommandId,
    Deadline,
    NewSessionName,
    NoWait,
    OnceCommand,
    OnlySession,
    Yes,
    choices,
    complete_parties,
)
from conferral.commands.parser import CommandField, own_fields
from conferral.statemachine.events.commands import COMMANDS, Command, DialCommand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_SESSION_EXAMPLE = "CA0123456789abcdef0123456789abcdef"
_ASKS_FIRST = "Asks for confirmation on a terminal. Without a terminal, it needs --yes unless SESSION is the full id."


def _help_text(command: type[Command]) -> str:
    typed = "\n".join(f"  {line}" for line in examples_of(command))
    summary, _, details = command.description().partition("\n\n")
    asks = _ASKS_FIRST if command.question else ""
    return "\n\n".join(filter(None, (summary, f"\b\nExamples:\n{typed}", details, asks)))


def examples_of(command: type[Command]) -> list[str]:
    """Return examples as typed; the last may show an option of the program."""
    session = [] if command.opens_session else [_SESSION_EXAMPLE]
    typed = [["conferral", command.name, *session, *_typed(fields)] for fields in command.examples]
    if command.question or len(typed) == 1:
        typed = [*typed[:1], [*typed[-1], "--yes" if command.question else "--no-wait"]]
    return [_as_line(words) for words in typed]


def _typed(fields: Mapping[str, str]) -> Iterator[str]:
    """Yield a command's fields as options; a flag has no value."""
    for name, text in fields.items():
        yield f"--{_option_name(name)}"
        if text != "true":
            yield text


def _as_line(words: list[str]) -> str:
    return " ".join(f'"{word}"' if " " in word else word for word in words)


def _command_function(command: type[Command]) -> Callable[..., None]:
    """Return the function that typer runs, a parameter for each option."""
    name, own = command.name, own_fields(command)

    def run(**options: Any) -> None:
        from conferral.cli.submission import SubmitOptions, confirm_hang_up, submit

        fields = {one.name: "true" if options[one.name] is True else options[one.name] or "" for one in own}
        fields["deadline"] = options["deadline"] or ""
        session = options["session"] or ""
        if options["no_wait"] and options["wait"] is not None:
            raise typer.BadParameter("can't be used with --wait", param_hint="--no-wait")
        if command.question and not options["yes"]:
            session = confirm_hang_up(name, command.question, session, fields.get("party", ""))
        submit_options = SubmitOptions(options["wait"], options["no_wait"], options["command_id"], options["as_json"])
        submit({"type": name, "session": session, **fields}, submit_options)

    parameters = [
        _parameter("session", NewSessionName if command.opens_session else OnlySession, None),
        *map(_option_of, own),
        *([_parameter("yes", Yes, False)] if command.question else ()),
        _parameter("wait", WAIT_FOR_DIAL if issubclass(command, DialCommand) else WAIT, None),
        _parameter("no_wait", NoWait, False),
        _parameter("command_id", CommandId, None),
        _parameter("deadline", Deadline, None),
        _parameter("as_json", AsJson, False),
    ]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads the options from it
    return run


def _parameter(name: str, annotation: Any, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _option_name(field_name: str) -> str:
    return field_name.replace("_", "-")


def _option_of(field: CommandField) -> inspect.Parameter:
    name = f"--{_option_name(field.name)}"
    help_text = f"{field.description[0].upper()}{field.description[1:]}."
    value = field.value
    if value.form == "flag":
        return _parameter(field.name, bool, typer.Option(False, name, help=help_text))
    completed = choices(*value.words) if value.words else complete_parties if value.form == "party" else None
    default = ... if field.is_required else field.default or None
    # Numbers are text, so that an invalid value gets the same message as on every other surface.
    option = typer.Option(default, name, metavar=value.metavar, help=help_text, autocompletion=completed)
    return _parameter(field.name, str if field.is_required else str | None, option)


_FLAGS = frozenset(
    f"--{_option_name(field.name)}"
    for command in COMMANDS
    for field in own_fields(command)
    if field.value.form == "flag"
)


class _CommandOfFields(OnceCommand):
    """A command whose flags may have their fields' values: `--confirm true`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        kept: list[str] = []
        for arg in args:
            flag, _, value = arg.partition("=")
            if flag in _FLAGS and value in ("true", "false"):
                kept += [flag] if value == "true" else []
            elif arg in ("true", "false") and kept and kept[-1] in _FLAGS:
                if arg == "false":
                    kept.pop()
            else:
                kept.append(arg)
        return super().parse_args(ctx, kept)


def register(app: typer.Typer) -> None:
    """Add one command for each of `COMMANDS`."""
    # `--caller_id`, the field's own name, counts as `--caller-id`.
    settings = {"token_normalize_func": _option_name}
    for command in COMMANDS:
        add = app.command(command.name, cls=_CommandOfFields, help=_help_text(command), context_settings=settings)
        add(_command_function(command))
