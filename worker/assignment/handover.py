"""Which partition a worker with a surplus hands over, and when."""

import asyncio
from collections.abc import Callable, Collection

from conferral.runtime.clock import Clock
from conferral.worker.consumer.partition_consumer import PartitionConsumer
from conferral.worker.executor.executor import Executor

#: How long to wait for a partition without jobs before handing over a busy one, seconds.
IDLE_WAIT_S = 0.5
#: How long to wait for a partition without verifications, which the next holder would begin again, seconds.
VERIFICATION_WAIT_S = 5.0
IDLE_POLL_S = 0.02
#: First and maximum pause after a handover that no worker accepted, seconds; it doubles each time.
HANDOVER_BACKOFF_S = 4.0
HANDOVER_BACKOFF_MAX_S = 240.0


class HandoverBackoff:
    """Pauses handovers after a partition that no worker acquired."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: Partitions handed over and, as far as is known, not acquired yet.
        self.partitions: set[int] = set()
        self._until_s = float("-inf")
        self._backoff_s = HANDOVER_BACKOFF_S

    @property
    def is_over(self) -> bool:
        """Whether a partition may be handed over now."""
        return self._clock.monotonic_s() >= self._until_s

    def check(self, unclaimed: Collection[int], free: Collection[int]) -> None:
        """Back off if a handed-over partition stays unclaimed."""
        for number in list(self.partitions):
            if number in unclaimed:
                self._until_s = self._clock.monotonic_s() + self._backoff_s
                self._backoff_s = min(2 * self._backoff_s, HANDOVER_BACKOFF_MAX_S)
                self.partitions.clear()
                return
            if number not in free:
                self._backoff_s = HANDOVER_BACKOFF_S
                self.partitions.discard(number)


async def pick_partition(
    candidates: Callable[[], list[PartitionConsumer]], executor: Executor, clock: Clock
) -> PartitionConsumer | None:
    """Return the partition with the fewest sessions, if possible without jobs."""
    started_s = clock.monotonic_s()
    while True:
        active, waited_s = candidates(), clock.monotonic_s() - started_s
        avoided: set[int] = set()
        if waited_s < IDLE_WAIT_S:
            avoided = executor.busy_partitions
        elif waited_s < VERIFICATION_WAIT_S:
            avoided = executor.verifying_partitions
        found = [consumer for consumer in active if consumer.number not in avoided]
        if found or not active:
            return min(found, key=lambda consumer: len(consumer.session_gauge.states), default=None)
        await asyncio.sleep(IDLE_POLL_S)
