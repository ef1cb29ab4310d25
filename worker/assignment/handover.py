"""Which partition a worker with a surplus hands over, and when."""

import asyncio
from collections.abc import Callable, Collection

from conferral.runtime.clock import Clock
from conferral.worker.consumer.partition_consumer import PartitionConsumer
from conferral.worker.executor.executor import Executor

#: How long to wait for a partition without jobs before handing over a busy one, seconds.
IDLE_WAIT_S = 0.5
IDLE_POLL_S = 0.02
#: How long no partition is handed over after a worker with a deficit ignored one, seconds: first and maximum. The
#: backoff doubles each time.
HANDOVER_BACKOFF_S = 4.0
HANDOVER_BACKOFF_MAX_S = 240.0


class HandoverBackoff:
    """Pauses handovers after a partition that no worker acquired."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        #: Partitions handed over that no worker has acquired yet, as far as is known.
        self.partitions: set[int] = set()
        self._until_s = float("-inf")
        self._backoff_s = HANDOVER_BACKOFF_S

    @property
    def is_over(self) -> bool:
        """Whether a partition may be handed over now."""
        return self._clock.monotonic_s() >= self._until_s

    def check(self, unclaimed: Collection[int], free: Collection[int]) -> None:
        """Check whether the partitions handed over were acquired; back off if one is unclaimed: free for too long."""
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
    """Return the partition to hand over: the one with the fewest sessions, preferably among those without jobs.

    Wait briefly for one without jobs; None if there are no candidates.
    """
    deadline_s = clock.monotonic_s() + IDLE_WAIT_S
    while True:
        now_s, busy = clock.monotonic_s(), executor.busy_partitions
        active = candidates()
        idle = [consumer for consumer in active if consumer.number not in busy]
        if idle or not active or now_s >= deadline_s:
            return min(idle or active, key=lambda consumer: len(consumer.session_gauge.states), default=None)
        await asyncio.sleep(IDLE_POLL_S)
