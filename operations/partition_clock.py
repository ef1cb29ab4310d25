"""What time it is for a session: that of its partition, which goes on evenly when Redis's clock is set anew."""

from collections.abc import Sequence
from dataclasses import dataclass

from conferral.operations.session_queries import Fields
from conferral.storage.connection.client import store_errors
from conferral.storage.keys import Keys
from conferral.storage.queries.session_reader import SessionReader


@dataclass(frozen=True, slots=True)
class PartitionClocks:
    """The time of every partition at one moment. Timers and times of sessions go by it."""

    #: What Redis's clock shows, Unix milliseconds.
    now_ms: int
    #: By how much each partition is ahead of that, milliseconds.
    clock_offsets_ms: Sequence[int]
    keys: Keys

    def now_of(self, fields: Fields, now_ms: int = 0) -> int:
        """The time for the session of a hash, Unix milliseconds.

        Args:
            fields: The hash.
            now_ms: What Redis's clock shows by now; 0 for what it showed.
        """
        return (now_ms or self.now_ms) + self.clock_offsets_ms[self.keys.partition_of(fields.get("id", ""))]


async def read_partition_clocks(reader: SessionReader) -> PartitionClocks:
    """Asks Redis.

    Raises:
        StoreError: as of any read.
    """
    ahead_ms = await reader.clock_offsets_ms()
    with store_errors():
        seconds, microseconds = await reader.client.time()
    return PartitionClocks(int(seconds) * 1000 + int(microseconds) // 1000, ahead_ms, reader.keys)
