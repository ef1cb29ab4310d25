"""Cache of session logs and timelines, shared by all pages and extended as the logs grow."""

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
        #: How often the log was reloaded from its start because Redis no longer held the known entries (count).
        self.generation = 0
        self._reset()

    def _reset(self) -> None:
        #: Oldest first.
        self.log: list[LogEntry] = []
        self._timeline = Timeline(full=self._full)
        #: The timeline entries as JSON.
        self._messages: list[bytes] = []

    @property
    def entries(self) -> Sequence[TimelineEntry]:
        """The log's timeline, oldest first."""
        return self._timeline.entries

    async def read(self, redis: RedisAccess) -> None:
        """Read new entries; may raise StoreError.

        Reads the newest known entry again, too. If Redis no longer has it, Redis was rolled back or the session was
        erased, and the log is reloaded. Otherwise, pages would keep showing entries that no longer exist.
        """
        async with self._lock:  # otherwise, two pages could add the same entries
            newest = self.log[-1:]
            found = await self._entries_after(redis, self.log[-2].entry_id if len(self.log) > 1 else "")
            if found[: len(newest)] == newest:
                self._add(found[len(newest) :])
                return
            found = await self._entries_after(redis, "")
            self._reset()
            self.generation += 1
            self._add(found)

    async def _entries_after(self, redis: RedisAccess, entry_id: str) -> list[LogEntry]:
        """Read the entries after the one with this id; all if it is empty."""
        found = await redis.run(lambda reader: reader.logs({self._session_id: entry_id}), self._session_id)
        return found[self._session_id]

    def _add(self, entries: list[LogEntry]) -> None:
        self.log += entries
        changed = self._timeline.add(entries)  # indexes of new timeline entries, and of those that these complete
        self._messages += [b""] * len(entries)
        for index in changed:
            self._messages[index] = orjson.dumps(to_json_value(self.entries[index]))

    def messages_after(self, known_count: int) -> list[bytes]:
        """Return, as JSON, the timeline entries that log entries after the first `known_count` added or completed."""
        completed_by = self._timeline.completed_by
        return [message for index, message in enumerate(self._messages) if completed_by[index] >= known_count]


class LogCache:
    """The logs in use. A log is dropped with the last page that shows it."""

    def __init__(self) -> None:
        self._logs: WeakValueDictionary[tuple[str, bool], CachedLog] = WeakValueDictionary()

    def get(self, session_id: str, *, full: bool) -> CachedLog:
        """Return a session's log, the same object for all callers. Keep a reference while using it."""
        found = self._logs.get((session_id, full))
        if found is None:
            found = self._logs[session_id, full] = CachedLog(session_id, full=full)
        return found
