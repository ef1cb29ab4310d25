"""A partition's effects in the outbox: starts committed and restored ones."""

from collections.abc import Mapping

from conferral.runtime.errors import StoreError
from conferral.runtime.log import log_unreachable
from conferral.statemachine.effects import Effect, ReadCalls, RedirectToVoicemail
from conferral.statemachine.events import Command, Event
from conferral.statemachine.guards.unsettled import only_loss_is_unsettled
from conferral.storage.codecs import effect_codec
from conferral.storage.codecs.effect_codec import OutboxEntry
from conferral.storage.codecs.event_codec import BadEntryError
from conferral.storage.coordinator import Lease
from conferral.storage.entries import Entry, parse_entry_id
from conferral.worker.core import WorkerCore
from conferral.worker.dead_letters import dead_letter
from conferral.worker.executor.executor import Executor
from conferral.worker.executor.job import Job
from conferral.worker.partition.batch import Batch

#: The `finding` of the event that makes a session read after a loss.
WRITES_LOST = "writes-lost"
UNREADABLE_REASON = "outbox entry unreadable"


class OpenEffects:
    """One partition's effects in the outbox."""

    def __init__(
        self,
        partition: int,
        lease: Lease,
        core: WorkerCore,
        executor: Executor,
    ) -> None:
        self._partition = partition
        self._lease = lease
        self._core = core
        self._store_clock = core.store_clock
        self._executor = executor
        #: Until when another owner may have sent, monotonic seconds: until this one claimed the partition, just now.
        self._maybe_sent_until_s = core.clock.monotonic_s()
        #: In the outbox, by id.
        self.by_id: dict[str, Effect] = {}

    async def restore(self, outbox: Mapping[str, bytes]) -> None:
        """Start what a former owner left."""
        # A takeover that an error of Redis has cut short is repeated.
        entries = [entry for entry in await self._load_outbox(outbox) if entry.effect.effect_id not in self.by_id]
        for entry in entries:
            self.by_id[entry.effect.effect_id] = entry.effect
        for entry in entries:
            self._executor.submit(self._restored_job(entry))

    async def _load_outbox(self, outbox: Mapping[str, bytes]) -> list[OutboxEntry]:
        """Return the outbox's entries, oldest first; remove unreadable ones."""
        entries = []
        for name, body in outbox.items():
            try:
                entries.append(effect_codec.decode(body))
            except BadEntryError:
                try:
                    await self._dead_letter(name, body)
                except StoreError as error:  # the next takeover finds the entry again
                    log_unreachable(error, partition=self._partition)
        return sorted(entries, key=lambda entry: (entry.committed_at_ms, entry.place))

    async def _dead_letter(self, effect_id: str, body: bytes) -> None:
        """Move an entry that can't be read to the dead letters."""
        letter = Entry(effect_id, {b"type": b"effect", b"session": b"", b"effect": body})
        outbox = self._core.keys.outbox(self._partition)
        await dead_letter(self._core, outbox, letter, UNREADABLE_REASON, partition=self._partition)
        await self._core.partition_store.remove_from_outbox(self._partition, effect_id)

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
            committed_at_ms=min(entry.committed_at_ms, self._store_clock.now_ms()),
            maybe_sent_until_s=self._maybe_sent_until_s,
            sent_at_ms=entry.sent_at_ms,
            mark_may_be_lost=self._lease.is_after_loss,
            is_background=_is_background(effect),
            traceparent=entry.traceparent,
        )

    def _decided_job(self, effect: Effect, event: Event, traceparent: str) -> Job:
        published_at_ms = event.occurred_at_ms if isinstance(event, Command) else 0
        may_repeat = self._lease.is_after_loss and self._may_have_been_decided(event)
        return Job(
            effect=effect,
            partition=self._partition,
            committed_at_ms=self._store_clock.now_ms(),
            command_published_at_ms=published_at_ms or None,
            maybe_sent_until_s=self._maybe_sent_until_s if may_repeat else None,
            # The move to the voicemail follows a read, which showed that the caller was not there.
            mark_may_be_lost=may_repeat and not isinstance(effect, RedirectToVoicemail),
            is_background=_is_background(effect),
            traceparent=traceparent,
        )

    def _may_have_been_decided(self, event: Event) -> bool:
        """Whether a lost history may have decided the event.

        The router appends a command again if Redis has lost that it did.
        """
        if isinstance(event, Command):
            return event.occurred_at_ms <= self._lease.claimed_at_ms
        return parse_entry_id(event.entry_id) <= parse_entry_id(self._lease.newest_id)


def _is_background(effect: Effect) -> bool:
    """Whether it is a read that no one waits for."""
    return isinstance(effect, ReadCalls) and effect.is_background
