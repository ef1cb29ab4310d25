"""A session's time: its partition's clock, free of steps of Redis's."""

from collections.abc import Sequence
from dataclasses import dataclass

from conferral.storage.connection.client import server_time_ms
from conferral.storage.connection.node_limits import node_of
from conferral.storage.keys import Keys
from conferral.storage.queries.session_reader import SessionReader


@dataclass(frozen=True, slots=True)
class PartitionClocks:
    """Every partition's time at one moment, for timestamps and timers."""

    #: Redis's time, in Unix milliseconds.
    now_ms: int
    #: Each partition's offset from Redis's time, in milliseconds.
    clock_offsets_ms: Sequence[int]
    keys: Keys

    def now_of(self, session_id: str, now_ms: int = 0) -> int:
        """Return a session's time; `now_ms` is Redis's, 0 for this object's."""
        return (now_ms or self.now_ms) + self.clock_offsets_ms[self.keys.partition_of(session_id)]


async def read_partition_clocks(reader: SessionReader) -> PartitionClocks:
    """Read Redis's time, and each partition's offset from it."""
    keys = reader.keys
    offsets_ms = await reader.clock_offsets_ms(range(keys.partitions))
    leases = [keys.lease(number) for number in range(keys.partitions)]
    # A cluster node that has just answered.
    responsive = next((key for key in leases if node_of(reader.client, key) not in reader.silent), leases[0])
    return PartitionClocks(await server_time_ms(reader.client, responsive), offsets_ms, keys)


async def read_session_time_ms(reader: SessionReader, session_id: str) -> int:
    """Return one session's time; ask only the node that has the session."""
    partition = reader.keys.partition_of(session_id)
    (offset_ms,) = await reader.clock_offsets_ms([partition])
    return await server_time_ms(reader.client, reader.keys.lease(partition)) + offset_ms
