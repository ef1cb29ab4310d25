"""What pages display: sessions, one session, health, dead letters."""

import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from conferral.commands.forms import CommandForm, command_forms
from conferral.console.messages import attention_mark, encode_message, redact_fields, row, to_json_value
from conferral.console.session_feed import CachedSession, SessionFeed
from conferral.operations import descriptions, explanation, health, replay, session_summary, statistics
from conferral.operations.attention import Attention, attention_of
from conferral.operations.dead_letters import DeadLetters
from conferral.operations.explanation import Explanation
from conferral.operations.health import Health
from conferral.operations.redis_access import RedisAccess
from conferral.operations.session_queries import SessionQueries
from conferral.operations.timeline import TimelineEntry, build_timeline
from conferral.outcomes.report import TransferStats, read_last_hour
from conferral.runtime.clock import Clock
from conferral.runtime.web.server import SharedResult
from conferral.runtime.web.tokens import Token
from conferral.statemachine.ids import NAME_PATTERN
from conferral.statemachine.session import Session
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.codecs.session_codec import UNKNOWN_SESSION, StoredSession, stored_session
from conferral.storage.codecs.text_codec import to_iso
from conferral.storage.outcome_queue import OutcomeQueue
from conferral.storage.queries.dead_letters import REASON_MAX

_Id = Annotated[str, Field(pattern=f"^{NAME_PATTERN.pattern}$")]


class PageMessage(BaseModel):
    """A page's message: the view that it shows, or a command to follow."""

    model_config = ConfigDict(strict=True, frozen=True)

    view: Literal["sessions", "session", "health", "dead"] | None = None
    #: Whether numbers are shown in full, and whether the list has ended sessions.
    full: bool = False
    ended: bool = False
    #: The session's id, or a call SID.
    id: _Id | None = None
    #: The last log entry that the page has, and the version to show.
    after: Annotated[str, Field(max_length=64)] = ""
    as_of: Annotated[int, Field(ge=0, lt=10**15)] | None = None
    #: Of the dead letters to show; all if empty.
    reason: Annotated[str, Field(max_length=REASON_MAX)] = ""
    follow: _Id | None = None
    #: The followed command's kind.
    type: Annotated[str, Field(max_length=32)] = ""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.follow is None and self.view is None:
            raise ValueError("view or follow is missing")
        if self.view == "session" and self.id is None:
            raise ValueError("id is missing")
        return self


class View(ABC):
    """What one page displays. It remembers what it has sent."""

    #: The summary last sent with it, for the banner of every page.
    sent_summary = b""
    _sent = b""

    @abstractmethod
    async def new_messages(self) -> list[bytes]:
        """Return messages about changes; if it raises StoreError, none is lost."""

    def _if_changed(self, message: bytes) -> list[bytes]:
        if message == self._sent:
            return []
        self._sent = message
        return [message]


#: Read interval without commits in its partition: sentences with times grow stale.
READ_EVERY_S = 2.0
#: Parties between which the page draws who hears whom (count, as in parts/parties.js).
DRAWN_MAX = 12
#: These pages redirect to the account's own.
_TWILIO_CONSOLE = "https://www.twilio.com/console/voice"
#: Suggestions that change nothing.
_READING = frozenset({"check", "replay"})
_SID = re.compile(r"(CA|CF)[0-9a-fA-F]{32}")


