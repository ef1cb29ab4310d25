"""The only place that prints: results go to standard output, everything else to standard error.

Whatever comes from outside (addresses, labels, reasons, names of sessions) passes through `printable`: a caller's name
may hold the bytes that recolour a terminal or turn a line around.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import typer

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

#: The width of a terminal that was not made wider (columns).
WIDTH_MIN = 80
#: Wide enough that nothing is cut or folded where no terminal sets a width.
_PIPE_WIDTH = 4096
#: The column of ids, which may be cut to a prefix of at least so many characters.
ID_COLUMN, ID_WIDTH_MIN = "session", 8
#: The state stands there as a word; the colour only helps.
_STATE_STYLES = {
    "bridged": "cyan",
    "converting": "yellow",
    "conferenced": "green",
    "transferring": "magenta",
    "ended": "dim",
    "ok": "green",
    "warn": "yellow",
    "fail": "bold red",
    "failed": "bold red",
    "overdue": "bold red",
    "alone": "bold red",
}


def printable(value: object) -> str:
    r"""A value from outside as text that does nothing to a terminal.

    Control characters, what turns or hides text, line separators and halves of characters are spelt out.

    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    text = str(value)
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(letter: str) -> str:
    if letter.isprintable():
        return letter
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def print_line(line: str = "") -> None:
    """One line of a result, made printable."""
    typer.echo(printable(line))


def print_folded(line: str, indent: int = 0) -> None:
    """One line of a result, folded to the width that every terminal has.

    Args:
        line: With its own indent.
        indent: Of what is folded (spaces).
    """
    import textwrap

    for part in textwrap.wrap(
        printable(line), WIDTH_MIN, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    ):
        typer.echo(part)


def print_heading(line: str) -> None:
    """A line above others of a result."""
    _styled(line, "bold")


def failure_line(line: str) -> None:
    """One line of a result that tells of something that went wrong; its words say so, the colour only helps."""
    _styled(line, "bold red")


def _styled(line: str, style: str) -> None:
    if not sys.stdout.isatty():
        print_line(line)
        return
    target = console()
    with target.capture() as captured:
        target.print(table_cell(line, style), soft_wrap=True)
    typer.echo(captured.get().rstrip("\n"), color=True)


def print_note(line: str) -> None:
    """One line that is no result: news, advice, a reason."""
    typer.echo(printable(line), err=True)


def print_json(value: object) -> None:
    """A result as one JSON document. Everything beyond ASCII is escaped, so that no terminal is at risk."""
    typer.echo(json.dumps(value, indent=2))


def print_json_line(value: object) -> None:
    """One JSON object on a line of its own."""
    typer.echo(json.dumps(value))


def print_error(reason: str, *, as_json: bool, allowed: Sequence[str] = (), **more: str) -> None:
    """Why something was not done, on standard error."""
    if as_json:
        typer.echo(json.dumps({"error": {"reason": reason, "allowed": list(allowed), **more}}), err=True)
    else:
        print_note(reason)


def confirm(question: str) -> bool:
    """Asks for yes or no on the terminal; no is the default."""
    return typer.confirm(printable(question), default=False, err=True)


def errors_are_shown() -> bool:
    """Whether whoever started the program reads standard error on a terminal: what stands there is kept nowhere."""
    return sys.stderr.isatty()


def is_terminal() -> bool:
    """Whether results are read on a terminal that can redraw."""
    return sys.stdout.isatty() and not console().is_dumb_terminal


def console() -> "Console":
    """A console on standard output that takes nothing for markup."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _PIPE_WIDTH
    return Console(file=sys.stdout, markup=False, highlight=False, emoji=False, width=width, soft_wrap=False)


def table_cell(value: object, style: str = "") -> "Text":
    """One value for a table."""
    from rich.text import Text

    text = printable(value)
    return Text(text, style=style or _STATE_STYLES.get(text.split(" ", 1)[0], ""))


def table_of(columns: Sequence[str], rows: Iterable[Sequence[object]], styled: Sequence[str] = ()) -> "Table":
    """A table without lines.

    Args:
        columns: Headings; one that begins with `>` is set to the right.
        rows: Values as they are; they are made printable here.
        styled: Columns whose words are coloured where colour is wanted.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    names = [column.removeprefix(">") for column in columns]
    for column, name in zip(columns, names, strict=True):
        table.add_column(
            table_cell(name, "bold"),
            justify="right" if column.startswith(">") else "left",
            overflow="fold",
            no_wrap=name == ID_COLUMN,
        )
    for row in rows:
        table.add_row(
            *(
                table_cell(value) if name in styled else table_cell(value, "none")
                for name, value in zip(names, row, strict=True)
            )
        )
    return table


class Entry(NamedTuple):
    """A row as a few lines, for terminals in which the table would be cut or folded."""

    #: Stands first, not coloured.
    name: str
    #: Behind the name, coloured by its first word.
    state: str
    #: Behind the state.
    more: str
    #: Below, indented.
    lines: tuple[str, ...]

    def drawn(self) -> "RenderableType":
        """The entry, with what is too long folded behind its indent."""
        from rich.console import Group
        from rich.padding import Padding
        from rich.text import Text

        head = Text("  ").join([table_cell(self.name, "none"), table_cell(self.state), table_cell(self.more, "none")])
        return Group(head, *(Padding(table_cell(line, "none"), (0, 0, 0, 2)) for line in self.lines))


def table_or_entries(
    target: "Console",
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    entries: Sequence[Entry],
    styled: Sequence[str] = (),
) -> "RenderableType":
    """Rows as a table without empty columns, if need be with short ids, if that fits; else as entries.

    Args:
        target: Whose width counts.
        columns: As of a table.
        rows: Likewise.
        entries: The same rows, for a narrow terminal.
        styled: As of a table.
    """
    from rich.console import Group
    from rich.measure import Measurement

    filled = [number for number in range(len(columns)) if any(row[number] for row in rows) or not rows]
    names = [columns[number] for number in filled]
    whole = [[row[number] for number in filled] for row in rows]
    for shown in (whole, _with_short_ids(names, whole)):
        table = table_of(names, shown, styled)
        if Measurement.get(target, target.options.update(width=_PIPE_WIDTH), table).maximum <= target.width:
            return table
    return Group(*(entry.drawn() for entry in entries))


def _with_short_ids(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[list[object]]:
    """The same rows with ids cut to a prefix that tells them apart: it selects a session, as the whole id does."""
    kept = [list(row) for row in rows]
    if ID_COLUMN not in columns:
        return kept
    place = columns.index(ID_COLUMN)
    ids = [str(row[place]).lstrip("> ") for row in kept]
    length = next(
        size for size in range(ID_WIDTH_MIN, max(map(len, ids), default=0) + ID_WIDTH_MIN + 1)
        if len({one[:size] for one in ids}) == len(set(ids))
    )  # fmt: skip
    for row, one in zip(kept, ids, strict=True):
        mark = str(row[place]).removesuffix(one)
        row[place] = mark + one[:length]
    return kept


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    styled: Sequence[str] = (),
    entries: Sequence[Entry] | None = None,
) -> None:
    """Prints a table; where it is too wide and there are entries, those in its place."""
    target = console()
    kept = list(rows)
    with target.capture() as captured:
        target.print(
            table_of(columns, kept, styled)
            if entries is None
            else table_or_entries(target, columns, kept, entries, styled)
        )
    # Written by the one function that everything is written by, so that a closed pipe is met in one place.
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()), color=True)
