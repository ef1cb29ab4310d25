"""One session: how it stands, what has happened to it, what it waits for, and what it can be told to do."""

import re
from collections.abc import Sequence
from dataclasses import replace

from conferral.console.log_cache import CachedLog, LogCache
from conferral.console.messages import encode_message, encode_message_with_lists
from conferral.console.redaction import redact_fields
from conferral.console.redis_access import RedisAccess
from conferral.console.session_feed import SessionFeed, is_session
from conferral.console.session_rows import attention_mark
from conferral.operations import audibility, explanation, known_destinations, session_summary, wording
from conferral.operations.attention import Attention, attention_of
from conferral.operations.command_forms import CommandForm, command_forms
from conferral.operations.explanation import Explanation
from conferral.operations.history import replay
from conferral.operations.pending import Wait
from conferral.operations.session_queries import Fields, SessionQueries
from conferral.runtime.clock import Clock

#: How often it is read though its partition has committed nothing, seconds: sentences with times in them grow old.
READ_EVERY_S = 2.0
#: Reading may take this part of the time at most: a very long log is read less often.
BUSY_MAX = 0.2
#: What the id of a log entry looks like.
_ENTRY_ID = re.compile(r"(\d{1,20})-(\d{1,20})")
#: Where Twilio's own pages tell of calls and conferences. They lead on to wherever an account's pages are.
_TWILIO_CONSOLE = "https://www.twilio.com/console/voice"
_SID = re.compile(r"(CA|CF)[0-9a-fA-F]{32}")


def parse_entry_id(entry_id: str) -> tuple[int, int] | None:
    """The place of an entry in its stream; None where it is no id."""
    found = _ENTRY_ID.fullmatch(entry_id)
    return (int(found[1]), int(found[2])) if found else None


