"""Reading sessions, their logs and whose a call is: for the control API, the sweep and operators. Nothing is written.

Lists come in pages, so that neither Redis nor a process holds more at a time than one page needs.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from redis.exceptions import ResponseError

from conferral.statemachine.states import State
from conferral.storage import scripts
from conferral.storage.codecs.text_codec import decode_fields
from conferral.storage.connection.client import Client, store_errors
from conferral.storage.keys import Keys
from conferral.storage.queries.cursors import EndedCursor, LiveCursor, LogCursor, read_cursor, read_log_cursor

#: Reads in one pipeline, count: bounds how long Redis is busy with us.
CHUNK = 200
#: Versions that are asked for at once, count: it takes Redis less than a millisecond.
VERSIONS_MAX = 1_000
#: Most items of a page, count.
LIMIT_MAX = 500
#: Sessions that are looked at for one page, count: where few match, the page stays short and its cursor leads on.
SCANNED_MAX = 2_000
#: Fields of a session that nobody is shown in any form: with Twilio's CallToken the caller's number can be used.
HIDDEN = frozenset({"call_token"})

Fields = dict[str, str]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Page(Generic[_T]):
    """One page of a list."""

    #: Sessions hold addresses, so they are in no repr.
    items: list[_T] = field(repr=False)
    #: Where the next page begins, opaque; empty when there is none.
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of a session's log."""

    entry_id: str
    fields: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.fields.get(name, "")