class SessionDetailView(View):
    """One session as sent to one page."""

    def __init__(self, feed: SessionFeed, redis: RedisAccess, clock: Clock, message: PageMessage, token: Token) -> None:
        self._token = token
        self._feed = feed
        self._redis = redis
        self._clock = clock
        self._asked = message
        self._full = message.full
        self._id = ""
        self._partition = 0
        self._seen_mark = ""
        self._next_read_s = 0.0
        #: The log's entries as the page has them, by id; None before the first message.
        self._sent_log: dict[str, TimelineEntry] | None = None

    async def new_messages(self) -> list[bytes]:
        """Return the session if it has changed, and new log entries."""
        now_s, mark = self._clock.monotonic_s(), self._feed.commit_mark(self._partition)
        is_due = now_s >= self._next_read_s or (self._id and mark != self._seen_mark)
        if not is_due:
            return []
        if not self._id:
            self._id = await self._redis.run(self._find_session)
        messages = await self._read_messages()
        self._seen_mark, self._next_read_s = mark, now_s + READ_EVERY_S
        return messages

    async def _find_session(self, reader: SessionQueries) -> str:
        """Return the named session's id, empty if unknown; keep its partition."""
        found = await reader.find_exact(self._asked.id or "")
        self._partition = reader.keys.partition_of(found)
        return found

    async def _read_messages(self) -> list[bytes]:
        session, asked = UNKNOWN_SESSION, self._asked.id
        if self._id:
            session = await self._redis.run(lambda reader: reader.read_session(self._id))
        if not session.is_known:
            return self._if_changed(encode_message("session", id=self._id or asked, asked=asked, known=False))
        log = await self._redis.run(lambda reader: reader.log(self._id))
        moments = build_timeline(log, full=self._full)
        return [*self._if_changed(self._session_message(session, log, moments)), *self._log_messages(log, moments)]

    def _log_messages(self, log: list[LogEntry], moments: Sequence[TimelineEntry]) -> list[bytes]:
        """Return the message with new and updated entries, if there are any.

        If the newest known entry is gone, Redis was rolled back or the session was erased: the page gets the whole log,
        so that it doesn't show entries that no longer exist.
        """
        ids, sent = [entry.id for entry in log], self._sent_log
        if sent is None:  # the page may have kept the log up to an entry that it names
            kept = log[: ids.index(self._asked.after) + 1] if self._asked.after in ids else []
            sent = {moment.entry_id: moment for moment in build_timeline(kept, full=self._full)}
        is_reloaded = bool(sent) and next(reversed(sent)) not in ids
        if is_reloaded:
            sent = {}
        self._sent_log = dict(zip(ids, moments, strict=True))
        changed = [moment for moment in moments if sent.get(moment.entry_id) != moment]
        if not changed and not is_reloaded:
            return []
        return [encode_message("log", id=self._id, whole=not sent, entries=changed)]

    def _session_message(self, session: StoredSession, log: list[LogEntry], moments: Sequence[TimelineEntry]) -> bytes:
        if self._asked.as_of is not None:
            return self._past_message(session, log, moments, self._asked.as_of)
        now_ms = self._feed.now_ms()
        explained = explanation.explain_damage(session) or explanation.explain(
            session,
            log,
            now_ms,
            moments=moments,
            full=self._full,
            clock=to_iso,
            has_worker=self._feed.has_worker,
        )
        buttons = [form for form in command_forms(session) if form.type in self._token.may]
        return self._encode(session, explained, buttons=buttons, attention=attention_of(session, now_ms))

    def _past_message(
        self, session: StoredSession, log: list[LogEntry], moments: Sequence[TimelineEntry], version: int
    ) -> bytes:
        """Return the session as of a version, without commands."""
        then = stored_session(replay.at_version(log, version, session.fields))
        log = [entry for entry, one in zip(log, moments, strict=True) if one.version <= version]
        at_ms = log[-1].at_ms if log else self._feed.now_ms()
        explained = replace(explanation.explain(then, log, at_ms, full=self._full, clock=to_iso), suggestions=())
        return self._encode(then, explained, buttons=(), attention=None)

    def _encode(
        self,
        session: StoredSession,
        explained: Explanation,
        *,
        buttons: Sequence[CommandForm],
        attention: Attention | None,
    ) -> bytes:
        present = {party.address for party in session.present.values()}
        return encode_message(
            "session",
            id=self._id,
            asked=self._asked.id,
            known=True,
            as_of=self._asked.as_of,
            fields=redact_fields(session.fields, full=self._full),
            parties=parties_of(session, full=self._full),
            people=session_summary.people_line(session, full=self._full),
            summary=explained.summary,
            waits=explained.waits,
            first_failure=explained.first_failure,
            suggestions=[one for one in explained.suggestions if one.command in self._token.may | _READING],
            buttons=buttons,
            links=links_of(session),
            trouble=attention_mark(attention),
            # The addresses of present parties aren't useful transfer targets.
            destinations=[
                one for one in self._feed.known_destinations(present, full=self._full) if self._token.may_name(one)
            ],
        )


