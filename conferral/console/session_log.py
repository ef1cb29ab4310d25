"""One session's log, as one page has it."""

from collections.abc import Sequence

import orjson

from conferral.console.messages import encode_message_with_lists, to_json_value
from conferral.console.redis_access import RedisAccess
from conferral.operations.session_queries import LogEntry
from conferral.operations.timeline import Timeline, TimelineEntry


class SessionLog:
    """Reads a log as it grows; returns what the page lacks.

    Args:
        after: Id of the last log entry that the page has kept; empty for none.
    """

    def __init__(self, session_id: str, *, after: str, full: bool) -> None:
        self._session_id = session_id
        self._after = after
        self._full = full
        self._reset()

    def _reset(self) -> None:
        #: Oldest first.
        self.log: list[LogEntry] = []
        self._timeline = Timeline(full=self._full)

    @property
    def entries(self) -> Sequence[TimelineEntry]:
        """The log's timeline, oldest first."""
        return self._timeline.entries

    async def new_messages(self, redis: RedisAccess) -> list[bytes]:
        """Read new entries; return the message with new and updated ones.

        Reads the newest known entry again, too. If it is gone, Redis was rolled back or the session was erased: the log
        is reloaded, so that the page doesn't show entries that no longer exist. May raise StoreError.
        """
        newest = self.log[-1:]
        found = await self._entries_after(redis, self.log[-2].entry_id if len(self.log) > 1 else "")
        was_reloaded = found[: len(newest)] != newest
        if was_reloaded:
            found, newest = await self._entries_after(redis, ""), []
            self._after = ""
            self._reset()
        new = found[len(newest) :]
        if not self.log:
            kept = self._kept_count(new)
            self._add(new[:kept])
            new = new[kept:]
        is_whole = not self.log  # then, the page replaces its entries
        changed = self._add(new)
        if not changed and not was_reloaded:
            return []
        entries = [orjson.dumps(to_json_value(self.entries[index])) for index in sorted(changed)]
        return [encode_message_with_lists("log", {"entries": entries}, id=self._session_id, whole=is_whole)]

    async def _entries_after(self, redis: RedisAccess, entry_id: str) -> list[LogEntry]:
        found = await redis.run(lambda reader: reader.logs({self._session_id: entry_id}))
        return found[self._session_id]

    def _kept_count(self, entries: Sequence[LogEntry]) -> int:
        """Return how many entries the page has kept; 0 if its last is gone."""
        ids = [entry.entry_id for entry in entries]
        return ids.index(self._after) + 1 if self._after in ids else 0

    def _add(self, entries: list[LogEntry]) -> set[int]:
        """Add entries; return the indexes of those, and of what they complete."""
        self.log += entries
        return self._timeline.add(entries)
