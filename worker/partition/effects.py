"""A partition's effects in the outbox: starts committed and restored ones."""

from collections.abc import Mapping

from conferral.statemachine.effects import Effect, ReadCalls, RedirectToVoicemail
from conferral.statemachine.events import Command, Event
from conferral.statemachine.guards.unsettled import only_loss_is_unsettled
from conferral.storage.codecs.effect_codec import OutboxEntry
from conferral.storage.coordinator import Lease
from conferral.storage.partition.partition_store import parse_entry_id
from conferral.worker.core import WorkerCore
from conferral.worker.executor.executor import Executor
from conferral.worker.executor.job import Job
from conferral.worker.partition.batch import Batch
from conferral.worker.partition.quarantine import Quarantine

#: The `finding` of the event that makes a session read after a loss.
WRITES_LOST = "writes-lost"


class OpenEffects:
    """One partition's effects in the outbox."""

    def __init__(
        self,
        partition: int,
        lease: Lease,
        core: WorkerCore,
        executor: Executor,
        quarantine: Quarantine,
    ) -> None:
        self._partition = partition
        self._lease = lease
        self._store = core.partition_store
        self._clock = core.store_clock
        self._executor = executor
        self._quarantine = quarantine
        #: When another owner could last send, monotonic seconds: the partition was claimed just now.
        self._sent_until_s = core.clock.monotonic_s()
        #: In the outbox, by id.
        self.by_id: dict[str, Effect] = {}

    async def restore(self, outbox: Mapping[str, bytes]) -> None:
        """Start what a former owner left.

        What has killed workers becomes a dead letter instead.
        """
        jobs = []
        for entry in await self._quarantine.decode(outbox):
            effect = entry.effect
            self.by_id[effect.effect_id] = effect
            if self._quarantine.has_killed(effect.effect_id):
                await self._quarantine.dead_letter(effect, outbox[effect.effect_id])
            else:
                jobs.append(self._restored_job(entry))
        await self._quarantine.begin_tries([job.effect.effect_id for job in jobs])
        for job in jobs:
            self._executor.submit(job)

    def start(self, batch: Batch) -> None:
        """Start the effects of a commit; forget and cancel what it removed."""
        sessions = {change.after.id: change.after for change in batch.commit.sessions}
        for effect_id in batch.commit.outbox_remove:
            if (removed := self.by_id.pop(effect_id, None)) is not None:
                self._executor.withdraw(removed)
        for decision in batch.decisions:
            if decision.ends_session:
                self._executor.cancel_session(decision.event.session_id)
        for effect, event in batch.effects.values():
            self.by_id[effect.effect_id] = effect
            traceparent = batch.traceparents.get(event.entry_id, "")
            self._executor.submit(self._decided_job(effect, event, traceparent))
        self._executor.cancel_unwanted_dials(sessions)
        for session in sessions.values():
            if not only_loss_is_unsettled(session):
                self._executor.expedite_read(session.id)  # it waits for more than its read after a loss

    def _restored_job(self, entry: OutboxEntry) -> Job:
        effect = entry.effect
        return Job(
            effect=effect,
            partition=self._partition,
            # Later than now: the former owner's time was ahead.
            committed_at_ms=min(entry.committed_at_ms, self._clock.now_ms()),
            sent_until_s=self._sent_until_s,
            sent_at_ms=entry.sent_at_ms,
            mark_may_be_lost=self._lease.is_after_loss,
            is_background=_is_background(effect),
            traceparent=entry.traceparent,
        )

    def _decided_job(self, effect: Effect, event: Event, traceparent: str) -> Job:
        published_at_ms = event.occurred_at_ms if isinstance(event, Command) else 0
        may_repeat = self._lease.is_after_loss and self._came_before_claim(event)
        return Job(
            effect=effect,
            partition=self._partition,
            committed_at_ms=self._clock.now_ms(),
            command_published_at_ms=published_at_ms or None,
            sent_until_s=self._sent_until_s if may_repeat else None,
            # The move to the voicemail follows a read, which showed that the caller was not there.
            mark_may_be_lost=may_repeat and not isinstance(effect, RedirectToVoicemail),
            is_background=_is_background(effect),
            traceparent=traceparent,
        )

    def _came_before_claim(self, event: Event) -> bool:
        """Whether a lost history may have decided the event.

        The router appends a command again if Redis has lost that it did.
        """
        if isinstance(event, Command):
            return event.occurred_at_ms <= self._lease.claimed_at_ms
        return parse_entry_id(event.entry_id) <= parse_entry_id(self._lease.newest_id)


def _is_background(effect: Effect) -> bool:
    """Whether it is a read that no one waits for."""
    return isinstance(effect, ReadCalls) and effect.is_background
