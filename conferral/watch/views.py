"""Views of `watch`: a redrawn list, changes, or what needs attention."""

import json
from abc import ABC, abstractmethod
from collections import deque
from typing import Any, Self

from rich.console import RenderableType
from rich.live import Live

from conferral import output
from conferral.cli.session_tables import table_row
from conferral.operations import session_summary, wording
from conferral.operations.attention import Attention, attention_of, sort_key
from conferral.operations.history.change_feed import Change
from conferral.operations.partition_clock import PartitionClocks, read_partition_clocks
from conferral.operations.session_queries import LogEntry, SessionQueries
from conferral.storage.codecs.session_view import SessionView, view_of
from conferral.storage.codecs.timestamps import to_iso
from conferral.watch.keys import HELP, Selection
from conferral.watch.render import CHANGES_MAX, draw, draw_session, line_of


class View(ABC):
    """Shows sessions and their changes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        return

    async def show_initial(self, _sessions: list[SessionView]) -> None:
        """Show the sessions at the start."""
        await self.show_changes([])

    @abstractmethod
    async def show_changes(self, changes: list[Change]) -> None:
        """Show the changes since the last poll."""

    def show_notice(self, news: str) -> None:
        """Report that Redis is unreachable or back; default: standard error."""
        output.print_note(news)


class LineView(View):
    """One line, or one JSON object, per change."""

    def __init__(self, selection: Selection, *, full: bool, as_json: bool, with_session: bool) -> None:
        self._selection = selection
        self._full = full
        self._as_json = as_json
        self._with_session = with_session

    async def show_initial(self, sessions: list[SessionView]) -> None:
        """Print a line per session; with JSON, nothing."""
        if not self._as_json:
            for session in sessions:
                if self._selection.state in ("", session.state):
                    output.print_line(session_line(session, full=self._full))

    async def show_changes(self, changes: list[Change]) -> None:
        """Print the changes that enter, happen in, or leave a selected state."""
        for change in changes:
            if self._selection.state and self._selection.state not in (change.entry["from"], change.entry["to"]):
                continue
            if self._as_json:
                output.print_json_line(change_json(change))
            elif change.entry["outcome"] != "stale":
                output.print_line(line_of(change, full=self._full, with_session=self._with_session))


def session_line(session: SessionView, *, full: bool) -> str:
    """Return a session as one line."""
    there = [session_summary.connected_address(session, name, full=full) for name in ("customer", "agent")]
    who = wording.join_names([one for one in there if one])
    notes = [session_summary.transfer_line(session, full=full), *session_summary.short_notes(session)]
    more = "".join(f"; {one}" for one in notes if one)
    return f"{session.id or '?'}  is {session_summary.state_label(session)}: {who}{more}"


def change_json(change: Change) -> dict[str, Any]:
    """Return a log entry as stored in Redis, with its session."""
    fields: dict[str, Any] = {"session": change.session_id, **change.entry.fields}
    for name in ("effects", "reports", "failed_attempts", "changes"):
        if name not in change.entry.fields and name in ("changes", "failed_attempts"):
            continue  # from an older version, or empty
        try:
            fields[name] = json.loads(change.entry[name] or "[]")
        except json.JSONDecodeError:
            fields[name] = change.entry[name]
    return fields


class AttentionView(View):
    """A line or JSON object when a session's need for attention changes."""

    def __init__(self, reader: SessionQueries, selection: Selection, *, as_json: bool) -> None:
        self._reader = reader
        self._selection = selection
        self._as_json = as_json
        self._last_shown: dict[str, Attention] = {}

    async def show_changes(self, _changes: list[Change]) -> None:
        """Check all sessions: one may need attention because nothing happens."""
        sessions = await self._reader.views(await self._reader.live_ids())
        times = await read_partition_clocks(self._reader)
        found = {
            name: attention
            for name, session in sessions.items()
            if self._selection.state in ("", session.state)
            and (attention := attention_of(session, times.now_of(name))) is not None
            and attention.needs_attention
        }
        for name in sorted(self._last_shown.keys() | found.keys()):
            attention, before = found.get(name), self._last_shown.get(name)
            # The text of an overdue item contains its duration; a new duration isn't a new problem.
            if (attention and attention.rank) == (before and before.rank):
                continue
            at = to_iso(times.now_ms)
            if self._as_json:
                trouble = attention and {"rank": attention.rank, "words": attention.text}
                output.print_json_line({"at": at, "session": name, "trouble": trouble})
            else:
                text = attention.text if attention else "no longer needs attention, or has ended"
                output.print_line(f"{at[11:-1]}  {name}  {text}")
        self._last_shown = found


