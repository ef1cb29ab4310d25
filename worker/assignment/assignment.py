"""Which partitions this worker holds: takes its share of them, renews its own, gives back what others lack.

A share follows from who is alive and who holds what (`worker.shares`). Every worker works it out by itself, and all
come to the same; while they don't, the lease decides. On a clean stop all are given back.
"""

import asyncio
import math
from collections import Counter
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
    LEASE_MS,
    RENEW_EVERY_S,
    VERIFY_AFTER_FAILOVER_S,
    Lease,
    LeaseInfo,
    Renewal,
)
from conferral.storage.schema import SchemaVersion
from conferral.worker.assignment.membership import Membership
from conferral.worker.assignment.rebalance import PeerLeases, target_counts
from conferral.worker.assignment.rollback_checks import RollbackChecks
from conferral.worker.consumer.partition_consumer import PartitionConsumer
from conferral.worker.consumer.worker_context import WorkerContext
from conferral.worker.executor.executor import Executor

log = structlog.get_logger()

#: How often free and expired leases are looked for, seconds.
ACQUIRE_EVERY_S = 0.5
#: Leases asked for at the same time, count: no burst on Redis at start, and few waits one after the other when it is
#: silent.
CONCURRENCY_MAX = 64
#: Share of a lease that has to be left when a REST request is sent: connecting takes its time.
LEASE_MARGIN = 0.2
#: How long one that has nothing under way at Twilio is waited for before one that has is given back, seconds.
IDLE_WAIT_S = 0.5
IDLE_POLL_S = 0.02
#: How long what is under way for a partition is waited for before it is given back, seconds.
HANDOVER_TIMEOUT_S = 2.0
#: How long what is free is left to those who lack some before anybody takes it, seconds.
UNCLAIMED_S = 2.0
#: How long nothing more is given back when somebody who lacks some has not taken what was, seconds, first and at most:
#: he is offered some ever more seldom.
HANDOVER_BACKOFF_S = 4.0
HANDOVER_BACKOFF_MAX_S = 240.0
#: Tries to give a lease back while Redis is away, count, and the pause between them, seconds.
RELEASE_ATTEMPTS = 5
RELEASE_PAUSE_S = 0.2


