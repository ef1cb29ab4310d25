"""What pages display besides one session: the list, dead letters, health."""

from collections import deque

from conferral.console.agents_view import AgentsView
from conferral.console.messages import encode_message, row
from conferral.console.page_view import PageMessage, View
from conferral.console.report import DayReports
from conferral.console.session_feed import CachedSession, SessionFeed
from conferral.console.session_view import SessionDetailView
from conferral.operations import health, statistics
from conferral.operations.dead_letters import DeadLetters
from conferral.operations.health import Health
from conferral.operations.health_tasks import health_tasks
from conferral.operations.json_values import to_json_object
from conferral.operations.redis_access import RedisAccess
from conferral.outcomes.report import TransferStats, read_last_hour
from conferral.runtime.clock import Clock
from conferral.runtime.web.server import SharedResult
from conferral.runtime.web.tokens import Token
from conferral.storage.codecs.text_codec import to_iso
from conferral.storage.outcome_queue import OutcomeQueue
from conferral.storage.queries.live_workers import read_lost_workers
from conferral.storage.queries.session_reader import SessionReader


class SessionListView(View):
    """The list as sent to one page."""

    def __init__(self, feed: SessionFeed, *, with_ended: bool, full: bool) -> None:
        self._with_ended = with_ended
        self._feed = feed
        self._full = full
        self._seen_revision = -1
        #: What the page has, by id; None before the first message.
        self._shown: dict[str, CachedSession] | None = None

    async def new_messages(self) -> list[bytes]:
        """Return changed rows, and which are gone; at first, all rows."""
        if not self._feed.is_loaded or self._feed.revision == self._seen_revision:
            return []
        self._seen_revision, before = self._feed.revision, self._shown
        # The newest ended calls fill an empty list.
        now = self._shown = self._feed.sessions(with_ended=self._with_ended or not self._feed.live)
        known = before or {}
        changed = [one for name, one in now.items() if known.get(name) is not one]
        gone = [name for name in known if name not in now]
        if before is not None and not (changed or gone):
            return []
        people = self._feed.people()
        rows = [row(one.session, one.attention, people, full=self._full) for one in changed]
        return [encode_message("sessions", whole=before is None, gone=gone, rows=rows)]

    def shows(self, message: PageMessage) -> bool:
        """Whether it already shows what a message asks for."""
        return (self._with_ended, self._full) == (message.ended, message.full)


class SplitView(View):
    """A session next to the list, which stays when another is opened."""

    def __init__(self, rows: SessionListView, detail: SessionDetailView) -> None:
        self.rows = rows
        self._detail = detail

    async def new_messages(self) -> list[bytes]:
        """Return the changes of both; only reading the session may raise."""
        changes = await self._detail.new_messages()
        return [*await self.rows.new_messages(), *changes]


DEAD_EVERY_S = 1.0
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
        #: Counts, newest id, and whether a receiver stopped: every change of what is shown changes one of them.
        self._seen: tuple[int, str, int, int] | None = None

    async def new_messages(self) -> list[bytes]:
        """Return all dead letters to show, if one was added or removed."""
        if self._clock.monotonic_s() < self._poll_at_s:
            return []
        messages = await self._redis.run(self._read)
        self._poll_at_s = self._clock.monotonic_s() + DEAD_EVERY_S
        return messages

    async def _read(self, reader: SessionReader) -> list[bytes]:
        letters = DeadLetters(reader.client, reader.keys)
        newest = await letters.newest(1)
        sending = await OutcomeQueue(reader.client, reader.keys).read_state()
        count = await letters.count()
        seen = count, newest[0].id if newest else "", sending.undelivered, sending.stopped_at_ms
        if seen == self._seen:
            return []
        shown = await letters.newest(SHOWN_MAX, self._reason, full=self._full)
        groups = await letters.groups()
        self._seen = seen
        outcomes = {
            "undelivered": await letters.undelivered(SHOWN_MAX, full=self._full),
            "undelivered_count": sending.undelivered,
            "stopped_at": to_iso(sending.stopped_at_ms),
        }
        return [encode_message("dead", reason=self._reason, letters=shown, groups=groups, count=count, **outcomes)]


