"""One session: how it stands, what has happened to it, what it waits for, and what it can be told to do."""

import re
from collections.abc import Sequence
from dataclasses import replace

from conferral.console.histories import Histories, SharedHistory
from conferral.console.looker import Looker, is_session
from conferral.console.messages import joined, told
from conferral.console.rows import mark
from conferral.console.shown import shown
from conferral.console.store import Store
from conferral.operations import destinations, explaining, hearing, replaying, standing, words
from conferral.operations.buttons import Button, buttons
from conferral.operations.explaining import Explanation
from conferral.operations.reader import Fields, Reader
from conferral.operations.trouble import Trouble, trouble_of
from conferral.operations.waiting import Wait
from conferral.runtime.clock import Clock

#: How often it is read though its partition has committed nothing, seconds: sentences with times in them grow old.
READ_EVERY_S = 2.0
#: Reading may take this part of the time at most: a very long log is read less often.
BUSY_MOST = 0.2
#: What the id of a log entry looks like.
_ENTRY_ID = re.compile(r"(\d{1,20})-(\d{1,20})")
#: Where Twilio's own pages tell of calls and conferences. They lead on to wherever an account's pages are.
_TWILIO = "https://www.twilio.com/console/voice"
_SID = re.compile(r"(CA|CF)[0-9a-fA-F]{32}")


def place_of(entry_id: str) -> tuple[int, int] | None:
    """The place of an entry in its stream; None where it is no id."""
    found = _ENTRY_ID.fullmatch(entry_id)
    return (int(found[1]), int(found[2])) if found else None


