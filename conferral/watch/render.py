"""What `watch` shows on a terminal: the sessions, and below them the newest changes, whatever the terminal's size."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from conferral import output

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from conferral.operations.history.change_feed import Change
    from conferral.operations.session_queries import Fields, LogEntry

#: Lines that changes may take (count), where the terminal has them.
CHANGES_MAX = 12
#: Lines that sessions and changes keep each, however small the terminal is (count).
OLD_CHANGES_MIN = 3
#: Lines for what stands between and below them: a gap, what is hidden, news, and where the cursor is (count).
ROWS_AROUND_SELECTION = 4


def draw(
    target: Console,
    sessions: Sequence[Fields],
    changes: Sequence[Change],
    notice: str,
    *,
    full: bool,
    now_of: Callable[[Fields], int] = lambda _fields: 0,
    nothing: str = "no live sessions",
    leave: str = "Ctrl-C stops it",
    keys: Sequence[tuple[str, str]] = (),
    selected: str = "",
) -> RenderableType:
    """The screen.

    Args:
        target: The terminal.
        sessions: The live ones, in the order in which they are shown.
        changes: Oldest first.
        news: A line at the end; empty for how to leave.
        full: Whether numbers are shown whole.
        now_of: What time it is for a session, Unix milliseconds; 0 for what this machine's clock shows.
        nothing: What is said where there are no sessions.
        leave: How to leave, and what else there is to do.
        keys: What each key does, in place of the changes; empty where nobody asks.
        selected: Id of the session that is marked, and that has to be among those that are shown; empty for none.
    """
    from rich.console import Group

    room = min(CHANGES_MAX, max(OLD_CHANGES_MIN, target.height // 3))
    kept = _fitting_count(
        target, len(changes), room, lambda count: _changes_part(changes[len(changes) - count :], full=full)
    )
    below = _keys(keys) if keys else _changes_part(changes[len(changes) - kept :], full=full)
    parts: list[RenderableType] = []
    if sessions:
        room = max(OLD_CHANGES_MIN, target.height - ROWS_AROUND_SELECTION - len(target.render_lines(below)))
        place = next((place for place, fields in enumerate(sessions) if fields.get("id") == selected), 0)

        def above(count: int) -> RenderableType:
            first = max(0, place - count + 1)
            return _sessions_part(target, sessions[first : first + count], now_of, full=full, selected=selected)

        shown = _fitting_count(target, len(sessions), room, above)
        parts.append(above(shown))
        if shown < len(sessions):
            hidden = f"and {len(sessions) - shown} more; conferral sessions lists all"
            parts.append(output.table_cell(hidden, "dim"))
    else:
        parts.append(output.table_cell(nothing, "none"))
    status = output.table_cell(notice, "yellow") if notice else output.table_cell(leave, "dim")
    return Group(*parts, output.table_cell(""), below, status)


def _fitting_count(target: Console, most: int, room: int, drawn: Callable[[int], RenderableType]) -> int:
    """How many can be drawn in so many lines, at least one where there is one."""
    count = min(most, room)
    while count > 1 and len(target.render_lines(drawn(count))) > room:
        count -= 1
    return count


def _sessions_part(
    target: Console, sessions: Sequence[Fields], now_of: Callable[[Fields], int], *, full: bool, selected: str
) -> RenderableType:
    from conferral.cli.sessions import COLUMNS, narrow_entry, table_row

    if selected:
        marks = ["> " if fields.get("id") == selected else "  " for fields in sessions]
        sessions = [
            {**fields, "id": f"{mark}{fields.get('id', '?')}"} for mark, fields in zip(marks, sessions, strict=True)
        ]
    rows = [table_row(fields, now_of(fields), full=full) for fields in sessions]
    entries = [narrow_entry(fields, now_of(fields), full=full) for fields in sessions]
    return output.table_or_entries(target, COLUMNS, rows, entries, styled=("state", "trouble"))


def draw_session(
    target: Console, fields: Fields, log: Sequence[LogEntry], notice: str, *, full: bool
) -> RenderableType:
    """One session in place of all: what `show` tells, with as much of the newest in its log as fits.

    Args:
        target: The terminal.
        fields: Its hash; empty where it is not known yet, or any more.
        log: Oldest first.
        notice: A line at the end; empty for how to leave.
        full: Whether numbers are shown whole.
    """
    from rich.console import Group

    from conferral.cli.sessions import LOG_COLUMNS, PARTY_COLUMNS, field_lines, log_rows, party_rows

    status = (
        output.table_cell(notice, "yellow")
        if notice
        else output.table_cell("q leads back, j and k to the next one", "dim")
    )
    if not fields:
        return Group(
            output.table_cell("nothing is known of it; it may have ended long ago", "none"),
            output.table_cell(""),
            status,
        )
    rows = log_rows(log, full=full)
    parts: list[RenderableType] = [output.table_cell(line, "none") for line in field_lines(fields, full=full)]
    parts += [
        output.table_cell(""),
        output.table_or_entries(target, PARTY_COLUMNS, *party_rows(fields, full=full)),
        output.table_cell(""),
    ]
    room = max(OLD_CHANGES_MIN, target.height - ROWS_AROUND_SELECTION - len(target.render_lines(Group(*parts))))

    def newest(count: int) -> RenderableType:
        return output.table_of(LOG_COLUMNS, rows[len(rows) - count :], ("",))

    return Group(*parts, newest(_fitting_count(target, len(rows), room, newest)), output.table_cell(""), status)


def _keys(keys: Sequence[tuple[str, str]]) -> RenderableType:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0))
    for key, does in keys:
        grid.add_row(output.table_cell(key, "bold"), output.table_cell(does, "none"))
    return grid


def _changes_part(changes: Sequence[Change], *, full: bool) -> RenderableType:
    """When, to which session, and what: folded behind the first two where the terminal is narrow."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for change in changes:
        # The list above has the whole name; its end tells it from the others.
        told = (clock_of(change)[:8], change.session_id[-6:], text_of(change, full=full))
        grid.add_row(*(output.table_cell(part, "none") for part in told))
    return grid


def line_of(change: Change, *, full: bool, with_session: bool = True) -> str:
    """A change in one line.

    Args:
        change: What happened.
        full: Whether numbers are shown whole.
        with_session: Whether to name the session.
    """
    name = change.session_id if with_session else ""
    return "  ".join(filter(None, (clock_of(change), name, text_of(change, full=full))))


def clock_of(change: Change) -> str:
    """When it happened: the time of day, UTC."""
    return re.sub(r"^.*T(.*?)Z?$", r"\1", change.entry["at"])


def text_of(change: Change, *, full: bool) -> str:
    """What happened, and what followed."""
    from conferral.operations import wording

    what = wording.describe_entry(change.entry)
    if not full and "+" in what:
        what = wording.display_address(what)
    return "  ".join(filter(None, (what, wording.describe_change(change.entry))))
