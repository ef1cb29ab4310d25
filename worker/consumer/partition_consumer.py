"""Partition consumer: reads, decides, commits, and dispatches effects under a lease.

`_run_once` shows the order: read, decide, commit, act. If the process dies
- before the commit, the entries are still on the stream; the next holder decides them again, with the same ids;
- after the commit and before acting, effects and timers are in Redis, where the next holder finds them.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog

from conferral.runtime.clock import CLOCK_JUMP_MS, StoreClock
from conferral.runtime.containment import ItemKind, contain, log_unexpected
from conferral.runtime.error_boundary import catch_unexpected
from conferral.runtime.errors import ConferralError, LeaseLostError, StoreError, StoreUnreachableError
from conferral.runtime.outage import log_unreachable
from conferral.statemachine.effects import Effect, FindCall
from conferral.statemachine.events import Command, Event
from conferral.statemachine.step import CommandReport, CommandStatus
from conferral.storage.codecs import effect_codec
from conferral.storage.codecs.effect_codec import ReportCommand
from conferral.storage.codecs.event_codec import BadEntryError
from conferral.storage.codecs.session_codec import CorruptHashError
from conferral.storage.partition.lease import Lease
from conferral.storage.partition.partition_store import DEAD_LETTERED, Entry, parse_entry_id
from conferral.storage.partition.session_store import (
    Batch,
    CommitConflictError,
    CommitOutOfOrderError,
    StoredSession,
)
from conferral.worker.consumer.batch import DecidedBatch, decide, discard, parse
from conferral.worker.consumer.decision_log import log_decisions
from conferral.worker.consumer.post_commit import PAUSE_S, PostCommitWrites
from conferral.worker.consumer.quarantine import ENTRY_DEATHS_MAX, EffectQuarantine
from conferral.worker.consumer.session_cache import SessionCache
from conferral.worker.consumer.session_gauge import SessionGauge
from conferral.worker.consumer.unreadable_effects import dead_letter_unreadable, decode_outbox
from conferral.worker.consumer.worker_context import WorkerContext
from conferral.worker.executor.executor import Job

log = structlog.get_logger()

#: Entries decided in one batch, count. Bounds the commit's time in Redis.
BATCH_MAX = 200
#: How long lost entries may be redelivered after a rollback, milliseconds: commands are routed again and timers fire
#: again. An entry added later is new, so its dials cannot be repeats.
REDELIVERY_WINDOW_MS = 10_000


class DecisionFailedError(ConferralError):
    """An unexpected error while deciding a batch (see its cause). Decide the batch's entries one by one."""


