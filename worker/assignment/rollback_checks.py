"""Checks live sessions after a Redis rollback.

A rollback loses callbacks and commands, and nothing sends them again. So every session reads its state from Twilio.
"""

import asyncio
from collections import deque
from dataclasses import dataclass

import structlog

from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.metrics import Metrics
from conferral.runtime.outage import log_unreachable
from conferral.statemachine.events import AccountSwept
from conferral.storage.partition.partition_store import PartitionStore
from conferral.worker.consumer.partition_consumer import PartitionConsumer

log = structlog.get_logger()

#: Sessions checked at a time per worker (count), and the pause in between, seconds.
BATCH_MAX = 5
PAUSE_S = 1.0
#: The `finding` of these events.
ROLLED_BACK = "rolled-back"


@dataclass(frozen=True, slots=True)
class _Check:
    consumer: PartitionConsumer
    #: The rollback's name. It deduplicates: a session runs one rollback's check once.
    rollback: str
    store: PartitionStore


class RollbackChecks:
    """One worker's partitions with unchecked sessions, one at a time.

    The rate is per worker: after an outage, all its partitions roll back together.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._pending: deque[_Check] = deque()  # the first one is running
        self._task: asyncio.Task[None] | None = None

    def add(self, consumer: PartitionConsumer, store: PartitionStore) -> None:
        """Check a partition's sessions while it is held, unless that is pending."""
        check = _Check(consumer, consumer.lease.rollback, store)
        if check in self._pending:
            return
        self._pending.append(check)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="rollback-checks")

    def stop(self) -> None:
        """Leave the rest to the next holders."""
        self._pending.clear()
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while self._pending:
            check = self._pending[0]
            consumer, lease = check.consumer, check.consumer.lease
            with contain(ItemKind.TASK, self._metrics, task="rollback_checks", partition=consumer.number):
                try:
                    await self._check(check)
                except StoreError as error:
                    log.error("post_commit_write_failed", partition=consumer.number, reason=str(error))
            if consumer.is_active and lease.rollback == check.rollback:
                lease.has_unchecked_sessions = False
            self._pending.popleft()

    async def _check(self, check: _Check) -> None:
        """Publish an event to each live session, which then reads its calls."""
        consumer, store = check.consumer, check.store
        session_ids: list[str] = []
        rest: list[str] | None = None
        while consumer.is_active:
            try:
                if rest is None:
                    session_ids = rest = await store.live_sessions(consumer.number)
                if not rest:
                    break  # no pause: the other partitions wait for their turn
                await store.append([
                    AccountSwept(session_id=name, token=f"{ROLLED_BACK}:{check.rollback}", finding=ROLLED_BACK)
                    for name in rest[:BATCH_MAX]
                ])  # fmt: skip
                rest = rest[BATCH_MAX:]
            except StoreUnreachableError as error:
                log_unreachable(error, partition=consumer.number)
            await asyncio.sleep(PAUSE_S)
        if rest == []:
            self._metrics.sweep_findings.labels(ROLLED_BACK).inc(len(session_ids))
            if session_ids:
                log.warning("rollback_checked", partition=consumer.number, sessions=len(session_ids))
