"""Readiness checks: the problems that `/readyz` reports and the metrics show."""

from collections.abc import Collection, Mapping

from conferral.runtime.clock import Clock, StoreClock
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.metrics import Metrics
from conferral.storage.connection.client import Client, store_errors
from conferral.storage.keys import Keys
from conferral.storage.partition import lease as leases
from conferral.storage.partition.lease import LeaseMonitor
from conferral.storage.schema import SchemaVersion
from conferral.worker.consumer.partition_consumer import PartitionConsumer
from conferral.worker.executor.adaptive_limit import AdaptiveLimit


class PartitionCoverage:
    """Tracks unassigned partitions. Every worker checks for itself, including one that holds none."""

    def __init__(
        self, client: Client, keys: Keys, clock: Clock, store_clock: StoreClock, metrics: Metrics, lease_ms: int
    ) -> None:
        self._client = client
        self._keys = keys
        self._clock = clock
        self._store_clock = store_clock
        self._gauge = metrics.partitions_unassigned
        self._lease_ms = lease_ms
        self._monitors = {number: LeaseMonitor(lease_ms) for number in range(keys.partitions)}
        #: When each unassigned partition lost its holder, monotonic seconds.
        self._unassigned_since_s: dict[int, float] = {}

    async def refresh(self, held: Collection[int] = ()) -> None:
        """Read the leases of other workers and update the gauge; a lease that can't be read stays as last read.

        Args:
            held: The partitions that this worker holds.
        """
        numbers = [number for number in self._monitors if number not in held]
        for number in held:
            self._unassigned_since_s.pop(number, None)
        infos = await leases.read_leases(self._client, [self._keys.lease(number) for number in numbers])
        now_s, store_now_ms = self._clock.monotonic_s(), self._store_clock.store_now_ms()
        for number, info in zip(numbers, infos, strict=True):
            monitor = self._monitors[number]
            if isinstance(info, StoreUnreachableError):
                continue
            if info is not None:
                monitor.update(info, now_s, info.until_ms - store_now_ms)
            if info is None or monitor.is_expired(now_s):
                self._unassigned_since_s.setdefault(number, now_s)
            else:
                self._unassigned_since_s.pop(number, None)
        self._gauge.set(len(self._unassigned_since_s))

    @property
    def unassigned(self) -> list[int]:
        """Partitions that have had no holder for longer than a lease; another worker should have them by then."""
        now_s, lease_s = self._clock.monotonic_s(), self._lease_ms / 1000
        return sorted(number for number, since_s in self._unassigned_since_s.items() if now_s - since_s > lease_s)


class Readiness:
    """Checks whether the worker can do its work."""

    def __init__(
        self,
        client: Client,
        keys: Keys,
        consumers: Mapping[int, PartitionConsumer],
        coverage: PartitionCoverage,
        adaptive_limit: AdaptiveLimit,
        schema: SchemaVersion,
        clock: Clock,
    ) -> None:
        self._client = client
        self._keys = keys
        self._consumers = consumers
        self._coverage = coverage
        self._adaptive_limit = adaptive_limit
        self._schema = schema
        self._clock = clock

    async def problems(self) -> list[str]:
        """Return the current problems, one line each; empty when the worker is ready."""
        try:
            with store_errors():
                # Probe with a write: a server that answers PING may still refuse writes.
                await self._client.set(self._keys.probe, self._clock.wall_ms())
        except StoreError as error:
            return [f"redis: {error.state}", *self._twilio_problems()]
        overdue = sorted(
            number for number, consumer in self._consumers.items() if not consumer.lease.is_valid(self._clock)
        )
        return [
            *([self._schema.problem] if self._schema.problem else []),
            *([f"leases not renewed in time: {overdue}"] if overdue else []),
            *([f"partitions unassigned: {self._coverage.unassigned}"] if self._coverage.unassigned else []),
            *self._twilio_problems(),
        ]

    def _twilio_problems(self) -> list[str]:
        return [self._adaptive_limit.problem] if self._adaptive_limit.problem else []
