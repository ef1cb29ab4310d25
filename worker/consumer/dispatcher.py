"""Dispatcher: starts effects and writes after a commit or a takeover."""

from collections import defaultdict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from conferral.runtime.clock import CLOCK_JUMP_MS, StoreClock
from conferral.runtime.lifecycle import call_after_requests
from conferral.statemachine.effects import CreateCall, Effect
from conferral.statemachine.events import Command, Event, TimerExpired
from conferral.statemachine.session import Session
from conferral.statemachine.states import State
from conferral.storage.codecs.effect_codec import OutboxEntry
from conferral.storage.partition.lease import Lease
from conferral.storage.partition.partition_store import parse_entry_id
from conferral.worker.consumer.batch import DecidedBatch
from conferral.worker.consumer.decision_log import log_decisions
from conferral.worker.consumer.partition_timers import PartitionTimers
from conferral.worker.consumer.post_commit import PostCommitWrites
from conferral.worker.consumer.quarantine import Quarantine, decode_outbox
from conferral.worker.consumer.session_gauge import SessionGauge
from conferral.worker.consumer.worker_context import WorkerContext
from conferral.worker.executor.job import Job

#: How long after a rollback commands are routed and timers fire again, milliseconds. Later entries are new.
REDELIVERY_WINDOW_MS = 10_000


