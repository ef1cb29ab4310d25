"""The operators' way into Redis: open it, read sessions and their logs, and name what is wrong with it."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from conferral.errors import NotDoneError
from runtime.errors import SettingsError, StoreError
from runtime.settings import StoreSettings
from streams import config
from streams.commands import ID_PATTERN, shown_id
from streams.connection import Client, make_client, store_errors
from streams.keys import Keys

#: Reads in one pipeline, count: bounds how long Redis is busy with us.
CHUNK = 200

#: Fields of a session that nobody is shown in any form: with Twilio's CallToken the caller's number can be used.
HIDDEN = frozenset({"call_token"})

Fields = dict[str, str]


def place_of(url: str) -> str:
    """Where a Redis is, without user and password.

    >>> place_of("redis://me:secret@cache.example:6390/2")
    'cache.example:6390'
    """
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return parts.path
    try:
        return f"{parts.hostname or 'localhost'}:{parts.port or 6379}"
    except ValueError:
        return parts.hostname or "localhost"


def make_store_client(url: str) -> Client:
    """A client for the URL of the settings.

    Raises:
        SettingsError: the URL can't be understood.
    """
    try:
        return make_client(url, max_connections=8)
    except ValueError as error:
        # The text of redis-py's error may quote the URL with its password.
        raise SettingsError(("REDIS_URL: can't be understood as the URL of a Redis",)) from error


def store_problem(error: StoreError, url: str) -> str:
    """One sentence about a Redis that does not do what is wanted."""
    return f"{error}; REDIS_URL names {place_of(url)}"


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of a session's log."""

    entry_id: str
    fields: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.fields.get(name, "")


