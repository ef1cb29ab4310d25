"""`sessions --follow`: a live list, or changes."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live

from conferral.cli import output
from conferral.cli.redis_connection import open_redis
from conferral.cli.session_output import read_sessions, session_entry
from conferral.operations import catalog
from conferral.operations.change_feed import POLL_INTERVAL_S, ChangeFeed
from conferral.operations.explain.timeline import build_timeline
from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import StoreError
from conferral.runtime.lifecycle import wait_at_most
from conferral.runtime.settings import StoreSettings, load
from conferral.statemachine.session import Session
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.connection.configured import redis_address

BACK_OFF_MAX_S = 5.0

#: Shows the changes since the last poll.
Show = Callable[[list[LogEntry]], Awaitable[None]]


def follow_sessions(state: str | None, party: str, *, full: bool, as_json: bool) -> None:
    """Show live sessions until Ctrl-C: a list on a terminal, else changes."""
    asyncio.run(_follow_sessions(state, party, full=full, as_json=as_json))


async def _follow_sessions(state: str | None, party: str, *, full: bool, as_json: bool) -> None:
    """Print the sessions, then their changes; a terminal shows a live table."""
    settings = load(StoreSettings)
    async with open_redis(settings) as reader:
        feed = ChangeFeed(reader)
        await feed.start(SystemClock().wall_ms())
        found, now_ms, _ = await read_sessions(reader, state, party, with_ended=False)
        followed = {session.id for session in found}

        async def print_changes(changes: list[LogEntry]) -> None:
            if changes and (state or party):
                followed.update(one.id for one in (await read_sessions(reader, state, party, with_ended=False))[0])
                changes = [change for change in changes if change.session in followed]
            _print_changes(changes, full=full, as_json=as_json)

        if as_json or not output.is_terminal():
            if not as_json:
                output.print_entries(session_entry(session, now_ms, full=full) for session in found)
            await show_changes(feed, print_changes, redis_address(settings.redis_url))
            return
        target = output.console()
        with Live(draw(found, now_ms, full=full), console=target, auto_refresh=False) as live:

            async def redraw(_changes: list[LogEntry]) -> None:
                found, now_ms, _ = await read_sessions(reader, state, party, with_ended=False)
                live.update(draw(found, now_ms, full=full), refresh=True)

            await show_changes(feed, redraw, redis_address(settings.redis_url))


async def show_changes(feed: ChangeFeed, show: Show, address: str) -> None:
    """Show changes until Ctrl-C; `address` is Redis's, for messages."""
    clock = SystemClock()

    async def poll() -> bool:
        await show(await feed.poll(clock.wall_ms()))
        return False

    await poll_until_stopped(poll, address)


async def poll_until_stopped(poll: Callable[[], Awaitable[bool]], address: str) -> None:
    """Poll until Ctrl-C, or until `poll` returns True; survive outages.

    `address` is Redis's, for messages.
    """
    stop = asyncio.Event()
    # Stop by a flag: a cancellation during a Redis read can get lost.
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    pause_s = POLL_INTERVAL_S
    while not stop.is_set():
        try:
            is_over = await poll()
        except StoreError as error:
            if pause_s == POLL_INTERVAL_S:
                output.print_note(f"{error} at {address}; retrying")
            pause_s = min(BACK_OFF_MAX_S, pause_s * 2)
        else:
            if pause_s != POLL_INTERVAL_S:
                output.print_note("Redis is reachable again; nothing was missed")
            pause_s = POLL_INTERVAL_S
            if is_over:
                return
        await wait_at_most(stop, pause_s)


def draw(sessions: Sequence[Session], now_ms: int, *, full: bool) -> RenderableType:
    """Draw the sessions; what the screen has no room for is cut."""
    if not sessions:
        return output.table_cell("no live calls; Ctrl-C stops", "dim")
    return Group(*(session_entry(one, now_ms, full=full).drawn() for one in sessions))


def _print_changes(changes: Sequence[LogEntry], *, full: bool, as_json: bool) -> None:
    for entry in changes:
        if as_json:
            output.print_json_line(_entry_json(entry))
        elif entry.outcome != "stale":
            (moment,) = build_timeline([entry], full=full)
            parts = (catalog.precise_clock(entry.at_ms), entry.session, moment.what, moment.consequence)
            output.print_line("  ".join(filter(None, parts)))


def _entry_json(entry: LogEntry) -> dict[str, Any]:
    """Return a log entry as stored in Redis, with its session."""
    optional = {"failed_attempts": entry.failed_attempts, "changes": entry.changes}
    parsed = {"effects": entry.effects, "reports": entry.reports, **{k: v for k, v in optional.items() if v}}
    return {"session": entry.session, **entry.fields, **parsed}
