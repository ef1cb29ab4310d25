"""Post-commit writes: idempotent, and in another cluster slot."""

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence

import structlog

from conferral.runtime.error_boundary import retry_unreachable
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.lifecycle import pause
from conferral.runtime.metrics import Metrics
from conferral.storage.codecs.effect_codec import PostCommitWrite, PublishOutcome
from conferral.storage.partition.partition_store import PartitionStore
from conferral.worker.dead_letters import count_dead_letter

log = structlog.get_logger()

PAUSE_S = 0.2
#: How long outcomes that Redis refuses wait for the next attempt, seconds.
REFUSED_PAUSE_S = 30.0
#: Writes per pipeline, count: bounds Redis's time.
TOGETHER_MAX = 200


class PostCommitWrites:
    """One partition's writes. Unfinished ones stay in the outbox."""

    def __init__(self, partition: int, store: PartitionStore, metrics: Metrics, *, session_ttl_s: int) -> None:
        self._partition = partition
        self._store = store
        self._metrics = metrics
        self._session_ttl_s = session_ttl_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        #: Outcomes that Redis refused, for the next attempt.
        self._refused: list[PublishOutcome] = []

    def start(self, writes: Sequence[PostCommitWrite]) -> None:
        """Start writes, together: a request costs as much as a write."""
        for start in range(0, len(writes), TOGETHER_MAX):
            self._start(self._finish(writes[start : start + TOGETHER_MAX]))

    def _start(self, run: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(run)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        """Stop retrying: give up a write when Redis is unreachable."""
        self._stopping.set()

    async def wait_finished(self) -> None:
        """Wait for the running writes."""
        while self._tasks:
            await asyncio.wait(self._tasks)
            # A callback removes a finished task; let it run.
            await asyncio.sleep(0)

    async def _finish(self, writes: Sequence[PostCommitWrite]) -> None:
        unfinished = {write.write_id: write for write in writes}

        async def attempt() -> None:
            failed = await self._finish_once(list(unfinished.values()))
            for write_id in unfinished.keys() - failed.keys():
                del unfinished[write_id]
            for write_id, error in failed.items():
                if not isinstance(error, StoreUnreachableError):
                    await self._give_up(unfinished[write_id], error)
                    del unfinished[write_id]
            if unfinished:
                raise failed[next(iter(unfinished))]

        with contextlib.suppress(StoreError):  # the writes stay in the outbox
            await retry_unreachable(attempt, PAUSE_S, on_error=self._check_not_stopping)

    async def _finish_once(self, writes: Sequence[PostCommitWrite]) -> dict[str, StoreError]:
        return await self._store.finish_writes(self._partition, writes, session_ttl_s=self._session_ttl_s)

    def _check_not_stopping(self, error: StoreError) -> None:
        if self._stopping.is_set():
            raise error

    async def _give_up(self, write: PostCommitWrite, error: StoreError) -> None:
        """Keep an outcome, or dead-letter another write that Redis refuses."""
        if isinstance(write, PublishOutcome):
            self._keep(write, str(error))
            return
        # A key holds a foreign type, so a retry would fail too.
        log.error("post_commit_write_failed", partition=self._partition, session_id=write.session_id, reason=str(error))
        reason = "Redis refuses one of its keys"
        if refusal := await self._store.dead_letter_write(self._partition, write, reason):
            count_dead_letter(self._metrics, write.write_id, reason, refusal)

    def _keep(self, outcome: PublishOutcome, reason: str) -> None:
        """Keep an outcome until its stream takes entries again."""
        self._metrics.writes_refused.labels("outcomes").inc()
        self._refused.append(outcome)
        if len(self._refused) == 1:
            self._start(self._retry_refused(reason))

    async def _retry_refused(self, reason: str) -> None:
        while not self._stopping.is_set():
            log.error("outcomes_refused", partition=self._partition, count=len(self._refused), reason=reason)
            await pause(self._stopping, REFUSED_PAUSE_S)
            try:
                if await self._finish_once(self._refused[:1]):
                    continue
            except StoreError:
                continue
            outcomes, self._refused = self._refused[1:], []
            self.start(outcomes)
            return
