"""The loop of `watch`: poll the change feed, and show what has changed."""

import asyncio
import signal

from conferral import output
from conferral.cli.redis_access import open_redis, redacted_url
from conferral.operations.history.change_feed import POLL_INTERVAL_S, ChangeFeed
from conferral.operations.session_queries import SessionQueries
from conferral.runtime.clock import SystemClock
from conferral.runtime.errors import StoreError
from conferral.runtime.lifecycle import pause
from conferral.runtime.settings import StoreSettings, load
from conferral.watch.keys import Selection, read_keys
from conferral.watch.views import AttentionView, LineView, ScreenView, View

BACK_OFF_MAX_S = 5.0
#: Maximum fraction of the time spent polling: with thousands of sessions, `watch` polls less often.
BUSY_MAX = 0.25


def run(named: str | None, state: str, *, needs_attention: bool, until_ended: bool, full: bool, as_json: bool) -> None:
    """Watch one session, or all live ones, until Ctrl-C."""
    asyncio.run(_watch(named, Selection(state, needs_attention), until_ended=until_ended, full=full, as_json=as_json))


async def _watch(named: str | None, selection: Selection, *, until_ended: bool, full: bool, as_json: bool) -> None:
    settings = load(StoreSettings)
    async with open_redis(settings) as reader:
        follower = ChangeFeed(reader, await reader.find(named) if named else "")
        stop = asyncio.Event()
        # Stop by a flag: a cancellation during a Redis read can get lost.
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
        redis_address = redacted_url(settings.redis_url)
        if as_json or named or not output.is_terminal():
            with _line_view(reader, selection, full=full, as_json=as_json, is_one=named is not None) as lines:
                await _follow(follower, lines, redis_address, stop, until_ended=until_ended)
            return
        screen = ScreenView(reader, selection, full=full)

        def on_keys(keys: str) -> None:
            selection.press(keys)
            screen.refresh()
            if selection.wants_to_stop:
                stop.set()

        with screen, read_keys(on_keys) as screen.has_keys:
            await _follow(follower, screen, redis_address, stop)


def _line_view(reader: SessionQueries, selection: Selection, *, full: bool, as_json: bool, is_one: bool) -> View:
    if selection.needs_attention:
        return AttentionView(reader, selection, as_json=as_json)
    # A terminal that shows one session doesn't need its long name on every line.
    with_session = not (is_one and output.is_terminal())
    return LineView(selection, full=full, as_json=as_json, with_session=with_session)


async def _follow(
    follower: ChangeFeed, view: View, redis_address: str, stop: asyncio.Event, *, until_ended: bool = False
) -> None:
    """Show changes until the stop or, if wanted, the session's end."""
    clock, pause_s = SystemClock(), POLL_INTERVAL_S
    await view.show_initial(await follower.start(clock.wall_ms()))
    while not stop.is_set():
        started_s = clock.monotonic_s()
        try:
            # Before the poll, which then shows how it ended. A session that was erased or has expired has no end.
            is_over = until_ended and await _is_over(follower)
            changes = await follower.poll(clock.wall_ms())
            await view.show_changes(changes)
        except StoreError as error:
            if pause_s == POLL_INTERVAL_S:
                view.show_notice(f"{error} at {redis_address}; retrying")
            pause_s = min(BACK_OFF_MAX_S, pause_s * 2)
        else:
            if pause_s != POLL_INTERVAL_S:
                view.show_notice("Redis is reachable again; no changes were missed")
            pause_s = POLL_INTERVAL_S
            if is_over or (until_ended and any(change.is_end for change in changes)):
                return
        took_s = clock.monotonic_s() - started_s
        await pause(stop, max(pause_s, min(BACK_OFF_MAX_S, took_s / BUSY_MAX - took_s)))


async def _is_over(follower: ChangeFeed) -> bool:
    """Whether the session has ended or no longer exists."""
    session = await follower.reader.view(follower.session_id)
    return session.is_ended or not session.fields