class ScreenView(View):
    """A list, sessions that need attention first, above the newest changes."""

    def __init__(self, reader: SessionQueries, selection: Selection, *, full: bool) -> None:
        self._reader = reader
        self._selection = selection
        self._full = full
        self._changes: deque[Change] = deque(maxlen=CHANGES_MAX)
        self._sessions: list[SessionView] = []
        self._times: PartitionClocks | None = None
        self._notice = ""
        #: Id of the marked session; empty until the user moves.
        self._selected = ""
        #: The opened session as last read: its id, the session, and its log.
        self._opened: tuple[str, SessionView, list[LogEntry]] = ("", SessionView(), [])
        self.has_keys = False
        # Creating the display draws once, so set all other attributes first.
        self._console = output.console()
        self._live = Live(console=self._console, auto_refresh=False, get_renderable=self._render)

    def __enter__(self) -> Self:
        self._live.start(refresh=False)
        return self

    def __exit__(self, *_error: object) -> None:
        self._live.stop()

    async def show_changes(self, changes: list[Change]) -> None:
        """Read all live sessions and redraw."""
        self._changes.extend(change for change in changes if change.entry["outcome"] != "stale")
        self._sessions = list((await self._reader.views(await self._reader.live_ids())).values())
        self._times = await read_partition_clocks(self._reader)
        self._notice = ""
        self._move_mark()
        if self._selection.is_open and (name := self._selected):
            self._opened = (name, await self._reader.view(name), await self._reader.log(name))
        self.refresh()

    def _move_mark(self) -> None:
        """Move the mark as the keys say; it stays on its session."""
        moved, self._selection.moved = self._selection.moved, 0
        ids = [session.id for session in self.visible_sessions()] if moved or self._selection.is_open else []
        if self._selected in ids:
            self._selected = ids[min(max(0, ids.index(self._selected) + moved), len(ids) - 1)]
        elif ids and (moved or not self._selected):
            self._selected = ids[0]  # the first move, or the marked session has ended

    def show_notice(self, news: str) -> None:
        """Show the notice below the list."""
        self._notice = news
        self.refresh()

    def refresh(self) -> None:
        """Redraw; the selection may have changed."""
        self._move_mark()
        self._live.refresh()

    def visible_sessions(self) -> list[SessionView]:
        """Return the visible sessions in display order."""
        chosen = [
            session
            for session in self._sessions
            if self._selection.matches(
                session,
                " ".join(table_row(session, self._now_of(session.id), full=self._full)),
                needs_attention=(found := attention_of(session, self._now_of(session.id))) is not None
                and found.needs_attention,
            )
        ]
        return sorted(chosen, key=lambda session: sort_key(session, self._now_of(session.id)))

    def _now_of(self, session_id: str) -> int:
        return 0 if self._times is None else self._times.now_of(session_id)

    def _render(self) -> RenderableType:
        if self._selection.is_open:
            name, session, log = self._opened
            if name == self._selected:
                return draw_session(self._console, session, log, self._notice, full=self._full)
            loading = view_of({"id": self._selected})
            return draw_session(self._console, loading, [], self._notice or "loading ...", full=self._full)
        selection = self._selection.description
        nothing = f"none of {len(self._sessions)} live calls match: {selection}" if selection and self._sessions else ""
        return draw(
            self._console,
            self.visible_sessions(),
            list(self._changes),
            self._notice,
            full=self._full,
            now_of=self._now_of,
            nothing=nothing or "no live calls",
            leave=self._status_line(selection),
            keys=HELP if self._selection.wants_help else (),
            selected=self._selected,
        )

    def _status_line(self, selection: str) -> str:
        if self._selection.is_typing:
            return f"/{self._selection.text}_  Enter keeps it, Esc clears it"
        if not self.has_keys:
            return "; ".join(filter(None, (f"only {selection}" if selection else "", "Ctrl-C stops it")))
        only = f"only {selection} (Esc shows all); " if selection else ""
        return f"{only}q quit, j k Enter open, / search, s state, t attention, ? help"
