"""Read-only queries of sessions, logs, calls, and outcomes, in pages.

A cursor names a page's last item, so lists may change.
"""

import math
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from conferral.statemachine.ids import REFERENCE_PATTERN
from conferral.statemachine.session import Session
from conferral.statemachine.states import State
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.codecs.session_codec import CorruptHashError, for_readers, load
from conferral.storage.codecs.text_codec import decode_fields
from conferral.storage.connection.client import CHUNK, Client, as_store_errors, ask, run_each
from conferral.storage.entries import parse_entry_id
from conferral.storage.keys import Keys
from conferral.storage.server import server_time_ms

LIMIT_MAX = 500
#: Sessions scanned per page, count: if few match, the page stays short and its cursor continues.
SCANNED_MAX = 2_000
#: Sessions of a partition that ended last, count: more than can begin and end between two polls.
ENDED_LAST = 50

Fields = dict[str, str]
#: Accepts some sessions; None accepts all.
Where = Callable[[Session], bool] | None
_T = TypeVar("_T")

_SESSION = re.compile(rf"(?:live|ended-(?P<ended_ms>[0-9]{{1,16}}))-(?P<after>{REFERENCE_PATTERN.pattern})")
#: Ids are times of 13 digits; Redis refuses more than 64 bits, and 19 digits always fit.
LOG_CURSOR = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")


class BadCursorError(ValueError):
    """The text is not a cursor of the list."""

    def __init__(self) -> None:
        super().__init__("cursor must be that of the page before")


class SessionCursor(NamedTuple):
    """A position: live sessions by id, then ended ones, newest first."""

    #: End of the last listed session, Unix milliseconds; None among the live ones.
    ended_ms: int | None
    #: Id of the last listed session; empty before the first.
    after: str

    @property
    def text(self) -> str:
        """The position as text."""
        return f"live-{self.after}" if self.ended_ms is None else f"ended-{self.ended_ms}-{self.after}"

    @classmethod
    def parse(cls, text: str) -> "SessionCursor":
        """Return the position of a text; may raise BadCursorError."""
        if (found := _SESSION.fullmatch(text)) is None:
            raise BadCursorError
        return cls(int(found["ended_ms"]) if found["ended_ms"] else None, found["after"])


FIRST_LIVE = SessionCursor(None, "")
FIRST_ENDED = SessionCursor(2**53, "")


#: The position before all entries of a stream.
FIRST_ID = "0-0"


def check_log_cursor(text: str) -> str:
    """Return the id of a log entry; may raise BadCursorError."""
    if LOG_CURSOR.fullmatch(text) is None:
        raise BadCursorError
    return text


@dataclass(frozen=True, slots=True)
class Page(Generic[_T]):
    """One page of a list."""

    #: Sessions hold addresses, so they are excluded from the repr.
    items: list[_T] = field(repr=False)
    #: Opaque position of the next page; empty if there is none.
    cursor: str = ""


