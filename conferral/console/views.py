"""What pages display: sessions, one session, health, dead letters."""

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from conferral.console.dashboard import Dashboard
from conferral.console.messages import attention_mark, encode_message, encode_message_with_lists, redact_fields, row
from conferral.console.redis_access import RedisAccess
from conferral.console.session_feed import CachedSession, SessionFeed
from conferral.console.session_log import SessionLog
from conferral.operations import explanation, replay, session_summary, wording
from conferral.operations.attention import Attention, attention_of
from conferral.operations.command_forms import CommandForm, command_forms
from conferral.operations.dead_letters import DeadLetters
from conferral.operations.explanation import Explanation
from conferral.operations.session_queries import Fields, SessionQueries
from conferral.runtime.clock import Clock
from conferral.statemachine.ids import NAME_PATTERN
from conferral.statemachine.session import Session
from conferral.storage.codecs.session_codec import StoredSession, stored_session
from conferral.storage.codecs.text_codec import to_iso
from conferral.storage.queries.dead_letters import REASON_MAX

_Id = Annotated[str, Field(pattern=f"^{NAME_PATTERN.pattern}$", max_length=64)]


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

    #: Whether it includes ended sessions.
    with_ended = False
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
_SID = re.compile(r"(CA|CF)[0-9a-fA-F]{32}")


class SessionDetailView(View):
    """One session as sent to one page."""

    def __init__(self, feed: SessionFeed, redis: RedisAccess, clock: Clock, message: PageMessage) -> None:
        self._feed = feed
        self._redis = redis
        self._clock = clock
        #: The session's id, or the SID of one of its calls.
        self._named = message.id or ""
        #: Id of the last log entry that the page has; empty for none.
        self._after = message.after
        #: The version to show; None for the current one.
        self._as_of = message.as_of
        self._full = message.full
        self._id = ""
        self._partition = 0
        self._seen_mark = ""
        self._next_read_s = 0.0
        self._log = SessionLog("", after="", full=self._full)
        #: The hash from which the last message was built.
        self._seen: Fields = {}

    async def new_messages(self) -> list[bytes]:
        """Return the session if it has changed, and new log entries."""
        now_s, mark = self._clock.monotonic_s(), self._feed.commit_mark(self._partition)
        is_due = now_s >= self._next_read_s or (self._id and mark != self._seen_mark)
        if not is_due:
            return []
        if not self._id:
            self._id = await self._redis.run(self._find_session)
            self._log = SessionLog(self._id, after=self._after, full=self._full)
        messages = await self._read_messages()
        self._seen_mark, self._next_read_s = mark, now_s + READ_EVERY_S
        return messages

    async def _find_session(self, reader: SessionQueries) -> str:
        """Return the named session's id, empty if unknown; keep its partition."""
        found = await reader.find_exact(self._named)
        self._partition = reader.keys.partition_of(found)
        return found

    async def _read_messages(self) -> list[bytes]:
        if not self._id:
            return self._if_changed(encode_message("session", id=self._named, asked=self._named, known=False))
        session = await self._redis.run(lambda reader: reader.read_session(self._id))
        if not session.is_known:
            self._seen = {}
            return self._if_changed(encode_message("session", id=self._id, asked=self._named, known=False))
        log_messages = await self._log.new_messages(self._redis)
        if self._as_of is not None and not log_messages and session.fields == self._seen:
            return []  # a past version doesn't change, and is expensive to compute
        self._seen = session.fields
        return self._if_changed(self._session_message(session)) + log_messages

    def _session_message(self, session: StoredSession) -> bytes:
        if self._as_of is not None:
            return self._past_message(session, self._as_of)
        now_ms, history = self._feed.now_ms(), self._log
        explained = explanation.explain_damage(session) or explanation.explain(
            session,
            history.log,
            now_ms,
            moments=history.entries,
            full=self._full,
            clock=to_iso,
            has_worker=self._feed.has_worker,
        )
        return self._encode(session, explained, buttons=command_forms(session), attention=attention_of(session, now_ms))

    def _past_message(self, session: StoredSession, version: int) -> bytes:
        """Return the session as of a version, without commands."""
        history = self._log
        then = stored_session(replay.at_version(history.log, version, session.fields))
        log = [entry for entry, one in zip(history.log, history.entries, strict=True) if one.version <= version]
        at_ms = wording.parse_time_ms(log[-1]["at"]) if log else self._feed.now_ms()
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
            asked=self._named,
            known=True,
            as_of=self._as_of,
            fields=redact_fields(session.fields, full=self._full),
            parties=parties_of(session, full=self._full),
            people=session_summary.people_line(session, full=self._full),
            summary=explained.summary,
            waits=explained.waits,
            first_failure=explained.first_failure,
            suggestions=explained.suggestions,
            buttons=buttons,
            links=links_of(session),
            trouble=attention_mark(attention),
            # The addresses of present parties aren't useful transfer targets.
            destinations=[one for one in self._feed.known_destinations(full=self._full) if one not in present],
        )


def parties_of(session: Session, *, full: bool) -> list[dict[str, object]]:
    """Return what a page shows of each party, with whom it hears."""
    heard = {one.party: one for one in session_summary.audibility(session)}
    is_drawn = len(heard) <= DRAWN_MAX
    return [
        {
            "name": name,
            "status": party.status,
            "address": wording.display_address(party.address, full=full),
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


#: Rows encoded at a time (count); other tasks run in between.
ROWS_PER_MESSAGE = 200


class SessionListView(View):
    """The list as sent to one page."""

    def __init__(self, feed: SessionFeed, *, with_ended: bool, full: bool) -> None:
        self.with_ended = with_ended
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
        now = self._shown = self._feed.sessions(with_ended=self.with_ended or not self._feed.has_live)
        known = before or {}
        changed = [one for name, one in now.items() if known.get(name) is not one]
        gone = [name for name in known if name not in now]
        if before is not None and not (changed or gone):
            return []
        rows = await self._rows(changed)
        return [encode_message_with_lists("sessions", {"rows": rows}, whole=before is None, gone=gone)]

    async def _rows(self, kept: Sequence[CachedSession]) -> list[bytes]:
        found: list[bytes] = []
        for start in range(0, len(kept), ROWS_PER_MESSAGE):
            found += [
                row(one.session, one.attention, full=self._full) for one in kept[start : start + ROWS_PER_MESSAGE]
            ]
            if start + ROWS_PER_MESSAGE < len(kept):
                await asyncio.sleep(0)
        return found


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
        #: Count and newest id: every addition or removal changes one of them.
        self._seen: tuple[int, str] | None = None

    async def new_messages(self) -> list[bytes]:
        """Return all dead letters to show, if one was added or removed."""
        if self._clock.monotonic_s() < self._poll_at_s:
            return []
        messages = await self._poll()
        self._poll_at_s = self._clock.monotonic_s() + DEAD_EVERY_S
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

    def make(self, message: PageMessage) -> View:
        """Return the requested view with the summary."""
        return _WithSummary(self._make(message), self.feed, self._dashboard)

    def _make(self, message: PageMessage) -> View:
        match message.view:
            case "session":
                return SessionDetailView(self.feed, self.redis, self._clock, message)
            case "health":
                return HealthView(self._dashboard)
            case "dead":
                return DeadLettersView(self.redis, self._clock, message.reason, full=message.full)
            case _:
                return SessionListView(self.feed, with_ended=message.ended, full=message.full)


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