class SessionView:
    """What one page has been told of one session."""

    with_ended = False

    def __init__(
        self,
        looker: Looker,
        store: Store,
        histories: Histories,
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
            looker: Knows which partitions have committed something.
            store: Of Redis.
            histories: That pages share.
            clock: Of this machine.
            named: The session's id, or the SID of one of its calls.
            after: Id of the last log entry that the page knows; empty for none.
            as_of: The version at which it is shown; None for as it is now.
            full: Whether numbers are whole.
            command_line: How this program is called, in lines to be copied.
        """
        self._looker = looker
        self._store = store
        self._histories = histories
        self._clock = clock
        self._named = named
        self._after = place_of(after)
        self._as_of = as_of
        self._full = full
        self._command_line = command_line
        self._id = ""
        self._partition = 0
        self._seen_revision = -1
        self._next_read_s = 0.0
        self._not_before_s = 0.0
        self._history = SharedHistory("", full=full)
        #: How many entries of the log the page was told of; None before the first time (count).
        self._known: int | None = None
        #: Of which beginning of the history that was.
        self._beginning = 0
        #: What the page was told last was made from: the record, and how many entries of which beginning of the log.
        self._seen: tuple[Fields, int, int] = ({}, 0, 0)
        self._told = b""

    async def news(self) -> list[bytes]:
        """The session when anything about it has changed, and what is new in its log."""
        now_s, revision = self._clock.monotonic_s(), self._looker.partition_revision(self._partition)
        is_due = now_s >= self._next_read_s or (self._id and revision != self._seen_revision)
        if not is_due or now_s < self._not_before_s:
            return []
        if not self._id:
            self._id = await self._store.ask(self._find)
            self._history = self._histories.of(self._id, full=self._full)
            self._beginning = self._history.beginnings
        messages = await self._read()
        self._seen_revision, self._next_read_s = revision, now_s + READ_EVERY_S
        self._not_before_s = now_s + (self._clock.monotonic_s() - now_s) / BUSY_MOST
        return messages

    async def _find(self, reader: Reader) -> str:
        found = await reader.look_for(self._named)
        self._partition = reader.keys.partition_of(found)
        return found

    async def _read(self) -> list[bytes]:
        if not self._id:
            return self._changed(told("session", id=self._named, asked=self._named, known=False))
        fields = await self._store.ask(lambda reader: reader.session(self._id))
        await self._history.read(self._store)
        if not is_session(fields):
            self._seen = ({}, 0, 0)
            return self._changed(told("session", id=self._id, asked=self._named, known=False))
        news = self._news_of_log()
        seen = (fields, len(self._history.log), self._history.beginnings)
        if self._as_of is not None and seen == self._seen:
            return []  # the past stays as it was, and to make it out takes a while
        self._seen = seen
        return self._changed(self._message(fields)) + news

    def _changed(self, message: bytes) -> list[bytes]:
        if message == self._told:
            return []
        self._told = message
        return [message]

    # ---- its log -------------------------------------------------------------------------------------------------

    def _news_of_log(self) -> list[bytes]:
        """The message with moments that are new, and with those of which more is known than the page was told."""
        history = self._history
        known = self._known_at_first() if self._known is None else self._known
        is_anew = self._beginning != history.beginnings
        if is_anew:
            known = 0
        elif known == len(history.log):
            return []
        self._known, self._beginning = len(history.log), history.beginnings
        # Whole: the page drops what it has kept.
        return [joined("log", {"entries": history.news_for(known)}, id=self._id, whole=known == 0)]

    def _known_at_first(self) -> int:
        """How many entries the page has kept from before: it names the last one. None where that is gone meanwhile."""
        places = [place_of(entry.entry_id) for entry in self._history.log]
        return places.index(self._after) + 1 if self._after is not None and self._after in places else 0

    # ---- how it stands -------------------------------------------------------------------------------------------

    def _message(self, fields: Fields) -> bytes:
        if self._as_of is not None:
            return self._message_of_then(fields, self._as_of)
        now_ms, history = self._looker.now_of(fields), self._history
        explained = explaining.explain_damage(fields, command_line=self._command_line) or explaining.explain(
            fields, history.log, now_ms, moments=history.moments, full=self._full, command_line=self._command_line
        )
        # A page counts down by Redis's time, of which it is told with every tick.
        ahead_ms = self._looker.ahead_ms(fields)
        explained = replace(explained, waits=tuple(_earlier(wait, ahead_ms) for wait in explained.waits))
        return self._told_of(
            fields,
            explained,
            buttons=buttons(fields),
            trouble=trouble_of(fields, now_ms),
        )

    def _message_of_then(self, fields: Fields, version: int) -> bytes:
        """How it stood at a version, without what could have been done then."""
        history = self._history
        then = replaying.at_version(history.log, version, fields)
        log = [entry for entry, one in zip(history.log, history.moments, strict=True) if one.version <= version]
        at_ms = words.time_ms(log[-1]["at"]) if log else self._looker.now_ms()
        explained = replace(explaining.explain(then, log, at_ms, full=self._full), helps=())
        return self._told_of(then, explained, buttons=(), trouble=None)

    def _told_of(
        self, fields: Fields, explained: Explanation, *, buttons: Sequence[Button], trouble: Trouble | None
    ) -> bytes:
        return told(
            "session",
            id=self._id,
            asked=self._named,
            known=True,
            as_of=self._as_of,
            fields=shown(fields, full=self._full),
            parties=_parties(fields, full=self._full),
            standing=explained.standing,
            waits=explained.waits,
            comes_by_itself=explained.comes_by_itself,
            first_failure=explained.first_failure,
            helps=explained.helps,
            buttons=buttons,
            links=_links(fields),
            trouble=mark(trouble),
            destinations=[
                one for one in self._looker.destinations(full=self._full) if one not in destinations.there(fields)
            ],
        )


def _earlier(wait: Wait, by_ms: int) -> Wait:
    since_ms, comes_at_ms = (at_ms and at_ms - by_ms for at_ms in (wait.since_ms, wait.comes_at_ms))
    return replace(wait, since_ms=since_ms, comes_at_ms=comes_at_ms)


def _parties(fields: Fields, *, full: bool) -> list[dict[str, object]]:
    """Those who take part or took part, with what each hears."""
    heard = {one.party: one for one in hearing.hearing(fields)}
    found: list[dict[str, object]] = []
    for party in words.parties(fields):
        of = {name: fields.get(f"party.{party}.{name}", "") for name in ("status", "address", "call_sid", "label")}
        hears = heard.get(party)
        told_of = hears.words if hears else ", ".join((of["status"], *standing.party_notes(fields, party)))
        found.append(
            {
                "name": party,
                **of,
                "address": words.address(of["address"], full=full),
                "held": fields.get(f"party.{party}.held") == "true",
                "muted": fields.get(f"party.{party}.muted") == "true",
                "words": told_of,
                "hears": hears.hears if hears else (),
            }
        )
    return found


def _links(fields: Fields) -> dict[str, str]:
    """Twilio's own page of each call and of the conference, by SID: as far as they are Twilio's."""
    named = [fields.get("conference_sid", ""), *(fields.get(f"party.{p}.call_sid", "") for p in words.parties(fields))]
    return {
        sid: f"{_TWILIO}/{'calls' if sid.startswith('CA') else 'conferences'}/logs/{sid}"
        for sid in named
        if _SID.fullmatch(sid)
    }
