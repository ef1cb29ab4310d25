"""Partition assignment: acquires this worker's share of leases, renews them, and hands surplus ones over.

A worker's share follows from who is alive and who holds what (`worker.assignment.rebalance`). Every worker computes it
alone, and all reach the same result; until they do, the lease decides. A clean stop releases all leases.
"""

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection

import structlog

from conferral.runtime.clock import Clock, StoreClock
from conferral.runtime.errors import StoreError
from conferral.runtime.lifecycle import pause
from conferral.runtime.metrics import Metrics
from conferral.runtime.outage import log_unreachable
from conferral.storage.connection.client import Client
from conferral.storage.keys import Keys
from conferral.storage.partition import lease as leases
from conferral.storage.partition.lease import (
    DISCONNECTED_MARGIN,
    LEASE_MS,
    VERIFY_AFTER_FAILOVER_S,
    Lease,
    LeaseInfo,
    disconnected_s,
)
from conferral.storage.partition.partition_store import PartitionStore
from conferral.storage.schema import SchemaVersion
from conferral.worker.assignment.handover import IDLE_POLL_S, HandoverBackoff, pick_partition
from conferral.worker.assignment.membership import Membership
from conferral.worker.assignment.rebalance import PeerLeases, target_counts
from conferral.worker.assignment.renewal import LeaseRenewer
from conferral.worker.assignment.rollback_checks import RollbackChecks
from conferral.worker.consumer.partition_consumer import PartitionConsumer
from conferral.worker.consumer.worker_context import WorkerContext
from conferral.worker.executor.executor import Executor

log = structlog.get_logger()

#: Interval at which the worker searches for free and expired leases, seconds.
ACQUIRE_EVERY_S = 0.5
#: Concurrent lease requests, count: no burst on Redis at start, and few waits in sequence while Redis does not respond.
CONCURRENCY_MAX = 64
#: Fraction of a lease that must be left when a REST request is sent: connecting takes time.
LEASE_MARGIN = 0.2
#: How long to wait for a partition's running jobs before handing it over, seconds.
HANDOVER_TIMEOUT_S = 2.0
#: How long a free partition is reserved for workers with a deficit before any worker takes it, seconds; and one whose
#: holder died, since its callers wait. Workers with a deficit may have died, too, or have just started.
UNCLAIMED_S = 2.0
UNCLAIMED_AFTER_DEATH_S = 0.4
#: Attempts to release a lease while Redis is unreachable, count, and the pause between them, seconds.
RELEASE_ATTEMPTS = 5
RELEASE_PAUSE_S = 0.2