class SessionDetailView:
    """What one page has been told of one session."""

    with_ended = False

    def __init__(
        self,
        feed: SessionFeed,
        redis: RedisAccess,
        log_cache: LogCache,
        clock: Clock,
        named: str,
        *,
        after: str,
        as_of: int | None,
        full: bool,
        command_line: str,
    ) -> None:
        """Has told nothing yet.

        Args:
            feed: Knows which partitions have committed something.
            redis: Of Redis.
            log_cache: That pages share.
            clock: Of this machine.
            named: The session's id, or the SID of one of its calls.
            after: Id of the last log entry that the page knows; empty for none.
            as_of: The version at which it is shown; None for as it is now.
            full: Whether numbers are whole.
            command_line: How this program is called, in lines to be copied.
        """
        self._feed = feed
        self._redis = redis
        self._log_cache = log_cache
        self._clock = clock
        self._named = named
        self._after = parse_entry_id(after)
        self._as_of = as_of
        self._full = full
        self._command_line = command_line
        self._id = ""
        self._partition = 0
        self._seen_revision = -1
        self._next_read_s = 0.0
        self._not_before_s = 0.0
        self._log = CachedLog("", full=full)
        #: How many entries of the log the page was told of; None before the first time (count).
        self._sent_entries: int | None = None
        #: Of which beginning of the history that was.
        self._log_generation = 0
        #: What the page was told last was made from: the record, and how many entries of which beginning of the log.
        self._seen: tuple[Fields, int, int] = ({}, 0, 0)
        self._sent = b""

    async def new_messages(self) -> list[bytes]:
        """The session when anything about it has changed, and what is new in its log."""
        now_s, revision = self._clock.monotonic_s(), self._feed.partition_revision(self._partition)
        is_due = now_s >= self._next_read_s or (self._id and revision != self._seen_revision)
        if not is_due or now_s < self._not_before_s:
            return []
        if not self._id:
            self._id = await self._redis.run(self._find_session)
            self._log = self._log_cache.get(self._id, full=self._full)
            self._log_generation = self._log.generation
        messages = await self._read()
        self._seen_revision, self._next_read_s = revision, now_s + READ_EVERY_S
        self._not_before_s = now_s + (self._clock.monotonic_s() - now_s) / BUSY_MAX
        return messages

    async def _find_session(self, reader: SessionQueries) -> str:
        found = await reader.find_exact(self._named)
        self._partition = reader.keys.partition_of(found)
        return found

    async def _read(self) -> list[bytes]:
        if not self._id:
            return self._if_changed(encode_message("session", id=self._named, asked=self._named, known=False))
        fields = await self._redis.run(lambda reader: reader.read_session(self._id))
        await self._log.read(self._redis)
        if not is_session(fields):
            self._seen = ({}, 0, 0)
            return self._if_changed(encode_message("session", id=self._id, asked=self._named, known=False))
        news = self._new_log_messages()
        seen = (fields, len(self._log.log), self._log.generation)
        if self._as_of is not None and seen == self._seen:
            return []  # the past stays as it was, and to make it out takes a while
        self._seen = seen
        return self._if_changed(self._message(fields)) + news

    def _if_changed(self, message: bytes) -> list[bytes]:
        if message == self._sent:
            return []
        self._sent = message
        return [message]

    # ---- its log -------------------------------------------------------------------------------------------------

    def _new_log_messages(self) -> list[bytes]:
        """The message with moments that are new, and with those of which more is known than the page was told."""
        history = self._log
        known = self._entries_page_has() if self._sent_entries is None else self._sent_entries
        is_anew = self._log_generation != history.generation
        if is_anew:
            known = 0
        elif known == len(history.log):
            return []
        self._sent_entries, self._log_generation = len(history.log), history.generation
        # Whole: the page drops what it has kept.
        return [
            encode_message_with_lists("log", {"entries": history.messages_after(known)}, id=self._id, whole=known == 0)
        ]

    def _entries_page_has(self) -> int:
        """How many entries the page has kept from before: it names the last one. None where that is gone meanwhile."""
        places = [parse_entry_id(entry.entry_id) for entry in self._log.log]
        return places.index(self._after) + 1 if self._after is not None and self._after in places else 0

    # ---- how it stands -------------------------------------------------------------------------------------------

    def _message(self, fields: Fields) -> bytes:
        if self._as_of is not None:
            return self._past_message(fields, self._as_of)
        now_ms, history = self._feed.now_of(fields), self._log
        explained = explanation.explain_damage(fields, command_line=self._command_line) or explanation.explain(
            fields, history.log, now_ms, moments=history.entries, full=self._full, command_line=self._command_line
        )
        # A page counts down by Redis's time, of which it is told with every tick.
        ahead_ms = self._feed.clock_offset_ms(fields)
        explained = replace(explained, waits=tuple(_shifted(wait, ahead_ms) for wait in explained.waits))
        return self._encode(
            fields,
            explained,
            buttons=command_forms(fields),
            attention=attention_of(fields, now_ms),
        )

    def _past_message(self, fields: Fields, version: int) -> bytes:
        """How it stood at a version, without what could have been done then."""
        history = self._log
        then = replay.at_version(history.log, version, fields)
        log = [entry for entry, one in zip(history.log, history.entries, strict=True) if one.version <= version]
        at_ms = wording.parse_time_ms(log[-1]["at"]) if log else self._feed.now_ms()
        explained = replace(explanation.explain(then, log, at_ms, full=self._full), suggestions=())
        return self._encode(then, explained, buttons=(), attention=None)

    def _encode(
        self, fields: Fields, explained: Explanation, *, buttons: Sequence[CommandForm], attention: Attention | None
    ) -> bytes:
        return encode_message(
            "session",
            id=self._id,
            asked=self._named,
            known=True,
            as_of=self._as_of,
            fields=redact_fields(fields, full=self._full),
            parties=_parties(fields, full=self._full),
            standing=explained.summary,
            waits=explained.waits,
            comes_by_itself=explained.upcoming,
            first_failure=explained.first_failure,
            helps=explained.suggestions,
            buttons=buttons,
            links=_links(fields),
            trouble=attention_mark(attention),
            destinations=[
                one
                for one in self._feed.known_destinations(full=self._full)
                if one not in known_destinations.connected_addresses(fields)
            ],
        )


def _shifted(wait: Wait, by_ms: int) -> Wait:
    since_ms, comes_at_ms = (at_ms and at_ms - by_ms for at_ms in (wait.since_ms, wait.comes_at_ms))
    return replace(wait, since_ms=since_ms, comes_at_ms=comes_at_ms)


def _parties(fields: Fields, *, full: bool) -> list[dict[str, object]]:
    """Those who take part or took part, with what each hears."""
    heard = {one.party: one for one in audibility.audibility(fields)}
    found: list[dict[str, object]] = []
    for party in wording.party_names(fields):
        of = {name: fields.get(f"party.{party}.{name}", "") for name in ("status", "address", "call_sid", "label")}
        hears = heard.get(party)
        sentence = hears.text if hears else ", ".join((of["status"], *session_summary.party_notes(fields, party)))
        found.append(
            {
                "name": party,
                **of,
                "address": wording.display_address(of["address"], full=full),
                "held": fields.get(f"party.{party}.held") == "true",
                "muted": fields.get(f"party.{party}.muted") == "true",
                "words": sentence,
                "hears": hears.hears if hears else (),
            }
        )
    return found


def _links(fields: Fields) -> dict[str, str]:
    """Twilio's own page of each call and of the conference, by SID: as far as they are Twilio's."""
    named = [
        fields.get("conference_sid", ""),
        *(fields.get(f"party.{p}.call_sid", "") for p in wording.party_names(fields)),
    ]
    return {
        sid: f"{_TWILIO_CONSOLE}/{'calls' if sid.startswith('CA') else 'conferences'}/logs/{sid}"
        for sid in named
        if _SID.fullmatch(sid)
    }
