"""What this worker holds, and until when it may send requests for it.

Ownership writes it; the executor reads it.
"""

import asyncio
from enum import IntEnum
from typing import Generic, Protocol, TypeVar

from conferral.runtime.clock import Clock
from conferral.statemachine.session import Session
from conferral.storage.coordinator import Lease

#: Fraction of the lifetime in which no request leaves: clocks differ, and a request takes time to leave.
MARGIN = 0.1
#: A tick counts for this many of the last round trips, and for at most this long, seconds.
ROUND_TRIPS_PER_LIFETIME = 3
LIFETIME_MAX_S = 10.0


class PartitionStatus(IntEnum):
    """Where a partition is in its life under one lease: it only advances."""

    #: Its effects and states are being restored.
    TAKING_OVER = 1
    #: Its entries are processed.
    SERVING = 2
    #: It ends at this worker's will, and its lease is released once no job of it runs.
    STOPPING = 3
    #: The lease ended without being released: see `LeaseLostError`.
    LOST = 4
    #: An unexpected error ended it, and so the lease.
    FAILED = 5

    @property
    def is_active(self) -> bool:
        """Whether entries are still processed, or will be."""
        return self < PartitionStatus.STOPPING

    @property
    def is_aborted(self) -> bool:
        """Whether the lease ended without being released: no job may go on."""
        return self >= PartitionStatus.LOST


class HeldPartition(Protocol):
    """A partition that this worker holds, or held until now."""

    lease: Lease
    status: PartitionStatus
    #: Live sessions that are cached, as last committed, by id.
    sessions: dict[str, Session]

    @property
    def is_confirmed(self) -> bool:
        """Whether its lease was confirmed since Redis may have been replaced."""


_Held = TypeVar("_Held", bound=HeldPartition)


class HeldPartitions(Generic[_Held]):
    """The partitions of one worker, by number.

    `lifetime_s` is how long a tick counts if Redis answers quickly, `lifetime_max_s` if it is slow.
    """

    def __init__(self, clock: Clock, lifetime_s: float, lifetime_max_s: float = LIFETIME_MAX_S) -> None:
        self._clock = clock
        self._lifetime_min_s, self._lifetime_max_s = lifetime_s, lifetime_max_s
        self.partitions: dict[int, _Held] = {}
        #: Live workers, this one included (count).
        self.live_workers = 1
        #: How long a tick counts now, seconds; and until when the last one does, monotonic seconds.
        self.lifetime_s, self.valid_until_s = lifetime_s, float("-inf")
        self._renewed = asyncio.Event()

    @property
    def owned_count(self) -> int:
        """Partitions neither released nor aborted, count."""
        return sum(not one.status.is_aborted for one in self.partitions.values())

    @property
    def is_sending_allowed(self) -> bool:
        """Whether the last answered tick still lets requests leave."""
        return self._clock.monotonic_s() + MARGIN * self.lifetime_s < self.valid_until_s

    def note_round_trip(self, round_trip_s: float) -> None:
        """Set how long a tick counts by the last round trip to Redis."""
        slow_s = min(ROUND_TRIPS_PER_LIFETIME * round_trip_s, self._lifetime_max_s)
        self.lifetime_s = max(self._lifetime_min_s, slow_s)

    def find(self, partition: int) -> _Held | None:
        """Return a partition unless it is aborted."""
        held = self.partitions.get(partition)
        return None if held is None or held.status.is_aborted else held

    def may_send(self, partition: int) -> bool:
        """Whether a request for the partition may leave now."""
        held = self.find(partition)
        return held is not None and held.is_confirmed and self.is_sending_allowed

    async def wait_to_send(self, partition: int) -> bool:
        """Wait until a request may leave; return False if it is aborted."""
        while (held := self.find(partition)) is not None:
            if held.is_confirmed and self.is_sending_allowed:
                return True
            await self._renewed.wait()
        return False

    def renew(self) -> None:
        """Let everyone look again who waits to send: a tick was answered."""
        self._renewed.set()
        self._renewed = asyncio.Event()
