"""Read-only queries of sessions, their logs, and calls, in pages."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from conferral.runtime.errors import StoreUnreachableError
from conferral.statemachine.states import State
from conferral.storage import scripts
from conferral.storage.codecs.session_codec import (
    DAMAGED,
    UNKNOWN_SESSION,
    WRONG_TYPE,
    StoredSession,
    stored_session,
)
from conferral.storage.codecs.text_codec import decode_fields
from conferral.storage.connection.client import CHUNK, Client, node_of, run_each, server_time_ms, store_errors
from conferral.storage.keys import Keys
from conferral.storage.queries.cursors import OF_LOGS, OF_SESSIONS, EndedCursor, LiveCursor, LogCursor, read_cursor

#: Versions read per script call, count: takes Redis less than a millisecond.
VERSIONS_MAX = 1_000
LIMIT_MAX = 500
#: Sessions scanned per page, count: if few match, the page stays short and its cursor continues.
SCANNED_MAX = 2_000
#: Fields that are never shown: Twilio's CallToken permits the use of the caller's number.
HIDDEN = frozenset({"call_token"})

Fields = dict[str, str]
#: Accepts some sessions; None accepts all.
Where = Callable[[StoredSession], bool] | None
_T = TypeVar("_T")
_I = TypeVar("_I", int, str)


@dataclass(frozen=True, slots=True)
class Page(Generic[_T]):
    """One page of a list."""

    #: Sessions hold addresses, so they are excluded from the repr.
    items: list[_T] = field(repr=False)
    #: Opaque position of the next page; empty if there is none.
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of a session's log."""

    entry_id: str
    fields: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.fields.get(name, "")