class Reader:
    """Reads what operators look at. It never writes."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self.client = client
        self.keys = keys

    async def live_ids(self) -> list[str]:
        """Ids of all live sessions."""
        found: list[str] = []
        for start in range(0, self.keys.partitions, CHUNK):
            with store_errors():
                pipeline = self.client.pipeline(transaction=False)
                for partition in range(start, min(start + CHUNK, self.keys.partitions)):
                    pipeline.smembers(self.keys.live(partition))
                for names in await pipeline.execute():
                    found += (name.decode(errors="replace") for name in names)
        return found

    async def ended_ids(self, since_ms: int = 0) -> list[str]:
        """Ids of the sessions that ended, since a moment in Unix milliseconds."""
        found: list[str] = []
        for start in range(0, self.keys.partitions, CHUNK):
            with store_errors():
                pipeline = self.client.pipeline(transaction=False)
                for partition in range(start, min(start + CHUNK, self.keys.partitions)):
                    pipeline.zrangebyscore(self.keys.ended(partition), since_ms, "+inf")
                for names in await pipeline.execute():
                    found += (name.decode(errors="replace") for name in names)
        return found

    async def sessions(self, session_ids: Iterable[str]) -> list[Fields]:
        """The hashes of sessions, as they are but for what is hidden; those that don't exist any more are left out."""
        wanted = list(session_ids)
        found: list[Fields] = []
        for start in range(0, len(wanted), CHUNK):
            with store_errors():
                pipeline = self.client.pipeline(transaction=False)
                for session_id in wanted[start : start + CHUNK]:
                    pipeline.hgetall(self.keys.session(session_id))
                found += (_shown(record) for record in await pipeline.execute() if record)
        return found

    async def session(self, session_id: str) -> Fields:
        """One session's hash without what is hidden, empty when it does not exist."""
        with store_errors():
            return _shown(await self.client.hgetall(self.keys.session(session_id)))

    async def listed(self, state: str | None, *, with_ended: bool) -> list[Fields]:
        """Sessions, oldest first; those in one state, or all.

        Args:
            state: None for all.
            with_ended: Whether those that have ended are among all.
        """
        names = await self.live_ids()
        if with_ended or state == "ended":
            names += await self.ended_ids()
        found = await self.sessions(dict.fromkeys(names))
        chosen = [fields for fields in found if state in (None, fields.get("state"))]
        return sorted(chosen, key=lambda fields: (fields.get("created_at", ""), fields.get("id", "")))

    async def look_for(self, named: str) -> str:
        """The session that is named by its id or by one of its calls; empty when nobody knows it."""
        if not ID_PATTERN.fullmatch(named):
            return ""
        with store_errors():
            pipeline = self.client.pipeline(transaction=False)
            pipeline.get(self.keys.call(named))
            pipeline.exists(self.keys.session(named))
            of_call, exists = await pipeline.execute()
        if exists:
            return named
        return "" if of_call is None else str(of_call.decode(errors="replace"))

    async def find(self, named: str) -> str:
        """The same for somebody who must be told when nobody knows it.

        Raises:
            NotDoneError: nobody does.
        """
        session_id = await self.look_for(named)
        if not session_id:
            raise NotDoneError(f"no session and no call {shown_id(named)} is known")
        return session_id

    async def logs(self, after: Mapping[str, str]) -> dict[str, list[LogEntry]]:
        """What was added to sessions' logs.

        Args:
            after: The last entry seen, by session id; empty for everything.
        """
        wanted = list(after)
        found: dict[str, list[LogEntry]] = {}
        for start in range(0, len(wanted), CHUNK):
            chunk = wanted[start : start + CHUNK]
            with store_errors():
                pipeline = self.client.pipeline(transaction=False)
                for session_id in chunk:
                    first = f"({after[session_id]}" if after[session_id] else "-"
                    pipeline.xrange(self.keys.log(session_id), first, "+")
                answers = await pipeline.execute()
            for session_id, entries in zip(chunk, answers, strict=True):
                found[session_id] = [LogEntry(entry_id.decode(), _text(fields)) for entry_id, fields in entries]
        return found

    async def log(self, session_id: str) -> list[LogEntry]:
        """A session's log, oldest first."""
        return (await self.logs({session_id: ""}))[session_id]

    async def ends_of_logs(self, session_ids: Iterable[str]) -> dict[str, str]:
        """Id of the newest log entry of each session, empty where there is none."""
        wanted = list(session_ids)
        found: dict[str, str] = {}
        for start in range(0, len(wanted), CHUNK):
            chunk = wanted[start : start + CHUNK]
            with store_errors():
                pipeline = self.client.pipeline(transaction=False)
                for session_id in chunk:
                    pipeline.xrevrange(self.keys.log(session_id), count=1)
                answers = await pipeline.execute()
            for session_id, entries in zip(chunk, answers, strict=True):
                found[session_id] = entries[0][0].decode() if entries else ""
        return found

    async def end_of_outcomes(self) -> str:
        """Id of the newest entry of the stream of outcomes; one before all others where there is none."""
        with store_errors():
            entries = await self.client.xrevrange(self.keys.outcomes, count=1)
        return str(entries[0][0].decode()) if entries else "0-0"

    async def outcomes(self, after: str) -> list[tuple[str, Fields]]:
        """Outcomes with their ids, oldest first, at most `CHUNK` at a time.

        Args:
            after: Id of the last entry seen.
        """
        with store_errors():
            entries = await self.client.xrange(self.keys.outcomes, f"({after}", "+", count=CHUNK)
        return [(entry_id.decode(), _text(fields)) for entry_id, fields in entries]


@asynccontextmanager
async def opened(settings: StoreSettings) -> AsyncIterator[Reader]:
    """Redis as the settings name it, with the keys as they were set up there.

    Raises:
        NotDoneError: it can't be reached, or nothing is set up under the prefix.
    """
    client = make_store_client(settings.redis_url)
    try:
        yield Reader(client, await config.look_up(client, settings.prefix))
    except StoreError as error:
        raise NotDoneError(store_problem(error, settings.redis_url)) from error
    finally:
        await client.aclose()


def _shown(record: Mapping[bytes, bytes]) -> Fields:
    return {name: value for name, value in _text(record).items() if name not in HIDDEN}


def _text(record: Mapping[bytes, bytes]) -> Fields:
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in record.items()}
