"""`watch`: live view of sessions. A table on a terminal, one line per change elsewhere."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from conferral import output
from conferral.cli.completion import choices
from conferral.cli.options import AsJson, Full, OptionalSessionName
from conferral.watch.keys import STATES, Selection, read_keys

if TYPE_CHECKING:
    from conferral.operations.history.change_feed import ChangeFeed
    from conferral.operations.session_queries import SessionQueries
    from conferral.watch.views import View

#: Longest backoff while Redis is unreachable, in seconds.
BACK_OFF_MAX_S = 5.0
#: Maximum fraction of the time spent polling. With thousands of sessions, `watch` polls less often, so that it keeps
#: neither Redis nor this machine busy.
BUSY_MAX = 0.25


def watch(
    session: OptionalSessionName = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="ended", help="Stop when SESSION ends.", autocompletion=choices("ended")),
    ] = None,
    state: Annotated[
        str | None,
        typer.Option(
            metavar="STATE",
            help=f"Only sessions in this state: {', '.join(STATES[1:])}.",
            autocompletion=choices(*STATES[1:]),
        ),
    ] = None,
    attention: Annotated[bool, typer.Option("--trouble", help="Only sessions that need attention.")] = False,
    full: Full = False,
    as_json: AsJson = False,
) -> None:
    """Watch sessions live. Ctrl-C stops it.

    \b
    Examples:
      conferral watch
      conferral watch --trouble
      conferral watch CA0123456789abcdef0123456789abcdef --until ended
      conferral watch --json | jq -r 'select(.to == "ended") | .session'

    On a terminal: a list, sessions that need attention first; j, k, and Enter open one, ? shows all keys. With SESSION,
    it starts with the whole log. When piped: one line per change; with --json: one object per line, each log entry as
    in Redis. When piped, --trouble prints one line each time a session starts or stops needing attention. Times are
    UTC.
    """
    if until not in (None, "ended"):
        raise typer.BadParameter("must be: ended", param_hint="--until")
    if until and session is None:
        raise typer.BadParameter("needs a SESSION", param_hint="--until")
    if state is not None and state not in STATES[1:]:
        raise typer.BadParameter(f"must be one of {', '.join(STATES[1:])}", param_hint="--state")
    if session is not None and (state or attention):
        raise typer.BadParameter("can't be combined with SESSION", param_hint="--state" if state else "--trouble")
    selection = Selection(state or "", attention)
    try:
        asyncio.run(_watch(session, selection, until_ended=until is not None, full=full, as_json=as_json))
    except KeyboardInterrupt:  # Ctrl-C before the watch installed its handler
        return


async def _watch(named: str | None, selection: Selection, *, until_ended: bool, full: bool, as_json: bool) -> None:
    from conferral.cli.redis_access import open_redis, redacted_url
    from conferral.operations.history.change_feed import ChangeFeed
    from conferral.runtime.settings import StoreSettings, load
    from conferral.watch.views import ScreenView

    settings = load(StoreSettings)
    async with open_redis(settings) as reader:
        follower = ChangeFeed(reader, await reader.find(named) if named else "")
        stop = asyncio.Event()
        # Stop by a flag: a cancellation during a Redis read can get lost.
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
        place = redacted_url(settings.redis_url)
        if as_json or named or not output.is_terminal():
            with _line_view(reader, selection, full=full, as_json=as_json, is_one=named is not None) as lines:
                await _follow(follower, lines, place, stop, until_ended=until_ended)
            return
        screen = ScreenView(reader, selection, full=full)

        def take(keys: str) -> None:
            selection.press(keys)
            screen.refresh()
            if selection.wants_to_stop:
                stop.set()

        with screen, read_keys(take) as screen.has_keys:
            await _follow(follower, screen, place, stop)


def _line_view(reader: SessionQueries, selection: Selection, *, full: bool, as_json: bool, is_one: bool) -> View:
    from conferral.watch.views import AttentionView, LineView

    if selection.needs_attention:
        return AttentionView(reader, selection, as_json=as_json)
    # A terminal that shows one session doesn't need its long name on every line.
    with_session = not (is_one and output.is_terminal())
    return LineView(selection, full=full, as_json=as_json, with_session=with_session)


async def _follow(
    follower: ChangeFeed, view: View, place: str, stop: asyncio.Event, *, until_ended: bool = False
) -> None:
    from conferral.operations.history.change_feed import POLL_INTERVAL_S
    from conferral.runtime.clock import SystemClock
    from conferral.runtime.errors import StoreError
    from conferral.runtime.lifecycle import pause

    clock, pause_s = SystemClock(), POLL_INTERVAL_S
    await view.show_initial(await follower.start(clock.wall_ms()))
    while not stop.is_set():
        started_s = clock.monotonic_s()
        try:
            changes = await follower.poll(clock.wall_ms())
            await view.show_changes(changes)
        except StoreError as error:
            if pause_s == POLL_INTERVAL_S:
                view.show_notice(f"{error} at {place}; retrying")
            pause_s = min(BACK_OFF_MAX_S, pause_s * 2)
        else:
            if pause_s != POLL_INTERVAL_S:
                view.show_notice("Redis is reachable again; no changes were missed")
            pause_s = POLL_INTERVAL_S
            if until_ended and any(change.is_end for change in changes):
                return
        took_s = clock.monotonic_s() - started_s
        await pause(stop, max(pause_s, min(BACK_OFF_MAX_S, took_s / BUSY_MAX - took_s)))
