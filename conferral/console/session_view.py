"""One session as a page displays it: parties, log, buttons."""

import re
from collections.abc import Sequence

from conferral.commands.forms import CommandForm, command_forms
from conferral.console.messages import attention_mark, encode_message, fields_of
from conferral.console.page_view import PageMessage, View
from conferral.console.session_feed import SessionFeed
from conferral.operations.explain import explanation, people
from conferral.operations.explain.attention import Attention, attention_of
from conferral.operations.explain.explanation import Explanation
from conferral.operations.explain.naming import with_names
from conferral.operations.explain.people import headline
from conferral.operations.explain.timeline import TimelineEntry, build_timeline
from conferral.operations.redis_access import RedisAccess
from conferral.runtime.clock import Clock
from conferral.runtime.redaction import display_address
from conferral.runtime.web.tokens import Token
from conferral.statemachine.session import Session
from conferral.storage.agents import Agent, Agents
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.codecs.text_codec import to_iso
from conferral.storage.queries.session_reader import SessionReader

#: Read interval without commits in its partition: sentences with times grow stale.
READ_EVERY_S = 2.0
#: Parties between which the page draws who hears whom (count, as in parts/parties.js).
DRAWN_MAX = 12
#: These pages redirect to the account's own.
_TWILIO_CONSOLE = "https://www.twilio.com/console/voice"
#: Suggestions that change nothing.
_READING = frozenset({"check"})
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
        self._desks: Sequence[Agent] = ()
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

    async def _find_session(self, reader: SessionReader) -> str:
        """Return the named session's id, empty if unknown; keep its partition."""
        found = await reader.find_exact(self._asked.id or "")
        self._partition = reader.keys.partition_of(found)
        return found

    async def _read_messages(self) -> list[bytes]:
        session, asked = None, self._asked.id
        if self._id:
            session = await self._redis.run(lambda reader: reader.read_session(self._id))
        if session is None:
            return self._if_changed(encode_message("session", id=self._id or asked, asked=asked, known=False))
        log = await self._redis.run(lambda reader: reader.log(self._id))
        self._desks = await self._redis.run(lambda reader: Agents(reader.client, reader.keys).read(self._feed.now_ms()))
        moments = build_timeline(log, full=self._full)
        return [*self._if_changed(self._session_message(session, moments)), *self._log_messages(log, moments)]

    def _log_messages(self, log: list[LogEntry], moments: Sequence[TimelineEntry]) -> list[bytes]:
        """Return the message with new and updated entries, if there are any.

        If the newest known entry is gone, Redis lost writes or the session was erased: the page gets the whole log,
        so that it doesn't show entries that no longer exist.
        """
        ids, sent = [entry.id for entry in log], self._sent_log
        if sent is None:  # the page may have kept the log up to an entry that it names
            kept = log[: ids.index(self._asked.after) + 1] if self._asked.after in ids else []
            sent = {moment.entry.id: moment for moment in build_timeline(kept, full=self._full)}
        is_reloaded = bool(sent) and next(reversed(sent)) not in ids
        if is_reloaded:
            sent = {}
        self._sent_log = dict(zip(ids, moments, strict=True))
        changed = [moment for moment in moments if sent.get(moment.entry.id) != moment]
        if not changed and not is_reloaded:
            return []
        return [encode_message("log", id=self._id, whole=not sent, entries=[moment.public() for moment in changed])]

    def _session_message(self, session: Session, moments: Sequence[TimelineEntry]) -> bytes:
        now_ms = self._feed.now_ms()
        explained = explanation.explain(
            session,
            moments,
            now_ms,
            names=self._feed.people(),
            full=self._full,
            clock=to_iso,
            has_worker=self._feed.has_worker,
        )
        buttons = [form for form in command_forms(session) if form.type in self._token.may]
        return self._encode(session, explained, buttons=buttons, attention=attention_of(session, now_ms, to_iso))

    def _encode(
        self,
        session: Session,
        explained: Explanation,
        *,
        buttons: Sequence[CommandForm],
        attention: Attention | None,
    ) -> bytes:
        present = {party.address for party in session.present.values()}
        shown = with_names(session, self._feed.people())
        return encode_message(
            "session",
            id=self._id,
            asked=self._asked.id,
            known=True,
            fields=fields_of(session, full=self._full),
            parties=parties_of(session, shown, full=self._full),
            people=people.people_line(shown, full=self._full),
            headline=headline(shown, full=self._full),
            held=people.held_call(session),
            summary=explained.summary,
            waits=explained.waits,
            first_failure=explained.first_failure,
            suggestions=[one for one in explained.suggestions if one.command in self._token.may | _READING],
            buttons=buttons,
            links=links_of(session),
            trouble=attention_mark(attention),
            # The addresses of present parties aren't useful transfer targets.
            destinations=[
                one for one in self._feed.known_destinations(present, self._desks) if self._token.may_name(one.to)
            ],
        )


def parties_of(session: Session, shown: Session, *, full: bool) -> list[dict[str, object]]:
    """Return what a page shows of each party, with whom it hears.

    `shown` has the names of agents.
    """
    heard = {one.party: one for one in people.audibility(session)}
    since_ms = {one.party.name: one.since_ms for one in people.activities(session)}
    is_drawn = len(heard) <= DRAWN_MAX
    return [
        {
            "name": name,
            "status": party.status,
            "address": display_address(party.address, full=full),
            "call_sid": party.call_sid,
            "label": party.label,
            "held": party.held,
            "muted": party.muted,
            "person": people.person(shown.parties[name], full=full),
            "since": to_iso(since_ms.get(name) or people.party_since_ms(session, party)),
            "words": heard[name].text
            if name in heard
            else ", ".join((party.status, *people.party_notes(session, party))),
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
