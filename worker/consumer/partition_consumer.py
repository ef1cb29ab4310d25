"""Partition consumer: takeover of a partition, and its entries.

If the process dies before a commit, the next holder decides the entries again, with the same ids. After it, effects
and timers are in Redis, where the next holder finds them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from conferral.runtime.clock import CLOCK_JUMP_MS, StoreClock
from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import LeaseLostError, StoreError, StoreUnreachableError
from conferral.runtime.outage import log_unreachable
from conferral.storage.partition.lease import Lease
from conferral.storage.partition.session_store import CommitOutOfOrderError
from conferral.worker.consumer.batch_processor import BatchProcessor
from conferral.worker.consumer.dispatcher import Dispatcher
from conferral.worker.consumer.partition_timers import PartitionTimers
from conferral.worker.consumer.post_commit import PAUSE_S
from conferral.worker.consumer.quarantine import KILLER_REASON, Quarantine
from conferral.worker.consumer.session_gauge import SessionGauge
from conferral.worker.consumer.worker_context import WorkerContext

log = structlog.get_logger()

#: Entries decided in one batch, count: bounds how long its commit blocks Redis.
BATCH_MAX = 20
#: Entries decided one by one after a worker's death, count: the largest batch of any version.
SUSPECTS_MAX = 200


class PartitionConsumer:
    """One partition, consumed under this worker's lease."""

    def __init__(
        self,
        number: int,
        lease: Lease,
        context: WorkerContext,
        on_timers_changed: Callable[[], None],
        renew_lease: Callable[[int], Awaitable[None]],
        *,
        verify_until_s: float,
    ) -> None:
        self.number = number
        self.lease = lease
        self.is_lost = False
        self.is_stopping = False
        self.was_rolled_back = False
        #: Partition time continues from holder to holder, whatever happens to Redis's clock.
        self.clock = StoreClock(context.clock, offset_ms=lease.clock_offset_ms)
        self.clock.observe(lease.acquired_at_ms, lease.requested_at_s)
        self.session_gauge = SessionGauge(number, context.partition_store)
        self.timers = PartitionTimers(number, lease, context.partition_store, self.clock, on_timers_changed)
        self._context = context
        self._has_recovered = False
        self._renew_lease = renew_lease
        self._quarantine = Quarantine(
            number, context.partition_store, lambda job: context.executor.submit(job), context.metrics
        )
        self._dispatcher = Dispatcher(
            number, lease, context, self.clock, self.timers, self.session_gauge, self._quarantine, verify_until_s
        )
        self._batches = BatchProcessor(number, lease, context, self.clock, self._dispatcher)
        #: Entries still to be decided one by one after a worker's death, count.
        self._suspects_left = 0

    @property
    def is_active(self) -> bool:
        """Whether the consumer still runs."""
        return not self.is_lost and not self.is_stopping

    async def run(self) -> None:
        """Run until the lease is lost or the worker stops; finish the batch."""
        is_well = False
        try:
            with (
                suppress(LeaseLostError),
                contain(ItemKind.DECISION, self._context.metrics, passing=(LeaseLostError,), partition=self.number),
            ):
                while self.is_active:
                    await self._run_tolerantly(self._run_once if self._has_recovered else self._recover)
                is_well = True
        finally:
            # After an unexpected error, the lease must expire, so that the next holder verifies effects.
            self.is_lost = self.is_lost or not is_well
            self._dispatcher.stop()
            self.session_gauge.stop()
        await self._dispatcher.wait_finished()

    def stop(self) -> None:
        """Stop after the current batch; end a read that waits."""
        self.is_stopping = self._batches.is_stopping = True
        self._dispatcher.stop()
        self._context.partition_store.stop_reading(self.number)

    def mark_lost(self) -> None:
        """Note that another worker has the lease."""
        self.is_lost = True
        self._context.partition_store.stop_reading(self.number)

    async def _run_tolerantly(self, action: Callable[[], Awaitable[None]]) -> None:
        try:
            await action()
        except LeaseLostError:
            raise
        except StoreUnreachableError as error:
            log_unreachable(error, partition=self.number)
            await asyncio.sleep(PAUSE_S)
        except StoreError as error:
            # Another program writes under our prefix, or Redis rolled back.
            log.error("partition_abandoned", partition=self.number, error_type=type(error).__name__, reason=str(error))
            self.was_rolled_back = isinstance(error, CommitOutOfOrderError)
            # No worker died of it.
            with suppress(StoreError):
                await self._context.partition_store.clear_deaths(self.number)
            raise LeaseLostError(str(error)) from error

    async def _recover(self) -> None:
        await self._context.partition_store.ensure_group(self.number)
        outbox = await self._dispatcher.read_outbox()
        await self.timers.fire()
        self.session_gauge.start()
        # An entry may have killed the previous holder, so decide them one by one.
        self._suspects_left = 0 if self.lease.was_released else SUSPECTS_MAX
        await self._quarantine.begin(after_death=not self.lease.was_released)
        await self._dispatcher.restore(outbox)
        self._has_recovered = True

    async def _run_once(self) -> None:
        entries = await self._context.partition_store.read(self.number, 1 if self._suspects_left else BATCH_MAX)
        if not self.is_active:
            return
        if not entries:
            self._suspects_left = 0
            if abs(self.clock.offset_ms) >= CLOCK_JUMP_MS:
                await self._resync_clock()
            return
        if self._suspects_left:
            self._suspects_left -= 1
            if not await self._quarantine.try_entry(entries[0].entry_id):
                await self._batches.dead_letter(entries, KILLER_REASON)
                return
        await self._context.checkpoint("after_read", self.number)
        await self._batches.process(entries)

    async def _resync_clock(self) -> None:
        """Resync with Redis's clock if nothing is timed; no batch is in progress."""
        if await self._context.partition_store.is_idle(self.number):
            self.clock.resync()
            await self._renew_lease(self.number)  # stores the partition's time