class SessionReader:
    """Reads the sessions of all partitions; may raise StoreError."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self.client = client
        self.keys = keys
        #: Keys of sessions, and of their lists, to which another program has written; these sessions are left out.
        self.foreign_keys: set[str] = set()

    async def read_session(self, session_id: str) -> Session | None:
        """Return one session; None if it does not exist, or can't be read."""
        return (await self.read_sessions([session_id])).get(session_id)

    async def read_sessions(self, session_ids: Iterable[str]) -> dict[str, Session]:
        """Return sessions by id, as they are shown.

        Leave out missing ones, and those that can't be read.
        """
        wanted = list(session_ids)
        answers = await run_each(self.client, [("HGETALL", self.keys.session(name)) for name in wanted])
        found: dict[str, Session] = {}
        for name, record in zip(wanted, answers, strict=True):
            if record == {}:
                continue
            try:
                found[name] = for_readers(load(name, record))
            except CorruptHashError:
                self.foreign_keys.add(self.keys.session(name))
        return found

    async def exists(self, session_id: str) -> bool:
        """Whether there is a session with this id."""
        return bool(await ask(self.client, "EXISTS", self.keys.session(session_id)))

    async def find_exact(self, named: str) -> str:
        """Return the session with this id, or this SID of a call; or empty."""
        if not REFERENCE_PATTERN.fullmatch(named):
            return ""
        if await self.exists(named):
            return named
        return (await self.session_ids_of_calls([named])).get(named, "")

    async def read_exact(self, named: str) -> Session | None:
        """Read the session that `find_exact` finds; None for none."""
        session_id = await self.find_exact(named)
        return await self.read_session(session_id) if session_id else None

    async def session_ids_of_calls(self, call_sids: Iterable[str]) -> dict[str, str]:
        """Return the ids of calls' sessions, by call SID; skip unknown calls."""
        wanted = list(call_sids)
        answers = await run_each(self.client, [("GET", self.keys.call(call_sid)) for call_sid in wanted])
        return {sid: found.decode(errors="replace") for sid, found in zip(wanted, answers, strict=True) if found}

    async def live_ids(self) -> list[str]:
        """Return the ids of all live sessions."""
        return await self._collect_ids("SMEMBERS", self.keys.live)

    async def ended_ids(self, since_ms: int = 0) -> list[str]:
        """Return the ids of sessions that ended since a time, Unix milliseconds."""
        return await self._collect_ids("ZRANGEBYSCORE", self.keys.ended, since_ms, "+inf")

    async def last_ended_ids(self, partitions: Iterable[int]) -> list[str]:
        """Return the ids of the sessions of partitions that ended last."""
        return await self._collect_ids("ZREVRANGE", self.keys.ended, 0, ENDED_LAST - 1, partitions=partitions)

    async def _collect_ids(
        self, read: str, key_of: Callable[[int], str], *arguments: int | str, partitions: Iterable[int] | None = None
    ) -> list[str]:
        keys = [key_of(number) for number in (range(self.keys.partitions) if partitions is None else partitions)]
        answers = await run_each(self.client, [(read, key, *arguments) for key in keys])
        self.foreign_keys |= {key for key, names in zip(keys, answers, strict=True) if names is None}
        return [name.decode(errors="replace") for names in answers for name in names or ()]

    async def commit_marks(self) -> list[str]:
        """Return a mark per partition that changes with every commit."""
        leases = map(self.keys.lease, range(self.keys.partitions))
        answers = await run_each(self.client, [("HMGET", key, "holder", "commit") for key in leases])
        return [b" ".join(one or b"" for one in found or ()).decode(errors="replace") for found in answers]

    async def now_ms(self) -> int:
        """Return Redis's time, Unix milliseconds."""
        return await server_time_ms(self.client, self.keys.config)

    async def live_versions(self, partitions: Iterable[int] | None = None) -> dict[str, str]:
        """Return the versions of live sessions, by id; by default of all."""
        live = await self._collect_ids("SMEMBERS", self.keys.live, partitions=partitions)
        versions = await run_each(self.client, [("HGET", self.keys.session(name), "version") for name in live])
        return {name: raw.decode(errors="replace") for name, raw in zip(live, versions, strict=True) if raw}

    async def list_sessions(
        self,
        *,
        state: str | None = None,
        where: Where = None,
        live_only: bool = False,
        limit: int,
        cursor: str = "",
    ) -> Page[Session]:
        """Return a page of sessions: live ones, then ended ones, newest first.

        With `state`, only those in this state or phase; with `where`, only those that it accepts.

        All pages show every session that exists throughout; one that ends meanwhile may appear twice. A page may hold
        fewer items than the limit: only an empty cursor marks the end. Raise BadCursorError for another list's cursor.
        """
        _check_limit(limit)
        start = SessionCursor.parse(cursor) if cursor else FIRST_ENDED if state == State.ENDED else FIRST_LIVE
        with_ended = not live_only and state in (None, State.ENDED)

        def is_wanted(position: SessionCursor, session: Session) -> bool:
            is_in_list = position.ended_ms is None or session.is_ended
            return is_in_list and session.is_in(state) and (where is None or where(session))

        found: list[tuple[SessionCursor, Session]] = []
        scanned = 0
        # Without a filter, read no more than needed.
        async for cursors in self._cursors(start, CHUNK if state or where else limit + 1, with_ended=with_ended):
            sessions = await self.read_sessions(one.after for one in cursors)
            read = ((one, sessions[one.after]) for one in cursors if one.after in sessions)
            found += (one for one in read if is_wanted(*one))
            scanned += len(cursors)
            if len(found) > limit:
                return Page([session for _, session in found[:limit]], found[limit - 1][0].text)
            if scanned >= SCANNED_MAX:
                return Page([session for _, session in found], cursors[-1].text)
        return Page([session for _, session in found])

    async def _cursors(
        self, start: SessionCursor, count: int, *, with_ended: bool
    ) -> AsyncIterator[Sequence[SessionCursor]]:
        """Yield the positions after one, in the order of the list, in chunks."""
        if start.ended_ms is None:
            names = sorted(name for name in await self.live_ids() if name > start.after)
            for at in range(0, len(names), count):
                yield [SessionCursor(None, name) for name in names[at : at + count]]
            start = FIRST_ENDED
        while with_ended:
            cursors = await self._ended_cursors(start, count)
            if not cursors:
                return
            yield cursors
            start = cursors[-1]

    async def _ended_cursors(self, start: SessionCursor, count: int) -> list[SessionCursor]:
        """Return the positions after one among the ended sessions."""
        moment, ended = start.ended_ms, [self.keys.ended(number) for number in range(self.keys.partitions)]
        earlier = [("ZREVRANGEBYSCORE", key, f"({moment}", "-inf", "LIMIT", 0, count, "WITHSCORES") for key in ended]
        # Many may end in one millisecond.
        same = [("ZRANGEBYSCORE", key, moment, moment, "WITHSCORES") for key in ended]
        answers = await run_each(self.client, [*earlier, *same])
        found = (pair for some in answers if some for pair in zip(some[::2], some[1::2], strict=True))
        times = ((float(at), name) for name, at in found)
        # What another program writes may have any time.
        ends = [SessionCursor(int(at), name.decode(errors="replace")) for at, name in times if at > -math.inf]
        return sorted((end for end in ends if end < start), reverse=True)[:count]

    async def log_page(self, session_id: str, *, limit: int, cursor: str = "") -> Page[LogEntry]:
        """Return a page of a session's log, oldest first; empty if unknown."""
        _check_limit(limit)
        start = f"({check_log_cursor(cursor)}" if cursor else "-"
        entries = await ask(self.client, "XRANGE", self.keys.log(session_id), start, "+", "COUNT", limit + 1)
        found = [_log_entry(session_id, entry) for entry in entries[:limit]]
        return Page(found, found[-1].id if len(entries) > limit else "")

    async def logs(self, after: Mapping[str, str]) -> dict[str, list[LogEntry]]:
        """Return log entries after the given ids (empty: all), by session id."""
        reads = [("XRANGE", self.keys.log(name), f"({last}" if last else "-", "+") for name, last in after.items()]
        answers = await run_each(self.client, reads)
        return {name: [_log_entry(name, one) for one in some or ()] for name, some in zip(after, answers, strict=True)}

    async def newest_entries(self, session_ids: Iterable[str], count: int) -> dict[str, list[LogEntry]]:
        """Return the newest log entries of sessions, oldest first."""
        names = list(session_ids)
        reads = [("XREVRANGE", self.keys.log(name), "+", "-", "COUNT", count) for name in names]
        answers = await run_each(self.client, reads)
        return {
            name: [_log_entry(name, one) for one in reversed(some or ())]
            for name, some in zip(names, answers, strict=True)
        }

    async def log(self, session_id: str) -> list[LogEntry]:
        """Return a session's log, oldest first."""
        return (await self.logs({session_id: ""}))[session_id]

    async def log_after(self, session_id: str, after: str) -> tuple[list[LogEntry], bool]:
        """Return a session's log entries after one, and whether none can follow."""
        # The session first: if it ends in between, the log has the end. One that was erased or has expired has no end.
        session = await self.read_session(session_id)
        is_over = session is None or session.is_ended
        found = (await self.logs({session_id: after}))[session_id]
        return found, is_over or any(one.is_end for one in found)

    async def is_trimmed_after(self, stream: str, entry_id: str) -> bool:
        """Whether entries after this one have been trimmed off a stream.

        Also true if it was itself the last that was trimmed: Redis keeps no more.
        """
        # The client parses this answer as that of its own method.
        (found,) = await run_each(self.client, [("XINFO STREAM", stream)])
        if found is None:
            return False
        position = parse_entry_id(entry_id)
        if position >= parse_entry_id(found["last-generated-id"].decode()):
            return False
        # Before Redis 7, the number of entries ever added is unknown.
        if found.get("entries-added", found["length"] if entry_id == FIRST_ID else None) == found["length"]:
            return False
        first = found["first-entry"]
        return first is None or position < parse_entry_id(first[0].decode())

    async def is_deleted_after(self, stream: str, entry_id: str) -> bool:
        """Whether an entry after this one was deleted, not trimmed.

        Before Redis 7, that is unknown.
        """
        (found,) = await run_each(self.client, [("XINFO STREAM", stream)])
        newest = (found or {}).get("max-deleted-entry-id", FIRST_ID.encode())
        return parse_entry_id(newest.decode()) > parse_entry_id(entry_id)

    async def last_log_ids(self, session_ids: Iterable[str]) -> dict[str, str]:
        """Return the id of each session's newest log entry; empty without one."""
        wanted = list(session_ids)
        reads = [("XREVRANGE", self.keys.log(name), "+", "-", "COUNT", 1) for name in wanted]
        answers = await run_each(self.client, reads)
        return {name: some[0][0].decode() if some else "" for name, some in zip(wanted, answers, strict=True)}

    async def last_outcome_id(self) -> str:
        """Return the newest outcome's id; one before all others without any."""
        with as_store_errors():
            entries = await self.client.xrevrange(self.keys.outcomes, count=1)
        return str(entries[0][0].decode()) if entries else "0-0"

    async def outcomes(self, after: str) -> list[tuple[str, Fields]]:
        """Return at most `CHUNK` outcomes after an id, oldest first, with ids."""
        with as_store_errors():
            entries = await self.client.xrange(self.keys.outcomes, f"({after}", "+", count=CHUNK)
        return [(entry_id.decode(), decode_fields(fields)) for entry_id, fields in entries]

    async def outcome_page(
        self, *, after: str, limit: int, kind: str | None = None, session: str = ""
    ) -> tuple[list[Fields], str]:
        """Return outcomes after a position, and the position reached.

        With `kind` or `session`, only those; then there may be fewer than `limit` before the last.
        """
        found: list[Fields] = []
        for _ in range(SCANNED_MAX // CHUNK):
            entries = await self.outcomes(after)
            for after, fields in entries:  # goes on there
                if kind in (None, fields.get("kind")) and session in ("", fields.get("session")):
                    found.append(fields)
                    if len(found) == limit:
                        return found, after
            if len(entries) < CHUNK:
                break
        return found, after


def last_id_before(at_ms: int) -> str:
    """Return the last id that an entry written before a time can have."""
    return f"{max(0, at_ms - 1)}-{2**64 - 1}"


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= LIMIT_MAX:
        raise ValueError(f"limit must be 1 to {LIMIT_MAX}")


def _log_entry(session_id: str, entry: tuple[bytes, Mapping[bytes, bytes] | None]) -> LogEntry:
    entry_id, fields = entry
    return LogEntry.of(entry_id.decode(), decode_fields(fields or {}), session_id)