class PartitionConsumer:
    """One partition, consumed under this worker's lease."""

    def __init__(
        self,
        number: int,
        lease: Lease,
        around: WorkerContext,
        on_timers_changed: Callable[[], None],
        renew_lease: Callable[[int], Awaitable[None]],
        *,
        verify_until_s: float = 0.0,
    ) -> None:
        """Take over a partition.

        Args:
            number: The partition's number.
            lease: This worker's lease on it.
            around: What all partitions of the worker share.
            on_timers_changed: Called when a new timer is due before all known ones.
            renew_lease: Renews the lease, which stores the partition's time.
            verify_until_s: After a rollback: until this time, decisions may repeat ones that were sent before,
                monotonic seconds.
        """
        self.number = number
        self.lease = lease
        self.is_lost = False
        self.is_stopping = False
        self.was_rolled_back = False
        #: Partition time: decisions, timers, and effects use it. It continues from holder to holder, unaffected by
        #: changes to Redis's clock.
        self.clock = StoreClock(around.clock, offset_ms=lease.clock_offset_ms)
        self.clock.observe(lease.acquired_at_ms, lease.requested_at_s)
        #: When the next timer is due, in partition time, Unix milliseconds; None without timers.
        self.next_timer_ms: int | None = None
        self.session_gauge = SessionGauge(number, around.partition_store)
        self._context = around
        self._cache = SessionCache(around.sessions_max)
        self._has_recovered = False
        self._read_task: asyncio.Task[list[Entry]] | None = None
        self._on_timers_changed = on_timers_changed
        self._renew_lease = renew_lease
        #: Effects in the outbox, by session id and effect id.
        self._open_effects: dict[str, dict[str, Effect]] = defaultdict(dict)
        self._post_commit_writes = PostCommitWrites(number, around.partition_store, session_ttl_s=around.session_ttl_s)
        self._verify_until_s = verify_until_s
        #: The newest entry on the stream at a takeover from a dead worker, or after a rollback.
        self._newest_at_takeover = (0, 0)
        #: The earliest timer set while due ones were being fired, Unix milliseconds.
        self._timer_set_while_firing_ms: int | None = None
        self._quarantine = EffectQuarantine(
            number, around.partition_store, lambda order: around.executor.submit(order), around.metrics
        )
        #: Entries still to be decided one by one because a worker died holding this partition, count.
        self._suspects_left = 0
        #: Entries marked under this lease: a mark counts a death, not an attempt.
        self._marked_entry_ids: set[str] = set()

    def __repr__(self) -> str:
        return (
            f"<PartitionConsumer {self.number} holder={self.lease.holder} commit={self.lease.commit} {self.is_lost=}>"
        )

    @property
    def is_active(self) -> bool:
        """Whether the consumer is still running."""
        return not self.is_lost and not self.is_stopping

    async def run(self) -> None:
        """Run until the lease is lost or the worker stops; finish the batch in hand."""
        is_well = False
        try:
            with contain(ItemKind.DECISION, self._context.metrics, passing=(LeaseLostError,), partition=self.number):
                while self.is_active:
                    await self._run_tolerantly(self._run_once if self._has_recovered else self._recover)
                is_well = True
        except LeaseLostError:
            is_well = False
        finally:
            # After an unexpected error, let the lease expire instead of releasing it, so the next holder verifies
            # effects.
            self.is_lost = self.is_lost or not is_well
            self._post_commit_writes.stop()
            self._quarantine.stop()
            self.session_gauge.stop()
        await self._post_commit_writes.wait_finished()

    def ms_until_timer(self) -> float:
        """Return the time until the next timer is due, milliseconds; infinite without timers."""
        return math.inf if self.next_timer_ms is None else self.next_timer_ms - self.clock.now_ms()

    def stop(self) -> None:
        """Stop after the current batch. A blocked read has taken no entry, so it is canceled."""
        self.is_stopping = True
        self._post_commit_writes.stop()
        if self._read_task is not None:
            self._read_task.cancel()

    def mark_lost(self) -> None:
        """Note that another worker has the lease."""
        self.is_lost = True
        if self._read_task is not None:
            self._read_task.cancel()

    async def _run_tolerantly(self, action: Callable[[], Awaitable[None]]) -> None:
        """Run an action on Redis; if Redis is unreachable, log it and pause."""
        try:
            await action()
        except LeaseLostError:
            raise
        except StoreUnreachableError as error:
            log_unreachable(error, partition=self.number)
            await asyncio.sleep(PAUSE_S)
        except StoreError as error:
            # Another program writes under our prefix, or Redis rolled back: discard what is in memory.
            log.error("partition_abandoned", partition=self.number, error_type=type(error).__name__, reason=str(error))
            self.was_rolled_back = isinstance(error, CommitOutOfOrderError)
            raise LeaseLostError(str(error)) from error

    # ---- takeover ------------------------------------------------------------------------------------------------

    async def _recover(self) -> None:
        """Restore the previous holder's state: unfinished effects and the next timer."""
        access = self._context.partition_store
        await access.ensure_group(self.number)
        if self._must_verify or not self.lease.was_released:
            self._newest_at_takeover = await access.newest_id(self.number)
        outbox = await access.outbox(self.number)
        await self.fire_timers()
        self.session_gauge.start()
        self._suspects_left = 0 if self.lease.was_released else BATCH_MAX
        entries, unreadable = decode_outbox(outbox)
        await dead_letter_unreadable(self.number, access, self._context.metrics, unreadable)
        jobs = self._restore_outbox(entries)
        await self._quarantine.submit_all(jobs, outbox, self._open_effects_of, after_death=not self.lease.was_released)
        self._has_recovered = True

    def _restore_outbox(self, entries: list[effect_codec.OutboxEntry]) -> list[Job]:
        """Return the outbox's effects as jobs, oldest first, and start its post-commit writes."""
        jobs = []
        for entry in entries:
            if isinstance(entry.work, Effect):
                self._open_effects[entry.work.session_id][entry.work.effect_id] = entry.work
                jobs.append(
                    Job(
                        effect=self._in_twilio_time(entry.work),
                        partition=self.number,
                        committed_at_ms=entry.committed_at_ms,
                        may_have_been_sent=True,
                        # The commit that ended a session removed the effects that must not be sent from the outbox.
                        ends_session=False,
                        sent_until_ms=self.lease.sent_until_ms,
                        sent_at_ms=entry.sent_at_ms,
                        mark_may_be_lost=self._must_verify,
                    )
                )
            else:
                self._post_commit_writes.start(entry.work)
        return jobs

    async def fire_timers(self) -> None:
        """Move due timers onto the stream and note when the next one is due."""
        self._timer_set_while_firing_ms = None
        _, next_due_ms = await self._context.partition_store.fire_timers(self.number, self.lease, self.clock.now_ms())
        # The script's answer misses timers that were committed after it ran.
        due_times_ms = [due_ms for due_ms in (next_due_ms, self._timer_set_while_firing_ms) if due_ms is not None]
        self.next_timer_ms = min(due_times_ms, default=None)
        self._on_timers_changed()

    # ---- one batch -----------------------------------------------------------------------------------------------

    async def _run_once(self) -> None:
        count = 1 if self._suspects_left else BATCH_MAX
        entries = await self._read(count)
        if not entries or not self.is_active:
            self._suspects_left = 0
            if self.is_active and abs(self.clock.offset_ms) >= CLOCK_JUMP_MS:
                await self._resync_clock()
            return
        if self._suspects_left:
            self._suspects_left -= 1
            if await self._quarantine_if_poison(entries[0]):
                return
        await self._context.checkpoint("after_read", self.number)
        await self._process_batch(entries)

    async def _read(self, count: int) -> list[Entry]:
        self._read_task = asyncio.ensure_future(self._context.partition_store.read(self.number, count, block=True))
        try:
            return await self._read_task
        except asyncio.CancelledError:
            if self.is_active:
                raise
            return []
        finally:
            self._read_task = None

    async def _resync_clock(self) -> None:
        """Resync partition time with Redis's clock once nothing is timed by it. No batch is in progress here."""
        if await self._context.partition_store.is_idle(self.number):
            self.clock.resync()
            await self._renew_lease(self.number)

    async def _quarantine_if_poison(self, entry: Entry) -> bool:
        if entry.entry_id in self._marked_entry_ids:
            return False
        deaths = await self._context.partition_store.mark_suspect(self.number, self.lease, entry.entry_id)
        self._marked_entry_ids.add(entry.entry_id)
        # The takeover was unclean, so one worker had died before the first mark.
        if deaths < ENTRY_DEATHS_MAX:
            return False
        await self._dead_letter([entry], "workers crashed processing it")
        await self._commit_batch(discard([entry]))
        return True

    async def _process_batch(self, entries: list[Entry]) -> None:
        events, unreadable = await self._parse_all(entries)
        try:
            await self._decide_and_commit(events, unreadable)
        except (CommitConflictError, DecisionFailedError) as error:
            if isinstance(error, CommitConflictError):
                log.warning("commit_conflicted", partition=self.number, sessions=len(error.session_ids))
                self._context.metrics.commits.labels("conflict").inc()
            by_session: dict[str, list[tuple[Entry, Event]]] = defaultdict(list)
            for entry, event in events:
                by_session[event.session_id].append((entry, event))
            self._cache.drop(by_session)
            if unreadable:
                await self._commit_batch(discard(unreadable))
            for session_events in by_session.values():
                await self._process_session(session_events)

    async def _parse_all(self, entries: list[Entry]) -> tuple[list[tuple[Entry, Event]], list[Entry]]:
        events, unreadable = [], []
        for entry in entries:
            try:
                events.append((entry, parse(entry)))
            except BadEntryError as error:
                await self._dead_letter([entry], error.reason)
                unreadable.append(entry)
        return events, unreadable

    async def _process_session(self, events: list[tuple[Entry, Event]]) -> None:
        """Decide one session alone, freshly loaded; dead-letter its entries if that fails too."""
        try:
            await self._decide_and_commit(events, [])
        except DecisionFailedError as error:
            if len(events) > 1:
                for one in events:
                    await self._process_session([one])
                return
            entry, event = events[0]
            cause = error.__cause__ or error
            fields = {"entry_id": entry.entry_id, "event_name": event.name, "session_id": event.session_id}
            log_unexpected(ItemKind.DECISION, self._context.metrics, cause, **fields)
            await self._dead_letter([entry], "processing failed")
            await self._commit_batch(discard([entry]))
        except CommitConflictError:
            self._cache.drop({event.session_id for _, event in events})
            await self._dead_letter([entry for entry, _ in events], "the session can't be committed")
            await self._commit_batch(discard(entry for entry, _ in events))

    async def _decide_and_commit(self, events: list[tuple[Entry, Event]], unreadable: list[Entry]) -> None:
        sessions = await self._load_sessions(events)
        corrupt = [(entry, event) for entry, event in events if event.session_id not in sessions]
        if corrupt:
            await self._dead_letter([entry for entry, _ in corrupt], "the session's stored state is damaged")
            unreadable = [*unreadable, *(entry for entry, _ in corrupt)]
            events = [(entry, event) for entry, event in events if event.session_id in sessions]
        now_ms = self.clock.now_ms()
        with catch_unexpected() as deciding:
            decided = decide(events, sessions, now_ms, self._context.policy(), self._open_effects_of)
        if deciding.unexpected is not None:
            raise DecisionFailedError("deciding failed") from deciding.unexpected.error
        discarded = discard(unreadable)
        decided.batch.entry_ids += discarded.entry_ids
        decided.batch.outbox_del += discarded.outbox_del
        await self._context.checkpoint("before_commit", self.number)
        await self._commit_batch(decided.batch)
        await self._context.checkpoint("after_commit", self.number)
        self._dispatch(decided)

    def _open_effects_of(self, session_id: str) -> dict[str, Effect]:
        return self._open_effects.get(session_id, {})

    async def _load_sessions(self, events: list[tuple[Entry, Event]]) -> dict[str, StoredSession]:
        """Return a batch's sessions, from the cache or in one round trip; leave out corrupt ones."""
        sessions: dict[str, StoredSession] = {}
        missing = []
        for session_id in dict.fromkeys(event.session_id for _, event in events):
            found = self._cache.get(session_id)
            if found is None:
                missing.append(session_id)
            else:
                sessions[session_id] = found
        if missing:
            for session_id, loaded in (await self._context.session_store.load(missing)).items():
                if isinstance(loaded, CorruptHashError):
                    log.error("session_hash_corrupt", session_id=session_id, partition=self.number, reason=loaded.field)
                else:
                    sessions[session_id] = loaded
        return sessions

    async def _commit_batch(self, batch: Batch) -> None:
        """Commit a batch; retry with the same commit number while the result is unknown."""
        while True:
            try:
                result = await self._context.session_store.commit(self.number, self.lease, batch)
            except StoreUnreachableError as error:
                self._context.metrics.commits.labels("unknown").inc()
                if self.is_stopping:
                    raise  # the next holder reads the entries again, if they are still there
                log_unreachable(error, partition=self.number)
                await asyncio.sleep(PAUSE_S)
                continue
            except LeaseLostError:
                self._context.metrics.commits.labels("lost").inc()
                raise
            self._context.metrics.commits.labels(result.name.lower()).inc()
            return

    async def _dead_letter(self, entries: list[Entry], reason: str) -> None:
        for entry in entries:
            await self._context.partition_store.dead_letter(self.number, entry, reason)
            self._context.metrics.dead_letters.labels(reason).inc()
            log.error("entry_dead_lettered", partition=self.number, entry_id=entry.entry_id, reason=reason)
            await self._report_dead_letter(entry, reason)

    async def _report_dead_letter(self, entry: Entry, reason: str) -> None:
        """Report the command in a dead-lettered entry as failed."""
        try:
            event = parse(entry)
        except BadEntryError:
            return
        if isinstance(event, Command):
            report = CommandReport(event.command_id, CommandStatus.FAILED, f"{DEAD_LETTERED}{reason}")
            try:
                await self._context.partition_store.report_command(ReportCommand(event.session_id, report))
            except StoreUnreachableError:
                raise
            except StoreError as error:  # a foreign value at the command's key: only this report is lost
                log.error(
                    "post_commit_write_failed", partition=self.number, session_id=event.session_id, reason=str(error)
                )

    # ---- after the commit ----------------------------------------------------------------------------------------

    def _dispatch(self, decided: DecidedBatch) -> None:
        """Submit effects first, because callers wait for them, then do the bookkeeping."""
        for session_id in decided.ended_session_ids:
            self._context.executor.cancel_session(session_id)
        for effect, event in decided.effects:
            self._open_effects[effect.session_id][effect.effect_id] = effect
            # Convert partition time to Redis's own time.
            published_at_ms = event.occurred_at_ms and event.occurred_at_ms + self.clock.offset_ms
            self._context.executor.submit(
                Job(
                    effect=self._in_twilio_time(effect),
                    partition=self.number,
                    committed_at_ms=self.clock.now_ms(),
                    command_published_at_ms=(isinstance(event, Command) and published_at_ms) or None,
                    ends_session=effect.session_id in decided.ended_session_ids,
                    may_have_been_sent=self._may_have_been_sent(event),
                    sent_until_ms=self.lease.sent_until_ms,
                    # Lower bound in any history: nothing was sent before its entry existed.
                    sent_since_ms=parse_entry_id(event.entry_id)[0] + self.clock.offset_ms,
                    mark_may_be_lost=self._must_verify and self._may_be_redelivered(event),
                )
            )
        self._context.executor.cancel_unwanted_dials(
            {one.after.session.id: one.after.session for one in decided.batch.sessions}
        )
        self._context.on_committed(decided.decisions)
        for write in decided.post_commit_writes:
            self._post_commit_writes.start(write)
        for change in decided.batch.sessions:
            self._cache.put(change.after)
            self.session_gauge.update(change.after.session.id, change.after.session.state)
        for effect_id in decided.batch.outbox_del:
            self._drop_open_effect(effect_id, decided)
        self._update_next_timer(decided.batch)
        log_decisions(decided, self.number, self._context.metrics, self.clock.store_now_ms())

    def _in_twilio_time(self, effect: Effect) -> Effect:
        """Return the effect with times that Twilio understands: it has its own clock, and either of ours may be wrong.

        A search for calls starts at the earlier of the two times, so it misses none.
        """
        if isinstance(effect, FindCall) and self.clock.offset_ms >= CLOCK_JUMP_MS:
            return replace(effect, since_ms=effect.since_ms - self.clock.offset_ms)
        return effect

    def _drop_open_effect(self, effect_id: str, decided: DecidedBatch) -> None:
        for session_id in {change.after.session.id for change in decided.batch.sessions}:
            effects = self._open_effects.get(session_id)
            if effects is not None:
                effects.pop(effect_id, None)
                if not effects:
                    del self._open_effects[session_id]

    def _update_next_timer(self, batch: Batch) -> None:
        due = [due_ms for due_ms in batch.timers.values() if due_ms is not None]
        if not due:
            return
        if self._timer_set_while_firing_ms is None or min(due) < self._timer_set_while_firing_ms:
            self._timer_set_while_firing_ms = min(due)
        if self.next_timer_ms is None or min(due) < self.next_timer_ms:
            self.next_timer_ms = min(due)
            self._on_timers_changed()

    def _may_have_been_sent(self, event: Event) -> bool:
        """Whether this entry's effects may have been sent in a history that Redis has lost.

        A failover can lose a commit and its effects; the entry is then decided again, with the same ids.
        """
        return self._must_verify or (not self.lease.was_released and self._predates_takeover(event))

    def _may_be_redelivered(self, event: Event) -> bool:
        """Whether the entry may have been decided in a lost history: it predates the takeover, or is a redelivery."""
        added_ms = parse_entry_id(event.entry_id)[0]
        return self._predates_takeover(event) or added_ms <= self.lease.acquired_at_ms + REDELIVERY_WINDOW_MS

    def _predates_takeover(self, event: Event) -> bool:
        """Whether the entry was on the stream at the takeover."""
        return parse_entry_id(event.entry_id) <= self._newest_at_takeover

    @property
    def _must_verify(self) -> bool:
        return self._context.clock.monotonic_s() < self._verify_until_s
