"""Partition assignment: acquires, renews, and hands over leases.

Every worker computes its share alone (`worker.assignment.rebalance`). Until all agree, the lease decides.
"""

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection

import structlog

from conferral.runtime.clock import TICK_S, until_tick_s
from conferral.runtime.errors import StoreError
from conferral.runtime.lifecycle import pause
from conferral.runtime.outage import log_unreachable
from conferral.storage.connection.client import Client
from conferral.storage.partition import lease as leases
from conferral.storage.partition.lease import Lease, LeaseInfo
from conferral.worker.assignment.handover import IDLE_POLL_S, HandoverBackoff, pick_partition
from conferral.worker.assignment.membership import Membership
from conferral.worker.assignment.rebalance import PeerLeases, target_counts
from conferral.worker.assignment.renewal import LeaseRenewer
from conferral.worker.assignment.rollback_checks import RollbackChecks
from conferral.worker.consumer.partition_consumer import PartitionConsumer
from conferral.worker.consumer.worker_context import WorkerContext
from conferral.worker.core import WorkerCore
from conferral.worker.executor.executor import Executor

log = structlog.get_logger()

#: Concurrent lease requests, count: no burst on Redis at start, few waits in sequence while it is silent.
CONCURRENCY_MAX = 64
#: Fraction of a lease that must be left when a REST request is sent: connecting takes time.
LEASE_MARGIN = 0.2
#: How long a handover waits for a partition's running jobs, seconds.
HANDOVER_TIMEOUT_S = 2.0
#: How long a free partition is reserved for workers with a deficit (two ticks), and after its holder died, seconds.
UNCLAIMED_S = 1.0
UNCLAIMED_AFTER_DEATH_S = 0.4
#: Attempts to release a lease while Redis is unreachable, count, and the pause between them, seconds.
RELEASE_ATTEMPTS = 5
RELEASE_PAUSE_S = 0.2


