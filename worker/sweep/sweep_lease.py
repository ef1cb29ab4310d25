"""The lease of the sweep: at most one worker holds it, and only its holder sweeps."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from conferral.runtime.clock import Clock
from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import ConferralError, LeaseLostError, StoreError
from conferral.runtime.lifecycle import pause
from conferral.runtime.metrics import Metrics
from conferral.runtime.outage import log_unreachable
from conferral.storage.connection.client import Client
from conferral.storage.keys import Keys
from conferral.storage.partition import lease as leases
from conferral.storage.partition.lease import RENEW_EVERY_S, Lease, LeaseInfo, LeaseMonitor, Renewal
from conferral.storage.schema import SchemaVersion

log = structlog.get_logger()

#: Pause while another worker sweeps, or after Redis was unreachable, seconds.
PAUSE_S = 0.5


class StoppingError(ConferralError):
    """The process stops: abandon the sweep; the next holder starts over."""


class SweepLease:
    """Acquires, renews, and releases the lease."""

    def __init__(
        self,
        client: Client,
        keys: Keys,
        name: str,
        *,
        clock: Clock,
        metrics: Metrics,
        lease_ms: int,
        schema: SchemaVersion,
        on_acquired: Callable[[int], Awaitable[None]],
        is_dead: Callable[[str], bool],
    ) -> None:
        self._client = client
        self._keys = keys
        self._name = name
        self._clock = clock
        self._metrics = metrics
        self._lease_ms = lease_ms
        self._schema = schema
        #: Called with Redis's time, Unix milliseconds, before the acquired lease counts as held.
        self._on_acquired = on_acquired
        #: Whether a worker is known to have died, so that its lease need not expire.
        self._is_dead = is_dead
        self._lease: Lease | None = None
        self._monitor = LeaseMonitor(lease_ms)

    @property
    def is_valid(self) -> bool:
        """Whether no other worker can hold the lease now; it can't be renewed while Redis is unreachable."""
        return self._lease is not None and self._lease.is_valid(self._clock)

    def require(self, stop: asyncio.Event) -> None:
        """Verify that the sweep may continue.

        Raises:
            StoppingError: The process stops.
            LeaseLostError: Another worker may hold the lease.
        """
        if stop.is_set():
            raise StoppingError("the process stops")
        if not self.is_valid:
            raise LeaseLostError("another worker may hold the lease of the sweep")

    async def hold(self, stop: asyncio.Event) -> None:
        """Hold the lease until the stop, concurrently with the sweep: reading a list may take longer than it lasts."""
        while not stop.is_set():
            try:
                with contain(ItemKind.SWEEP, self._metrics, passing=(StoreError,), task="sweep"):
                    await self._acquire_or_renew()
            except StoreError as error:
                log_unreachable(error, task="sweep")
            is_ours = self._lease is not None
            await pause(stop, min(RENEW_EVERY_S, self._lease_ms / 1000 / 3) if is_ours else PAUSE_S)

    async def release(self) -> None:
        """Release the lease if it is held; if that raises StoreError, the lease expires."""
        lease, self._lease = self._lease, None
        if lease is not None:
            await leases.release(self._client, lease)

    async def _acquire_or_renew(self) -> None:
        if self._schema.is_too_new:
            await self.release()
        elif self._lease is not None:
            renewal, _ = await leases.renew(self._client, self._lease, self._clock, self._lease_ms)
            if renewal is not Renewal.RENEWED:
                log.warning("lease_lost", task="sweep", holder=self._lease.holder)
                self._lease = None
                self._monitor = LeaseMonitor(self._lease_ms)
        else:
            holder = self._monitor.last_info
            if holder is not None and self._is_dead(holder.worker_name):
                self._monitor.expire(self._clock.monotonic_s())
            acquired, now_ms = await leases.acquire(
                self._client, self._keys.sweep_lease, self._name, self._clock, self._lease_ms, self._monitor
            )
            if not isinstance(acquired, LeaseInfo):
                await self._on_acquired(now_ms)
                self._lease = acquired
                log.info("lease_acquired", task="sweep", holder=acquired.holder)
