"""Notices that Redis lacks what a partition's owner has seen there.

The coordinator can't show it: a partition's key may be on another server.
"""

import asyncio
from collections.abc import Iterable

import structlog

from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import LeaseLostError, StoreError
from conferral.runtime.outage import log_unreachable
from conferral.storage.partition import lease as leases
from conferral.storage.partition.lease import RolledBackError
from conferral.worker.consumer.partition_consumer import PartitionConsumer
from conferral.worker.core import WorkerCore

log = structlog.get_logger()

#: How often partitions are compared with their keys, seconds: a rollback that the coordinator's server doesn't show.
CONFIRM_EVERY_S = 2.0


class RollbackWatch:
    """Compares this worker's partitions with their keys."""

    def __init__(self, core: WorkerCore) -> None:
        self._core = core
        #: The coordinator's server, as last seen.
        self._server = ""
        self._confirming: asyncio.Task[None] | None = None
        self._confirmed_at_s = float("-inf")

    def confirm_when_due(self, server: str, consumers: Iterable[PartitionConsumer]) -> None:
        """Compare partitions with their keys now and then, and on a new server."""
        now_s, is_new = self._core.clock.monotonic_s(), server != self._server
        self._server = server
        is_running = self._confirming is not None and not self._confirming.done()
        if not is_running and (is_new or now_s - self._confirmed_at_s >= CONFIRM_EVERY_S):
            self._confirmed_at_s = now_s
            active = [consumer for consumer in consumers if consumer.is_active]
            self._confirming = asyncio.get_running_loop().create_task(self._confirm_all(active))

    def stop(self) -> None:
        """Compare nothing any more."""
        if self._confirming is not None:
            self._confirming.cancel()

    async def _confirm_all(self, active: list[PartitionConsumer]) -> None:
        with contain(ItemKind.TASK, self._core.metrics, task="leases"):
            await asyncio.gather(*map(self._confirm, active))

    async def _confirm(self, consumer: PartitionConsumer) -> None:
        """Mark a partition lost if Redis lacks something, to claim it again."""
        try:
            await leases.confirm(self._core.client, self._core.keys, consumer.number, consumer.lease)
        except RolledBackError:
            log.error("redis_rollback_detected", partition=consumer.number, holder=consumer.lease.holder)
            consumer.was_rolled_back = True
            consumer.mark_lost()
        except LeaseLostError:
            consumer.mark_lost()
        except StoreError as error:
            log_unreachable(error, partition=consumer.number)