def parties_of(session: Session, *, full: bool) -> list[dict[str, object]]:
    """Return what a page shows of each party, with whom it hears."""
    heard = {one.party: one for one in session_summary.audibility(session)}
    is_drawn = len(heard) <= DRAWN_MAX
    return [
        {
            "name": name,
            "status": party.status,
            "address": descriptions.display_address(party.address, full=full),
            "call_sid": party.call_sid,
            "label": party.label,
            "held": party.held,
            "muted": party.muted,
            "words": heard[name].text
            if name in heard
            else ", ".join((party.status, *session_summary.party_notes(session, party))),
            "hears": heard[name].hears if name in heard and is_drawn else (),
        }
        for name, party in session.parties.items()
    ]


def links_of(session: Session) -> dict[str, str]:
    """Return the pages about real Twilio SIDs, by SID."""
    named = [session.conference_sid, *(party.call_sid for party in session.parties.values())]
    return {
        sid: f"{_TWILIO_CONSOLE}/{'calls' if sid.startswith('CA') else 'conferences'}/logs/{sid}"
        for sid in named
        if _SID.fullmatch(sid)
    }


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
        rows = [row(one.session, one.attention, full=self._full) for one in changed]
        return [encode_message("sessions", whole=before is None, gone=gone, rows=rows)]


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

    async def _read(self, reader: SessionQueries) -> list[bytes]:
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


#: Interval for reading the last hour's outcomes, seconds.
TRANSFER_STATS_EVERY_S = 5.0
#: Window for rates, in seconds; processes publish their counters every other second.
RATES_OVER_S = 10.0


class ViewFactory:
    """Creates views, and reads what all pages share."""

    def __init__(self, feed: SessionFeed, redis: RedisAccess, clock: Clock) -> None:
        self.feed = feed
        self.redis = redis
        self._clock = clock
        #: The message with the summary above the list of sessions; it may raise StoreError, as `health` may.
        self.summary = SharedResult(self._read_summary)
        self._transfer_stats = SharedResult(self._read_transfer_stats, TRANSFER_STATS_EVERY_S)
        #: The message with the health of workers, partitions, and Redis.
        self.health = SharedResult(self._read_health)
        self._recent_health: deque[Health] = deque()

    def make(self, message: PageMessage, token: Token) -> View:
        """Return the requested view, with what the token may do."""
        match message.view:
            case "session":
                return SessionDetailView(self.feed, self.redis, self._clock, message, token)
            case "health":
                return HealthView(self.health)
            case "dead":
                return DeadLettersView(self.redis, self._clock, message.reason, full=message.full)
            case _:
                return SessionListView(self.feed, with_ended=message.ended, full=message.full)

    async def _read_summary(self) -> bytes:
        return encode_message(
            "summary",
            counts=statistics.count_sessions((kept.session, kept.attention) for kept in self.feed.live.values()),
            hour=await self._transfer_stats(),
            dead=await self.redis.run(lambda reader: DeadLetters(reader.client, reader.keys).count()),
            lost_workers=await self.redis.run(health.read_lost_workers),
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
        parts = to_json_value(found)
        assert isinstance(parts, dict)
        return encode_message("health", **parts, unassigned=found.unassigned, rates=rates)
