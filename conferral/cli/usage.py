"""Help formatting: plain argument names, as in the examples."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

from conferral import output

#: How to name the numbers that pydantic's errors begin with.
_NUMBERS = {"float": "a number", "int": "a whole number"}


def _argument_name(argument: TyperArgument) -> str:
    """Return a name, in brackets if optional, with dots if repeatable."""
    name = (argument.metavar or argument.name or "").strip("[]").upper() + ("..." if argument.nargs != 1 else "")
    return name if argument.required else f"[{name}]"


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Say in plain words that a value is no number."""
    try:
        yield
    except typer.BadParameter as error:
        kinds = {problem["type"].partition("_")[0] for problem in getattr(error.__cause__, "errors", list)()}
        for kind in kinds & _NUMBERS.keys():
            error.message = f"must be {_NUMBERS[kind]}"
        raise


def _print_help(ctx: Any, _option: object, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        for line in ctx.get_help().splitlines():
            output.print_line(line)
        ctx.exit()


def _printed_by_us(help_option: Any) -> Any:
    """Print the help as any result; typer's `echo` fails on a full disk."""
    help_option.callback = _print_help
    return help_option


class Group(TyperGroup):
    """A group of commands with plain errors."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments of the group itself."""
        with _plain_errors():
            return super().parse_args(ctx, args)

    def get_help_option(self, ctx: Any) -> Any:
        """Return the option that prints the help."""
        return _printed_by_us(super().get_help_option(ctx))


class Command(TyperCommand):
    """A command with plain argument names in its help, and plain errors."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments."""
        with _plain_errors():
            return super().parse_args(ctx, args)

    def get_help_option(self, ctx: Any) -> Any:
        """Return the option that prints the help."""
        return _printed_by_us(super().get_help_option(ctx))

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
