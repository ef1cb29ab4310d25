"""Dispatcher: starts effects and writes after a commit or a takeover.

Post-commit writes are idempotent, and in another cluster slot.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import structlog

from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.lifecycle import wait_at_most
from conferral.runtime.log import log_unreachable
from conferral.statemachine.effects import Effect, ReadCalls, RedirectToVoicemail
from conferral.statemachine.events import Command, Event
from conferral.statemachine.session import Session
from conferral.storage.codecs.effect_codec import OutboxEntry, PostCommitWrite, PublishOutcome
from conferral.storage.codecs.session_codec import CorruptHashError
from conferral.storage.coordinator import Lease
from conferral.worker.consumer.batch import DecidedBatch, log_decisions
from conferral.worker.consumer.context import WorkerContext
from conferral.worker.consumer.late_outcomes import LateOutcomes
from conferral.worker.consumer.quarantine import Quarantine
from conferral.worker.core import REDIS_PAUSE_S
from conferral.worker.executor.job import Job

log = structlog.get_logger()

#: How long outcomes that Redis refuses wait for the next attempt, seconds.
REFUSED_PAUSE_S = 30.0
#: Writes per pipeline, count: bounds Redis's time.
WRITES_PER_PIPELINE = 200


class PostCommitWrites:
    """One partition's writes. Unfinished ones stay in the outbox."""

    def __init__(self, partition: int, context: WorkerContext) -> None:
        self._partition = partition
        self._store = context.partition_store
        self._metrics = context.core.metrics
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
            writes, self._waiting = self._waiting[:WRITES_PER_PIPELINE], self._waiting[WRITES_PER_PIPELINE:]
            if unfinished := await self._finish(writes):
                if self._stopping.is_set():
                    return
                self._waiting += unfinished
                await wait_at_most(self._stopping, REDIS_PAUSE_S)

    async def _finish(self, writes: list[PostCommitWrite]) -> list[PostCommitWrite]:
        """Perform writes; return those for which Redis was unreachable."""
        try:
            failed = await self._store.finish_writes(self._partition, writes)
            for write in writes:
                error = failed.get(write.write_id)
                if isinstance(error, StoreUnreachableError):
                    log_unreachable(error, partition=self._partition)
                elif error is not None:
                    await self._keep_or_drop_refused(write, error)
        except StoreUnreachableError as error:
            log_unreachable(error, partition=self._partition)
            return writes
        except StoreError:
            return []  # they stay in the outbox
        return [one for one in writes if isinstance(failed.get(one.write_id), StoreUnreachableError)]

    async def _keep_or_drop_refused(self, write: PostCommitWrite, error: StoreError) -> None:
        """Keep a refused outcome for a later attempt; drop other writes."""
        if isinstance(write, PublishOutcome):  # its stream may take entries again
            self._metrics.writes_refused.labels("outcomes").inc()
            self._refused.append(write)
            if len(self._refused) == 1:
                asyncio.get_running_loop().call_later(REFUSED_PAUSE_S, self._retry_refused, str(error))
            return
        # A key is another program's, so a retry would fail too: only a command's report, or a call's expiry, is lost.
        log.error("post_commit_write_failed", partition=self._partition, session_id=write.session_id, reason=str(error))
        await self._store.remove_from_outbox(self._partition, write.write_id)

    def _retry_refused(self, reason: str) -> None:
        if not self._stopping.is_set():
            log.error("outcomes_refused", partition=self._partition, count=len(self._refused), reason=reason)
            refused, self._refused = self._refused, []
            self.start(refused)


