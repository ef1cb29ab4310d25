"""The lease of the sweep: only its holder sweeps."""

import asyncio
from collections.abc import Awaitable, Callable

from conferral.runtime.clock import TICK_S, until_tick_s
from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import ConferralError, LeaseLostError, StoreError
from conferral.runtime.lifecycle import pause
from conferral.runtime.outage import log_unreachable
from conferral.storage.partition.lease import RENEW_EVERY_S
from conferral.worker.core import WorkerCore
from conferral.worker.task_lease import TaskLease


class StoppingError(ConferralError):
    """The process stops: abandon the sweep; the next holder starts over."""


class SweepLease(TaskLease):
    """Holds the lease, and says whether the sweep may continue."""

    def __init__(
        self, core: WorkerCore, is_dead: Callable[[str], bool], on_acquired: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__(core, "sweep", core.keys.sweep_lease, is_dead, core.lease_ms)
        self._on_acquired = on_acquired

    @property
    def is_valid(self) -> bool:
        """Whether no other worker can hold the lease now."""
        return self.held is not None and self.held.is_valid(self._core.clock)

    def require(self, stop: asyncio.Event) -> None:
        """Raise StoppingError at a stop, LeaseLostError if others may sweep."""
        if stop.is_set():
            raise StoppingError("the process stops")
        if not self.is_valid:
            raise LeaseLostError("another worker may hold the lease of the sweep")

    async def hold(self, stop: asyncio.Event) -> None:
        """Hold the lease until the stop; reading a list may outlast it."""
        while not stop.is_set():
            try:
                with contain(ItemKind.SWEEP, self._core.metrics, passing=(StoreError,), task="sweep"):
                    await self._acquire_or_renew()
            except StoreError as error:
                log_unreachable(error, task="sweep")
            await pause(stop, until_tick_s(min(RENEW_EVERY_S, self._lease_ms / 1000 / 3) if self.held else TICK_S))

    async def _acquire_or_renew(self) -> None:
        if self._core.takes_nothing:
            await self.release()
        elif self.held is not None:
            await self.renew(self.held)
        else:
            await self.acquire(self._on_acquired)
