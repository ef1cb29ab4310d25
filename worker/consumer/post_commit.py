"""Post-commit writes: idempotent, and in another cluster slot."""

import asyncio
from collections.abc import Sequence

import structlog

from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.lifecycle import pause
from conferral.runtime.metrics import Metrics
from conferral.storage.codecs.effect_codec import PostCommitWrite, PublishOutcome
from conferral.storage.partition.partition_store import PartitionStore
from conferral.worker.dead_letters import note_dead_letter

log = structlog.get_logger()

PAUSE_S = 0.2
#: How long outcomes that Redis refuses wait for the next attempt, seconds.
REFUSED_PAUSE_S = 30.0
#: Writes per pipeline, count: bounds Redis's time.
TOGETHER_MAX = 200


class PostCommitWrites:
    """One partition's writes. Unfinished ones stay in the outbox."""

    def __init__(self, partition: int, store: PartitionStore, metrics: Metrics) -> None:
        self._partition = partition
        self._store = store
        self._metrics = metrics
        self._waiting: list[PostCommitWrite] = []
        self._writing: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        #: Outcomes that Redis refused, for the next attempt.
        self._refused: list[PostCommitWrite] = []

    def start(self, writes: Sequence[PostCommitWrite]) -> None:
        """Start writes, together: a request costs as much as a write."""
        self._waiting += writes
        if self._waiting and (self._writing is None or self._writing.done()):
            self._writing = asyncio.get_running_loop().create_task(self._write())

    def stop(self) -> None:
        """Stop retrying: give up a write when Redis is unreachable."""
        self._stopping.set()

    async def wait_finished(self) -> None:
        """Wait for the running writes."""
        if self._writing is not None:
            await asyncio.wait({self._writing})

    async def _write(self) -> None:
        while self._waiting:
            writes, self._waiting = self._waiting[:TOGETHER_MAX], self._waiting[TOGETHER_MAX:]
            if unfinished := await self._finish(writes):
                if self._stopping.is_set():
                    return
                self._waiting += unfinished
                await pause(self._stopping, PAUSE_S)

    async def _finish(self, writes: list[PostCommitWrite]) -> list[PostCommitWrite]:
        """Return those for which Redis was unreachable."""
        try:
            failed = await self._store.finish_writes(self._partition, writes)
            for write in writes:
                error = failed.get(write.write_id)
                if error is not None and not isinstance(error, StoreUnreachableError):
                    await self._give_up(write, error)
        except StoreUnreachableError:
            return writes
        except StoreError:
            return []  # they stay in the outbox
        return [one for one in writes if isinstance(failed.get(one.write_id), StoreUnreachableError)]

    async def _give_up(self, write: PostCommitWrite, error: StoreError) -> None:
        """Keep an outcome, or dead-letter another write that Redis refuses."""
        if isinstance(write, PublishOutcome):  # its stream may take entries again
            self._metrics.writes_refused.labels("outcomes").inc()
            self._refused.append(write)
            if len(self._refused) == 1:
                asyncio.get_running_loop().call_later(REFUSED_PAUSE_S, self._retry_refused, str(error))
            return
        # A key holds a foreign type, so a retry would fail too.
        log.error("post_commit_write_failed", partition=self._partition, session_id=write.session_id, reason=str(error))
        reason = "Redis refuses one of its keys"
        if refusal := await self._store.dead_letter_write(self._partition, write, reason):
            note_dead_letter(self._metrics, write.write_id, reason, refusal)

    def _retry_refused(self, reason: str) -> None:
        if not self._stopping.is_set():
            log.error("outcomes_refused", partition=self._partition, count=len(self._refused), reason=reason)
            refused, self._refused = self._refused, []
            self.start(refused)