class Dispatcher:
    """Acts on one partition's commits."""

    def __init__(
        self,
        partition: int,
        lease: Lease,
        context: WorkerContext,
        add_due_timer: Callable[[int], None],
        quarantine: Quarantine,
        is_background_read: Callable[[Effect], bool] = lambda _effect: False,
    ) -> None:
        self._partition = partition
        self._lease = lease
        self._context = context
        self._clock = context.core.store_clock
        #: Called with the earliest due time of a commit, Unix milliseconds.
        self._add_due_timer = add_due_timer
        #: In the outbox, by id.
        self._open_effects: dict[str, Effect] = {}
        self.writes = PostCommitWrites(partition, context)
        self._late_outcomes = LateOutcomes(self.writes.start, context.core.metrics, context.outcome_wait_s)
        self._quarantine = quarantine
        self._is_background_read = is_background_read
        #: Found in the outbox, by session, for sessions that must read Twilio first.
        self._withheld: dict[str, list[Job]] = defaultdict(list)

    def stop(self) -> None:
        """Stop retrying writes."""
        self.writes.stop()
        self._late_outcomes.stop()

    def open_effects_of(self, session_id: str) -> dict[str, Effect]:
        """Return a session's effects in the outbox, by id."""
        return {name: effect for name, effect in self._open_effects.items() if effect.session_id == session_id}

    async def restore(self, outbox: Mapping[str, bytes], is_unread: Callable[[str], bool]) -> None:
        """Submit effects that a restart or takeover left without a result.

        A session that `is_unread` must read Twilio first: `submit_withheld` follows.
        """
        jobs, writes, outcomes = [], [], []
        self._withheld.clear()
        for entry in await self._quarantine.decode(outbox):
            if isinstance(entry.work, Effect):
                effect, job = entry.work, self._restored_job(entry.work, entry)
                self._open_effects[effect.effect_id] = effect
                if is_unread(effect.session_id) and not isinstance(effect, ReadCalls):
                    self._withheld[effect.session_id].append(job)
                else:
                    jobs.append(job)
            elif isinstance(entry.work, PublishOutcome):
                outcomes.append((entry.work, entry.committed_at_ms))
            else:
                writes.append(entry.work)
        await self._quarantine.submit_all(jobs, outbox)
        self.writes.start(writes)
        if outcomes:
            await self._restore_outcomes(outcomes)

    async def _restore_outcomes(self, outcomes: Sequence[tuple[PublishOutcome, int]]) -> None:
        """Publish outcomes of another holder, corrected by what came since."""
        sessions: dict[str, Session | CorruptHashError] = {}
        with suppress(StoreError):  # without a session, an outcome is published as it was decided
            sessions = await self._context.session_store.load([write.session_id for write, _ in outcomes])
        for write, committed_at_ms in outcomes:
            session = sessions.get(write.session_id)
            if isinstance(session, Session) and session.version:
                waited_s = max(0, self._clock.now_ms() - committed_at_ms) / 1000
                self._late_outcomes.add(write, session, waited_s)
            else:
                self.writes.start([write])

    def submit_withheld(self, session_id: str) -> None:
        """Submit a session's effects that waited for its first read."""
        for job in self._withheld.pop(session_id, ()):
            if job.effect.effect_id in self._open_effects:
                self._context.executor.submit(job)

    def _restored_job(self, effect: Effect, entry: OutboxEntry) -> Job:
        return Job(
            effect=effect,
            partition=self._partition,
            # Later than now: Redis's clock has been set back since.
            committed_at_ms=min(entry.committed_at_ms, self._clock.now_ms()),
            sent_until_ms=self._sent_until_ms,
            sent_at_ms=entry.sent_at_ms,
            mark_may_be_lost=self._is_verifying,
            is_background=self._is_background_read(effect),
            traceparent=entry.traceparent,
        )

    def dispatch(self, decided: DecidedBatch) -> None:
        """Start what was committed: effects first, because callers wait for them.

        Outcomes may wait for a callback that corrects them (`LateOutcomes`); other writes start now.
        """
        sessions = {change.after.id: change.after for change in decided.batch.sessions}
        for decision in decided.decisions:
            if decision.ends_session:
                self._context.executor.cancel_session(decision.event.session_id)
        for effect, event in decided.effects():
            self._open_effects[effect.effect_id] = effect
            traceparent = decided.traceparents.get(event.entry_id, "")
            self._context.executor.submit(self._decided_job(effect, event, sessions[effect.session_id], traceparent))
        self._context.executor.cancel_unwanted_dials(sessions)
        self._context.on_committed(decided.decisions)
        self.writes.start([one for one in decided.post_commit_writes if not isinstance(one, PublishOutcome)])
        for session in sessions.values():
            self._late_outcomes.correct(session)
        for write in decided.post_commit_writes:
            if isinstance(write, PublishOutcome):
                self._late_outcomes.add(write, sessions[write.session_id])
        for effect_id in decided.batch.outbox_remove:
            self._open_effects.pop(effect_id, None)
        if due := [due_ms for due_ms in decided.batch.timers.values() if due_ms is not None]:
            self._add_due_timer(min(due))
        now_ms, metrics = self._clock.store_now_ms(), self._context.core.metrics
        log_decisions(decided.decisions, self._partition, metrics, now_ms, decided.traceparents)

    def _decided_job(self, effect: Effect, event: Event, session: Session, traceparent: str) -> Job:
        # Convert Redis's own time to this worker's.
        published_at_ms = event.occurred_at_ms and event.occurred_at_ms + self._clock.offset_ms
        requested_at_ms = event.occurred_at_ms if isinstance(event, Command) else session.requested_at_ms(effect)
        # What was requested since the rollback, no lost history has sent.
        may_repeat = self._is_verifying and requested_at_ms <= self._lease.rolled_back_at_ms
        return Job(
            effect=effect,
            partition=self._partition,
            committed_at_ms=self._clock.now_ms(),
            command_published_at_ms=(isinstance(event, Command) and published_at_ms) or None,
            sent_until_ms=self._sent_until_ms if may_repeat else None,
            sent_since_ms=requested_at_ms and requested_at_ms + self._clock.offset_ms,
            # The move to the voicemail follows a read, which showed that the caller was not there.
            mark_may_be_lost=may_repeat and not isinstance(effect, RedirectToVoicemail),
            is_background=self._is_background_read(effect),
            traceparent=traceparent,
        )

    @property
    def _sent_until_ms(self) -> int:
        """When another holder could last send, this worker's Unix milliseconds."""
        return self._lease.claimed_at_ms + self._clock.offset_ms

    @property
    def _is_verifying(self) -> bool:
        return self._lease.is_verifying(self._context.core.clock)
