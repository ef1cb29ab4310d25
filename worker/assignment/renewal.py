"""Lease renewal: one round trip for all, over one checkable connection."""

import asyncio
from collections.abc import Collection, Sequence

import structlog

from conferral.runtime.clock import TICK_S, Clock
from conferral.runtime.errors import StoreError
from conferral.runtime.outage import log_unreachable
from conferral.storage.connection.client import Client, is_cluster
from conferral.storage.partition import lease as leases
from conferral.storage.partition.connections import connection_name, own_connection_name
from conferral.storage.partition.lease import RENEW_EVERY_S, Renewal, disconnected_s
from conferral.worker.consumer.partition_consumer import PartitionConsumer

log = structlog.get_logger()

#: How long the rebalance waits for renewals on a cluster, seconds: a silent node answers none.
RENEWAL_WAIT_S = 0.5
#: Concurrent renewals without a shared connection, count: few waits in sequence while Redis is silent.
CONCURRENCY_MAX = 64


class LeaseRenewer:
    """Renews the leases that this worker holds."""

    def __init__(self, client: Client, named_client: Client | None, clock: Clock, lease_ms: int) -> None:
        self._client = client
        #: Has a single connection, which the leases name; None on a cluster, whose leases are on several servers.
        self._named_client = named_client
        self._clock = clock
        self._lease_ms = lease_ms
        #: Interval without a connection that other workers can check, seconds.
        self.every_s_at_most = min(RENEW_EVERY_S, lease_ms / 1000 / 3)
        self._renewed_at_s = float("-inf")
        self._slow: dict[PartitionConsumer, asyncio.Task[None]] = {}
        #: The connection that renewed last, and its name in the leases: empty if unknown, or not listed by Redis.
        self._found = ""
        self.connection = ""

    @property
    def every_s(self) -> float:
        """Seconds between renewals: at most half a disconnected lease's life."""
        longest_s = self.every_s_at_most
        return min(longest_s, disconnected_s(self._lease_ms) / 2) if self.connection else longest_s

    async def connect(self) -> None:
        """Connect to learn the connection's name; log Redis's errors."""
        if self._named_client is not None:
            try:
                self._found, is_listed = await own_connection_name(self._named_client)
                self.connection = self._found if is_listed else ""
            except StoreError as error:
                log_unreachable(error, task="leases")

    async def renew_due(self, consumers: Collection[PartitionConsumer]) -> None:
        """Renew all leases at the tick nearest to the end of the interval."""
        now_s = self._clock.monotonic_s()
        if now_s - self._renewed_at_s >= max(self.every_s - TICK_S / 2, self.every_s / 2):
            self._renewed_at_s = now_s
            await self.renew_all(consumers)

    async def renew_all(self, consumers: Collection[PartitionConsumer]) -> None:
        """Renew all leases; log errors, and don't wait for slow cluster nodes."""
        held = [consumer for consumer in consumers if not consumer.is_lost]
        if held and self._named_client is not None and await self._renew_together(self._named_client, held):
            return
        # On a cluster, or if the connection may be broken while others are not.
        due = [consumer for consumer in held if consumer not in self._slow]
        wait_s = RENEWAL_WAIT_S if is_cluster(self._client) else None
        for start in range(0, len(due), CONCURRENCY_MAX):
            started = {
                consumer: asyncio.get_running_loop().create_task(self._renew_tolerantly(consumer))
                for consumer in due[start : start + CONCURRENCY_MAX]
            }
            self._slow |= started
            await asyncio.wait(started.values(), timeout=wait_s)
        for consumer, task in list(self._slow.items()):
            if task.done():
                del self._slow[consumer]
                task.result()

    async def renew(self, consumer: PartitionConsumer) -> None:
        """Renew one lease, unless it is lost."""
        if consumer.is_lost:
            return
        requested_at_s = self._clock.monotonic_s()
        own_ms = consumer.clock.now_ms()
        renewal, now_ms = await leases.renew(self._client, consumer.lease, self._clock, self._lease_ms, own_ms)
        _apply(consumer, renewal, now_ms, requested_at_s)

    async def _renew_tolerantly(self, consumer: PartitionConsumer) -> None:
        try:
            await self.renew(consumer)
        except StoreError as error:
            log_unreachable(error)

    async def _renew_together(self, named_client: Client, held: Sequence[PartitionConsumer]) -> bool:
        """Renew over the named connection; return False if Redis did not answer."""
        before = self.connection
        requested_at_s = self._clock.monotonic_s()
        try:
            results, now_ms, client_id = await leases.renew_many(
                named_client,
                [(consumer.lease, consumer.clock.now_ms()) for consumer in held],
                self._clock,
                self._lease_ms,
                before,
            )
        except StoreError as error:
            log_unreachable(error, task="leases")
            return False
        for consumer, result in zip(held, results, strict=True):
            _apply(consumer, result, now_ms, requested_at_s)
        run_id = next((consumer.lease.redis for consumer in held if not consumer.is_lost), "")
        found = connection_name(run_id, client_id)
        if found and found != self._found:
            await self.connect()
        if self.connection and self.connection != before:
            # Publish the new name at once: until then, other workers may miss the one before.
            return await self._renew_together(named_client, [consumer for consumer in held if not consumer.is_lost])
        return True


def _apply(consumer: PartitionConsumer, renewal: Renewal, redis_now_ms: int, requested_at_s: float) -> None:
    """Apply a renewal: a lost lease, a Redis rollback, or the next timer."""
    if jump_ms := consumer.clock.observe(redis_now_ms, requested_at_s):
        log.warning("redis_clock_stepped", partition=consumer.number, duration_ms=jump_ms)
    if renewal is Renewal.LOST:
        consumer.mark_lost()
    elif renewal is Renewal.ROLLED_BACK:
        log.error("redis_rollback_detected", partition=consumer.number, holder=consumer.lease.holder)
        consumer.was_rolled_back = True
        consumer.mark_lost()
    elif consumer.lease.next_due_ms is not None:
        # A rollback may have restored fired timers without losing a commit: firing is not one.
        consumer.timers.note_set(consumer.lease.next_due_ms)
