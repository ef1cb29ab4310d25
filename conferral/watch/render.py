"""The screen of `watch`: sessions, and below them the newest changes."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from rich.console import Console, Group, RenderableType
from rich.table import Table

from conferral import output
from conferral.cli.session_tables import (
    COLUMNS,
    LOG_COLUMNS,
    PARTY_COLUMNS,
    field_lines,
    log_rows,
    narrow_entry,
    party_rows,
    table_row,
)
from conferral.operations import wording
from conferral.operations.history.change_feed import Change
from conferral.operations.session_queries import LogEntry
from conferral.storage.codecs.session_view import SessionView

CHANGES_MAX = 12
#: Lines that sessions and changes each keep, however small the terminal.
OLD_CHANGES_MIN = 3
#: Lines around the sessions: a gap, the count of hidden ones, a notice, and the cursor's line.
ROWS_AROUND_SELECTION = 4


def draw(
    target: Console,
    sessions: Sequence[SessionView],
    changes: Sequence[Change],
    notice: str,
    *,
    full: bool,
    now_of: Callable[[str], int] = lambda _session_id: 0,
    nothing: str = "no live calls",
    leave: str = "Ctrl-C stops it",
    keys: Sequence[tuple[str, str]] = (),
    selected: str = "",
) -> RenderableType:
    """Draw the screen.

    Args:
        changes: Oldest first.
        notice: A line at the end; empty for `leave`, which says how to leave.
        now_of: Returns a session's current time, in Unix milliseconds; 0 for this machine's clock.
        nothing: Text if there are no sessions.
        keys: Help for the keys, replacing the changes; empty if not requested.
        selected: Id of the marked session, which must be visible; empty for none.
    """
    space = min(CHANGES_MAX, max(OLD_CHANGES_MIN, target.height // 3))
    kept = _fitting_count(
        target, len(changes), space, lambda count: _changes_part(changes[len(changes) - count :], full=full)
    )
    below = _keys_part(keys) if keys else _changes_part(changes[len(changes) - kept :], full=full)
    parts: list[RenderableType] = []
    if sessions:
        space = max(OLD_CHANGES_MIN, target.height - ROWS_AROUND_SELECTION - len(target.render_lines(below)))
        selected_index = next((index for index, session in enumerate(sessions) if session.id == selected), 0)

        def sessions_part(count: int) -> RenderableType:
            first = max(0, selected_index - count + 1)
            return _sessions_part(target, sessions[first : first + count], now_of, full=full, selected=selected)

        shown = _fitting_count(target, len(sessions), space, sessions_part)
        parts.append(sessions_part(shown))
        if shown < len(sessions):
            parts.append(output.table_cell(f"and {len(sessions) - shown} more (conferral sessions lists all)", "dim"))
    else:
        parts.append(output.table_cell(nothing, "none"))
    status = output.table_cell(notice or leave, "yellow" if notice else "dim")
    return Group(*parts, output.table_cell(""), below, status)


def _fitting_count(target: Console, most: int, space: int, drawn: Callable[[int], RenderableType]) -> int:
    """Return how many items fit into the lines, at least one if any."""
    count = min(most, space)
    while count > 1 and len(target.render_lines(drawn(count))) > space:
        count -= 1
    return count


def _sessions_part(
    target: Console, sessions: Sequence[SessionView], now_of: Callable[[str], int], *, full: bool, selected: str
) -> RenderableType:
    times = [now_of(session.id) for session in sessions]
    if selected:
        sessions = [replace(one, id=f"{'> ' if one.id == selected else '  '}{one.id or '?'}") for one in sessions]
    rows = [table_row(session, now_ms, full=full) for session, now_ms in zip(sessions, times, strict=True)]
    entries = [narrow_entry(session, now_ms, full=full) for session, now_ms in zip(sessions, times, strict=True)]
    return output.table_or_entries(target, COLUMNS, rows, entries, styled=("state", "attention"))


def draw_session(
    target: Console, session: SessionView, log: Sequence[LogEntry], notice: str, *, full: bool
) -> RenderableType:
    """Draw `show` for one session, with as many new log entries as fit.

    The session is empty if it is unknown, and the log starts with the oldest entry. `notice` is as for `draw`.
    """
    leave = "q goes back; j and k show the next or previous one"
    status = output.table_cell(notice or leave, "yellow" if notice else "dim")
    if not session.fields:
        unknown = output.table_cell("not in Redis; it may have ended long ago", "none")
        return Group(unknown, output.table_cell(""), status)
    rows = log_rows(log, full=full)
    parts: list[RenderableType] = [output.table_cell(line, "none") for line in field_lines(session, full=full)]
    parts += [
        output.table_cell(""),
        output.table_or_entries(target, PARTY_COLUMNS, *party_rows(session, full=full)),
        output.table_cell(""),
    ]
    space = max(OLD_CHANGES_MIN, target.height - ROWS_AROUND_SELECTION - len(target.render_lines(Group(*parts))))

    def newest(count: int) -> RenderableType:
        return output.table_of(LOG_COLUMNS, rows[len(rows) - count :], ("",))

    return Group(*parts, newest(_fitting_count(target, len(rows), space, newest)), output.table_cell(""), status)


def _keys_part(keys: Sequence[tuple[str, str]]) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for key, does in keys:
        grid.add_row(output.table_cell(key, "bold"), output.table_cell(does, "none"))
    return grid


def _changes_part(changes: Sequence[Change], *, full: bool) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for change in changes:
        # The list above shows the full id; its end is enough to identify it here.
        cells = (wording.entry_clock(change.entry)[:8], change.session_id[-6:], text_of(change, full=full))
        grid.add_row(*(output.table_cell(part, "none") for part in cells))
    return grid


def line_of(change: Change, *, full: bool, with_session: bool = True) -> str:
    """Return a change as one line."""
    name = change.session_id if with_session else ""
    return "  ".join(filter(None, (wording.entry_clock(change.entry), name, text_of(change, full=full))))


def text_of(change: Change, *, full: bool) -> str:
    """Describe a change and its consequences."""
    what = wording.describe_entry(change.entry)
    if not full and "+" in what:
        what = wording.display_address(what)
    return "  ".join(filter(None, (what, wording.describe_change(change.entry))))