class HealthView(View):
    """The health as sent to one page."""

    def __init__(self, health: SharedResult[bytes]) -> None:
        self._health = health

    async def new_messages(self) -> list[bytes]:
        """Return the health, if it has changed."""
        return self._if_changed(await self._health())


#: Interval for reading the last hour's outcomes, and the health for pages that don't show it, seconds.
TRANSFER_STATS_EVERY_S = 5.0
#: Window for rates, in seconds; processes publish their counters every other second.
RATES_OVER_S = 10.0


class ViewFactory:
    """Creates views, and reads what all pages share."""

    def __init__(self, feed: SessionFeed, redis: RedisAccess, clock: Clock, reports: DayReports) -> None:
        self._reports = reports
        self.feed = feed
        self.redis = redis
        self._clock = clock
        #: The message with the summary above the list of sessions; it may raise StoreError, as `health` may.
        self.summary = SharedResult(self._read_summary)
        self._transfer_stats = SharedResult(self._read_transfer_stats, TRANSFER_STATS_EVERY_S)
        self._urgent_tasks = SharedResult(self._count_tasks, TRANSFER_STATS_EVERY_S)
        #: The message with the health of workers, partitions, and Redis.
        self.health = SharedResult(self._read_health)
        self._recent_health: deque[Health] = deque()

    def make(self, message: PageMessage, token: Token, before: View | None) -> View:
        """Return the requested view, with what the token may do.

        The list of the view `before` goes on if it is what the page asks for: then it needs no rows again.
        """
        match message.view:
            case "session":
                detail = SessionDetailView(self.feed, self.redis, self._clock, message, token)
                return SplitView(self._make_list(message, before), detail) if message.with_list else detail
            case "agents":
                return AgentsView(self.feed, self.redis, self._clock, self._reports, message)
            case "health":
                return HealthView(self.health)
            case "dead":
                return DeadLettersView(self.redis, self._clock, message.reason, full=message.full)
            case _:
                return self._make_list(message, before)

    def _make_list(self, message: PageMessage, before: View | None) -> SessionListView:
        known = before.rows if isinstance(before, SplitView) else before
        if isinstance(known, SessionListView) and known.shows(message):
            return known
        return SessionListView(self.feed, with_ended=message.ended, full=message.full)

    async def _read_summary(self) -> bytes:
        return encode_message(
            "summary",
            counts=statistics.count_sessions((kept.session, kept.attention) for kept in self.feed.live.values()),
            hour=await self._transfer_stats(),
            dead=await self.redis.run(lambda reader: DeadLetters(reader.client, reader.keys).count()),
            tasks=await self._urgent_tasks(),
            lost_workers=await self.redis.run(lambda reader: read_lost_workers(reader.client, reader.keys)),
        )

    async def _read_transfer_stats(self) -> TransferStats:
        return await self.redis.run(lambda reader: read_last_hour(reader, self.feed.now_ms()))

    async def _read_health(self) -> bytes:
        """Return health, and rates since the oldest recent snapshot."""
        found = await self.redis.run(health.read_health)
        # Drop snapshots outside of the window, including later ones after a clock was set back.
        while self._recent_health and not 0 < found.at_ms - self._recent_health[0].at_ms <= RATES_OVER_S * 1000:
            self._recent_health.popleft()
        rates = health.rates(self._recent_health[0], found) if self._recent_health else None
        self._recent_health.append(found)
        shown = to_json_object(found) | {"tasks": health_tasks(found)}
        return encode_message("health", **shown, rates=rates)

    async def _count_tasks(self) -> int:
        found = health_tasks(await self.redis.run(health.read_health))
        return sum(one.kind == "bad" for one in found)