class SessionReader:
    """Reads sessions of all partitions. Every read may raise StoreError."""

    def __init__(self, client: Client, keys: Keys) -> None:
        """Binds the client.

        Args:
            client: For commands.
            keys: Names.
        """
        self.client = client
        self.keys = keys

    # ---- single ones ---------------------------------------------------------------------------------------------

    async def read_session(self, session_id: str) -> Fields:
        """One session's hash without what is hidden, empty when it does not exist."""
        return (await self.read_hashes([session_id])).get(session_id, {})

    async def read_hashes(self, session_ids: Iterable[str]) -> dict[str, Fields]:
        """The hashes of sessions by id, without what is hidden; those that don't exist are left out."""
        wanted = list(session_ids)
        answers = await self._for_each(wanted, lambda pipeline, name: pipeline.hgetall(self.keys.session(name)))
        return {name: _without_hidden(record) for name, record in zip(wanted, answers, strict=True) if record}

    async def find(self, named: str) -> str | None:
        """The id of the session that is named by its id or by one of its calls; None when nobody knows it.

        Args:
            named: Has to match the pattern of ids, since it becomes part of a key.
        """
        with store_errors():
            pipeline = self.client.pipeline(transaction=False)
            pipeline.get(self.keys.call(named))
            pipeline.exists(self.keys.session(named))
            of_call, exists = await pipeline.execute()
        if exists:
            return named
        return None if of_call is None else str(of_call.decode(errors="replace"))

    async def sessions_of_calls(self, call_sids: Iterable[str]) -> dict[str, str]:
        """Ids of the sessions that calls belong to, by call SID; calls of nobody here are left out."""
        wanted = list(call_sids)
        answers = await self._for_each(wanted, lambda pipeline, call_sid: pipeline.get(self.keys.call(call_sid)))
        return {sid: found.decode(errors="replace") for sid, found in zip(wanted, answers, strict=True) if found}

    # ---- all of them ---------------------------------------------------------------------------------------------

    async def live_ids(self) -> list[str]:
        """Ids of all live sessions."""
        partitions = range(self.keys.partitions)
        answers = await self._for_each(partitions, lambda pipeline, number: pipeline.smembers(self.keys.live(number)))
        return [name.decode(errors="replace") for names in answers for name in names or ()]

    async def ended_ids(self, since_ms: int = 0) -> list[str]:
        """Ids of the sessions that ended, since a moment in Unix milliseconds."""
        answers = await self._for_each(
            range(self.keys.partitions),
            lambda pipeline, number: pipeline.zrangebyscore(self.keys.ended(number), since_ms, "+inf"),
        )
        return [name.decode(errors="replace") for names in answers for name in names or ()]

    async def commit_marks(self) -> list[str]:
        """For each partition a text that is another one after every commit: whose lease it is, and the commit's number.

        Who has seen a mark before needs to look at no session of the partition.
        """
        answers = await self._for_each(
            range(self.keys.partitions),
            lambda pipeline, number: pipeline.hmget(self.keys.lease(number), "holder", "commit"),
        )
        return [b" ".join(one or b"" for one in found or ()).decode(errors="replace") for found in answers]

    async def clock_offsets_ms(self) -> list[int]:
        """For each partition by how much its time is ahead of what Redis's clock shows, milliseconds."""
        answers = await self._for_each(
            range(self.keys.partitions), lambda pipeline, number: pipeline.hget(self.keys.lease(number), "clock_offset")
        )
        return [_parse_int(one) for one in answers]

    async def live_versions(self, partitions: Sequence[int]) -> dict[int, dict[str, str]]:
        """The live sessions of some partitions with their versions; those without a version are left out."""
        answers = await self._for_each(partitions, lambda pipeline, number: pipeline.smembers(self.keys.live(number)))
        found: dict[int, dict[str, str]] = {}
        for number, some in zip(partitions, answers, strict=True):
            names = [name.decode(errors="replace") for name in some or ()]
            found[number] = await self._versions(names)
        return found

    async def _versions(self, names: Sequence[str]) -> dict[str, str]:
        """Versions of sessions that are all of one partition."""
        found: dict[str, str] = {}
        for start in range(0, len(names), VERSIONS_MAX):
            some = names[start : start + VERSIONS_MAX]
            with store_errors():
                versions = await scripts.read_session_versions(
                    self.client, [self.keys.session(name) for name in some], []
                )
            found |= {name: one.decode(errors="replace") for name, one in zip(some, versions, strict=True) if one}
        return found

    async def list_sessions(self, *, state: State | None = None, limit: int = 50, cursor: str = "") -> Page[Fields]:
        """One page of the sessions: live ones in no particular order, then ended ones, the newest end first.

        Whoever goes through all pages meets every session that is there all the time; one that ends meanwhile may come
        twice. A page may hold fewer than the limit, even none: only an empty cursor says that nothing follows.

        Args:
            state: Only those in this state; None for all.
            limit: Most items (count, 1 to `LIMIT_MAX`).
            cursor: Of the page before; empty for the first page.

        Raises:
            BadCursorError: it is no cursor of such a list.
        """
        _check_limit(limit)
        place = read_cursor(cursor) if cursor else LiveCursor(0, "")
        found: list[Fields] = []
        if isinstance(place, LiveCursor):
            if state is not State.ENDED:
                found, following = await self._live_page(place, state, limit)
                if following is not None:
                    return Page(found, following.text)
            place = EndedCursor(None, "")
        if state is not None and state is not State.ENDED:
            return Page(found)
        if len(found) == limit:
            return Page(found, place.text)
        ended, next_place = await self._ended_page(place, limit - len(found))
        return Page(found + ended, next_place.text if next_place else "")

    async def _live_page(
        self, place: LiveCursor, state: State | None, limit: int
    ) -> tuple[list[Fields], LiveCursor | None]:
        """Live sessions from a place on, and where to go on; None when all were looked at."""
        found: list[Fields] = []
        scanned = 0
        while place.partition < self.keys.partitions:
            names = [name for name in await self._live_in(place.partition) if name > place.after]
            while names and scanned < SCANNED_MAX and len(found) < limit:
                # Without a state to look for, no more are read than are needed.
                count = CHUNK if state else min(CHUNK, limit - len(found))
                some, names = names[:count], names[count:]
                matching = await self._in_state(some, state)
                wanted = matching[: limit - len(found)]
                records = await self.read_hashes(wanted)
                found += (record for record in records.values() if state is None or record.get("state") == state)
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

    async def _ended_page(self, place: EndedCursor, limit: int) -> tuple[list[Fields], EndedCursor | None]:
        """Ended sessions from a place on, and where to go on; None when there are no more."""
        found: list[Fields] = []
        following: EndedCursor | None = place
        for _ in range(SCANNED_MAX // CHUNK):
            assert following is not None
            ends = await self._ends_after(following, limit - len(found))
            some = ends[: limit - len(found)]
            records = await self.read_hashes(name for _, name in some)  # of some the hash has expired already
            found += (record for record in records.values() if record.get("state") == State.ENDED)
            following = EndedCursor(*some[-1]) if some and len(ends) > len(some) else None
            if following is None or len(found) == limit:
                break
        return found, following

    async def _ends_after(self, place: EndedCursor, limit: int) -> list[tuple[int, str]]:
        """Ends behind a place (Unix milliseconds and id), the newest first: more than the limit where there are more.

        Many sessions may end in one millisecond; those of the place's own are all read.
        """
        before = "+inf" if place.ended_ms is None else f"({place.ended_ms}"

        def ask(pipeline: Any, partition: int) -> None:
            key = self.keys.ended(partition)
            pipeline.zrevrangebyscore(key, before, "-inf", start=0, num=limit + 1, withscores=True)

        answers = await self._for_each(range(self.keys.partitions), ask)
        ends = [(int(at), name.decode(errors="replace")) for some in answers for name, at in some or ()]
        if place.ended_ms is not None:
            moment = place.ended_ms
            same = await self._for_each(
                range(self.keys.partitions),
                lambda pipeline, number: pipeline.zrangebyscore(self.keys.ended(number), moment, moment),
            )
            names = (name.decode(errors="replace") for some in same for name in some or ())
            ends += ((moment, name) for name in names if name < place.after)
        return sorted(ends, reverse=True)

    async def _live_in(self, partition: int) -> list[str]:
        with store_errors():
            names = await self.client.smembers(self.keys.live(partition))
        return sorted(name.decode(errors="replace") for name in names)

    async def _in_state(self, names: Sequence[str], state: State | None) -> list[str]:
        if state is None:
            return list(names)
        wanted = state.value.encode()
        answers = await self._for_each(names, lambda pipeline, name: pipeline.hget(self.keys.session(name), "state"))
        return [name for name, found in zip(names, answers, strict=True) if found == wanted]

    # ---- logs ----------------------------------------------------------------------------------------------------

    async def read_log(self, session_id: str, *, limit: int = 50, cursor: str = "") -> Page[LogEntry]:
        """One page of a session's log, oldest first. Empty when there is no such session.

        Args:
            session_id: The session's id.
            limit: Most items (count, 1 to `LIMIT_MAX`).
            cursor: Of the page before; empty for the first page.

        Raises:
            BadCursorError: it is no cursor of a log.
        """
        _check_limit(limit)
        start = f"({read_log_cursor(cursor).entry_id}" if cursor else "-"
        with store_errors():
            entries = await self.client.xrange(self.keys.log(session_id), start, "+", count=limit + 1)
        found = [_log_entry(entry) for entry in entries[:limit]]
        return Page(found, LogCursor(found[-1].entry_id).text if len(entries) > limit else "")

    async def logs(self, after: Mapping[str, str]) -> dict[str, list[LogEntry]]:
        """What was added to sessions' logs.

        Args:
            after: Id of the last entry seen, by session id; empty for everything.
        """

        def ask(pipeline: Any, name: str) -> None:
            pipeline.xrange(self.keys.log(name), f"({after[name]}" if after[name] else "-", "+")

        answers = await self._for_each(list(after), ask)
        return {name: [_log_entry(one) for one in some or ()] for name, some in zip(after, answers, strict=True)}

    async def last_log_ids(self, session_ids: Iterable[str]) -> dict[str, str]:
        """Id of the newest log entry of each session, empty where there is none."""
        wanted = list(session_ids)
        answers = await self._for_each(wanted, lambda pipeline, name: pipeline.xrevrange(self.keys.log(name), count=1))
        return {name: some[0][0].decode() if some else "" for name, some in zip(wanted, answers, strict=True)}

    # ---- pipelines -----------------------------------------------------------------------------------------------

    async def _for_each(self, items: Sequence[_T], append_command: Callable[[Any, _T], object]) -> list[Any]:
        """Asks one thing about each, in pipelines; None where somebody else's key of a wrong type is in the way."""
        answers: list[Any] = []
        for start in range(0, len(items), CHUNK):
            with store_errors():
                pipeline = self.client.pipeline(transaction=False)
                for one in items[start : start + CHUNK]:
                    append_command(pipeline, one)
                for answer in await pipeline.execute(raise_on_error=False):
                    if isinstance(answer, Exception) and not _is_of_wrong_type(answer):
                        raise answer
                    answers.append(None if isinstance(answer, Exception) else answer)
        return answers


def _is_of_wrong_type(answer: Exception) -> bool:
    return isinstance(answer, ResponseError) and "WRONGTYPE" in str(answer)


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= LIMIT_MAX:
        raise ValueError(f"limit must be 1 to {LIMIT_MAX}")


def _log_entry(entry: tuple[bytes, Mapping[bytes, bytes] | None]) -> LogEntry:
    entry_id, fields = entry
    return LogEntry(entry_id.decode(), decode_fields(fields or {}))


def _without_hidden(raw_fields: Mapping[bytes, bytes]) -> Fields:
    return {name: value for name, value in decode_fields(raw_fields).items() if name not in HIDDEN}


def _parse_int(text: bytes | None) -> int:
    try:
        return int(text or 0)
    except ValueError:
        return 0  # written by somebody else
