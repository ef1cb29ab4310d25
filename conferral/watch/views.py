"""Views of `watch`: a redrawn list, a line per change, or a line when a session starts or stops needing attention."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from conferral import output
from conferral.watch.keys import HELP, Selection
from conferral.watch.render import CHANGES_MAX, draw, draw_session, line_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from conferral.operations.attention import Attention
    from conferral.operations.history.change_feed import Change
    from conferral.operations.partition_clock import PartitionClocks
    from conferral.operations.session_queries import Fields, LogEntry, SessionQueries


class View(Protocol):
    """Shows sessions and their changes."""

    def __enter__(self) -> View: ...
    def __exit__(self, *_error: object) -> None: ...

    async def show_initial(self, sessions: list[Fields]) -> None:
        """Show the sessions at the start."""
        ...

    async def show_changes(self, changes: list[Change]) -> None:
        """Show the changes since the last poll."""
        ...

    def show_notice(self, news: str) -> None:
        """Report that Redis is unreachable or back."""
        ...


class LineView:
    """One line, or one JSON object, per change."""

    def __init__(self, choice: Selection, *, full: bool, as_json: bool, with_session: bool) -> None:
        self._selection = choice
        self._full = full
        self._as_json = as_json
        self._with_session = with_session

    def __enter__(self) -> LineView:
        return self

    def __exit__(self, *_error: object) -> None:
        return

    async def show_initial(self, sessions: list[Fields]) -> None:
        """Print a line per session; nothing with JSON, which reports only changes."""
        if not self._as_json:
            for fields in sessions:
                if not self._selection.state or fields.get("state") == self._selection.state:
                    output.print_line(session_line(fields, full=self._full))

    async def show_changes(self, changes: list[Change]) -> None:
        """Print the changes; with a selected state, those that enter, happen in, or leave it."""
        for change in changes:
            if self._selection.state and self._selection.state not in (change.entry["from"], change.entry["to"]):
                continue
            if self._as_json:
                output.print_json_line(change_json(change))
            elif change.entry["outcome"] != "stale":
                output.print_line(line_of(change, full=self._full, with_session=self._with_session))

    def show_notice(self, news: str) -> None:
        """Print the notice on standard error."""
        output.print_note(news)


def session_line(fields: Fields, *, full: bool) -> str:
    """Return a session as one line."""
    from conferral.operations import session_summary, wording

    there = [session_summary.connected_address(fields, party, full=full) for party in ("customer", "agent")]
    who = wording.join_names([one for one in there if one])
    told = [session_summary.transfer_line(fields, full=full), *session_summary.short_notes(fields)]
    more = "".join(f"; {one}" for one in told if one)
    return f"{fields.get('id', '?')}  is {wording.state_label(fields)}: {who}{more}"


def change_json(change: Change) -> dict[str, Any]:
    """Return a change as a JSON object: the log entry as stored in Redis, with its session."""
    import json

    fields: dict[str, Any] = {"session": change.session_id, **change.entry.fields}
    for name in ("effects", "reports", "failed_attempts", "changes"):
        if name not in change.entry.fields and name in ("changes", "failed_attempts"):
            continue  # from an older version, or empty
        try:
            fields[name] = json.loads(change.entry[name] or "[]")
        except json.JSONDecodeError:
            fields[name] = change.entry[name]
    return fields


class AttentionView:
    """One line, or one JSON object, whenever a session starts or stops needing attention, or its problem changes."""

    def __init__(self, reader: SessionQueries, choice: Selection, *, as_json: bool) -> None:
        self._reader = reader
        self._selection = choice
        self._as_json = as_json
        self._last_shown: dict[str, Attention] = {}

    def __enter__(self) -> AttentionView:
        return self

    def __exit__(self, *_error: object) -> None:
        return

    async def show_initial(self, _sessions: list[Fields]) -> None:
        """Print the sessions that need attention now."""
        await self.show_changes([])

    async def show_changes(self, _changes: list[Change]) -> None:
        """Check all sessions, because a session may need attention precisely when nothing happens."""
        from conferral.operations.attention import attention_of
        from conferral.operations.partition_clock import read_partition_clocks
        from conferral.storage.codecs.timestamps import to_iso

        records = await self._reader.read_hashes(await self._reader.live_ids())
        times = await read_partition_clocks(self._reader)
        found = {
            name: attention
            for name, fields in records.items()
            if self._selection.state in ("", fields.get("state"))
            and (attention := attention_of(fields, times.now_of(fields))) is not None
            and attention.needs_attention
        }
        for name in sorted(self._last_shown.keys() | found.keys()):
            attention, before = found.get(name), self._last_shown.get(name)
            # The text of an overdue item contains its duration; a new duration isn't a new problem.
            if (attention and attention.rank) == (before and before.rank):
                continue
            if self._as_json:
                told = attention and {"rank": attention.rank, "words": attention.text}
                output.print_json_line({"at": to_iso(times.now_ms), "session": name, "trouble": told})
            else:
                at = to_iso(times.now_ms)[11:-1]
                output.print_line(
                    f"{at}  {name}  {attention.text if attention else 'no longer needs attention, or has ended'}"
                )
        self._last_shown = found

    def show_notice(self, news: str) -> None:
        """Print the notice on standard error."""
        output.print_note(news)


class ScreenView:
    """A redrawn list, sessions that need attention first, with the newest changes below."""

    def __init__(self, reader: SessionQueries, choice: Selection, *, full: bool) -> None:
        from rich.live import Live

        self._reader = reader
        self._selection = choice
        self._full = full
        self._changes: deque[Change] = deque(maxlen=CHANGES_MAX)
        self._sessions: list[Fields] = []
        self._times: PartitionClocks | None = None
        self._notice = ""
        #: Id of the marked session; empty until the user moves.
        self._selected = ""
        #: The opened session as last read: its id, hash, and log.
        self._opened: tuple[str, Fields, list[LogEntry]] = ("", {}, [])
        #: Whether there is keyboard input.
        self.has_keys = False
        # Creating the display draws once, so set all other attributes first.
        self._console = output.console()
        self._live = Live(console=self._console, auto_refresh=False, get_renderable=self._drawn)

    def __enter__(self) -> ScreenView:
        self._live.start(refresh=False)
        return self

    def __exit__(self, *_error: object) -> None:
        self._live.stop()

    async def show_initial(self, _sessions: list[Fields]) -> None:
        """Draw the initial list."""
        await self.show_changes([])

    async def show_changes(self, changes: list[Change]) -> None:
        """Read all live sessions and redraw."""
        from conferral.operations.partition_clock import read_partition_clocks

        self._changes.extend(change for change in changes if change.entry["outcome"] != "stale")
        self._sessions = list((await self._reader.read_hashes(await self._reader.live_ids())).values())
        self._times = await read_partition_clocks(self._reader)
        self._notice = ""
        self._select()
        if self._selection.is_open and (name := self._selected):
            self._opened = (name, await self._reader.read_session(name), await self._reader.log(name))
        self.refresh()

    def _select(self) -> None:
        """Move the mark as the keys say; a marked session stays marked when its row moves."""
        moved, self._selection.moved = self._selection.moved, 0
        ids = [fields.get("id", "") for fields in self.visible_sessions()] if moved or self._selection.is_open else []
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
        self._select()
        self._live.refresh()

    def visible_sessions(self) -> list[Fields]:
        """Return the visible sessions in display order."""
        from conferral.cli.sessions import table_row
        from conferral.operations.attention import attention_of, sort_key

        chosen = [
            fields
            for fields in self._sessions
            if self._selection.matches(
                fields,
                " ".join(table_row(fields, self._now_of(fields), full=self._full)),
                needs_attention=(found := attention_of(fields, self._now_of(fields))) is not None
                and found.needs_attention,
            )
        ]
        return sorted(chosen, key=lambda fields: sort_key(fields, self._now_of(fields)))

    def _now_of(self, fields: Fields) -> int:
        return 0 if self._times is None else self._times.now_of(fields)

    def _drawn(self) -> RenderableType:
        if self._selection.is_open:
            name, fields, log = self._opened
            is_read = name == self._selected
            news = self._notice or ("" if is_read or not self._selected else "loading ...")
            return draw_session(
                self._console,
                fields if is_read else {"id": self._selected},
                log if is_read else [],
                news,
                full=self._full,
            )
        told = self._selection.description
        nothing = f"none of {len(self._sessions)} live calls match: {told}" if told and self._sessions else ""
        return draw(
            self._console,
            self.visible_sessions(),
            list(self._changes),
            self._notice,
            full=self._full,
            now_of=self._now_of,
            nothing=nothing or "no live calls",
            leave=self._rows_left_for(told),
            keys=HELP if self._selection.wants_help else (),
            selected=self._selected,
        )

    def _rows_left_for(self, told: str) -> str:
        if self._selection.is_typing:
            return f"/{self._selection.text}_  Enter keeps it, Esc clears it"
        if not self.has_keys:
            return "; ".join(filter(None, (f"only {told}" if told else "", "Ctrl-C stops it")))
        only = f"only {told} (Esc shows all); " if told else ""
        return f"{only}q quit, j k Enter open, / search, s state, t attention, ? help"
