"""`watch`: what happens, while it happens. A table on a terminal, one line per change elsewhere."""

from __future__ import annotations

import asyncio
import re
import signal
from collections import deque
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conferral import output
from conferral.commands.options import AsJson, Full, OptionalSessionName

if TYPE_CHECKING:
    from rich.console import RenderableType

    from conferral.access import Fields, Reader
    from conferral.following import Change, Follower

#: Changes shown below the table (count).
LINES_SHOWN = 12
#: Lines of the screen that each of its parts keeps, however small the terminal is (count).
LINES_KEPT = 4
#: Longest pause while Redis is out of reach, seconds.
BACK_OFF_MAX_S = 5.0


def watch(
    session: OptionalSessionName = None,
    until: Annotated[str | None, typer.Option(metavar="ended", help="Stop when SESSION has ended.")] = None,
    full: Full = False,
    as_json: AsJson = False,
) -> None:
    """Watch the sessions live. Ctrl-C stops it.

    \b
    Examples:
      conferral watch
      conferral watch CA0123456789abcdef0123456789abcdef --until ended
      conferral watch --json | jq -r 'select(.to == "ended") | .session'

    With SESSION its whole log is told first. In a pipe: one line per change; with --json: one object per line, each log
    entry as it is in Redis.
    """
    if until not in (None, "ended"):
        raise typer.BadParameter("must be: ended", param_hint="--until")
    if until and session is None:
        raise typer.BadParameter("needs a SESSION", param_hint="--until")
    try:
        asyncio.run(_watch(session, until_ended=until is not None, full=full, as_json=as_json))
    except KeyboardInterrupt:  # before the watch was ready to take it as its usual end
        return


async def _watch(named: str | None, *, until_ended: bool, full: bool, as_json: bool) -> None:
    from conferral.access import opened, place_of
    from conferral.following import Follower
    from runtime.settings import StoreSettings, load

    settings = load(StoreSettings)
    async with opened(settings) as reader:
        follower = Follower(reader, await reader.find(named) if named else "")
        view: _Lines | _Screen
        if as_json or named or not output.is_terminal():
            # On a terminal that shows one session its long name would stand in every line.
            view = _Lines(full=full, as_json=as_json, with_session=not (named and output.is_terminal()))
        else:
            view = _Screen(reader, full=full)
        with view:
            await _follow(follower, view, place_of(settings.redis_url), until_ended=until_ended)


async def _follow(follower: Follower, view: _Lines | _Screen, place: str, *, until_ended: bool) -> None:
    from conferral.following import LOOK_EVERY_S
    from runtime.clock import SystemClock
    from runtime.errors import StoreError
    from runtime.lifecycle import pause

    clock, pause_s = SystemClock(), LOOK_EVERY_S
    stop = asyncio.Event()
    # A flag, no cancellation: one that comes in the middle of a look at Redis can get lost.
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    await view.begin(await follower.start(clock.wall_ms()))
    while not stop.is_set():
        try:
            changes = await follower.look(clock.wall_ms())
            await view.tell(changes)
        except StoreError as error:
            if pause_s == LOOK_EVERY_S:
                view.say(f"{error} at {place}; trying again")
            pause_s = min(BACK_OFF_MAX_S, pause_s * 2)
        else:
            if pause_s != LOOK_EVERY_S:
                view.say("Redis answers again; nothing was missed")
            pause_s = LOOK_EVERY_S
            if until_ended and any(change.is_end for change in changes):
                return
        await pause(stop, pause_s)


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
    from conferral import words

    what = words.happened(change.entry)
    if not full and "+" in what:
        what = words.address(what)
    return "  ".join(filter(None, (what, words.change(change.entry))))


