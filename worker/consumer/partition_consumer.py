"""Partition consumer: takeover of a partition, its entries and timers.

If the process dies before a commit, the next holder decides the entries again, with the same ids. After it, effects
and timers are in Redis, where the next holder finds them.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

import structlog

from conferral.runtime.clock import StoreClock
from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import LeaseLostError, StoreError, StoreUnreachableError
from conferral.runtime.lifecycle import gather, wait_at_most
from conferral.runtime.log import log_unreachable
from conferral.statemachine.events import (
    TIMERS,
    AgeOverdue,
    CallsOverdue,
    DialOverdue,
    HoldOverdue,
    ParkOverdue,
)
from conferral.statemachine.policy import Policy
from conferral.storage import coordinator
from conferral.storage.coordinator import Lease, RolledBackError
from conferral.storage.partition.partition_store import Entry, PartitionStore
from conferral.worker.consumer.batch import Decision
from conferral.worker.consumer.batch_processor import BatchProcessor
from conferral.worker.consumer.dispatcher import Dispatcher
from conferral.worker.consumer.first_reads import FirstReads
from conferral.worker.consumer.quarantine import KILLER_REASON, Quarantine
from conferral.worker.core import REDIS_PAUSE_S, WorkerCore
from conferral.worker.executor.executor import Executor

log = structlog.get_logger()

#: The longest timer of a dial: a ring time of 600 s, and the gate; and of all kinds without a setting, milliseconds.
DIAL_MAX_MS = 670_000
OTHERS_MAX_MS = 60_000
#: Minimum wait for a timer, seconds: due times are whole milliseconds.
WAIT_MIN_S = 0.002
#: Entries decided in one batch, count: bounds how long its commit blocks Redis.
BATCH_MAX = 40
#: How often the partition is compared with its key, seconds: it may be on another server than the coordinator's.
CONFIRM_EVERY_S = 1.5
#: Pause after an error of the timers, which stay due, seconds.
TIMER_PAUSE_S = 0.5


def max_timer_lengths_ms(policy: Policy) -> dict[str, int]:
    """Return how long each kind of timer can be, milliseconds."""
    others_ms = max(OTHERS_MAX_MS, policy.convert_timeout_ms, policy.lone_grace_ms)
    return dict.fromkeys((kind.timer for kind in TIMERS), others_ms) | {
        CallsOverdue.timer: DIAL_MAX_MS,
        DialOverdue.timer: DIAL_MAX_MS,
        ParkOverdue.timer: policy.park_timeout_ms,
        HoldOverdue.timer: policy.hold_limit_ms,
        AgeOverdue.timer: policy.age_max_ms,
    }


class PartitionTimers:
    """One partition's timers."""

    def __init__(self, partition: int, lease: Lease, store: PartitionStore, clock: StoreClock) -> None:
        self._partition = partition
        self._lease = lease
        self._store = store
        self._clock = clock
        #: Set when a timer is due before all known ones.
        self._is_changed = asyncio.Event()
        #: Unix milliseconds, infinite without one: the next timer, and the earliest one set during a firing.
        self._next_ms = self._set_while_firing_ms = math.inf

    def ms_until_due(self) -> float:
        """Return the milliseconds until the next timer; infinite without one."""
        return self._next_ms - self._clock.now_ms()

    async def wait_until_due(self) -> None:
        """Wait for the next timer, also for one that is set meanwhile."""
        while (until_due_ms := self.ms_until_due()) > 0:
            self._is_changed.clear()
            await wait_at_most(
                self._is_changed, None if until_due_ms == math.inf else max(WAIT_MIN_S, until_due_ms / 1000)
            )

    async def fire(self, max_lengths_ms: Mapping[str, int] | None = None) -> None:
        """Move due timers onto the stream, and store when the next one is due.

        Args:
            max_lengths_ms: After a takeover, the maximum length of each kind of timer. One that is due later than this
                from now counts as due: Redis's clock was set back after it was stored.
        """
        self._set_while_firing_ms = math.inf
        now_ms = self._clock.now_ms()
        _, next_due_ms = await self._store.fire_timers(self._partition, self._lease, now_ms, max_lengths_ms or {})
        # The script's answer misses timers that were committed after the script ran.
        self._next_ms = min(math.inf if next_due_ms is None else next_due_ms, self._set_while_firing_ms)

    def add_due(self, due_ms: int) -> None:
        """Add the due time of a committed timer, Unix milliseconds."""
        self._set_while_firing_ms = min(self._set_while_firing_ms, due_ms)
        if due_ms < self._next_ms:
            self._next_ms = due_ms
            self._is_changed.set()


