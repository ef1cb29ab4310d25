"""A partition's effects in the outbox: starts committed and restored ones."""

from collections.abc import Mapping

from conferral.statemachine.effects import Effect, ReadCalls, RedirectToVoicemail
from conferral.statemachine.events import Command, Event
from conferral.statemachine.session import Session
from conferral.storage.codecs import effect_codec
from conferral.storage.codecs.effect_codec import OutboxEntry
from conferral.storage.coordinator import Lease
from conferral.worker.core import WorkerCore
from conferral.worker.executor.executor import Executor
from conferral.worker.executor.job import Job
from conferral.worker.partition_parts.batch import Batch
from conferral.worker.partition_parts.first_reads import FirstReads
from conferral.worker.partition_parts.quarantine import Quarantine
from conferral.worker.times import from_redis_time


class OpenEffects:
    """One partition's effects in the outbox."""

    def __init__(
        self,
        partition: int,
        lease: Lease,
        core: WorkerCore,
        executor: Executor,
        quarantine: Quarantine,
        first_reads: FirstReads,
    ) -> None:
        self._partition = partition
        self._lease = lease
        self._store = core.partition_store
        self._clock, self._monotonic_clock = core.store_clock, core.clock
        self._executor = executor
        self._quarantine = quarantine
        self._first_reads = first_reads
        #: In the outbox, by id.
        self.by_id: dict[str, Effect] = {}
        #: Restored, and not started yet, oldest first.
        self._withheld: list[Job] = []

    async def restore(self, outbox: Mapping[str, bytes]) -> None:
        """Start what a former owner left, unless its session must read first.

        What has killed workers becomes a dead letter instead.
        """
        self._withheld.clear()
        for entry in await self._quarantine.decode(outbox):
            effect = entry.effect
            self.by_id[effect.effect_id] = effect
            if self._quarantine.has_killed(effect.effect_id):
                await self._quarantine.dead_letter(effect, outbox[effect.effect_id])
            else:
                self._withheld.append(self._restored_job(entry))
        await self.start_withheld()

    async def start_withheld(self) -> None:
        """Start restored effects, except of sessions that must still read Twilio."""
        jobs = [job for job in self._withheld if not self._must_wait(job.effect)]
        if not jobs:
            return
        await self._quarantine.begin_tries([job.effect.effect_id for job in jobs])
        # No await from here on, so that no job is submitted twice.
        self._withheld = [job for job in self._withheld if job not in jobs]
        for job in jobs:
            if job.effect.effect_id in self.by_id:
                self._executor.submit(job)

    def _must_wait(self, effect: Effect) -> bool:
        return self._first_reads.is_unread(effect.session_id) and not isinstance(effect, ReadCalls)

    def start(self, batch: Batch) -> None:
        """Start the effects of a commit; forget and cancel what it removed."""
        sessions = {change.after.id: change.after for change in batch.commit.sessions}
        for decision in batch.decisions:
            if decision.ends_session:
                self._executor.cancel_session(decision.event.session_id)
        for effect, event in batch.effects.values():
            self.by_id[effect.effect_id] = effect
            traceparent = batch.traceparents.get(event.entry_id, "")
            self._executor.submit(self._decided_job(effect, event, sessions[effect.session_id], traceparent))
        self._executor.cancel_unwanted_dials(sessions)
        for effect_id in batch.commit.outbox_remove:
            self.by_id.pop(effect_id, None)

    async def has_all(self) -> bool:
        """Whether Redis has the marks and results of all effects.

        The outbox then holds only what runs or waits here, and what is marked here is marked there.
        """
        withheld = {job.effect.effect_id: False for job in self._withheld}
        marks = withheld | self._executor.marks(self._partition)
        for name, body in (await self._store.outbox(self._partition)).items():
            if name not in marks or (marks[name] and effect_codec.decode(body).sent_at_ms is None):
                return False
        return True

    def _restored_job(self, entry: OutboxEntry) -> Job:
        effect = entry.effect
        return Job(
            effect=effect,
            partition=self._partition,
            # Later than now: Redis's clock has been set back since.
            committed_at_ms=min(entry.committed_at_ms, self._clock.now_ms()),
            sent_until_ms=self._sent_until_ms,
            sent_at_ms=entry.sent_at_ms,
            mark_may_be_lost=self._writes_may_be_lost,
            is_background=isinstance(effect, ReadCalls) and self._first_reads.is_background(effect.session_id),
            traceparent=entry.traceparent,
        )

    def _decided_job(self, effect: Effect, event: Event, session: Session, traceparent: str) -> Job:
        published_at_ms = from_redis_time(event.occurred_at_ms, self._clock) if isinstance(event, Command) else 0
        requested_at_ms = event.occurred_at_ms if isinstance(event, Command) else session.requested_at_ms(effect)
        # What was requested since the rollback, no lost history has sent.
        may_repeat = self._writes_may_be_lost and requested_at_ms <= self._lease.rolled_back_at_ms
        return Job(
            effect=effect,
            partition=self._partition,
            committed_at_ms=self._clock.now_ms(),
            command_published_at_ms=published_at_ms or None,
            sent_until_ms=self._sent_until_ms if may_repeat else None,
            sent_since_ms=from_redis_time(requested_at_ms, self._clock),
            # The move to the voicemail follows a read, which showed that the caller was not there.
            mark_may_be_lost=may_repeat and not isinstance(effect, RedirectToVoicemail),
            is_background=isinstance(effect, ReadCalls) and self._first_reads.is_background(effect.session_id),
            traceparent=traceparent,
        )

    @property
    def _sent_until_ms(self) -> int:
        """When another owner could last send, this worker's Unix milliseconds."""
        return from_redis_time(self._lease.claimed_at_ms, self._clock)

    @property
    def _writes_may_be_lost(self) -> bool:
        """Whether a lost history may have sent what is sent now."""
        return self._lease.writes_may_be_lost(self._monotonic_clock)
