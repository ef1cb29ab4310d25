"""Change feed: polls session logs for entries, new and ended sessions."""

from dataclasses import dataclass, field

from conferral.operations.session_queries import LogEntry, SessionQueries
from conferral.storage.codecs.session_view import SessionView
from conferral.storage.partition.partition_store import parse_entry_id

POLL_INTERVAL_S = 0.2
#: Polls find sessions that ended up to this long ago, in milliseconds, which allows for a delayed poll.
ENDED_OVERLAP_MS = 10_000


@dataclass(slots=True)
class Change:
    """One log entry of one session."""

    session_id: str
    entry: LogEntry

    @property
    def is_end(self) -> bool:
        """Whether this entry ended the session."""
        return self.entry["to"] == "ended" and self.entry["from"] != "ended"


@dataclass(slots=True)
class ChangeFeed:
    """Follows one session from its start, or all live sessions from now on."""

    reader: SessionQueries
    #: The session to follow; empty for all.
    session_id: str = ""
    #: The last entry seen, by session; no more is kept, so a restarted feed misses nothing that Redis still holds.
    positions: dict[str, str] = field(default_factory=dict)
    _started: bool = False

    async def start(self, now_ms: int) -> list[SessionView]:
        """Start at each log's end; return the existing sessions, oldest first."""
        self._started = True
        if self.session_id:
            self.positions = {self.session_id: ""}
            return []
        names = await self.reader.live_ids()
        for gone in await self.reader.ended_ids(now_ms - ENDED_OVERLAP_MS):
            self.positions[gone] = "+"  # it ended before the start: skip its log
        self.positions |= await self.reader.last_log_ids(names)
        return sorted((await self.reader.views(names)).values(), key=lambda session: session.created_at_ms)

    async def poll(self, now_ms: int) -> list[Change]:
        """Return the changes since the last poll, in order of time."""
        assert self._started
        if not self.session_id:
            recent = await self.reader.ended_ids(now_ms - ENDED_OVERLAP_MS)
            for name in (*await self.reader.live_ids(), *recent):
                self.positions.setdefault(name, "")
            # Drop the positions of sessions that ended long ago. Recently ended ones would repeat without theirs.
            kept = {name: place for name, place in self.positions.items() if place != "+" or name in recent}
            self.positions = kept
        changes = []
        open_places = {name: place for name, place in self.positions.items() if place != "+"}
        for name, entries in (await self.reader.logs(open_places)).items():
            for entry in entries:
                self.positions[name] = entry.entry_id
                change = Change(name, entry)
                changes.append(change)
                if change.is_end and not self.session_id:
                    self.positions[name] = "+"
        return sorted(changes, key=lambda change: parse_entry_id(change.entry.entry_id))
