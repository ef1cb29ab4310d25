"""What keeps a worker from its work, in stable words: for `/readyz`, and for whoever watches the metrics."""

from collections.abc import Mapping

from conferral.runtime.clock import Clock, StoreClock
from conferral.runtime.errors import StoreError
from conferral.runtime.metrics import Metrics
from conferral.storage.connection.client import Client, store_errors
from conferral.storage.keys import Keys
from conferral.storage.partition import lease as leases
from conferral.storage.partition.lease import LeaseMonitor
from conferral.storage.schema import SchemaVersion
from conferral.worker.consumer.partition_consumer import PartitionConsumer
from conferral.worker.executor.adaptive_limit import AdaptiveLimit

#: How long a partition may be without a holder before it is told, in durations of a lease: a dead worker's lease has to
#: run out first, and then somebody has to take it.
UNASSIGNED_AFTER_LEASES = 1.0


class PartitionCoverage:
    """Which partitions nobody holds: each worker looks for itself, those that take none too."""

    def __init__(
        self, client: Client, keys: Keys, clock: Clock, store_clock: StoreClock, metrics: Metrics, lease_ms: int
    ) -> None:
        """Has seen nothing yet.

        Args:
            client: For commands.
            keys: Names.
            clock: For durations.
            store_clock: Redis's time; for the first look at a lease alone.
            metrics: Where it is shown.
            lease_ms: How long a lease lasts without renewal, milliseconds.
        """
        self._client = client
        self._keys = keys
        self._clock = clock
        self._store_clock = store_clock
        self._gauge = metrics.partitions_unassigned
        self._lease_ms = lease_ms
        self._monitors = {number: LeaseMonitor(lease_ms) for number in range(keys.partitions)}
        #: Since when nobody has a partition, monotonic seconds.
        self._unassigned_since_s: dict[int, float] = {}

    async def refresh(self) -> None:
        """Looks at the leases of all partitions.

        Raises:
            StoreError: as of any command.
        """
        numbers = list(self._monitors)
        infos = await leases.read_leases(self._client, [self._keys.lease(number) for number in numbers])
        now_s, store_now_ms = self._clock.monotonic_s(), self._store_clock.store_now_ms()
        for number, info in zip(numbers, infos, strict=True):
            monitor = self._monitors[number]
            if info is not None:
                monitor.update(info, now_s, info.until_ms - store_now_ms)
            if info is None or monitor.is_expired(now_s):
                self._unassigned_since_s.setdefault(number, now_s)
            else:
                self._unassigned_since_s.pop(number, None)
        self._gauge.set(len(self._unassigned_since_s))

    @property
    def unassigned(self) -> list[int]:
        """Partitions that nobody has had for longer than a hand-over takes, as far as was seen."""
        longest_s = self._lease_ms / 1000 * UNASSIGNED_AFTER_LEASES
        now_s = self._clock.monotonic_s()
        return sorted(number for number, since_s in self._unassigned_since_s.items() if now_s - since_s > longest_s)


class Readiness:
    """Asks whether the worker can work."""

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
        """Binds what is looked at.

        Args:
            client: For commands.
            keys: Names.
            consumers: The partitions that this worker holds.
            coverage: Those that nobody does.
            adaptive_limit: How it stands with Twilio.
            schema: Whether this version may write.
            clock: Of this machine.
        """
        self._client = client
        self._keys = keys
        self._consumers = consumers
        self._coverage = coverage
        self._adaptive_limit = adaptive_limit
        self._schema = schema
        self._clock = clock

    async def problems(self) -> list[str]:
        """What is missing, one line each; nothing when the worker can work."""
        try:
            with store_errors():
                # A write: a server that answers PING may refuse every write.
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
