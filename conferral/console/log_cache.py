"""Cache of session logs and timelines, shared by all pages."""

import asyncio
from collections.abc import Sequence
from weakref import WeakValueDictionary

import orjson

from conferral.console.messages import to_json_value
from conferral.console.redis_access import RedisAccess
from conferral.operations.history.timeline import Timeline, TimelineEntry
from conferral.operations.session_queries import LogEntry


class CachedLog:
    """One session's log, shared by all pages that show the session."""

    def __init__(self, session_id: str, *, full: bool) -> None:
        self._session_id = session_id
        self._full = full
        self._lock = asyncio.Lock()
        #: Reloads from the start, because Redis no longer held the known entries (count).
        self.generation = 0
        self._reset()

    def _reset(self) -> None:
        #: Oldest first.
        self.log: list[LogEntry] = []
        self._timeline = Timeline(full=self._full)
        self._messages: list[bytes] = []

    @property
    def entries(self) -> Sequence[TimelineEntry]:
        """The log's timeline, oldest first."""
        return self._timeline.entries

    async def read(self, redis: RedisAccess) -> None:
        """Read new entries; may raise StoreError.

        Reads the newest known entry again, too. If it is gone, Redis was rolled back or the session was erased: the log
        is reloaded, so that pages don't show entries that no longer exist.
        """
        async with self._lock:  # otherwise, two pages could add the same entries
            newest = self.log[-1:]
            found = await self._entries_after(redis, self.log[-2].entry_id if len(self.log) > 1 else "")
            if found[: len(newest)] != newest:
                found = await self._entries_after(redis, "")
                newest = []
                self._reset()
                self.generation += 1
            self._add(found[len(newest) :])

    async def _entries_after(self, redis: RedisAccess, entry_id: str) -> list[LogEntry]:
        found = await redis.run(lambda reader: reader.logs({self._session_id: entry_id}), self._session_id)
        return found[self._session_id]

    def _add(self, entries: list[LogEntry]) -> None:
        self.log += entries
        changed = self._timeline.add(entries)  # the new timeline entries, and those that these complete
        self._messages += [b""] * len(entries)
        for index in changed:
            self._messages[index] = orjson.dumps(to_json_value(self.entries[index]))

    def messages_after(self, known_count: int) -> list[bytes]:
        """Return, as JSON, what log entries after `known_count` have changed."""
        completed_by = self._timeline.completed_by
        return [message for index, message in enumerate(self._messages) if completed_by[index] >= known_count]


class LogCache:
    """The logs in use. A log is dropped with the last page that shows it."""

    def __init__(self) -> None:
        self._logs: WeakValueDictionary[tuple[str, bool], CachedLog] = WeakValueDictionary()

    def get(self, session_id: str, *, full: bool) -> CachedLog:
        """Return a session's log, shared by all callers that keep a reference."""
        return self._logs.setdefault((session_id, full), CachedLog(session_id, full=full))