class _Lines:
    """One line, or one JSON object, per change."""

    def __init__(self, *, full: bool, as_json: bool, with_session: bool) -> None:
        self._full = full
        self._as_json = as_json
        self._with_session = with_session

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_error: object) -> None:
        return

    async def begin(self, sessions: list[Fields]) -> None:
        from conferral import standing, words

        if self._as_json:
            return
        for fields in sessions:
            customer = words.address(fields.get("party.customer.address", ""), full=self._full)
            agent = words.address(fields.get("party.agent.address", ""), full=self._full)
            told = [standing.transfer(fields, full=self._full), *standing.beside(fields)]
            more = "".join(f"; {one}" for one in told if one)
            output.result(f"{fields.get('id', '?')}  is {words.state(fields)}: {customer} and {agent}{more}")

    async def tell(self, changes: list[Change]) -> None:
        for change in changes:
            if self._as_json:
                output.show_json_line(_as_object(change))
            elif change.entry["outcome"] != "stale":
                output.result(line_of(change, full=self._full, with_session=self._with_session))

    def say(self, news: str) -> None:
        output.note(news)


class _Screen:
    """A table that is redrawn, with the newest changes below it."""

    def __init__(self, reader: Reader, *, full: bool) -> None:
        from rich.live import Live

        self._reader = reader
        self._full = full
        self._changes: deque[Change] = deque(maxlen=LINES_SHOWN)
        self._rows: list[Fields] = []
        self._news = ""
        self._live = Live(console=output.console(), auto_refresh=False, get_renderable=self._drawn)

    def __enter__(self) -> _Screen:
        self._live.start(refresh=False)
        return self

    def __exit__(self, *_error: object) -> None:
        self._live.stop()

    async def begin(self, sessions: list[Fields]) -> None:
        self._rows = sessions
        self._live.refresh()

    async def tell(self, changes: list[Change]) -> None:
        self._changes.extend(change for change in changes if change.entry["outcome"] != "stale")
        found = await self._reader.sessions(await self._reader.live_ids())
        self._rows = sorted(found, key=lambda fields: fields.get("created_at", ""))
        self._news = ""
        self._live.refresh()

    def say(self, news: str) -> None:
        self._news = news
        self._live.refresh()

    def _drawn(self) -> RenderableType:
        from rich.console import Group

        parts: list[Any] = [self._sessions() if self._rows else output.cell("no live sessions", "none")]
        parts += [output.cell(""), self._below()]
        parts += [output.cell(self._news, "yellow") if self._news else output.cell("Ctrl-C stops it", "dim")]
        return Group(*parts)

    def _sessions(self) -> RenderableType:
        """As many as there is room for above the changes."""
        from rich.console import Group

        from conferral.commands.sessions import COLUMNS, entry, row

        target = self._live.console
        room = max(LINES_KEPT, target.height - min(LINES_SHOWN, target.height // 3) - LINES_KEPT)

        def drawn(count: int) -> RenderableType:
            rows = [row(fields, full=self._full) for fields in self._rows[:count]]
            entries = [entry(fields, full=self._full) for fields in self._rows[:count]]
            return output.listed(target, COLUMNS, rows, entries, styled=("state",))

        count = min(len(self._rows), room)
        while count > 1 and len(target.render_lines(drawn(count))) > room:
            count -= 1
        if count == len(self._rows):
            return drawn(count)
        hidden = f"and {len(self._rows) - count} more; conferral sessions lists all"
        return Group(drawn(count), output.cell(hidden, "dim"))

    def _below(self) -> RenderableType:
        """The newest changes: when, to which session, and what, folded where the terminal is narrow."""
        from rich.table import Table

        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        height = self._live.console.height
        for change in list(self._changes)[-max(LINES_KEPT, min(LINES_SHOWN, height // 3)) :]:
            # The table above has the whole name; its end tells it from the others.
            name = change.session_id[-6:].rjust(6)
            grid.add_row(
                *(output.cell(part, "none") for part in (clock_of(change)[:8], name, text_of(change, full=self._full)))
            )
        return grid


def _as_object(change: Change) -> dict[str, Any]:
    import json

    fields: dict[str, Any] = {"session": change.session_id, **change.entry.fields}
    try:
        fields["effects"] = json.loads(change.entry["effects"] or "[]")
    except json.JSONDecodeError:
        fields["effects"] = change.entry["effects"]
    return fields


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(watch)
