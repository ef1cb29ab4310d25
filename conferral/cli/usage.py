"""Help formatting: plain argument names, as in the examples."""

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

#: How to name the numbers that pydantic's errors begin with.
_NUMBERS = {"float": "a number", "int": "a whole number"}


def _argument_name(argument: TyperArgument) -> str:
    """Return a name, in brackets if optional, with dots if repeatable."""
    name = (argument.metavar or argument.name or "").strip("[]").upper() + ("..." if argument.nargs != 1 else "")
    return name if argument.required else f"[{name}]"


class _Parser:
    """Says in plain words that a value is no number."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)  # type: ignore[misc,no-any-return]  # of typer's class
        except typer.BadParameter as error:
            kinds = {problem["type"].partition("_")[0] for problem in getattr(error.__cause__, "errors", list)()}
            for kind in kinds & _NUMBERS.keys():
                error.message = f"must be {_NUMBERS[kind]}"
            raise


class Group(_Parser, TyperGroup):
    """A group of commands with plain errors."""


class Command(_Parser, TyperCommand):
    """A command with plain argument names in its help, and plain errors."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line."""
        arguments = [one for one in self.get_params(ctx) if isinstance(one, TyperArgument) and not one.hidden]
        return ["[OPTIONS]", *map(_argument_name, arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then options."""
        described: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for one in self.get_params(ctx):
            if (record := one.get_help_record(ctx)) is None:
                continue
            if isinstance(one, TyperArgument):
                described["Arguments"].append((_argument_name(one).strip("[]"), record[1]))
            else:
                described["Options"].append(record)
        for title, rows in described.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def in_range(minimum: float, maximum: float) -> Callable[[Any], Any]:
    """Return a callback that accepts `minimum` to `maximum`."""

    def checked(value: Any) -> Any:
        if value is not None and not minimum <= value <= maximum:
            raise typer.BadParameter(f"must be {minimum:g} to {maximum:g}")
        return value

    return checked


class App(typer.Typer):
    """An app whose commands use this help format."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            rich_markup_mode=None,
            pretty_exceptions_enable=False,
            context_settings={"help_option_names": ["-h", "--help"]},
            cls=Group,
            **settings,
        )

    def command(self, name: str | None = None, **settings: Any) -> Any:
        """Add a command."""
        return super().command(name, **{"cls": Command, **settings})