class SessionReader:
    """Reads the sessions of all partitions; may raise StoreError."""

    def __init__(self, client: Client, keys: Keys, *, is_partial: bool = False) -> None:
        self.client = client
        self.keys = keys
        #: Whether to leave out the sessions of a cluster's nodes that do not answer, instead of failing.
        self._is_partial = is_partial
        #: Why a partial reader left out nodes, by node; it does not ask them again.
        self.silent: dict[str, StoreUnreachableError] = {}
        #: Keys of session lists that now hold another type; their sessions are left out.
        self.foreign_keys: set[str] = set()

    async def _for_each(self, items: Iterable[_I], append_command: Callable[[Any, _I], object]) -> list[Any]:
        """Run commands for partitions or sessions, as `run_each` does.

        A partial reader returns None for the items of silent nodes, and raises only if all are silent.
        """
        if not self._is_partial:
            return await run_each(self.client, items, append_command)
        wanted = list(items)
        of_node: dict[str, list[int]] = {}
        for at, item in enumerate(wanted):
            of_node.setdefault(node_of(self.client, self._key_of(item)), []).append(at)
        answers: list[Any] = [None] * len(wanted)

        async def run_at(node: str, positions: list[int]) -> None:
            if node in self.silent:
                return
            try:
                found = await run_each(self.client, [wanted[at] for at in positions], append_command)
            except StoreUnreachableError as error:
                self.silent[node] = error
                return
            for at, answer in zip(positions, found, strict=True):
                answers[at] = answer

        await asyncio.gather(*(run_at(node, positions) for node, positions in of_node.items()))
        if of_node and of_node.keys() <= self.silent.keys():
            raise self.silent[next(iter(of_node))]
        return answers

    def _key_of(self, item: int | str) -> str:
        return self.keys.lease(item) if isinstance(item, int) else self.keys.session(item)

    async def read_session(self, session_id: str) -> StoredSession:
        """Return one session; without any fields if it does not exist."""
        return (await self.read_sessions([session_id])).get(session_id, UNKNOWN_SESSION)

    async def read_sessions(self, session_ids: Iterable[str]) -> dict[str, StoredSession]:
        """Return sessions by id, without hidden fields; leave out missing ones."""
        wanted = list(session_ids)
        answers = await self._for_each(wanted, lambda pipeline, name: pipeline.hgetall(self.keys.session(name)))
        return {
            name: stored_session({"id": name, DAMAGED: WRONG_TYPE}) if record is None else _public_session(record)
            for name, record in zip(wanted, answers, strict=True)
            if record or (record is None and node_of(self.client, self.keys.session(name)) not in self.silent)
        }

    async def exists(self, session_id: str) -> bool:
        """Whether there is a session with this id."""
        with store_errors():
            return bool(await self.client.exists(self.keys.session(session_id)))

    async def session_of_call(self, call_sid: str) -> str | None:
        """Return the id of the session that has the call; None if unknown."""
        with store_errors():
            session_id = await self.client.get(self.keys.call(call_sid))
        return None if session_id is None else str(session_id.decode(errors="replace"))

    async def sessions_of_calls(self, call_sids: Iterable[str]) -> dict[str, str]:
        """Return the ids of calls' sessions, by call SID; skip unknown calls."""
        wanted = list(call_sids)
        answers = await run_each(self.client, wanted, lambda pipeline, call_sid: pipeline.get(self.keys.call(call_sid)))
        return {sid: found.decode(errors="replace") for sid, found in zip(wanted, answers, strict=True) if found}

    async def live_ids(self) -> list[str]:
        """Return the ids of all live sessions."""
        return await self._collect_ids(self.keys.live, lambda pipeline, key: pipeline.smembers(key))

    async def ended_ids(self, since_ms: int = 0) -> list[str]:
        """Return the ids of sessions that ended since a time, Unix milliseconds."""
        return await self._collect_ids(
            self.keys.ended, lambda pipeline, key: pipeline.zrangebyscore(key, since_ms, "+inf")
        )

    async def _collect_ids(self, key_of: Callable[[int], str], read: Callable[[Any, str], object]) -> list[str]:
        answers = await self._for_each(range(self.keys.partitions), lambda pipe, number: read(pipe, key_of(number)))
        for number, names in enumerate(answers):
            if names is None and node_of(self.client, key_of(number)) not in self.silent:
                self.foreign_keys.add(key_of(number))
        return [name.decode(errors="replace") for names in answers for name in names or ()]

    async def commit_marks(self) -> list[str]:
        """Return a mark per partition that changes with every commit."""
        answers = await self._for_each(
            range(self.keys.partitions),
            lambda pipeline, number: pipeline.hmget(self.keys.lease(number), "holder", "commit"),
        )
        return [b" ".join(one or b"" for one in found or ()).decode(errors="replace") for found in answers]

    async def now_ms(self, session_id: str = "") -> int:
        """Return the time of a session's node, or of any, Unix milliseconds."""
        keys = [self.keys.session(session_id)] if session_id else [*map(self.keys.lease, range(self.keys.partitions))]
        by_node = {node_of(self.client, key): key for key in reversed(keys)}
        *first, last = (key for node, key in by_node.items() if node not in self.silent or len(by_node) == 1)
        for key in first:
            try:
                return await server_time_ms(self.client, key)
            except StoreUnreachableError as error:
                if not self._is_partial:
                    raise
                self.silent[node_of(self.client, key)] = error
        return await server_time_ms(self.client, last)

    async def live_versions(self, partitions: Sequence[int]) -> dict[int, dict[str, str]]:
        """Return live sessions' versions, by partition and id."""
        answers = await self._for_each(partitions, lambda pipeline, number: pipeline.smembers(self.keys.live(number)))
        found: dict[int, dict[str, str]] = {number: {} for number in partitions}
        for number, names in zip(partitions, answers, strict=True):
            live = [name.decode(errors="replace") for name in names or ()]
            for start in range(0, len(live), VERSIONS_MAX):
                some = live[start : start + VERSIONS_MAX]
                with store_errors():
                    versions = await scripts.read_session_versions(self.client, list(map(self.keys.session, some)), [])
                answered = zip(some, versions, strict=True)
                found[number] |= {name: raw.decode(errors="replace") for name, raw in answered if raw}
        return found

    async def list_sessions(
        self,
        *,
        state: State | None = None,
        live_where: Where = None,
        limit: int,
        cursor: str = "",
    ) -> Page[StoredSession]:
        """Return a page of sessions: live ones, then ended ones, newest first.

        With `live_where`, only live ones that it accepts.

        All pages show every session that exists throughout; one that ends meanwhile may appear twice. A page may hold
        fewer items than the limit: only an empty cursor marks the end. Raise BadCursorError for a foreign cursor.
        """
        _check_limit(limit)
        place = read_cursor(cursor, OF_SESSIONS) if cursor else LiveCursor(0, "")
        found, following = await self._page(place, state, live_where, limit)
        if following is not None and len(found) == limit:
            is_last = await self._page(following, state, live_where, 1) == ([], None)
            following = None if is_last else following
        return Page(found, following.text if following is not None else "")

    async def _page(
        self, place: LiveCursor | EndedCursor, state: State | None, live_where: Where, limit: int
    ) -> tuple[list[StoredSession], LiveCursor | EndedCursor | None]:
        """Return sessions, and the next position; None after the last."""
        found: list[StoredSession] = []
        if isinstance(place, LiveCursor):
            if state is not State.ENDED:
                found, following = await self._live_page(place, state, live_where, limit)
                if following is not None:
                    return found, following
            place = EndedCursor(None, "")
        if live_where or (state is not None and state is not State.ENDED):
            return found, None
        if len(found) == limit:
            return found, place
        ended, next_place = await self._ended_page(place, limit - len(found))
        return found + ended, next_place

    async def _live_page(
        self, place: LiveCursor, state: State | None, live_where: Where, limit: int
    ) -> tuple[list[StoredSession], LiveCursor | None]:
        found: list[StoredSession] = []
        scanned = 0
        while place.partition < self.keys.partitions:
            names = [name for name in await self._live_ids_in(place.partition) if name > place.after]
            while names and scanned < SCANNED_MAX and len(found) < limit:
                # Without a filter, read no more than needed.
                count = CHUNK if state or live_where else min(CHUNK, limit - len(found))
                some, names = names[:count], names[count:]
                matching = await self._in_state(some, state)
                wanted = matching[: limit - len(found)]
                sessions = (await self.read_sessions(wanted)).values()
                found += (
                    session
                    for session in sessions
                    if state in (None, session.state) and (live_where is None or live_where(session))
                )
                scanned += len(some)
                is_cut = len(wanted) < len(matching)
                place = LiveCursor(place.partition, wanted[-1] if is_cut else some[-1])
                if is_cut:
                    return found, place
            if names:
                return found, place
            place = LiveCursor(place.partition + 1, "")
            if len(found) == limit and place.partition < self.keys.partitions:
                return found, place
        return found, None

    async def _ended_page(self, place: EndedCursor, limit: int) -> tuple[list[StoredSession], EndedCursor | None]:
        found: list[StoredSession] = []
        following: EndedCursor | None = place
        for _ in range(SCANNED_MAX // CHUNK):
            assert following is not None
            ends = await self._ends_after(following, limit - len(found))
            some = ends[: limit - len(found)]
            sessions = await self.read_sessions(name for _, name in some)  # some hashes have already expired
            found += (session for session in sessions.values() if session.is_ended)
            following = EndedCursor(*some[-1]) if some and len(ends) > len(some) else None
            if following is None or len(found) == limit:
                break
        return found, following

    async def _ends_after(self, place: EndedCursor, limit: int) -> list[tuple[int, str]]:
        """Return ends after a position, newest first; over the limit if more."""
        before = "+inf" if place.ended_ms is None else f"({place.ended_ms}"

        def ask(pipeline: Any, partition: int) -> None:
            key = self.keys.ended(partition)
            pipeline.zrevrangebyscore(key, before, "-inf", start=0, num=limit + 1, withscores=True)

        answers = await self._for_each(range(self.keys.partitions), ask)
        ends = [(int(at), name.decode(errors="replace")) for some in answers for name, at in some or ()]
        if place.ended_ms is not None:  # many may end in one millisecond: all of them are read
            moment = place.ended_ms
            names = await self._collect_ids(
                self.keys.ended, lambda pipeline, key: pipeline.zrangebyscore(key, moment, moment)
            )
            ends += ((moment, name) for name in names if name < place.after)
        return sorted(ends, reverse=True)

    async def _live_ids_in(self, partition: int) -> list[str]:
        with store_errors():
            names = await self.client.smembers(self.keys.live(partition))
        return sorted(name.decode(errors="replace") for name in names)

    async def _in_state(self, names: Sequence[str], state: State | None) -> list[str]:
        """Return the sessions in a state; all of them if it is None."""
        if state is None:
            return list(names)
        wanted = state.value.encode()
        answers = await self._for_each(names, lambda pipeline, name: pipeline.hget(self.keys.session(name), "state"))
        return [name for name, found in zip(names, answers, strict=True) if found == wanted]

    async def read_log(self, session_id: str, *, limit: int, cursor: str = "") -> Page[LogEntry]:
        """Return a page of a session's log, oldest first; empty if unknown."""
        _check_limit(limit)
        start = f"({read_cursor(cursor, OF_LOGS).entry_id}" if cursor else "-"
        with store_errors():
            entries = await self.client.xrange(self.keys.log(session_id), start, "+", count=limit + 1)
        found = [_log_entry(entry) for entry in entries[:limit]]
        return Page(found, LogCursor(found[-1].entry_id).text if len(entries) > limit else "")

    async def logs(self, after: Mapping[str, str]) -> dict[str, list[LogEntry]]:
        """Return log entries after the given ids (empty: all), by session id."""

        def queue_read(pipeline: Any, name: str) -> None:
            pipeline.xrange(self.keys.log(name), f"({after[name]}" if after[name] else "-", "+")

        answers = await self._for_each(list(after), queue_read)
        return {name: [_log_entry(one) for one in some or ()] for name, some in zip(after, answers, strict=True)}

    async def last_log_ids(self, session_ids: Iterable[str]) -> dict[str, str]:
        """Return the id of each session's newest log entry; empty without one."""
        wanted = list(session_ids)
        answers = await self._for_each(wanted, lambda pipeline, name: pipeline.xrevrange(self.keys.log(name), count=1))
        return {name: some[0][0].decode() if some else "" for name, some in zip(wanted, answers, strict=True)}


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= LIMIT_MAX:
        raise ValueError(f"limit must be 1 to {LIMIT_MAX}")


def _log_entry(entry: tuple[bytes, Mapping[bytes, bytes] | None]) -> LogEntry:
    entry_id, fields = entry
    return LogEntry(entry_id.decode(), decode_fields(fields or {}))


def _public_session(record: Mapping[bytes, bytes]) -> StoredSession:
    return stored_session({name: text for name, text in decode_fields(record).items() if name not in HIDDEN})
