"""An entry that kills its worker must not stop other partitions.

Such an entry (out of memory, a crash in C) stays on the stream, and kills the next owner, too. A worker that dies takes
all its leases along. So while entries wait, claims after a death are counted in the lease (`hold_partition-2.lua`).
From the second in a row on, a partition decides its first batch alone: no other such partition of this worker does at
the same time. The lease notes each of these attempts, and from the third claim on, there is one a minute. Then, entries
are decided one by one, so that the one that kills is the oldest. A worker that has decided the first batch, or has
lived for ten seconds, has survived: the claims are forgotten.
"""

import asyncio

import structlog

from conferral.storage.coordinator import Lease
from conferral.worker.core import REDIS_PAUSE_S, WorkerCore
from conferral.worker.partition.lease_check import LeaseCheck

log = structlog.get_logger()

#: The claim in a row from which on entries are decided alone, and the one from which on this happens once a minute.
ALONE_FROM, LOOP_FROM = 2, 3
#: Between two attempts, seconds.
RETRY_S = 60.0
#: An entry that hasn't killed its worker by then kills none, seconds.
SURVIVED_AFTER_S = 10.0


class CrashLoop:
    """When a partition may decide the entries that waited at its claim."""

    def __init__(self, partition: int, lease: Lease, core: WorkerCore, lease_check: LeaseCheck, batch_max: int) -> None:
        self._partition, self._lease = partition, lease
        self._core, self._lease_check = core, lease_check
        self._batch_max = batch_max
        #: Entries to be decided before the claims are forgotten, count: the first batch after a crash loop, whose entry
        #: was among it; else one, if a claim is to be forgotten.
        self._left = min(batch_max, lease.waiting) if self.is_detected else min(1, lease.claims)
        self._has_turn = self._is_tried = False
        #: When its turn may come, and when this worker has survived at the latest, monotonic seconds.
        self._due_at_s, self._survived_at_s = core.clock.monotonic_s(), float("inf")
        if self.is_detected:
            tried_s = (lease.claimed_at_ms - lease.tried_at_ms) / 1000
            wait_s = min(max(RETRY_S - tried_s, 0.0), RETRY_S)  # Redis's clock may have been set
            self._due_at_s += wait_s
            log.error("crash_loop_detected", partition=partition, count=lease.claims, wait_s=round(wait_s, 1))

    @property
    def is_detected(self) -> bool:
        """Whether the entry that was tried alone has killed its worker."""
        return self._lease.claims >= LOOP_FROM and self._lease.tried_at_ms > 0

    @property
    def has_survived(self) -> bool:
        """Whether the entries that waited at the claim have not ended this worker."""
        return not self._left or self._core.clock.monotonic_s() >= self._survived_at_s

    @property
    def batch_max(self) -> int:
        """How many entries may be decided together, count."""
        return 1 if self._has_turn and self.is_detected else self._batch_max

    async def try_to_begin(self) -> bool:
        """Wait a moment for its turn; return whether entries may be decided now."""
        now_s = self._core.clock.monotonic_s()
        if now_s < self._due_at_s:
            await self._lease_check.confirm_when_due()
            await asyncio.sleep(min(REDIS_PAUSE_S, self._due_at_s - now_s))
            return False
        if self._lease.claims >= ALONE_FROM and not self._has_turn:
            await self._core.alone.acquire()
            self._has_turn = True
            return False  # the lease may have ended meanwhile
        if self._has_turn:
            await self._lease_check.note_try()
            self._is_tried = True
        self._survived_at_s = now_s + SURVIVED_AFTER_S
        return True

    def note_decided(self, count: int) -> None:
        """Count decided entries; 0 means that none waits."""
        self._left = max(0, self._left - count) if count else 0

    async def note_stop(self) -> None:
        """Note that a stop ends this turn, not a death."""
        if self._has_turn and self._is_tried:
            await self._lease_check.note_survival()

    def end_turn(self) -> None:
        """Let another partition decide its entries, which may kill this worker.

        The key must say before that this partition's entries have killed no one.
        """
        if self._has_turn:
            self._core.alone.release()
        self._has_turn = False