class PartitionConsumer:
    """One partition, consumed under this worker's lease."""

    def __init__(
        self,
        number: int,
        lease: Lease,
        core: WorkerCore,
        executor: Executor,
        on_committed: Callable[[list[Decision]], None],
        *,
        is_after_death: bool,
    ) -> None:
        """Consume it; `is_after_death`: its last consumer has died, or failed."""
        self.number = number
        self.lease = lease
        self.is_lost = False
        self.is_stopping = False
        #: Whether an unexpected error ended it.
        self.has_failed = False
        self.timers = PartitionTimers(number, lease, core.partition_store, core.store_clock)
        self._core = core
        self._metrics = core.metrics
        self._is_after_death = is_after_death
        self._has_taken_over = False
        self._quarantine = Quarantine(number, core, executor)
        self._dispatcher = Dispatcher(
            number,
            lease,
            core,
            executor,
            self.timers.add_due,
            self._quarantine,
            is_background_read=lambda effect: self._first_reads.is_background_read(effect),
            on_committed=on_committed,
        )
        self._first_reads = FirstReads(number, lease, core, executor, self._dispatcher.submit_withheld)
        self._batches = BatchProcessor(number, lease, core, self._dispatcher, self._first_reads)
        self.sessions, self.states = self._batches.sessions, self._batches.states
        #: Monotonic seconds.
        self._confirmed_at_s = core.clock.monotonic_s()
        #: What runs next to the reads, from the takeover to the end.
        self._tasks: list[asyncio.Task[None]] = []
        #: The last entry read; while others wait, the next read starts there.
        self._last_read_id = "0"
        #: Entries still to be decided one by one after a worker's death, count.
        self._suspects_left = 0

    @property
    def is_active(self) -> bool:
        """Whether the consumer still runs."""
        return not self.is_lost and not self.is_stopping

    @property
    def has_timed_nothing(self) -> bool:
        """Whether no session lives, and it decides nothing."""
        return self._has_taken_over and not self.states and not self._batches.is_deciding

    async def run(self) -> None:
        """Run until the lease is lost or the worker stops; finish the batch."""
        is_well = False
        try:
            with (
                suppress(LeaseLostError),
                contain(ItemKind.DECISION, self._metrics, passing=(LeaseLostError,), partition=self.number) as boundary,
            ):
                while self.is_active:
                    await self._run_tolerantly(self._run_once if self._has_taken_over else self._take_over)
                is_well = True
            self.has_failed = boundary.unexpected is not None
        finally:
            # After an unexpected error, the partition is claimed again, so that its effects are verified.
            self.is_lost = self.is_lost or not is_well
            for task in self._tasks:
                task.cancel()

    def stop(self) -> None:
        """Stop after the current batch; end a read that waits."""
        self.is_stopping = self._batches.is_stopping = True
        self._core.partition_store.stop_reading(self.number)

    def mark_lost(self) -> None:
        """Stop reading: this lease has ended."""
        self.is_lost = True
        self._core.partition_store.stop_reading(self.number)

    async def _run_tolerantly(self, action: Callable[[], Awaitable[None]]) -> None:
        try:
            await action()
        except LeaseLostError:
            raise
        except StoreUnreachableError as error:
            log_unreachable(error, partition=self.number)
            self._confirmed_at_s = float("-inf")  # it may come back as another server
            await asyncio.sleep(REDIS_PAUSE_S)
        except StoreError as error:
            # Another program writes under our prefix, or Redis rolled back.
            log.error("partition_abandoned", partition=self.number, error_type=type(error).__name__, reason=str(error))
            with suppress(StoreError):
                await self._core.partition_store.clear_deaths(self.number)  # no worker died of it
            raise LeaseLostError(str(error)) from error

    async def _take_over(self) -> None:
        """Takeover: restore timers, outbox, and quarantine, before any entry.

        After an error of Redis it is repeated, so nothing starts before all of it has succeeded.
        """
        # An entry may have killed the previous holder, so decide them one by one.
        self._suspects_left = BATCH_MAX if self._is_after_death else 0
        # Together: Redis may be slow, and callers wait.
        outbox, *_ = await gather(
            self._core.partition_store.outbox(self.number),
            self._load_sessions(),
            self.timers.fire(max_timer_lengths_ms(self._core.policy())),
            self._quarantine.begin(after_death=self._is_after_death),
        )
        await self._dispatcher.restore(outbox, self._first_reads.is_unread)
        self._tasks = [asyncio.create_task(self._fire_timers()), asyncio.create_task(self._first_reads.request_all())]
        self._has_taken_over = True

    async def _load_sessions(self) -> None:
        await self._first_reads.load()
        store = self._core.partition_store
        found = await store.field_of(await store.live_sessions(self.number), "state")
        self.states.update((name, state) for name, state in found.items() if state)

    async def _run_once(self) -> None:
        await self._confirm_when_due()
        if entries := self._first_reads.ready(BATCH_MAX):
            await self._decide(entries)
            return
        if self._first_reads.is_full:
            await asyncio.sleep(REDIS_PAUSE_S)
            return
        after_id = self._last_read_id if self._first_reads.has_waiting else "0"
        count = 1 if self._suspects_left else BATCH_MAX
        if entries := await self._read(count, after_id):
            await self._decide(entries)
            self._last_read_id = entries[-1].entry_id  # not before: after an error, they are read again
        elif not self._first_reads.has_waiting:
            self._suspects_left = 0

    async def _read(self, count: int, after_id: str) -> list[Entry]:
        """Return the next entries; none once it stops, and then don't wait."""
        # A stop ends the read that it finds, but none that begins later.
        entries = await self._core.partition_store.read(self.number, count, after_id) if self.is_active else []
        return entries if self.is_active else []

    async def _confirm_when_due(self) -> None:
        """Compare the partition with its key at times, or raise LeaseLostError.

        The coordinator can't show that Redis lacks something: the key may be on another server.
        """
        core = self._core
        if core.clock.monotonic_s() - self._confirmed_at_s < CONFIRM_EVERY_S:
            return
        try:
            await coordinator.confirm_partition(core.reserved, core.keys, self.number, self.lease)
        except RolledBackError:
            log.error("redis_rollback_detected", partition=self.number, holder=self.lease.holder)
            raise LeaseLostError("Redis lacks something") from None
        self._confirmed_at_s = core.clock.monotonic_s()

    async def _fire_timers(self) -> None:
        """Fire timers while the partition is held; after errors, they stay due."""
        while not self.is_lost:
            await self.timers.wait_until_due()
            try:
                with contain(ItemKind.TIMER, self._metrics, passing=(StoreError,), partition=self.number) as boundary:
                    await self.timers.fire()
                if boundary.unexpected is None:
                    continue
            except LeaseLostError:
                self.mark_lost()
                return
            except StoreError as error:
                log_unreachable(error, partition=self.number)
            await asyncio.sleep(TIMER_PAUSE_S)

    async def _decide(self, entries: Sequence[Entry]) -> None:
        """Decide entries together, or one by one after a worker's death."""
        if not self._suspects_left:
            await self._core.checkpoint("after_read", self.number)
            await self._batches.process(entries)
            return
        for entry in entries:
            if not await self._quarantine.begin_try(entry.entry_id):
                await self._batches.dead_letter([entry], KILLER_REASON)
                continue
            await self._core.checkpoint("after_read", self.number)
            if await self._batches.process([entry]):
                await self._quarantine.cancel_try(entry.entry_id)
            else:
                self._suspects_left = max(0, self._suspects_left - 1)
