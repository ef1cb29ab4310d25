"""Creates the view that a page requests."""

from collections.abc import Mapping
from typing import Any

from conferral.console.dashboard import Dashboard
from conferral.console.log_cache import LogCache
from conferral.console.redis_access import RedisAccess
from conferral.console.session_feed import SessionFeed
from conferral.console.views.dead_letters import DeadLettersView
from conferral.console.views.session import SessionDetailView
from conferral.console.views.sessions import SessionListView
from conferral.console.views.view import BadMessageError, View, read_count, read_flag, read_text
from conferral.runtime.clock import Clock
from conferral.statemachine.ids import NAME_PATTERN
from conferral.storage.queries.dead_letters import REASON_MAX


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