class PartitionAssigner:
    """Holds partitions and runs their consumers."""

    def __init__(self, core: WorkerCore, named_client: Client | None = None) -> None:
        self._core = core
        self._clock = core.clock
        self._renewer = LeaseRenewer(core.client, named_client, core.clock, core.lease_ms)
        self._wake = asyncio.Event()
        self.membership = Membership(core, self._wake.set)
        self._peer_leases = PeerLeases(core)
        self._handover_task: asyncio.Task[None] | None = None
        self._handover_backoff = HandoverBackoff(core.clock)
        self.consumers: dict[int, PartitionConsumer] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        #: Until when a partition's effects may repeat ones executed before a rollback, monotonic seconds.
        self._verify_until_s: defaultdict[int, float] = defaultdict(float)
        #: Partitions that were rolled back under this worker's lease and whose sessions are not being checked yet.
        self._unchecked_partitions: set[int] = set()
        self._rollback_checks = RollbackChecks(core.metrics)
        #: Set when a new timer is due before all known ones.
        self.timers_changed = asyncio.Event()

    async def run(self, stop: asyncio.Event, context: WorkerContext, executor: Executor) -> None:
        """Renew and rebalance until the stop; then release what has no jobs."""
        stopping = asyncio.ensure_future(stop.wait())
        stopping.add_done_callback(lambda _: self._wake.set())
        await self._renewer.connect()
        while not stop.is_set():
            self._wake.clear()
            self._collect_finished(executor.drop_partition)
            # Redis may have lost entries after the last commit, so check sessions that no holder has checked since.
            for consumer in self.consumers.values():
                if consumer.is_active and consumer.lease.has_unchecked_sessions:
                    self._rollback_checks.add(consumer, context.partition_store)
            await self._renewer.renew_due(self.consumers.values())
            if self.membership.is_loaded.is_set():
                await self._rebalance(context, executor)
            self._core.metrics.partitions_held.set(len(self.consumers))
            self._core.metrics.workers_alive.set(self.membership.count)
            wait_s = min(TICK_S, self._renewer.every_s, self._peer_leases.until_overdue_s())
            await pause(self._wake, until_tick_s(wait_s))
        self.timers_changed.set()  # wake the timer loop
        self._rollback_checks.stop()
        if self._handover_task is not None:
            await asyncio.wait({self._handover_task})
        for consumer in self.consumers.values():
            consumer.stop()
        if self._tasks:
            await asyncio.wait(self._tasks.values())
        self._collect_finished(executor.drop_partition)
        await self.release(except_for=executor.busy_partitions)

    async def release(self, *, except_for: Collection[int] = ()) -> None:
        """Release stopped consumers' leases, except for requests in flight.

        Partitions that fail, or that `except_for` names, stay in `consumers`.
        """

        async def release_lease(number: int) -> None:
            await leases.release(self._core.client, self.consumers[number].lease, self.consumers[number].clock.now_ms())
            del self.consumers[number]

        await _for_each([number for number in self.consumers if number not in except_for], release_lease)
        await self.membership.notify()

    async def drain(self, is_drained: asyncio.Event, executor: Executor) -> None:
        """During shutdown, release idle partitions; renew those with requests.

        After an expired lease, the next holder would verify everything. `is_drained` ends the wait.
        """
        while not is_drained.is_set() and self.consumers:
            await self._renewer.renew_due(self.consumers.values())
            for number in [number for number, consumer in self.consumers.items() if consumer.is_lost]:
                executor.drop_partition(number)
                del self.consumers[number]
            if self.membership.count > 1:  # a lone worker finishes them: no other could before the next start
                for number in self.consumers:
                    executor.leave_partition(number)
            busy = executor.busy_partitions
            idle = self.consumers.keys() - busy
            if idle:
                await self.release(except_for=busy)
            was_refused = not idle.isdisjoint(self.consumers)
            await pause(is_drained, RELEASE_PAUSE_S if was_refused else IDLE_POLL_S)

    def now_ms(self, partition: int) -> int:
        """Return partition time, Unix milliseconds; Redis's if it is not held."""
        consumer = self.consumers.get(partition)
        return consumer.clock.now_ms() if consumer is not None else self._core.store_clock.now_ms()

    def is_ours(self, partition: int) -> bool:
        """Whether no other worker can hold it; our clock advances in a suspend."""
        consumer = self.consumers.get(partition)
        if consumer is None or consumer.is_lost:
            return False
        return consumer.lease.is_valid(self._clock) and consumer.lease.is_safe(self._clock)

    async def may_send(self, partition: int) -> bool:
        """Wait until a request may be sent; return False if the lease is lost."""
        while (consumer := self.consumers.get(partition)) is not None and not consumer.is_lost:
            if _is_safe_to_connect(consumer.lease, self._core):
                return True
            # Only Redis knows whether another worker holds an expired lease. `_for_each` logs Redis's errors.
            await _for_each([partition], self.renew)
            if not _is_safe_to_connect(consumer.lease, self._core):
                await asyncio.sleep(TICK_S)
        return False

    async def renew(self, partition: int) -> None:
        """Renew a partition's lease if this worker holds it."""
        consumer = self.consumers.get(partition)
        if consumer is not None:
            await self._renewer.renew(consumer)

    async def _rebalance(self, context: WorkerContext, executor: Executor) -> None:
        """Acquire unassigned (free) partitions up to the share, or hand one over.

        Long-unclaimed partitions are acquired even above the share. If this version can't read the schema, or another
        worker's credentials work and this one's don't, acquire nothing and hand everything over.
        """
        if self._core.takes_nothing:
            if self.consumers and self._handover_task is None:
                self._handover_task = asyncio.get_running_loop().create_task(self._hand_over_partition(executor))
            return
        peers = self._peer_leases
        try:
            not_held = [number for number in range(self._core.keys.partitions) if number not in self.consumers]
            # Without a read for twice as long as a renewal may take, holders get time to renew.
            await peers.read(not_held, 2 * self._renewer.every_s_at_most)
        except StoreError as error:
            log_unreachable(error, task="leases")
            return
        if peers.error is not None:
            log_unreachable(peers.error, task="leases")
        self.membership.note_dead(peers.dead_workers)
        counts = Counter({**peers.counts, self._core.name: len(self.consumers)})
        targets = target_counts(counts, self.membership.names, self._core.keys.partitions)
        surplus_or_deficit = targets.pop(self._core.name) - len(self.consumers)
        alive = filter(self.membership.is_alive, targets)
        peers_deficit = sum(max(0, targets[name] - counts[name]) for name in alive)
        unclaimed = [
            number
            for number in peers.free
            if peers.unclaimed_s(number)
            >= (UNCLAIMED_AFTER_DEATH_S if peers.holder_probably_died(number) else UNCLAIMED_S)
        ]
        self._handover_backoff.check(unclaimed, peers.free)
        if surplus_or_deficit > 0:
            await self._acquire_free(surplus_or_deficit, context)
        elif unclaimed:
            batch = math.ceil(len(unclaimed) / self.membership.count)
            await _for_each(unclaimed[:batch], lambda number: self._acquire(number, context))
        elif (
            surplus_or_deficit < 0
            and peers.error is None
            and peers_deficit > len(peers.free)
            and self._handover_backoff.is_over
            and self._handover_task is None
        ):
            self._handover_task = asyncio.get_running_loop().create_task(self._hand_over_partition(executor))

    async def _acquire_free(self, missing: int, context: WorkerContext) -> None:
        free = self._peer_leases.free
        while free and missing > 0:
            batch, free = free[:missing], free[missing:]
            before = len(self.consumers)
            await _for_each(batch, lambda number: self._acquire(number, context))
            missing -= len(self.consumers) - before

    async def _acquire(self, partition: int, context: WorkerContext) -> None:
        """Acquire an unassigned partition or an expired lease; start its consumer."""
        core, monitor = self._core, self._peer_leases.monitor(partition)
        key, keys_read = core.keys.lease(partition), (core.keys.timers(partition), core.keys.events(partition))
        lease, _ = await leases.acquire(
            core.client, key, core.name, core.clock, core.lease_ms, monitor, self._renewer.connection, keys_read
        )
        if not isinstance(lease, LeaseInfo):
            outcome = "clean" if lease.was_released else self._peer_leases.how_lease_ended(partition)
            self._peer_leases.forget(partition)
            self._start_consumer(partition, lease, context, outcome)

    async def _hand_over_partition(self, executor: Executor) -> None:
        """Hand a partition over between two batches, without running jobs."""
        consumer = await pick_partition(self._handover_candidates, executor, self._clock)
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
            await self._release_partition(consumer)
        self._wake.set()

    def _handover_candidates(self) -> list[PartitionConsumer]:
        """Return the consumers that may be handed over.

        After a rollback, that waits until effects need no verification. If sessions are unchecked, only a lease that
        names its server tells the next holder; some hosted Redis report none.
        """
        now_s = self._clock.monotonic_s()
        return [
            consumer
            for number, consumer in self.consumers.items()
            if consumer.is_active
            and self._verify_until_s[number] <= now_s
            and (consumer.lease.redis or not consumer.lease.has_unchecked_sessions)
        ]

    async def _release_partition(self, consumer: PartitionConsumer) -> None:
        """Release the lease, or else let it expire, and forget the partition."""
        for _ in range(RELEASE_ATTEMPTS):
            if consumer.is_lost:
                break
            try:
                await leases.release(self._core.client, consumer.lease, consumer.clock.now_ms())
            except StoreError as error:
                log_unreachable(error, partition=consumer.number)
                await asyncio.sleep(RELEASE_PAUSE_S)
            else:
                self._handover_backoff.partitions.add(consumer.number)
                log.info("lease_released", partition=consumer.number, holder=consumer.lease.holder)
                break
        self._remove(consumer)
        await self.membership.notify()

    def _start_consumer(self, partition: int, lease: Lease, context: WorkerContext, outcome: str) -> None:
        """Start a partition's consumer; `outcome`: how the last lease ended."""
        verify_until_s = self._verify_until_s[partition]
        if not lease.has_all_commits:  # the previous holder may have died before it noticed the rollback
            verify_until_s = max(verify_until_s, lease.may_lack_writes_until_s)
        if partition in self._unchecked_partitions:
            self._unchecked_partitions.discard(partition)
            lease.has_unchecked_sessions, lease.has_all_commits = True, False
            # The same server, or its copy, may name an earlier rollback, or none.
            lease.redis_before, lease.rolled_back_at_ms = "", lease.acquired_at_ms
            lease.may_lack_writes_until_s = max(lease.may_lack_writes_until_s, verify_until_s)
        consumer = PartitionConsumer(
            partition, lease, context, self.timers_changed.set, self.renew, verify_until_s=verify_until_s
        )
        self.consumers[partition] = consumer
        self._tasks[partition] = asyncio.get_running_loop().create_task(consumer.run())
        self._core.metrics.leases_acquired.labels(outcome).inc()
        log.info("lease_acquired", partition=partition, holder=lease.holder, outcome=outcome)

    def _collect_finished(self, drop_jobs: Callable[[int], None]) -> None:
        if self._handover_task is not None and self._handover_task.done():
            self._handover_task.result()
            self._handover_task = None
        for partition, task in list(self._tasks.items()):
            consumer = self.consumers[partition]
            if consumer.is_lost:
                drop_jobs(partition)
            if task.done():
                del self._tasks[partition]
                self._handle_end(consumer, task)

    def _handle_end(self, consumer: PartitionConsumer, task: asyncio.Task[None]) -> None:
        if consumer.is_lost:
            log.warning("lease_lost", partition=consumer.number, holder=consumer.lease.holder)
            self._remove(consumer)
        task.result()

    def _remove(self, consumer: PartitionConsumer) -> None:
        """Forget a partition, except that a rollback calls for verification."""
        if consumer.was_rolled_back:
            self._verify_until_s[consumer.number] = self._clock.monotonic_s() + leases.VERIFY_AFTER_FAILOVER_S
            self._unchecked_partitions.add(consumer.number)
        del self.consumers[consumer.number]
        self._peer_leases.forget(consumer.number)


def _is_safe_to_connect(lease: Lease, core: WorkerCore) -> bool:
    """Whether no other worker can hold the lease while a request connects."""
    margin_s = LEASE_MARGIN * core.lease_ms / 1000
    disconnected_margin_s = leases.DISCONNECTED_MARGIN * leases.disconnected_s(core.lease_ms)
    return lease.is_valid(core.clock, margin_s) and lease.is_safe(core.clock, disconnected_margin_s)


async def _for_each(partitions: list[int], action: Callable[[int], Awaitable[None]]) -> None:
    """Run the action for all partitions, some at a time; log Redis's errors."""
    for start in range(0, len(partitions), CONCURRENCY_MAX):
        results = await asyncio.gather(
            *(action(number) for number in partitions[start : start + CONCURRENCY_MAX]), return_exceptions=True
        )
        for result in results:
            if isinstance(result, StoreError):
                log_unreachable(result)
            elif isinstance(result, BaseException):
                raise result