class Dispatcher:
    """Acts on one partition's commits."""

    def __init__(
        self,
        partition: int,
        lease: Lease,
        context: WorkerContext,
        clock: StoreClock,
        timers: PartitionTimers,
        session_gauge: SessionGauge,
        quarantine: Quarantine,
        verify_until_s: float,
    ) -> None:
        self._partition = partition
        self._lease = lease
        self._context = context
        self._clock = clock
        self._timers = timers
        self._session_gauge = session_gauge
        #: Until when decisions may repeat ones sent before a rollback, monotonic seconds.
        self._verify_until_s = verify_until_s
        #: In the outbox, by session id and effect id.
        self._open_effects: dict[str, dict[str, Effect]] = defaultdict(dict)
        self._writes = PostCommitWrites(
            partition, context.partition_store, context.metrics, session_ttl_s=context.session_ttl_s
        )
        self._quarantine = quarantine
        #: The newest stream entry after a rollback, or at a takeover from a dead worker if the server may lack commits.
        #: With all commits, whatever was sent was committed, and so left the stream.
        self._newest_at_takeover = (0, 0)

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

    async def read_outbox(self) -> dict[str, bytes]:
        """Return the last holder's outbox; note the newest entry of its time."""
        store = self._context.partition_store
        if self._is_soon_after_rollback or not (self._lease.was_released or self._lease.is_redis_complete):
            self._newest_at_takeover = await store.newest_id(self._partition)
        return await store.outbox(self._partition)

    async def restore(self, outbox: Mapping[str, bytes]) -> None:
        """Submit the outbox's effects, oldest first, and start its writes."""
        entries, unreadable = decode_outbox(outbox)
        await self._quarantine.dead_letter_unreadable(unreadable)
        jobs, writes = [], []
        for entry in entries:
            if isinstance(entry.work, Effect):
                self._open_effects[entry.work.session_id][entry.work.effect_id] = entry.work
                jobs.append(self._restored_job(entry.work, entry))
            else:
                writes.append(entry.work)
        self._writes.start(writes)
        await self._quarantine.submit_all(jobs, outbox, self.open_effects_of)

    def _restored_job(self, effect: Effect, entry: OutboxEntry) -> Job:
        # Redis may lack sent marks even with all commits. The clocks of two servers may drift apart unseen.
        rolled_back_at_ms = self._lease.rolled_back_at_ms + max(0, self._clock.offset_ms) + CLOCK_JUMP_MS
        is_older = entry.committed_at_ms <= rolled_back_at_ms
        # A mark set since then is not lost, so without one, only the lost history may have sent it.
        lost_since_ms = None if is_older or entry.sent_at_ms is not None else entry.lost_since_ms
        may_be_lost = self._is_soon_after_rollback and lost_since_ms != 0
        return Job(
            effect=effect,
            partition=self._partition,
            committed_at_ms=entry.committed_at_ms,
            may_have_been_sent=True,
            sent_until_ms=self._lease.lost_until_ms if lost_since_ms else self._lease.sent_until_ms,
            sent_at_ms=entry.sent_at_ms,
            mark_may_be_lost=may_be_lost or (self._lease.has_all_commits and is_older),
            lost_since_ms=lost_since_ms or None,
            search_until_ms=self._lease.lost_until_ms,
        )

    def dispatch(self, decided: DecidedBatch) -> None:
        """Act on a commit: effects first, because callers wait for them."""
        sessions = {change.after.id: change.after for change in decided.batch.sessions}
        for session_id in decided.ended_session_ids:
            self._context.executor.cancel_session(session_id)
        for effect, event, lost_since_ms in decided.effects:
            self._open_effects[effect.session_id][effect.effect_id] = effect
            goes_on = sessions[effect.session_id].state not in (State.BRIDGED, State.ENDED)
            self._context.executor.submit(self._decided_job(effect, event, lost_since_ms, session_goes_on=goes_on))
        self._context.executor.cancel_unwanted_dials(sessions)
        self._context.on_committed(decided.decisions)
        self._writes.start(decided.post_commit_writes)
        for session in sessions.values():
            self._session_gauge.update(session.id, session.state)
        self._forget_effects(sessions.keys(), set(decided.batch.outbox_del))
        if due := [due_ms for due_ms in decided.batch.timers.values() if due_ms is not None]:
            self._timers.note_set(min(due))
        now_ms = self._clock.store_now_ms()
        call_after_requests(log_decisions, decided.decisions, self._partition, self._context.metrics, now_ms)

    def _decided_job(self, effect: Effect, event: Event, lost_since_ms: int | None, *, session_goes_on: bool) -> Job:
        # Convert Redis's own time to partition time.
        published_at_ms = event.occurred_at_ms and event.occurred_at_ms + self._clock.offset_ms
        return Job(
            effect=effect,
            partition=self._partition,
            committed_at_ms=self._clock.now_ms(),
            command_published_at_ms=(isinstance(event, Command) and published_at_ms) or None,
            may_have_been_sent=self._may_have_been_sent(event),
            # It was not committed before on this server, so no holder since the rollback has sent it.
            sent_until_ms=self._lease.lost_until_ms,
            # In any history, nothing was sent before its entry existed.
            sent_since_ms=parse_entry_id(event.entry_id)[0] + self._clock.offset_ms,
            mark_may_be_lost=self._is_soon_after_rollback and lost_since_ms != 0,
            session_goes_on=session_goes_on,
            lost_since_ms=lost_since_ms or None,
            search_until_ms=self._lease.lost_until_ms,
        )

    def _forget_effects(self, session_ids: AbstractSet[str], effect_ids: AbstractSet[str]) -> None:
        for session_id in session_ids & self._open_effects.keys():
            effects = self._open_effects[session_id]
            for effect_id in effects.keys() & effect_ids:
                del effects[effect_id]
            if not effects:
                del self._open_effects[session_id]

    def _may_have_been_sent(self, event: Event) -> bool:
        """Whether a lost history may have sent the entry's effects (the same ids)."""
        return self._is_soon_after_rollback or (not self._lease.was_released and self._predates_takeover(event))

    def _may_be_redelivered(self, event: Event, session: Session) -> bool:
        """Whether a lost history may have decided the entry.

        A timer due well after the rollback, or a command submitted then, repeats nothing. Nor does a transfer that
        began after all redeliveries. It matters: each dial reported as unknown leaves a caller waiting.
        """
        new_from_ms = (self._lease.rolled_back_at_ms or self._lease.acquired_at_ms) + REDELIVERY_WINDOW_MS
        if isinstance(event, TimerExpired) and event.due_ms - self._clock.offset_ms > new_from_ms:
            return False
        if isinstance(event, Command) and event.occurred_at_ms > new_from_ms:
            return False
        transfer = session.running_transfer
        began_ms = transfer.started_at_ms - self._clock.offset_ms if transfer is not None else 0
        if began_ms > new_from_ms + REDELIVERY_WINDOW_MS:
            return False
        added_ms = parse_entry_id(event.entry_id)[0]
        return self._predates_takeover(event) or added_ms <= self._lease.acquired_at_ms + REDELIVERY_WINDOW_MS

    def lost_since_ms(self, effect: Effect, event: Event, session: Session) -> int | None:
        """Return since when a lost history may have sent it; 0 for never.

        None: not a gated dial, or no rollback is on record.
        """
        if not (self._is_soon_after_rollback or self._lease.has_unchecked_sessions):
            return None
        if not (self._is_soon_after_rollback and self._may_be_redelivered(event, session)):
            return 0
        if not isinstance(effect, CreateCall):
            return None
        transfer = session.running_transfer
        return session.created_at_ms if transfer is None else transfer.started_at_ms

    def _predates_takeover(self, event: Event) -> bool:
        return parse_entry_id(event.entry_id) <= self._newest_at_takeover

    @property
    def _is_soon_after_rollback(self) -> bool:
        """Whether decisions may still repeat ones that Redis lost."""
        return self._context.clock.monotonic_s() < self._verify_until_s
