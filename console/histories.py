"""Logs of sessions as pages share them: read once and made into a time line once, while they grow."""

import asyncio
from collections.abc import Sequence
from weakref import WeakValueDictionary

import orjson

from console.messages import plain
from console.store import Store
from operators.reader import LogEntry
from operators.timeline import Moment, Timeline


class SharedHistory:
    """One session's log, for all pages that look at the session."""

    def __init__(self, session_id: str, *, full: bool) -> None:
        """Has read nothing yet.

        Args:
            session_id: Whose.
            full: Whether numbers are whole.
        """
        self._session_id = session_id
        #: Oldest first.
        self.log: list[LogEntry] = []
        self._timeline = Timeline(full=full)
        #: The moments as JSON.
        self._messages: list[bytes] = []
        self._lock = asyncio.Lock()

    @property
    def moments(self) -> Sequence[Moment]:
        """What the log tells, oldest first."""
        return self._timeline.moments

    async def read(self, store: Store) -> None:
        """Reads what is new in it; may raise StoreError."""
        async with self._lock:  # else two pages would both add the same
            last = self.log[-1].entry_id if self.log else ""
            found = await store.ask(lambda reader: reader.logs({self._session_id: last}))
            entries = found[self._session_id]
            self.log += entries
            changed = self._timeline.add(entries)
            self._messages += [b""] * len(entries)
            for place in changed:
                self._messages[place] = orjson.dumps(plain(self.moments[place]))

    def news_for(self, known: int) -> list[bytes]:
        """The moments that are new, and those of which more is known, for somebody who knows so many entries.

        Args:
            known: How many of the oldest (count).
        """
        told_by = self._timeline.told_by
        return [message for place, message in enumerate(self._messages) if told_by[place] >= known]


class Histories:
    """The histories that pages look at. A history is forgotten with the last page that does."""

    def __init__(self) -> None:
        self._kept: WeakValueDictionary[tuple[str, bool], SharedHistory] = WeakValueDictionary()

    def of(self, session_id: str, *, full: bool) -> SharedHistory:
        """The history of a session, the same for all who ask. They keep it as long as they look."""
        found = self._kept.get((session_id, full))
        if found is None:
            found = self._kept[session_id, full] = SharedHistory(session_id, full=full)
        return found
