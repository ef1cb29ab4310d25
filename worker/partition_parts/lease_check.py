"""Compares a partition with its key: whether it is still this worker's."""

import structlog

from conferral.runtime.errors import LeaseLostError, StoreError
from conferral.runtime.log import log_unreachable
from conferral.storage import coordinator
from conferral.storage.coordinator import Lease, RolledBackError
from conferral.worker.core import WorkerCore

log = structlog.get_logger()

#: How often the partition is compared with its key, seconds: it may be on another server than the coordinator's.
CONFIRM_EVERY_S = 1.5


class LeaseCheck:
    """Confirms one partition's lease at times, and gives it back."""

    def __init__(self, partition: int, lease: Lease, core: WorkerCore) -> None:
        self._partition = partition
        self._lease = lease
        self._core = core
        #: Monotonic seconds.
        self._confirmed_at_s = core.clock.monotonic_s()

    def expire(self) -> None:
        """Confirm next time: Redis may come back as another server."""
        self._confirmed_at_s = float("-inf")

    async def confirm_when_due(self) -> None:
        """Compare the partition with its key at times, or raise LeaseLostError.

        The coordinator can't show that Redis lacks something: the key may be on another server.
        """
        core = self._core
        if core.clock.monotonic_s() - self._confirmed_at_s < CONFIRM_EVERY_S:
            return
        try:
            await coordinator.confirm_partition(core.reserved, core.keys, self._partition, self._lease)
        except RolledBackError:
            log.error("redis_rollback_detected", partition=self._partition, holder=self._lease.holder)
            raise LeaseLostError("Redis lacks something") from None
        self._confirmed_at_s = core.clock.monotonic_s()

    async def give_back(self, *, is_lost: bool) -> None:
        """Note in the key what ended the lease: a loss, a rollback, or no death."""
        core, lease = self._core, self._lease
        try:
            await coordinator.confirm_partition(
                core.reserved, core.keys, self._partition, lease, gives_back=not is_lost
            )
        except (LeaseLostError, RolledBackError):
            return
        except StoreError as error:  # the next owner verifies more than it must
            log_unreachable(error, partition=self._partition)
        if not is_lost:
            log.info("lease_released", partition=self._partition, holder=lease.holder)
