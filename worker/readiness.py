"""What keeps a worker from its work, in stable words: for `/readyz`, and for whoever watches the metrics."""

from collections.abc import Mapping

from conferral.runtime.clock import Clock, StoreClock
from conferral.runtime.errors import StoreError
from conferral.runtime.metrics import Metrics
from conferral.storage import lease as leases
from conferral.storage.connection import Client, store_errors
from conferral.storage.keys import Keys
from conferral.storage.lease import Watch
from conferral.storage.levels import Level
from conferral.worker.allowance import Allowance
from conferral.worker.held import HeldPartition

#: How long a partition may be without a holder before it is told, in durations of a lease: a dead worker's lease has to
#: run out first, and then somebody has to take it.
WITHOUT_HOLDER_LEASES = 1.0


class Holders:
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
        self._gauge = metrics.partitions_without_holder
        self._lease_ms = lease_ms
        self._watches = {number: Watch(lease_ms) for number in range(keys.partitions)}
        #: Since when nobody has a partition, monotonic seconds.
        self._without_since_s: dict[int, float] = {}

    async def look(self) -> None:
        """Looks at the leases of all partitions.

        Raises:
            StoreError: as of any command.
        """
        numbers = list(self._watches)
        standings = await leases.look(self._client, [self._keys.lease(number) for number in numbers])
        now_s, store_now_ms = self._clock.monotonic_s(), self._store_clock.store_now_ms()
        for number, standing in zip(numbers, standings, strict=True):
            watch = self._watches[number]
            if standing is not None:
                watch.note(standing, now_s, standing.until_ms - store_now_ms)
            if standing is None or watch.is_over(now_s):
                self._without_since_s.setdefault(number, now_s)
            else:
                self._without_since_s.pop(number, None)
        self._gauge.set(len(self._without_since_s))

    @property
    def missing(self) -> list[int]:
        """Partitions that nobody has had for longer than a hand-over takes, as far as was seen."""
        longest_s = self._lease_ms / 1000 * WITHOUT_HOLDER_LEASES
        now_s = self._clock.monotonic_s()
        return sorted(number for number, since_s in self._without_since_s.items() if now_s - since_s > longest_s)


class Readiness:
    """Asks whether the worker can work."""

    def __init__(
        self,
        client: Client,
        keys: Keys,
        held: Mapping[int, HeldPartition],
        holders: Holders,
        allowance: Allowance,
        level: Level,
        clock: Clock,
    ) -> None:
        """Binds what is looked at.

        Args:
            client: For commands.
            keys: Names.
            held: The partitions that this worker holds.
            holders: Those that nobody does.
            allowance: How it stands with Twilio.
            level: Whether this version may write.
            clock: Of this machine.
        """
        self._client = client
        self._keys = keys
        self._held = held
        self._holders = holders
        self._allowance = allowance
        self._level = level
        self._clock = clock

    async def missing(self) -> list[str]:
        """What is missing, one line each; nothing when the worker can work."""
        try:
            with store_errors():
                # A write: a server that answers PING may refuse every write.
                await self._client.set(self._keys.probe, self._clock.wall_ms())
        except StoreError as error:
            return [f"redis: {error.state}", *self._twilio()]
        unsure = sorted(number for number, held in self._held.items() if not held.lease.is_sure(self._clock))
        return [
            *([self._level.problem] if self._level.problem else []),
            *([f"leases not renewed in time: {unsure}"] if unsure else []),
            *([f"partitions without holder: {self._holders.missing}"] if self._holders.missing else []),
            *self._twilio(),
        ]

    def _twilio(self) -> list[str]:
        return [self._allowance.trouble] if self._allowance.trouble else []
