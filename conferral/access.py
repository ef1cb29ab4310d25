"""The operators' way into Redis: open it, read sessions and their logs, and name what is wrong with it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from conferral.errors import NotDoneError
from runtime.errors import SettingsError, StoreError
from runtime.settings import StoreSettings
from streams import config
from streams.commands import ID_PATTERN, shown_id
from streams.connection import Client, make_client, store_errors
from streams.reading import CHUNK as CHUNK
from streams.reading import Fields as Fields
from streams.reading import LogEntry as LogEntry
from streams.reading import SessionReader


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


class Reader(SessionReader):
    """Reads what operators and programs look at. It never writes."""

    async def listed(self, state: str | None, *, with_ended: bool) -> list[Fields]:
        """Sessions, oldest first; those in one state, or all.

        Args:
            state: None for all.
            with_ended: Whether those that have ended are among all.
        """
        names = await self.live_ids()
        if with_ended or state == "ended":
            names += await self.ended_ids()
        found = (await self.records(dict.fromkeys(names))).values()
        chosen = [fields for fields in found if state in (None, fields.get("state"))]
        return sorted(chosen, key=lambda fields: (fields.get("created_at", ""), fields.get("id", "")))

    async def look_for(self, named: str) -> str:
        """The session that is named by its id or by one of its calls; empty when nobody knows it."""
        return (await super().find(named) or "") if ID_PATTERN.fullmatch(named) else ""

    async def find(self, named: str) -> str:
        """The same for somebody who must be told when nobody knows it.

        Raises:
            NotDoneError: nobody does.
        """
        session_id = await self.look_for(named)
        if not session_id:
            raise NotDoneError(f"no session and no call {shown_id(named)} is known")
        return session_id

    async def log(self, session_id: str) -> list[LogEntry]:
        """A session's log, oldest first."""
        return (await self.logs({session_id: ""}))[session_id]

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


def _text(record: Mapping[bytes, bytes]) -> Fields:
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in record.items()}
