"""Lease of a singleton task: one worker at a time does it, as a leader."""

from collections.abc import Awaitable, Callable

import structlog

from conferral.storage.partition import lease as leases
from conferral.storage.partition.lease import LEASE_MS, Lease, LeaseInfo, LeaseMonitor, Renewal
from conferral.worker.core import WorkerCore

log = structlog.get_logger()


class TaskLease:
    """The lease of a task; `held` is None while this worker lacks it."""

    def __init__(
        self, core: WorkerCore, task: str, key: str, is_dead: Callable[[str], bool], lease_ms: int = LEASE_MS
    ) -> None:
        self.held: Lease | None = None
        self._core = core
        self._task = task
        self._key = key
        #: A dead worker's lease need not expire.
        self._is_dead = is_dead
        self._lease_ms = lease_ms
        self._monitor = LeaseMonitor(lease_ms)

    async def acquire(self, on_acquired: Callable[[], Awaitable[None]] | None = None) -> None:
        """Acquire the lease if it is free; first call `on_acquired`."""
        core, holder = self._core, self._monitor.last_info
        if holder is not None and self._is_dead(holder.worker_name):
            self._monitor.expire(core.clock.monotonic_s())
        acquired, _ = await leases.acquire(core.client, self._key, core.name, core.clock, self._lease_ms, self._monitor)
        if not isinstance(acquired, LeaseInfo):
            if on_acquired is not None:
                await on_acquired()
            self.held = acquired
            log.info("lease_acquired", task=self._task, holder=acquired.holder)

    async def renew(self, held: Lease) -> None:
        """Renew the lease `held`, or note that it is lost."""
        renewal, _ = await leases.renew(self._core.client, held, self._core.clock, self._lease_ms)
        if renewal is not Renewal.RENEWED:
            log.warning("lease_lost", task=self._task, holder=held.holder)
            self.held = None
            self._monitor = LeaseMonitor(self._lease_ms)

    async def release(self) -> None:
        """Release a held lease; if that raises StoreError, it expires."""
        held, self.held = self.held, None
        if held is not None:
            await leases.release(self._core.client, held)
