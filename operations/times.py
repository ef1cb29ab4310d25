"""What time it is for a session: that of its partition, which goes on evenly when Redis's clock is set anew."""

from collections.abc import Sequence
from dataclasses import dataclass

from conferral.operations.reader import Fields
from conferral.storage.connection import store_errors
from conferral.storage.keys import Keys
from conferral.storage.reading import SessionReader


@dataclass(frozen=True, slots=True)
class Times:
    """The time of every partition at one moment. Timers and times of sessions go by it."""

    #: What Redis's clock shows, Unix milliseconds.
    now_ms: int
    #: By how much each partition is ahead of that, milliseconds.
    ahead_ms: Sequence[int]
    keys: Keys

    def of(self, fields: Fields, now_ms: int = 0) -> int:
        """The time for the session of a hash, Unix milliseconds.

        Args:
            fields: The hash.
            now_ms: What Redis's clock shows by now; 0 for what it showed.
        """
        return (now_ms or self.now_ms) + self.ahead_ms[self.keys.partition_of(fields.get("id", ""))]


async def read_times(reader: SessionReader) -> Times:
    """Asks Redis.

    Raises:
        StoreError: as of any read.
    """
    ahead_ms = await reader.ahead_ms()
    with store_errors():
        seconds, microseconds = await reader.client.time()
    return Times(int(seconds) * 1000 + int(microseconds) // 1000, ahead_ms, reader.keys)
