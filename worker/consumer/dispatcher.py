"""Dispatcher: starts effects and writes after a commit or a takeover."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet

from conferral.runtime.lifecycle import call_after_requests
from conferral.statemachine.effects import Effect, ReadCalls
from conferral.statemachine.events import Command, Event, TimerExpired
from conferral.statemachine.session import Session
from conferral.storage.codecs.effect_codec import OutboxEntry
from conferral.storage.coordinator import Lease
from conferral.storage.partition.partition_store import parse_entry_id
from conferral.worker.consumer.batch import DecidedBatch
from conferral.worker.consumer.decision_log import log_decisions
from conferral.worker.consumer.partition_timers import PartitionTimers
from conferral.worker.consumer.post_commit import PostCommitWrites
from conferral.worker.consumer.quarantine import Quarantine, decode_outbox
from conferral.worker.consumer.worker_context import WorkerContext
from conferral.worker.executor.job import Job

#: How long after a rollback lost commands are routed and lost timers fire again, milliseconds.
REDELIVERY_WINDOW_MS = 10_000


class Dispatcher:
    """Acts on one partition's commits."""

    def __init__(
        self,
        partition: int,
        lease: Lease,
        context: WorkerContext,
        timers: PartitionTimers,
        quarantine: Quarantine,
    ) -> None:
        self._partition = partition
        self._lease = lease
        self._context = context
        self._clock = context.core.store_clock
        self._timers = timers
        #: In the outbox, by session id and effect id.
        self._open_effects: dict[str, dict[str, Effect]] = defaultdict(dict)
        self._writes = PostCommitWrites(partition, context.partition_store, context.core.metrics)
        self._quarantine = quarantine
        #: Found in the outbox, by session, for sessions that must read Twilio first.
        self._withheld: dict[str, list[Job]] = defaultdict(list)

    def stop(self) -> None:
        """Stop retrying writes, and leave untried effects to the next holder."""
        self._writes.stop()
        self._quarantine.stop()

    async def wait_finished(self) -> None:
        """Wait for the running post-commit writes."""
        await self._writes.wait_finished()

    def open_effects_of(self, session_id: str) -> dict[str, Effect]:
        """Return a session's effects in the outbox, by id."""
        return self._open_effects.get(session_id, {})

    async def restore(self, outbox: Mapping[str, bytes], is_unread: Callable[[str], bool]) -> None:
        """Submit the outbox's effects, oldest first, and start its writes.

        A session that `is_unread` must read Twilio first: `submit_withheld` follows.
        """
        entries, unreadable = decode_outbox(outbox)
        await self._quarantine.dead_letter_unreadable(unreadable)
        jobs, writes = [], []
        for entry in entries:
            if isinstance(entry.work, Effect):
                effect, job = entry.work, self._restored_job(entry.work, entry)
                self._open_effects[effect.session_id][effect.effect_id] = effect
                if is_unread(effect.session_id) and not isinstance(effect, ReadCalls):
                    self._withheld[effect.session_id].append(job)
                else:
                    jobs.append(job)
            else:
                writes.append(entry.work)
        self._writes.start(writes)
        await self._quarantine.submit_all(jobs, outbox, self.open_effects_of)

    def submit_withheld(self, session_id: str) -> None:
        """Submit a session's effects that waited for its first read."""
        for job in self._withheld.pop(session_id, ()):
            if job.effect.effect_id in self.open_effects_of(session_id):
                self._context.executor.submit(job)

    def _restored_job(self, effect: Effect, entry: OutboxEntry) -> Job:
        return Job(
            effect=effect,
            partition=self._partition,
            # Later than now: Redis's clock has been set back since.
            committed_at_ms=min(entry.committed_at_ms, self._clock.now_ms()),
            may_have_been_sent=True,
            sent_until_ms=self._sent_until_ms,
            sent_at_ms=entry.sent_at_ms,
            mark_may_be_lost=self._is_verifying,
        )

    def dispatch(self, decided: DecidedBatch) -> None:
        """Act on a commit: effects first, because callers wait for them."""
        sessions = {change.after.id: change.after for change in decided.batch.sessions}
        for session_id in decided.ended_session_ids:
            self._context.executor.cancel_session(session_id)
        for effect, event in decided.effects:
            self._open_effects[effect.session_id][effect.effect_id] = effect
            self._context.executor.submit(self._decided_job(effect, event, sessions[effect.session_id]))
        self._context.executor.cancel_unwanted_dials(sessions)
        self._context.on_committed(decided.decisions)
        self._writes.start(decided.post_commit_writes)
        self._forget_effects(sessions.keys(), set(decided.batch.outbox_del))
        if due := [due_ms for due_ms in decided.batch.timers.values() if due_ms is not None]:
            self._timers.note_set(min(due))
        now_ms = self._clock.store_now_ms()
        call_after_requests(log_decisions, decided.decisions, self._partition, self._context.core.metrics, now_ms)

    def _decided_job(self, effect: Effect, event: Event, session: Session) -> Job:
        # Convert Redis's own time to this worker's.
        published_at_ms = event.occurred_at_ms and event.occurred_at_ms + self._clock.offset_ms
        may_repeat = self._is_verifying and self._may_repeat(event, session)
        return Job(
            effect=effect,
            partition=self._partition,
            committed_at_ms=self._clock.now_ms(),
            command_published_at_ms=(isinstance(event, Command) and published_at_ms) or None,
            may_have_been_sent=may_repeat,
            sent_until_ms=self._sent_until_ms,
            # In any history, nothing was sent before its entry existed.
            sent_since_ms=parse_entry_id(event.entry_id)[0] + self._clock.offset_ms,
            mark_may_be_lost=may_repeat,
        )

    def _forget_effects(self, session_ids: AbstractSet[str], effect_ids: AbstractSet[str]) -> None:
        for session_id in session_ids & self._open_effects.keys():
            effects = self._open_effects[session_id]
            for effect_id in effects.keys() & effect_ids:
                del effects[effect_id]
            if not effects:
                del self._open_effects[session_id]

    def _may_repeat(self, event: Event, session: Session) -> bool:
        """Whether a history that Redis lost may have decided the same.

        A command that was published after the claim repeats nothing, nor does a transfer that began once all lost
        commands were routed again. Each gated dial that may be a repetition leaves a caller waiting.
        """
        claimed_at_ms = self._lease.claimed_at_ms
        if isinstance(event, Command) and event.occurred_at_ms > claimed_at_ms:
            return False
        redelivered_until_ms = claimed_at_ms + self._clock.offset_ms + REDELIVERY_WINDOW_MS
        if isinstance(event, TimerExpired) and event.due_ms > redelivered_until_ms:
            return False
        transfer = session.running_transfer
        return transfer is None or transfer.started_at_ms <= redelivered_until_ms

    @property
    def _sent_until_ms(self) -> int:
        """When another holder could last send, this worker's Unix milliseconds."""
        return self._lease.claimed_at_ms + self._clock.offset_ms

    @property
    def _is_verifying(self) -> bool:
        return self._lease.is_verifying(self._context.core.clock)