class PartitionAssigner:
    """Holds partitions and runs them."""

    def __init__(
        self,
        client: Client,
        keys: Keys,
        name: str,
        clock: Clock,
        store_clock: StoreClock,
        metrics: Metrics,
        lease_ms: int = LEASE_MS,
        schema: SchemaVersion | None = None,
    ) -> None:
        self._client = client
        self._keys = keys
        self._name = name
        self._clock = clock
        self._store_clock = store_clock
        self._metrics = metrics
        self._lease_ms = lease_ms
        self._renew_every_s = min(RENEW_EVERY_S, lease_ms / 1000 / 3)
        self._schema = schema or SchemaVersion()
        self.membership = Membership(client, keys, name, clock, store_clock, self._wake_up, self._schema, lease_ms)
        self._peer_leases = PeerLeases(client, keys, name, clock, store_clock, lease_ms)
        self._wake = asyncio.Event()
        self._handover_task: asyncio.Task[None] | None = None
        self._no_handover_until_s = 0.0
        self._handover_backoff_s = HANDOVER_BACKOFF_S
        #: What was given back and is not taken yet, as far as is known.
        self._handed_over: set[int] = set()
        self.consumers: dict[int, PartitionConsumer] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        #: Until when the orders of a partition may be ones that were carried out before, monotonic seconds.
        self._verify_until_s: dict[int, float] = {}
        #: Partitions that were rolled back under this worker's lease, and whose sessions are not being checked yet.
        self._unchecked_partitions: set[int] = set()
        self._rollback_checks = RollbackChecks(metrics)
        #: Set when a timer was set that is due before those that are known.
        self.timers_changed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<PartitionAssigner {self._name} holds {sorted(self.consumers)}>"

    @property
    def workers_alive(self) -> int:
        """How many workers there are, this one among them (count)."""
        return self.membership.count

    def _wake_up(self) -> None:
        self._wake.set()

    async def run(self, stop: asyncio.Event, around: WorkerContext, executor: Executor) -> None:
        """Renews and shares out until the process stops, then finishes what is in hand.

        Leases of partitions for which nothing is under way at Twilio are given back at once; `release` does the rest.

        Args:
            stop: Set when the process shall stop.
            around: What partitions need.
            executor: Forgets the unsent orders of a partition that was lost.
        """
        drop = executor.drop_partition
        renewed_at_s = self._clock.monotonic_s()
        while not stop.is_set():
            self._wake.clear()
            self._collect_finished(drop)
            if self._clock.monotonic_s() - renewed_at_s >= self._renew_every_s:
                renewed_at_s = self._clock.monotonic_s()
                await self._for_each(list(self.consumers), self.renew)
            if self.membership.is_loaded.is_set():
                await self._rebalance(around, executor)
            self._metrics.partitions_held.set(len(self.consumers))
            self._metrics.workers_alive.set(self.workers_alive)
            await self._wait(stop)
        self.timers_changed.set()  # whoever waits for the next timer need not wait any longer
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
        """Gives leases back, so that the next worker need not wait."""

        async def release_one(number: int) -> None:
            await leases.release(self._client, self.consumers[number].lease, self.consumers[number].clock.now_ms())
            del self.consumers[number]

        await self._for_each([number for number in self.consumers if number not in except_for], release_one)
        await self.membership.notify()

    async def drain(self, is_drained: asyncio.Event, executor: Executor) -> None:
        """While a worker that stops finishes what is under way: gives back what has nothing left, renews the rest.

        Twilio may take its time, and a lease that ran out would make the next holder look at everything twice.

        Args:
            is_drained: Set when nothing is waited for any more.
            executor: Tells what is under way.
        """
        renewed_at_s = self._clock.monotonic_s()
        while not is_drained.is_set() and self.consumers:
            if self._clock.monotonic_s() - renewed_at_s >= self._renew_every_s:
                renewed_at_s = self._clock.monotonic_s()
                await self._for_each(list(self.consumers), self.renew)
                for number in [number for number, consumer in self.consumers.items() if consumer.is_lost]:
                    executor.drop_partition(number)
                    del self.consumers[number]
            busy = executor.busy_partitions
            idle = self.consumers.keys() - busy
            if idle:
                await self.release(except_for=busy)
            was_refused = not idle.isdisjoint(self.consumers)
            await pause(is_drained, RELEASE_PAUSE_S if was_refused else IDLE_POLL_S)

    def now_ms(self, partition: int) -> int:
        """The time of a partition, Unix milliseconds; of one that is not held here any more, Redis's."""
        consumer = self.consumers.get(partition)
        return consumer.clock.now_ms() if consumer is not None else self._store_clock.now_ms()

    def is_ours(self, partition: int) -> bool:
        """Whether the lease of a partition runs now, by our own clock: a stop of the whole process counts."""
        consumer = self.consumers.get(partition)
        return consumer is not None and not consumer.is_lost and consumer.lease.is_valid(self._clock)

    async def may_send(self, partition: int) -> bool:
        """Whether a REST request may be sent for a partition now: waits until it is sure, or sure that it is not."""
        while (consumer := self.consumers.get(partition)) is not None and not consumer.is_lost:
            margin_s = self._lease_ms / 1000 * LEASE_MARGIN
            if consumer.lease.is_valid(self._clock, margin_s):
                return True
            # Past the lease's end by our own clock somebody else may have it; only Redis knows.
            await self._for_each([partition], self.renew)
            if not consumer.lease.is_valid(self._clock, margin_s):
                await asyncio.sleep(ACQUIRE_EVERY_S)
        return False

    async def renew(self, partition: int) -> None:
        """Renews one lease."""
        consumer = self.consumers.get(partition)
        if consumer is None or consumer.is_lost:
            return
        requested_at_s = self._clock.monotonic_s()
        renewal, now_ms = await leases.renew(
            self._client, consumer.lease, self._clock, self._lease_ms, consumer.clock.now_ms()
        )
        if jump_ms := consumer.clock.observe(now_ms, requested_at_s):
            log.warning("redis_clock_stepped", partition=partition, duration_ms=jump_ms)
        if renewal is Renewal.LOST:
            consumer.mark_lost()
        elif renewal is Renewal.ROLLED_BACK:
            log.error("redis_rollback_detected", partition=partition, holder=consumer.lease.holder)
            consumer.was_rolled_back = True
            consumer.mark_lost()

    # ---- sharing out ----------------------------------------------------------------------------------------------

    async def _wait(self, stop: asyncio.Event) -> None:
        waiting = {asyncio.ensure_future(self._wake.wait()), asyncio.ensure_future(stop.wait())}
        wait_s = min(ACQUIRE_EVERY_S, self._renew_every_s)
        await asyncio.wait(waiting, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        for waiter in waiting:
            waiter.cancel()

    async def _rebalance(self, around: WorkerContext, executor: Executor) -> None:
        """Takes what this worker lacks, or gives one back of which it has too many.

        What it can't read it leaves to newer versions: it takes nothing, and gives back all that it has.
        """
        if self._schema.is_too_new:
            if self.consumers and self._handover_task is None:
                self._handover_task = asyncio.get_running_loop().create_task(self._hand_over_one(executor))
            return
        peers, now_s = self._peer_leases, self._clock.monotonic_s()
        try:
            not_held = [number for number in range(self._keys.partitions) if number not in self.consumers]
            await peers.read(not_held, 2 * self._renew_every_s)
        except StoreError as error:
            log_unreachable(error, task="leases")
            return
        counts = Counter({**peers.counts, self._name: len(self.consumers)})
        targets = target_counts(counts, self.membership.names, self._keys.partitions)
        surplus_or_deficit = targets.pop(self._name) - len(self.consumers)
        peers_deficit = sum(
            max(0, target - counts[name]) for name, target in targets.items() if self.membership.is_alive(name)
        )
        unclaimed = [number for number in peers.free if peers.unclaimed_s(number) >= UNCLAIMED_S]
        self._check_handover(unclaimed)
        if surplus_or_deficit > 0:
            await self._acquire_some(surplus_or_deficit, around)
        elif unclaimed:
            batch = math.ceil(len(unclaimed) / self.workers_alive)
            await self._for_each(unclaimed[:batch], lambda number: self._acquire(number, around))
        elif (
            surplus_or_deficit < 0
            and peers_deficit > len(peers.free)
            and now_s >= self._no_handover_until_s
            and self._handover_task is None
        ):
            self._handover_task = asyncio.get_running_loop().create_task(self._hand_over_one(executor))

    def _check_handover(self, unclaimed: Collection[int]) -> None:
        """Whether what was given back is taken, or whoever lacks it seems not to want it."""
        for number in list(self._handed_over):
            if number in unclaimed:
                self._no_handover_until_s = self._clock.monotonic_s() + self._handover_backoff_s
                self._handover_backoff_s = min(2 * self._handover_backoff_s, HANDOVER_BACKOFF_MAX_S)
                self._handed_over.clear()
                return
            if number not in self._peer_leases.free:
                self._handover_backoff_s = HANDOVER_BACKOFF_S
                self._handed_over.discard(number)

    async def _acquire_some(self, missing: int, around: WorkerContext) -> None:
        free = self._peer_leases.free
        while free and missing > 0:
            batch, free = free[:missing], free[missing:]
            before = len(self.consumers)
            await self._for_each(batch, lambda number: self._acquire(number, around))
            missing -= len(self.consumers) - before

    async def _acquire(self, partition: int, around: WorkerContext) -> None:
        monitor = self._peer_leases.monitor(partition)
        lease, _ = await leases.acquire(
            self._client, self._keys.lease(partition), self._name, self._clock, self._lease_ms, monitor
        )
        if not isinstance(lease, LeaseInfo):
            self._peer_leases.reset(partition)
            self._start_consumer(partition, lease, around)

    async def _hand_over_one(self, executor: Executor) -> None:
        """Gives a partition back between two batches: the next holder goes on at once, and finds nothing under way."""
        consumer = await self._pick_partition(executor)
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
        self._wake_up()

    async def _pick_partition(self, executor: Executor) -> PartitionConsumer | None:
        """Of those with nothing under way at Twilio the one with the fewest sessions; of all, when all are busy."""
        deadline_s = self._clock.monotonic_s() + IDLE_WAIT_S
        while True:
            now_s, busy = self._clock.monotonic_s(), executor.busy_partitions
            active = [
                one
                for number, one in self.consumers.items()
                if one.is_active and self._verify_until_s.get(number, 0.0) <= now_s
            ]
            idle = [one for one in active if one.number not in busy]
            if idle or not active or now_s >= deadline_s:
                return min(idle or active, key=lambda one: len(one.session_gauge.states), default=None)
            await asyncio.sleep(IDLE_POLL_S)

    async def _release_one(self, consumer: PartitionConsumer) -> None:
        for _ in range(RELEASE_ATTEMPTS):
            if consumer.is_lost:
                break
            try:
                await leases.release(self._client, consumer.lease, consumer.clock.now_ms())
                self._handed_over.add(consumer.number)
                log.info("lease_released", partition=consumer.number, holder=consumer.lease.holder)
                break
            except StoreError as error:
                log_unreachable(error, partition=consumer.number)
                await asyncio.sleep(RELEASE_PAUSE_S)
        # Where it could not be given back it runs out.
        self._remove(consumer)
        await self.membership.notify()

    # ---- one partition --------------------------------------------------------------------------------------------

    def _start_consumer(self, partition: int, lease: Lease, around: WorkerContext) -> None:
        # The holder before may not have lived to notice.
        until_s = max(self._verify_until_s.get(partition, 0.0), lease.rewound_until_s)
        if lease.rewound_until_s > self._clock.monotonic_s():
            self._unchecked_partitions.add(partition)
        consumer = PartitionConsumer(
            partition, lease, around, self.timers_changed.set, self.renew, verify_until_s=until_s
        )
        self.consumers[partition] = consumer
        if partition in self._unchecked_partitions:
            self._unchecked_partitions.discard(partition)
            self._rollback_checks.add(partition, lease.holder, around.partition_store, lambda: consumer.is_active)
        self._tasks[partition] = asyncio.get_running_loop().create_task(consumer.run())
        outcome = "clean" if lease.was_released else "expired"
        log.info("lease_acquired", partition=partition, holder=lease.holder, outcome=outcome)

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
        """A partition's work has ended: it was stopped, or its lease is lost or has to run out."""
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

    async def _for_each(self, partitions: list[int], action: Callable[[int], Awaitable[None]]) -> None:
        for start in range(0, len(partitions), CONCURRENCY_MAX):
            results = await asyncio.gather(
                *(action(number) for number in partitions[start : start + CONCURRENCY_MAX]), return_exceptions=True
            )
            for result in results:
                if isinstance(result, StoreError):
                    log_unreachable(result)
                elif isinstance(result, BaseException):
                    raise result
