"""Compares a partition with its key: whether it is still this worker's."""

import structlog

from conferral.runtime.errors import LeaseLostError, StoreError
from conferral.runtime.log import log_unreachable
from conferral.storage import coordinator
from conferral.storage.coordinator import Lease, WritesLostError
from conferral.worker.core import WorkerCore

log = structlog.get_logger()

#: How often the lease is compared with its key, seconds: the key alone shows a loss.
CONFIRM_EVERY_S = 1.5


class LeaseCheck:
    """Confirms one partition's lease at times, and notes its end."""

    def __init__(self, partition: int, lease: Lease, core: WorkerCore) -> None:
        self._partition = partition
        self._lease = lease
        self._core = core
        #: Monotonic seconds.
        self._confirmed_at_s = core.clock.monotonic_s()

    def expire(self) -> None:
        """Confirm next time: Redis may come back as another server."""
        self._confirmed_at_s = float("-inf")

    @property
    def is_confirmed(self) -> bool:
        """Whether it was confirmed since Redis may have been replaced."""
        return self._confirmed_at_s >= self._core.confirm_from_s

    async def confirm_when_due(self, *, reads_requested: bool) -> None:
        """Compare the partition with its key at times, or raise LeaseLostError.

        Only the key shows that Redis lacks something. `reads_requested`: each live session's read is in the outbox.
        """
        now_s = self._core.clock.monotonic_s()
        must_confirm = not self.is_confirmed and now_s >= self._core.confirm_from_s
        if now_s - self._confirmed_at_s >= CONFIRM_EVERY_S or must_confirm:
            core, lease = self._core, self._lease
            await coordinator.confirm_partition(
                core.reserved, core.keys, self._partition, lease, reads_requested=reads_requested
            )
            self._confirmed_at_s = now_s

    async def note_try(self) -> int:
        """Note and count that the oldest entry is tried after a death."""
        core = self._core
        return await coordinator.confirm_partition(core.reserved, core.keys, self._partition, self._lease, is_try=True)

    async def note_end(self, *, is_release: bool) -> None:
        """Note in the key what ended the lease: a loss of writes, or no death.

        A commit or a confirmation may have noticed the loss. It is reported here, once.
        """
        core, lease = self._core, self._lease
        try:
            await coordinator.confirm_partition(core.reserved, core.keys, self._partition, lease, is_release=is_release)
        except WritesLostError:
            core.metrics.redis_losses.inc()
            log.error("redis_loss_detected", partition=self._partition, holder=lease.holder)
            return
        except LeaseLostError:
            return
        except StoreError as error:  # the next owner verifies more than it must
            log_unreachable(error, partition=self._partition)
        if is_release:
            log.info("lease_released", partition=self._partition, holder=lease.holder)