class PartitionAssigner:
    """Holds partitions and runs their consumers."""

    def __init__(
        self,
        client: Client,
        keys: Keys,
        name: str,
        clock: Clock,
        store_clock: StoreClock,
        metrics: Metrics,
        schema: SchemaVersion,
        lease_ms: int = LEASE_MS,
        own: Client | None = None,
    ) -> None:
        self._client = client
        self._keys = keys
        self._name = name
        self._clock = clock
        self._store_clock = store_clock
        self._metrics = metrics
        self._lease_ms = lease_ms
        self._renewer = LeaseRenewer(client, own, clock, lease_ms)
        self._schema = schema
        self._wake = asyncio.Event()
        self.membership = Membership(client, keys, name, clock, store_clock, self._wake.set, schema, lease_ms)
        self._peer_leases = PeerLeases(client, keys, name, clock, store_clock, lease_ms)
        self._handover_task: asyncio.Task[None] | None = None
        self._handover_backoff = HandoverBackoff(clock)
        self.consumers: dict[int, PartitionConsumer] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        #: Until when a partition's effects may repeat ones executed before a rollback, monotonic seconds.
        self._verify_until_s: defaultdict[int, float] = defaultdict(float)
        #: Partitions that were rolled back under this worker's lease and whose sessions are not being checked yet.
        self._unchecked_partitions: set[int] = set()
        self._rollback_checks = RollbackChecks(metrics)
        #: Set when a new timer is due before all known ones.
        self.timers_changed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<PartitionAssigner {self._name} holds {sorted(self.consumers)}>"

    @property
    def workers_alive(self) -> int:
        """Live workers, including this one (count)."""
        return self.membership.count

    async def run(self, stop: asyncio.Event, around: WorkerContext, executor: Executor) -> None:
        """Renew and rebalance until the process stops, then finish the batches in hand.

        Then release the partitions without jobs; `release` does the rest.
        """
        drop = executor.drop_partition
        await self._renewer.connect()
        renewed_at_s = self._clock.monotonic_s()
        while not stop.is_set():
            self._wake.clear()
            self._collect_finished(drop)
            self._check_sessions(around.partition_store)
            if self._clock.monotonic_s() - renewed_at_s >= self._renewer.every_s:
                renewed_at_s = self._clock.monotonic_s()
                await self._renewer.renew_all(self.consumers.values())
            if self.membership.is_loaded.is_set():
                await self._rebalance(around, executor)
            self._metrics.partitions_held.set(len(self.consumers))
            self._metrics.workers_alive.set(self.workers_alive)
            wait_s = min(ACQUIRE_EVERY_S, self._renewer.every_s, self._peer_leases.until_suspect_s())
            await _wait_for_any((self._wake, stop), wait_s)
        self.timers_changed.set()  # wake the timer loop, which waits for the next timer
        self._rollback_checks.stop()
        if self._handover_task is not None:
            await asyncio.wait({self._handover_task})
        for consumer in self.consumers.values():
            consumer.stop()
        if self._tasks:
            await asyncio.wait(self._tasks.values())
        self._collect_finished(drop)
        await self.release(except_for=executor.busy_partitions)

    async def release(self, *, except_for: Collection[int] = ()) -> None:
        """Release leases, so the next holder need not wait for them to expire."""

        async def release_one(number: int) -> None:
            await leases.release(self._client, self.consumers[number].lease, self.consumers[number].clock.now_ms())
            del self.consumers[number]

        await _for_each([number for number in self.consumers if number not in except_for], release_one)
        await self.membership.notify()

    async def drain(self, is_drained: asyncio.Event, executor: Executor) -> None:
        """During shutdown, release partitions as their requests in flight end, and renew the rest.

        Twilio may be slow, and after an expired lease the next holder would have to verify everything.

        Args:
            is_drained: Set when nothing is left to wait for.
        """
        renewed_at_s = self._clock.monotonic_s()
        while not is_drained.is_set() and self.consumers:
            if self._clock.monotonic_s() - renewed_at_s >= self._renewer.every_s:
                renewed_at_s = self._clock.monotonic_s()
                await self._renewer.renew_all(self.consumers.values())
                for number in [number for number, consumer in self.consumers.items() if consumer.is_lost]:
                    executor.drop_partition(number)
                    del self.consumers[number]
            if self.workers_alive > 1:  # otherwise, no one would send it until the next start
                for number in self.consumers:
                    executor.leave_partition(number)
            busy = executor.busy_partitions
            idle = self.consumers.keys() - busy
            if idle:
                await self.release(except_for=busy)
            was_refused = not idle.isdisjoint(self.consumers)
            await pause(is_drained, RELEASE_PAUSE_S if was_refused else IDLE_POLL_S)

    def now_ms(self, partition: int) -> int:
        """Return a partition's time, Unix milliseconds; Redis's time for a partition that this worker does not hold."""
        consumer = self.consumers.get(partition)
        return consumer.clock.now_ms() if consumer is not None else self._store_clock.now_ms()

    def is_ours(self, partition: int) -> bool:
        """Whether this worker's lease is valid by its own clock, which also advances while the process is suspended."""
        consumer = self.consumers.get(partition)
        if consumer is None or consumer.is_lost:
            return False
        return consumer.lease.is_valid(self._clock) and consumer.lease.is_safe(self._clock)

    def _is_safe(self, lease: Lease) -> bool:
        """Whether no other worker can hold the lease while a request is connecting."""
        margin_s = LEASE_MARGIN * self._lease_ms / 1000
        disconnected_margin_s = DISCONNECTED_MARGIN * disconnected_s(self._lease_ms)
        return lease.is_valid(self._clock, margin_s) and lease.is_safe(self._clock, disconnected_margin_s)

    async def may_send(self, partition: int) -> bool:
        """Whether a REST request may be sent for a partition now.

        Waits while the lease is about to expire and Redis doesn't answer its renewal. False: the partition is lost.
        """
        while (consumer := self.consumers.get(partition)) is not None and not consumer.is_lost:
            if self._is_safe(consumer.lease):
                return True
            # Once the lease has expired by our own clock, another worker may hold it; only Redis knows.
            # `_for_each` logs Redis's errors instead of raising them.
            await _for_each([partition], self.renew)
            if not self._is_safe(consumer.lease):
                await asyncio.sleep(ACQUIRE_EVERY_S)
        return False

    async def renew(self, partition: int) -> None:
        """Renew one lease."""
        consumer = self.consumers.get(partition)
        if consumer is not None:
            await self._renewer.renew(consumer)

    # ---- rebalance ------------------------------------------------------------------------------------------------

    async def _rebalance(self, around: WorkerContext, executor: Executor) -> None:
        """Acquire unassigned (free) partitions up to this worker's share, or hand one surplus partition over.

        A partition that stays unclaimed is acquired even above the share.

        If this version can't read the schema, acquire nothing and hand everything over to newer versions.
        """
        if self._schema.is_too_new:
            if self.consumers and self._handover_task is None:
                self._handover_task = asyncio.get_running_loop().create_task(self._hand_over_one(executor))
            return
        peers = self._peer_leases
        try:
            not_held = [number for number in range(self._keys.partitions) if number not in self.consumers]
            # Without a read for twice as long as a renewal may take, holders get time to renew.
            await peers.read(not_held, 2 * self._renewer.every_s_at_most)
        except StoreError as error:
            log_unreachable(error, task="leases")
            return
        if peers.error is not None:
            log_unreachable(peers.error, task="leases")
        self.membership.note_dead(peers.dead_workers)
        counts = Counter({**peers.counts, self._name: len(self.consumers)})
        targets = target_counts(counts, self.membership.names, self._keys.partitions)
        surplus_or_deficit = targets.pop(self._name) - len(self.consumers)
        peers_deficit = sum(
            max(0, target - counts[name]) for name, target in targets.items() if self.membership.is_alive(name)
        )
        unclaimed = [
            number
            for number in peers.free
            if peers.unclaimed_s(number) >= (UNCLAIMED_AFTER_DEATH_S if peers.is_overdue(number) else UNCLAIMED_S)
        ]
        self._handover_backoff.check(unclaimed, peers.free)
        if surplus_or_deficit > 0:
            await self._acquire_some(surplus_or_deficit, around)
        elif unclaimed:
            batch = math.ceil(len(unclaimed) / self.workers_alive)
            await _for_each(unclaimed[:batch], lambda number: self._acquire(number, around))
        elif (
            surplus_or_deficit < 0
            and peers.error is None
            and peers_deficit > len(peers.free)
            and self._handover_backoff.is_over
            and self._handover_task is None
        ):
            self._handover_task = asyncio.get_running_loop().create_task(self._hand_over_one(executor))

    async def _acquire_some(self, missing: int, around: WorkerContext) -> None:
        free = self._peer_leases.free
        while free and missing > 0:
            batch, free = free[:missing], free[missing:]
            before = len(self.consumers)
            await _for_each(batch, lambda number: self._acquire(number, around))
            missing -= len(self.consumers) - before

    async def _acquire(self, partition: int, around: WorkerContext) -> None:
        """Acquire an unassigned partition, or take over the expired lease of a dead worker; start its consumer."""
        monitor = self._peer_leases.monitor(partition)
        lease, _ = await leases.acquire(
            self._client,
            self._keys.lease(partition),
            self._name,
            self._clock,
            self._lease_ms,
            monitor,
            self._renewer.connection,
            (self._keys.timers(partition), self._keys.events(partition)),
        )
        if not isinstance(lease, LeaseInfo):
            outcome = self._peer_leases.end_of(partition) if not lease.was_released else "clean"
            self._peer_leases.reset(partition)
            self._start_consumer(partition, lease, around, outcome)

    async def _hand_over_one(self, executor: Executor) -> None:
        """Hand a partition over between two batches: the next holder continues at once, and finds no running jobs."""
        consumer = await pick_partition(self._active_consumers, executor, self._clock)
        if consumer is None:
            return
        running = self._tasks.pop(consumer.number)
        consumer.stop()
        await asyncio.wait({running})
        if consumer.is_lost or running.exception() is not None:
            executor.drop_partition(consumer.number)
            self._handle_end(consumer, running)
        else:
            await executor.drain_partition(consumer.number, HANDOVER_TIMEOUT_S)
            await self._release_one(consumer)
        self._wake.set()

    def _active_consumers(self) -> list[PartitionConsumer]:
        """Return the consumers that may be handed over.

        After a rollback, their effects are verified first. The next holder continues the check of their sessions, if
        the lease can say so: it names the server for that, which some hosted Redis does not tell.
        """
        now_s = self._clock.monotonic_s()
        return [
            one
            for number, one in self.consumers.items()
            if one.is_active
            and self._verify_until_s[number] <= now_s
            and (one.lease.redis or not one.lease.is_unchecked)
        ]

    async def _release_one(self, consumer: PartitionConsumer) -> None:
        await self._try_to_release(consumer)
        self._remove(consumer)
        await self.membership.notify()

    async def _try_to_release(self, consumer: PartitionConsumer) -> None:
        """Release the lease; if that fails, the lease expires."""
        for _ in range(RELEASE_ATTEMPTS):
            if consumer.is_lost:
                return
            try:
                await leases.release(self._client, consumer.lease, consumer.clock.now_ms())
            except StoreError as error:
                log_unreachable(error, partition=consumer.number)
                await asyncio.sleep(RELEASE_PAUSE_S)
            else:
                self._handover_backoff.partitions.add(consumer.number)
                log.info("lease_released", partition=consumer.number, holder=consumer.lease.holder)
                return

    # ---- one partition --------------------------------------------------------------------------------------------

    def _start_consumer(self, partition: int, lease: Lease, around: WorkerContext, outcome: str) -> None:
        until_s = self._verify_until_s[partition]
        if not lease.has_all_commits:  # the previous holder may have died before it noticed the rollback
            until_s = max(until_s, lease.rolled_back_until_s)
        if partition in self._unchecked_partitions:
            self._unchecked_partitions.discard(partition)
            lease.is_unchecked = True
        consumer = PartitionConsumer(
            partition, lease, around, self.timers_changed.set, self.renew, verify_until_s=until_s
        )
        self.consumers[partition] = consumer
        self._tasks[partition] = asyncio.get_running_loop().create_task(consumer.run())
        self._metrics.leases_acquired.labels(outcome).inc()
        log.info("lease_acquired", partition=partition, holder=lease.holder, outcome=outcome)

    def _check_sessions(self, access: PartitionStore) -> None:
        """Start the checks of partitions whose Redis rolled back, whether or not this worker held them then.

        Even with all commits, Redis may have lost callbacks and commands that came after the last one. Later holders
        check only the sessions that this one has not.
        """
        for consumer in self.consumers.values():
            if consumer.is_active and consumer.lease.is_unchecked:
                self._rollback_checks.add(consumer, access)

    def _collect_finished(self, drop: Callable[[int], None]) -> None:
        if self._handover_task is not None and self._handover_task.done():
            self._handover_task.result()
            self._handover_task = None
        for partition, task in list(self._tasks.items()):
            consumer = self.consumers[partition]
            if consumer.is_lost:
                drop(partition)
            if task.done():
                del self._tasks[partition]
                self._handle_end(consumer, task)

    def _handle_end(self, consumer: PartitionConsumer, task: asyncio.Task[None]) -> None:
        """Handle the end of a consumer: it was stopped, or its lease is lost or must expire."""
        if consumer.is_lost:
            log.warning("lease_lost", partition=consumer.number, holder=consumer.lease.holder)
            self._remove(consumer)
        task.result()

    def _remove(self, consumer: PartitionConsumer) -> None:
        if consumer.was_rolled_back:
            self._verify_until_s[consumer.number] = self._clock.monotonic_s() + VERIFY_AFTER_FAILOVER_S
            self._unchecked_partitions.add(consumer.number)
        del self.consumers[consumer.number]
        self._peer_leases.reset(consumer.number)


async def _for_each(partitions: list[int], action: Callable[[int], Awaitable[None]]) -> None:
    """Run the action for all partitions, `CONCURRENCY_MAX` at a time; log Redis's errors, and raise others."""
    for start in range(0, len(partitions), CONCURRENCY_MAX):
        results = await asyncio.gather(
            *(action(number) for number in partitions[start : start + CONCURRENCY_MAX]), return_exceptions=True
        )
        for result in results:
            if isinstance(result, StoreError):
                log_unreachable(result)
            elif isinstance(result, BaseException):
                raise result


async def _wait_for_any(events: Collection[asyncio.Event], timeout_s: float) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    for waiter in waiting:
        waiter.cancel()
