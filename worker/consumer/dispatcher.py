"""Dispatcher: starts effects after a commit or a takeover."""

from collections import defaultdict
from collections.abc import Callable, Mapping

from conferral.statemachine.effects import Effect, ReadCalls, RedirectToVoicemail
from conferral.statemachine.events import Command, Event
from conferral.statemachine.session import Session
from conferral.storage.codecs.effect_codec import OutboxEntry
from conferral.storage.coordinator import Lease
from conferral.worker.consumer.batch import Batch, Decision, log_decisions
from conferral.worker.consumer.quarantine import Quarantine
from conferral.worker.core import WorkerCore
from conferral.worker.executor.executor import Executor
from conferral.worker.executor.job import Job
from conferral.worker.times import from_redis_time


class Dispatcher:
    """Acts on one partition's commits."""

    def __init__(
        self,
        partition: int,
        lease: Lease,
        core: WorkerCore,
        executor: Executor,
        add_due_timer: Callable[[int], None],
        quarantine: Quarantine,
        *,
        is_background_read: Callable[[Effect], bool] = lambda _effect: False,
        on_committed: Callable[[list[Decision]], None] = lambda _decisions: None,
    ) -> None:
        self._partition = partition
        self._lease = lease
        self._core = core
        self._executor = executor
        self._on_committed = on_committed
        self._clock = core.store_clock
        #: Called with the earliest due time of a commit, Unix milliseconds.
        self._add_due_timer = add_due_timer
        #: In the outbox, by id.
        self._open_effects: dict[str, Effect] = {}
        self._quarantine = quarantine
        self._is_background_read = is_background_read
        #: Found in the outbox, by session, for sessions that must read Twilio first.
        self._withheld: dict[str, list[Job]] = defaultdict(list)

    def open_effects_of(self, session_id: str) -> dict[str, Effect]:
        """Return a session's effects in the outbox, by id."""
        return {name: effect for name, effect in self._open_effects.items() if effect.session_id == session_id}

    async def restore(self, outbox: Mapping[str, bytes], is_unread: Callable[[str], bool]) -> None:
        """Submit effects that a restart or takeover left without a result.

        A session that `is_unread` must read Twilio first: `submit_withheld` follows.
        """
        jobs = []
        self._withheld.clear()
        for entry in await self._quarantine.decode(outbox):
            effect, job = entry.effect, self._restored_job(entry)
            self._open_effects[effect.effect_id] = effect
            if is_unread(effect.session_id) and not isinstance(effect, ReadCalls):
                self._withheld[effect.session_id].append(job)
            else:
                jobs.append(job)
        await self._quarantine.submit_all(jobs, outbox)

    def submit_withheld(self, session_id: str) -> None:
        """Submit a session's effects that waited for its first read."""
        for job in self._withheld.pop(session_id, ()):
            if job.effect.effect_id in self._open_effects:
                self._executor.submit(job)

    def _restored_job(self, entry: OutboxEntry) -> Job:
        return Job(
            effect=entry.effect,
            partition=self._partition,
            # Later than now: Redis's clock has been set back since.
            committed_at_ms=min(entry.committed_at_ms, self._clock.now_ms()),
            sent_until_ms=self._sent_until_ms,
            sent_at_ms=entry.sent_at_ms,
            mark_may_be_lost=self._is_verifying,
            is_background=self._is_background_read(entry.effect),
            traceparent=entry.traceparent,
        )

    def dispatch(self, batch: Batch) -> None:
        """Start the effects of a commit; forget those that it removed."""
        sessions = {change.after.id: change.after for change in batch.commit.sessions}
        for decision in batch.decisions:
            if decision.ends_session:
                self._executor.cancel_session(decision.event.session_id)
        for effect, event in batch.effects():
            self._open_effects[effect.effect_id] = effect
            traceparent = batch.traceparents.get(event.entry_id, "")
            self._executor.submit(self._decided_job(effect, event, sessions[effect.session_id], traceparent))
        self._executor.cancel_unwanted_dials(sessions)
        self._on_committed(batch.decisions)
        for effect_id in batch.commit.outbox_remove:
            self._open_effects.pop(effect_id, None)
        if due := [due_ms for due_ms in batch.commit.timers.values() if due_ms is not None]:
            self._add_due_timer(min(due))
        now_ms, metrics = self._clock.store_now_ms(), self._core.metrics
        log_decisions(batch.decisions, self._partition, metrics, now_ms, batch.traceparents)

    def _decided_job(self, effect: Effect, event: Event, session: Session, traceparent: str) -> Job:
        published_at_ms = from_redis_time(event.occurred_at_ms, self._clock) if isinstance(event, Command) else 0
        requested_at_ms = event.occurred_at_ms if isinstance(event, Command) else session.requested_at_ms(effect)
        # What was requested since the rollback, no lost history has sent.
        may_repeat = self._is_verifying and requested_at_ms <= self._lease.rolled_back_at_ms
        return Job(
            effect=effect,
            partition=self._partition,
            committed_at_ms=self._clock.now_ms(),
            command_published_at_ms=published_at_ms or None,
            sent_until_ms=self._sent_until_ms if may_repeat else None,
            sent_since_ms=from_redis_time(requested_at_ms, self._clock),
            # The move to the voicemail follows a read, which showed that the caller was not there.
            mark_may_be_lost=may_repeat and not isinstance(effect, RedirectToVoicemail),
            is_background=self._is_background_read(effect),
            traceparent=traceparent,
        )

    @property
    def _sent_until_ms(self) -> int:
        """When another holder could last send, this worker's Unix milliseconds."""
        return from_redis_time(self._lease.claimed_at_ms, self._clock)

    @property
    def _is_verifying(self) -> bool:
        return self._lease.is_verifying(self._core.clock)
