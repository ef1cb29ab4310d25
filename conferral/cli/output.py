"""All printing: results on standard output, the rest on standard error.

Values from outside pass through `printable`: a caller's name may hold escape sequences.
"""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import typer

from conferral.operations.errors import CommandNotDoneError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

#: Standard width of a terminal (columns).
DEFAULT_WIDTH = 80
#: Wide enough to cut or fold nothing when the output isn't a terminal.
_PIPE_WIDTH = 4096
#: The state is also printed as a word; the color only helps.
_STATE_STYLES = {
    "bridged": "cyan",
    "converting": "yellow",
    "conferenced": "green",
    "transferring": "magenta",
    "ended": "dim",
    "ok": "green",
    "warn": "yellow",
    **dict.fromkeys(("fail", "failed", "overdue", "alone", "transfer", "park", "retrieve"), "bold red"),
}


def printable(value: object) -> str:
    r"""Escape everything in a value from outside that affects a terminal.

    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in str(value))


def print_line(line: str = "") -> None:
    """Print one line of a result, made printable."""
    typer.echo(printable(line))


def print_folded(line: str, indent: int = 0, width: int = DEFAULT_WIDTH) -> None:
    """Print one line of a result, folded; widths are columns."""
    import textwrap

    for part in textwrap.wrap(
        printable(line), width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    ):
        typer.echo(part)


def print_fitted(line: str, indent: int) -> None:
    """Print one line of a result, folded where a terminal is too narrow."""
    width = console().width
    if len(line) > width:
        print_folded(line, indent, width)
    else:
        print_line(line)


def print_heading(line: str) -> None:
    """Print a heading above lines of a result."""
    _print_styled(line, "bold")


def _print_styled(line: str, style: str) -> None:
    """Print a line, in a style on a terminal."""
    if not sys.stdout.isatty():
        print_line(line)
        return
    target = console()
    with target.capture() as captured:
        target.print(table_cell(line, style), soft_wrap=True)
    typer.echo(captured.get().rstrip("\n"), color=True)


def print_note(line: str) -> None:
    """Print a line that isn't a result: news, advice, a reason."""
    typer.echo(printable(line), err=True)


def print_json(value: object) -> None:
    """Print a result as a JSON document; ASCII keeps terminals safe."""
    typer.echo(json.dumps(value, indent=2))


def print_json_line(value: object) -> None:
    """Print one JSON object on its own line."""
    typer.echo(json.dumps(value))


def print_file(content: bytes) -> None:
    """Print a result that is a file, such as CSV, as it is."""
    typer.echo(content, nl=False)


def print_error(reason: str, *, as_json: bool, allowed: Sequence[str] = (), **more: str | int) -> None:
    """Print to standard error why something was not done."""
    if as_json:
        typer.echo(json.dumps({"error": {"reason": reason, "allowed": list(allowed), **more}}), err=True)
    else:
        print_note(reason)


def discard_rest() -> None:
    """Discard what standard output holds; Python fails to write it at exit."""
    with suppress(OSError):  # it is no file
        descriptor, nowhere = sys.stdout.fileno(), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def confirm(question: str) -> bool:
    """Ask for yes or no on the terminal; no is the default."""
    return typer.confirm(printable(question), default=False, err=True)


def require_confirmation(question: str) -> None:
    """Ask for yes or no; raise CommandNotDoneError unless it is yes."""
    if not confirm(question):
        raise CommandNotDoneError("nothing was changed")


def is_terminal() -> bool:
    """Whether the output is a terminal that can be redrawn."""
    return sys.stdout.isatty() and not console().is_dumb_terminal


def console() -> "Console":
    """Return a console on standard output that interprets no markup."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    return Console(file=sys.stdout, markup=False, highlight=False, emoji=False, width=width, soft_wrap=False)


def table_cell(value: object, style: str = "") -> "Text":
    """Return a printable value, by default colored by its first word."""
    from rich.text import Text

    text = printable(value)
    return Text(text, style=style or _STATE_STYLES.get(text.split(" ", 1)[0], ""))


class Entry(NamedTuple):
    """An item of a list: name, state, more; then other lines."""

    name: str
    state: str
    more: str
    lines: tuple[str, ...]

    def drawn(self) -> "RenderableType":
        """Return the entry with long lines folded at their indent."""
        from rich.console import Group
        from rich.padding import Padding
        from rich.text import Text

        head = Text("  ").join([table_cell(self.name, "none"), table_cell(self.state), table_cell(self.more, "none")])
        return Group(head, *(Padding(table_cell(line, "none"), (0, 0, 0, 2)) for line in self.lines))


def print_entries(entries: Iterable[Entry]) -> None:
    """Print a list, folded where a terminal is too narrow."""
    for entry in entries:
        _print_drawn(entry.drawn())


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], styled: Sequence[str] = ()) -> None:
    """Print a table without lines.

    Args:
        columns: Headings; a leading `>` aligns the column right.
        styled: Columns with colored words, if colors are enabled.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    names = [column.removeprefix(">") for column in columns]
    for column, name in zip(columns, names, strict=True):
        table.add_column(
            table_cell(name, "bold"),
            justify="right" if column.startswith(">") else "left",
            overflow="fold",
        )
    for row in rows:
        table.add_row(
            *(
                table_cell(value) if name in styled else table_cell(value, "none")
                for name, value in zip(names, row, strict=True)
            )
        )
    _print_drawn(table)


def _print_drawn(drawn: "RenderableType") -> None:
    target = console()
    with target.capture() as captured:
        target.print(drawn)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()), color=True)
