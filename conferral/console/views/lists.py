"""The pages with lists: sessions, dead letters, and health."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from conferral.console.dashboard import Dashboard, LogCache
from conferral.console.messages import encode_message, encode_message_with_lists
from conferral.console.redis_access import RedisAccess
from conferral.console.session_feed import CachedSession, SessionFeed
from conferral.console.views.session import SessionDetailView
from conferral.console.views.view import BadMessageError, View, read_count, read_flag, read_text
from conferral.operations.dead_letters import DeadLetters
from conferral.operations.session_queries import SessionQueries
from conferral.runtime.clock import Clock
from conferral.statemachine.ids import NAME_PATTERN
from conferral.storage.queries.dead_letters import REASON_MAX

#: Rows encoded at a time (count); other tasks run in between.
ROWS_PER_MESSAGE = 200


class SessionListView(View):
    """The list as sent to one page."""

    def __init__(self, feed: SessionFeed, *, with_ended: bool, full: bool) -> None:
        self.with_ended = with_ended
        self._feed = feed
        self._full = full
        self._seen_revision = -1
        self._has_ended = with_ended

    async def new_messages(self) -> list[bytes]:
        """Return changed rows, and which are gone; at first, all rows."""
        if not self._feed.is_loaded:
            return []
        messages = []
        # The newest ended calls fill an empty list.
        has_ended = self.with_ended or not self._feed.has_live
        since = self._seen_revision if has_ended == self._has_ended else -1
        changes = self._feed.changes(since, with_ended=has_ended)
        if changes.is_complete or changes.sessions or changes.removed:
            rows = await self._rows(changes.sessions)
            messages.append(
                encode_message_with_lists("sessions", {"rows": rows}, whole=changes.is_complete, gone=changes.removed)
            )
        self._seen_revision, self._has_ended = changes.revision, has_ended
        return messages

    async def _rows(self, kept: Sequence[CachedSession]) -> list[bytes]:
        found: list[bytes] = []
        for start in range(0, len(kept), ROWS_PER_MESSAGE):
            found += [one.row(full=self._full) for one in kept[start : start + ROWS_PER_MESSAGE]]
            if start + ROWS_PER_MESSAGE < len(kept):
                await asyncio.sleep(0)
        return found


POLL_EVERY_S = 1.0
#: Maximum fraction of the time spent reading: counting the reasons reads every letter.
BUSY_MAX = 0.2
#: Number of letters shown, newest first.
SHOWN_MAX = 200


class DeadLettersView(View):
    """The dead letters as sent to one page."""

    def __init__(self, redis: RedisAccess, clock: Clock, reason: str, *, full: bool) -> None:
        self._redis = redis
        self._clock = clock
        self._reason = reason
        self._full = full
        self._poll_at_s = 0.0
        #: Count and newest id: every addition or removal changes one of them.
        self._seen: tuple[int, str] | None = None

    async def new_messages(self) -> list[bytes]:
        """Return all dead letters to show, if one was added or removed."""
        started_s = self._clock.monotonic_s()
        if started_s < self._poll_at_s:
            return []
        messages = await self._poll()
        took_s = self._clock.monotonic_s() - started_s
        self._poll_at_s = started_s + max(POLL_EVERY_S, took_s / BUSY_MAX)
        return messages

    async def _poll(self) -> list[bytes]:
        seen = await self._redis.run(_count_and_newest_id)
        if seen == self._seen:
            return []
        shown = await self._redis.run(lambda reader: _letters(reader).newest(SHOWN_MAX, self._reason, full=self._full))
        groups = await self._redis.run(lambda reader: _letters(reader).groups())
        self._seen = seen
        return [encode_message("dead", reason=self._reason, letters=shown, groups=groups, count=seen[0])]


def _letters(reader: SessionQueries) -> DeadLetters:
    return DeadLetters(reader.client, reader.keys)


async def _count_and_newest_id(reader: SessionQueries) -> tuple[int, str]:
    letters = _letters(reader)
    newest = await letters.newest(1)
    return await letters.count(), newest[0].id if newest else ""


class ViewFactory:
    """Creates views."""

    def __init__(self, feed: SessionFeed, redis: RedisAccess, dashboard: Dashboard, clock: Clock) -> None:
        self.feed = feed
        self.redis = redis
        self._dashboard = dashboard
        self._clock = clock
        self._log_cache = LogCache()

    def make(self, message: Mapping[str, Any]) -> View:
        """Return the requested view with the summary, or raise BadMessageError."""
        return _WithSummary(self._make(message), self.feed, self._dashboard)

    def _make(self, message: Mapping[str, Any]) -> View:
        full = read_flag(message, "full")
        match message.get("view"):
            case "sessions":
                return SessionListView(self.feed, with_ended=read_flag(message, "ended"), full=full)
            case "session":
                named = read_text(message, "id")
                if not NAME_PATTERN.fullmatch(named):
                    raise BadMessageError("id: must be a session's id or a call SID")
                return SessionDetailView(
                    self.feed,
                    self.redis,
                    self._log_cache,
                    self._clock,
                    named,
                    after=read_text(message, "after"),
                    as_of=read_count(message, "as_of"),
                    full=full,
                )
            case "health":
                return HealthView(self._dashboard)
            case "dead":
                return DeadLettersView(self.redis, self._clock, read_text(message, "reason", REASON_MAX), full=full)
            case _:
                raise BadMessageError("view: must be sessions, session, health or dead")


class HealthView(View):
    """The health as sent to one page."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard

    async def new_messages(self) -> list[bytes]:
        """Return the health, if it has changed."""
        return self._if_changed(await self._dashboard.health())


class _WithSummary(View):
    """A view plus the summary, for the banner of every page."""

    def __init__(self, view: View, feed: SessionFeed, dashboard: Dashboard) -> None:
        self.with_ended = view.with_ended
        self._view = view
        self._feed = feed
        self._dashboard = dashboard

    async def new_messages(self) -> list[bytes]:
        """Return the view's messages, then the summary."""
        # Read the summary first, because it may raise, and messages that aren't returned must not count as sent.
        summary = await self._dashboard.summary() if self._feed.is_loaded else self._sent
        return [*await self._view.new_messages(), *self._if_changed(summary)]
