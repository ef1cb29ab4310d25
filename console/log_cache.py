"""Logs of sessions as pages share them: read once and made into a time line once, while they grow."""

import asyncio
from collections.abc import Sequence
from weakref import WeakValueDictionary

import orjson

from conferral.console.messages import to_json_value
from conferral.console.redis_access import RedisAccess
from conferral.operations.history.timeline import Timeline, TimelineEntry
from conferral.operations.session_queries import LogEntry


class CachedLog:
    """One session's log, for all pages that look at the session."""

    def __init__(self, session_id: str, *, full: bool) -> None:
        """Has read nothing yet.

        Args:
            session_id: Whose.
            full: Whether numbers are whole.
        """
        self._session_id = session_id
        self._full = full
        self._lock = asyncio.Lock()
        #: How often it has begun anew, because what was known is not in Redis any more (count).
        self.generation = 0
        self._reset()

    def _reset(self) -> None:
        #: Oldest first.
        self.log: list[LogEntry] = []
        self._timeline = Timeline(full=self._full)
        #: The moments as JSON.
        self._messages: list[bytes] = []

    @property
    def entries(self) -> Sequence[TimelineEntry]:
        """What the log tells, oldest first."""
        return self._timeline.entries

    async def read(self, redis: RedisAccess) -> None:
        """Reads what is new in it; may raise StoreError.

        The newest entry that is known is read again with it. Where that is gone, Redis is an older copy than before, or
        the session was forgotten, and the history begins anew: else what is nowhere any more would be shown to whoever
        comes, for as long as somebody looks.
        """
        async with self._lock:  # else two pages would both add the same
            newest = self.log[-1:]
            found = await self._after(redis, self.log[-2].entry_id if len(self.log) > 1 else "")
            if found[: len(newest)] == newest:
                self._add(found[len(newest) :])
                return
            found = await self._after(redis, "")
            self._reset()
            self.generation += 1
            self._add(found)

    async def _after(self, redis: RedisAccess, last: str) -> list[LogEntry]:
        found = await redis.run(lambda reader: reader.logs({self._session_id: last}))
        return found[self._session_id]

    def _add(self, entries: list[LogEntry]) -> None:
        self.log += entries
        changed = self._timeline.add(entries)
        self._messages += [b""] * len(entries)
        for place in changed:
            self._messages[place] = orjson.dumps(to_json_value(self.entries[place]))

    def messages_after(self, known_count: int) -> list[bytes]:
        """The moments that are new, and those of which more is known, for somebody who knows so many entries.

        Args:
            known_count: How many of the oldest (count).
        """
        told_by = self._timeline.completed_by
        return [message for place, message in enumerate(self._messages) if told_by[place] >= known_count]


class LogCache:
    """The histories that pages look at. A history is forgotten with the last page that does."""

    def __init__(self) -> None:
        self._logs: WeakValueDictionary[tuple[str, bool], CachedLog] = WeakValueDictionary()

    def get(self, session_id: str, *, full: bool) -> CachedLog:
        """The history of a session, the same for all who ask. They keep it as long as they look."""
        found = self._logs.get((session_id, full))
        if found is None:
            found = self._logs[session_id, full] = CachedLog(session_id, full=full)
        return found
