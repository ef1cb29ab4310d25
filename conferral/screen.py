"""What `watch` shows on a terminal: the sessions, and below them the newest changes, whatever the terminal's size."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from conferral import output

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from operators.following import Change
    from operators.reader import Fields

#: Lines that changes may take (count), where the terminal has them.
CHANGES_MOST = 12
#: Lines that sessions and changes keep each, however small the terminal is (count).
KEPT = 3
#: Lines for what stands between and below them: a gap, what is hidden, news, and where the cursor is (count).
AROUND = 4


def draw(
    target: Console,
    sessions: Sequence[Fields],
    changes: Sequence[Change],
    news: str,
    *,
    full: bool,
    now_of: Callable[[Fields], int] = lambda _fields: 0,
    nothing: str = "no live sessions",
    leave: str = "Ctrl-C stops it",
    keys: Sequence[tuple[str, str]] = (),
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
    """
    from rich.console import Group

    room = min(CHANGES_MOST, max(KEPT, target.height // 3))
    kept = _fitting(target, len(changes), room, lambda count: _below(changes[len(changes) - count :], full=full))
    below = _keys(keys) if keys else _below(changes[len(changes) - kept :], full=full)
    parts: list[RenderableType] = []
    if sessions:
        room = max(KEPT, target.height - AROUND - len(target.render_lines(below)))
        shown = _fitting(target, len(sessions), room, lambda count: _above(target, sessions[:count], now_of, full=full))
        parts.append(_above(target, sessions[:shown], now_of, full=full))
        if shown < len(sessions):
            hidden = f"and {len(sessions) - shown} more; conferral sessions lists all"
            parts.append(output.cell(hidden, "dim"))
    else:
        parts.append(output.cell(nothing, "none"))
    status = output.cell(news, "yellow") if news else output.cell(leave, "dim")
    return Group(*parts, output.cell(""), below, status)


def _fitting(target: Console, most: int, room: int, drawn: Callable[[int], RenderableType]) -> int:
    """How many can be drawn in so many lines, at least one where there is one."""
    count = min(most, room)
    while count > 1 and len(target.render_lines(drawn(count))) > room:
        count -= 1
    return count


def _above(
    target: Console, sessions: Sequence[Fields], now_of: Callable[[Fields], int], *, full: bool
) -> RenderableType:
    from conferral.commands.sessions import COLUMNS, entry, row

    rows = [row(fields, now_of(fields), full=full) for fields in sessions]
    entries = [entry(fields, now_of(fields), full=full) for fields in sessions]
    return output.listed(target, COLUMNS, rows, entries, styled=("state", "trouble"))


def _keys(keys: Sequence[tuple[str, str]]) -> RenderableType:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0))
    for key, does in keys:
        grid.add_row(output.cell(key, "bold"), output.cell(does, "none"))
    return grid


def _below(changes: Sequence[Change], *, full: bool) -> RenderableType:
    """When, to which session, and what: folded behind the first two where the terminal is narrow."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for change in changes:
        # The list above has the whole name; its end tells it from the others.
        told = (clock_of(change)[:8], change.session_id[-6:], text_of(change, full=full))
        grid.add_row(*(output.cell(part, "none") for part in told))
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
    from operators import words

    what = words.happened(change.entry)
    if not full and "+" in what:
        what = words.address(what)
    return "  ".join(filter(None, (what, words.change(change.entry))))
