"""`watch`: what happens, while it happens. A table on a terminal, one line per change elsewhere."""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conferral import output
from conferral.commands.options import AsJson, Full, OptionalSessionName
from conferral.screen import CHANGES_MOST, draw, line_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from operators.following import Change, Follower
    from operators.reader import Fields, Reader

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
    from operators.following import Follower
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
    from operators.following import LOOK_EVERY_S
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
        from operators import standing, words

        if self._as_json:
            return
        for fields in sessions:
            there = [standing.address_there(fields, party, full=self._full) for party in ("customer", "agent")]
            who = standing.listed([one for one in there if one])
            told = [standing.transfer(fields, full=self._full), *standing.beside(fields)]
            more = "".join(f"; {one}" for one in told if one)
            output.result(f"{fields.get('id', '?')}  is {words.state(fields)}: {who}{more}")

    async def tell(self, changes: list[Change]) -> None:
        for change in changes:
            if self._as_json:
                output.show_json_line(_as_object(change))
            elif change.entry["outcome"] != "stale":
                output.result(line_of(change, full=self._full, with_session=self._with_session))

    def say(self, news: str) -> None:
        output.note(news)


class _Screen:
    """A list that is redrawn, with the newest changes below it."""

    def __init__(self, reader: Reader, *, full: bool) -> None:
        from rich.live import Live

        self._reader = reader
        self._full = full
        self._changes: deque[Change] = deque(maxlen=CHANGES_MOST)
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
        found = (await self._reader.records(await self._reader.live_ids())).values()
        self._rows = sorted(found, key=lambda fields: fields.get("created_at", ""))
        self._news = ""
        self._live.refresh()

    def say(self, news: str) -> None:
        self._news = news
        self._live.refresh()

    def _drawn(self) -> RenderableType:
        return draw(self._live.console, self._rows, list(self._changes), self._news, full=self._full)


def _as_object(change: Change) -> dict[str, Any]:
    import json

    fields: dict[str, Any] = {"session": change.session_id, **change.entry.fields}
    for name in ("effects", "reports"):
        try:
            fields[name] = json.loads(change.entry[name] or "[]")
        except json.JSONDecodeError:
            fields[name] = change.entry[name]
    return fields


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(watch)
