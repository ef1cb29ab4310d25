"""A session's current time: its partition's clock, which stays monotonic when Redis's clock is stepped."""

from collections.abc import Sequence
from dataclasses import dataclass

from conferral.storage.connection.client import store_errors
from conferral.storage.keys import Keys
from conferral.storage.queries.session_reader import SessionReader


@dataclass(frozen=True, slots=True)
class PartitionClocks:
    """Every partition's time at one moment. Session timestamps and timers use it."""

    #: Redis's time, in Unix milliseconds.
    now_ms: int
    #: Each partition's offset from Redis's time, in milliseconds.
    clock_offsets_ms: Sequence[int]
    keys: Keys

    def now_of(self, session_id: str, now_ms: int = 0) -> int:
        """Return the time for a session, in Unix milliseconds.

        Args:
            session_id: The session's id.
            now_ms: Redis's current time; 0 for the time of this object.
        """
        return (now_ms or self.now_ms) + self.clock_offsets_ms[self.keys.partition_of(session_id)]


async def read_partition_clocks(reader: SessionReader) -> PartitionClocks:
    """Read the clocks from Redis.

    Raises:
        StoreError: as for any read.
    """
    ahead_ms = await reader.clock_offsets_ms()
    with store_errors():
        seconds, microseconds = await reader.client.time()
    return PartitionClocks(int(seconds) * 1000 + int(microseconds) // 1000, ahead_ms, reader.keys)
