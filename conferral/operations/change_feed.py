"""Change feed: the log entries of all live sessions, as they arrive."""

from dataclasses import dataclass, field

from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.entries import parse_entry_id
from conferral.storage.queries.session_reader import SessionReader

POLL_INTERVAL_S = 0.2
#: Polls find sessions that ended up to this long ago, in milliseconds, which allows for a delayed poll.
ENDED_OVERLAP_MS = 10_000


@dataclass(slots=True)
class ChangeFeed:
    """Follows all live sessions from now on."""

    reader: SessionReader
    #: The last entry seen, by session; no more is kept, so a restarted feed misses nothing that Redis still holds.
    positions: dict[str, str] = field(default_factory=dict)

    async def start(self, now_ms: int) -> None:
        """Start after the entries that there are."""
        names = await self.reader.live_ids()
        for gone in await self.reader.ended_ids(now_ms - ENDED_OVERLAP_MS):
            self.positions[gone] = "+"  # it ended before the start: skip its log
        self.positions |= await self.reader.last_log_ids(names)

    async def poll(self, now_ms: int) -> list[LogEntry]:
        """Return the entries since the last poll, in order of time."""
        recent = await self.reader.ended_ids(now_ms - ENDED_OVERLAP_MS)
        for name in (*await self.reader.live_ids(), *recent):
            self.positions.setdefault(name, "")
        # Drop the positions of sessions that ended long ago. Recently ended ones would repeat without theirs.
        self.positions = {
            name: position for name, position in self.positions.items() if position != "+" or name in recent
        }
        found = []
        open_positions = {name: position for name, position in self.positions.items() if position != "+"}
        for name, entries in (await self.reader.logs(open_positions)).items():
            for entry in entries:
                self.positions[name] = "+" if entry.is_end else entry.id
                found.append(entry)
        return sorted(found, key=lambda entry: parse_entry_id(entry.id))
