"""Partition: from its takeover by this worker until its lease ends.

The partition's stream has its undecided entries. This file is the life of a partition and of each entry, top to bottom:
take over, read, decide, commit, start effects, end. The other files have the details; none of them calls it.

If the process dies before a commit, the next owner decides the entries again, with the same ids. After it, effects
and timers are in Redis, where the next owner finds them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import structlog

from conferral.runtime import tracing
from conferral.runtime.containment import ItemKind, contain, log_unexpected
from conferral.runtime.error_boundary import catch_unexpected
from conferral.runtime.errors import ConferralError, LeaseLostError, StoreError, StoreUnreachableError
from conferral.runtime.lifecycle import gather
from conferral.runtime.log import log_unreachable
from conferral.statemachine.events import AccountSwept, Event
from conferral.statemachine.reasons import Reason
from conferral.statemachine.session import Session
from conferral.statemachine.step import CommandStatus
from conferral.storage.codecs.event_codec import BadEntryError
from conferral.storage.coordinator import Lease
from conferral.storage.dead_letters import DEAD_LETTERED
from conferral.storage.entries import Entry, parse_entry_id
from conferral.storage.partition.commit_store import Commit, CommitConflictError
from conferral.worker.core import REDIS_PAUSE_S, WorkerCore
from conferral.worker.dead_letters import dead_letter
from conferral.worker.executor.executor import Executor
from conferral.worker.held_partitions import PartitionStatus
from conferral.worker.partition.batch import decide, discard, encode
from conferral.worker.partition.effects import WRITES_LOST, OpenEffects
from conferral.worker.partition.lease_check import LeaseCheck
from conferral.worker.partition.presence import presence_of_next_agents
from conferral.worker.partition.session_cache import SessionCache
from conferral.worker.partition.telemetry import emit_telemetry
from conferral.worker.partition.timers import PartitionTimers, max_timer_lengths_ms
from conferral.worker.times import in_workers_time

log = structlog.get_logger()

#: Entries decided in one batch, count: bounds how long its commit blocks Redis.
ENTRIES_PER_BATCH = 20
#: How often the same oldest entry is tried after a death until what waits is decided one by one, and until it isn't.
ONE_BY_ONE_FROM, DEADLY_FROM = 2, 3

Events = list[tuple[Entry, Event]]


class DecisionFailedError(ConferralError):
    """Deciding a batch failed unexpectedly; the cause has the error."""


class Partition:
    """One partition, held under this worker's lease."""

    def __init__(
        self,
        number: int,
        lease: Lease,
        core: WorkerCore,
        executor: Executor,
    ) -> None:
        self.number = number
        self.lease = lease
        self.status = PartitionStatus.TAKING_OVER
        self._cache = SessionCache(number, core)
        #: By id: live sessions that are cached, as last committed; the states of all live ones.
        self.sessions, self.states = self._cache.sessions, self._cache.states
        self.timers = PartitionTimers(number, lease, core.partition_store, core.store_clock)
        self._core = core
        self._metrics = core.metrics
        self._lease_check = LeaseCheck(number, lease, core)
        self._effects = OpenEffects(number, lease, core, executor)
        #: What runs next to the reads, from the takeover to the end.
        self._tasks: list[asyncio.Task[None]] = []
        #: After a loss: ids of the entries that make live sessions read Twilio. The lease key notes the loss until they
        #: are decided: before, the reads are not in the outbox, and a next owner must append such entries again.
        self._undecided_loss_entries: set[str] = set()
        #: Whether an entry that waited at the claim may have ended the last owner; the tries of the oldest one (count).
        self._has_suspects, self._tries = lease.is_after_death and lease.waiting > 0, 0

    async def run(self) -> None:
        """Take over, then process entries until a stop or the loss of the lease."""
        end = PartitionStatus.LOST
        try:
            with (
                suppress(LeaseLostError),
                contain(ItemKind.DECISION, self._metrics, passing=(LeaseLostError,), partition=self.number) as failure,
            ):
                while self.status.is_active:
                    is_serving = self.status is PartitionStatus.SERVING
                    await self._run_or_abandon(self._process_next if is_serving else self._take_over)
                end = PartitionStatus.STOPPING
            if failure:  # it is claimed again, so that its effects are verified
                end = PartitionStatus.FAILED
        finally:
            self._advance(end)
            for task in self._tasks:
                task.cancel()

    async def _run_or_abandon(self, action: Callable[[], Awaitable[None]]) -> None:
        """Run an action; wait if Redis is unreachable, abandon after other errors.

        To abandon is to raise LeaseLostError: the partition is claimed and taken over again.
        """
        try:
            await action()
        except LeaseLostError:
            raise
        except StoreUnreachableError as error:
            log_unreachable(error, partition=self.number)
            self._lease_check.expire()
            await asyncio.sleep(REDIS_PAUSE_S)
        except StoreError as error:
            # Another program writes under our prefix, or Redis lost writes.
            log.error("partition_abandoned", partition=self.number, error_type=type(error).__name__, reason=str(error))
            raise LeaseLostError(str(error)) from error

    # ---- take over ---------------------------------------------------------------------------------------------------

    async def _take_over(self) -> None:
        """Restore effects and states, before any entry.

        After an error of Redis it is repeated, so nothing starts before all of it has succeeded.
        """
        # Together: Redis may be slow, and callers wait.
        outbox, *_ = await gather(
            self._core.partition_store.outbox(self.number),
            self._cache.load_states(),
        )
        await self._effects.restore(outbox)
        if self.lease.is_after_loss:
            await self._note_loss()
        self._core.store_clock.start_use()
        self._tasks = [asyncio.create_task(self._fire_timers())]
        self._advance(PartitionStatus.SERVING)

    async def _note_loss(self) -> None:
        """Let each live session note that Redis lacks something, and read Twilio.

        It comes before older entries: a call of a dial that no session knows would count as abandoned. A former owner's
        read may have died with it, so its request does not count.
        """
        log.warning("session_reads_requested", partition=self.number, sessions=len(self.states))
        token = f"{WRITES_LOST}:{self.lease.holder}"
        events = [AccountSwept(session_id=name, token=token, finding=WRITES_LOST) for name in self.states]
        entries = await self._core.partition_store.append(events)
        self._undecided_loss_entries.update(entry.entry_id for entry in entries)
        self._metrics.sweep_findings.labels(WRITES_LOST).inc(len(events))
        for start in range(0, len(entries), ENTRIES_PER_BATCH):
            found = [(entry, entry.event()) for entry in entries[start : start + ENTRIES_PER_BATCH]]
            await self._decide(*await self._load(found))

    async def _fire_timers(self) -> None:
        """Make due timers entries of the stream, while the lease is ours."""
        try:
            await self.timers.run(self._metrics, max_timer_lengths_ms(self._core.policy()))
        except LeaseLostError:
            self.mark_lost()

    # ---- read --------------------------------------------------------------------------------------------------------

    async def _process_next(self) -> None:
        """Confirm the lease if that is due, then read and decide entries."""
        await self._lease_check.confirm_when_due(reads_requested=not self._undecided_loss_entries)
        if self._has_suspects:
            async with self._core.alone:
                await self._decide_suspects()
        elif entries := await self._read(ENTRIES_PER_BATCH):
            await self._decide(*await self._drop_undecidable(entries))

    async def _decide_suspects(self) -> None:
        """Decide what waited when the last owner died, maybe of one of these.

        An entry that ends each process that decides it is the oldest in the end, and is given up.
        """
        self._tries = self._tries or await self._lease_check.note_try()
        entries = await self._read(ENTRIES_PER_BATCH if self._tries < ONE_BY_ONE_FROM else 1)
        if entries and self._tries >= DEADLY_FROM:
            await self._drop_deadly(entries[0])
        elif entries:
            await self._decide(*await self._drop_undecidable(entries))
        is_last = not entries or parse_entry_id(entries[-1].entry_id) >= parse_entry_id(self.lease.newest_id)
        self._has_suspects = self._tries >= ONE_BY_ONE_FROM and not is_last
        self._tries = min(self._tries, ONE_BY_ONE_FROM)

    async def _read(self, count: int) -> list[Entry]:
        """Return the next entries; none once it stops, and then don't wait."""
        # A stop ends the read that it finds, but none that begins later.
        entries = await self._core.partition_store.read(self.number, count) if self.status.is_active else []
        return entries if self.status.is_active else []

    async def _decide(self, events: Events, sessions: Mapping[str, Session]) -> None:
        """Decide events together, or if that fails, one by one."""
        if not events:  # all are dead letters
            return
        try:
            await self._decide_and_commit(events, sessions)
        except (CommitConflictError, DecisionFailedError):
            await self._decide_each(events)

    async def _drop_undecidable(self, entries: Sequence[Entry]) -> tuple[Events, dict[str, Session]]:
        """Return the events, oldest first, and their sessions.

        Others become dead letters, in this order: what can't be read, what is another partition's, and what a session
        gets that can't be read.
        """
        events: Events = []
        await self._core.checkpoint("after_read", self.number)
        for entry in entries:
            try:
                event = entry.event()
            except BadEntryError as error:
                await self._dead_letter([entry], str(error))
                continue
            if self._core.keys.partition_of(event.session_id) == self.number:
                events.append((entry, event))
            else:  # another program wrote it; only the session's own partition has its events in order
                await self._dead_letter([entry], "its session belongs to another partition")
        return await self._load(events)

    async def _load(self, events: Events) -> tuple[Events, dict[str, Session]]:
        """Return events with their sessions; dead-letter those of unreadable ones."""
        sessions = await self._cache.load(event.session_id for _, event in events)
        if unreadable := [entry for entry, event in events if event.session_id not in sessions]:
            await self._dead_letter(unreadable, "the session can't be read")
        return [one for one in events if one[1].session_id in sessions], sessions

    # ---- decide, commit, start effects -------------------------------------------------------------------------------

    async def _decide_and_commit(self, events: Events, sessions: Mapping[str, Session]) -> None:
        """Decide events in order, commit all decisions, and start their effects."""
        core, now_ms, twilio_now_ms = self._core, self._core.store_clock.now_ms(), self._core.twilio_now_ms()
        presence = await presence_of_next_agents(core, sessions.values())
        with tracing.consumer_spans(_decision_spans(events)) as traceparents:
            with _deciding():
                decided = in_workers_time((event for _, event in events), now_ms, twilio_now_ms)
                decisions, timed_session_ids = decide(decided, sessions, now_ms, core.policy(), presence)
            session_logs = await core.commit_store.whole_logs(timed_session_ids) if timed_session_ids else {}
            with _deciding():
                batch = encode(decisions, sessions, now_ms, self._effects.by_id, session_logs, traceparents)
            await core.checkpoint("before_commit", self.number)
            await self._commit(batch.commit)
        await core.checkpoint("after_commit", self.number)
        # No await until all is started, so that no task sees half of it.
        self._effects.start(batch)
        self.timers.add_due(batch.commit.timers)
        self._cache.update(change.after for change in batch.commit.sessions)
        emit_telemetry(decisions, self.number, self._metrics, core.store_clock.now_ms(), traceparents)

    async def _commit(self, commit: Commit) -> None:
        """Store a commit; retry under the same number while the result is unknown."""
        while True:
            try:
                result = await self._core.commit_store.commit(self.number, self.lease, commit)
            except StoreUnreachableError as error:
                self._metrics.commits.labels("unknown").inc()
                if not self.status.is_active:
                    raise  # the next owner reads the entries again, if they are still there
                log_unreachable(error, partition=self.number)
                await asyncio.sleep(REDIS_PAUSE_S)
                continue
            except LeaseLostError:
                self._metrics.commits.labels("lost").inc()
                raise
            except CommitConflictError as error:
                self._metrics.commits.labels("conflict").inc()
                log.warning("commit_conflicted", partition=self.number, sessions=len(error.session_ids))
                raise
            self._metrics.commits.labels(result.name.lower()).inc()
            # Their reads are in the outbox now: once none is left, the lease key need not note the loss.
            self._undecided_loss_entries.difference_update(commit.entry_ids)
            return

    # ---- what can't be decided ---------------------------------------------------------------------------------------

    async def _decide_each(self, events: Events) -> None:
        """Decide events alone; dead-letter those that fail again."""
        self._cache.forget(event.session_id for _, event in events)
        for entry, event in events:
            found, sessions = await self._load([(entry, event)])
            try:
                if found:
                    await self._decide_and_commit(found, sessions)
                continue
            except CommitConflictError:
                reason = "the session can't be committed"
            except DecisionFailedError as error:
                reason = "processing failed"
                fields = {"entry_id": entry.entry_id, "event_name": event.name, "session_id": event.session_id}
                log_unexpected(ItemKind.DECISION, self._metrics, error.__cause__ or error, **fields)
            self._cache.forget([event.session_id])
            await self._dead_letter([entry], reason)

    async def _drop_deadly(self, entry: Entry) -> None:
        """Dead-letter an entry without deciding it; its session reads Twilio."""
        session_id = entry.fields.get(b"session", b"").decode(errors="replace")
        if session_id in self.states:
            token = f"{WRITES_LOST}:{entry.entry_id}"
            lost = AccountSwept(session_id=session_id, token=token, finding=WRITES_LOST)
            await self._core.partition_store.append([lost])
        await self._dead_letter([entry], "ended each worker that decided it", Reason.UNKNOWN)

    async def _dead_letter(self, entries: Sequence[Entry], reason: str, failure: str = "") -> None:
        """Dead-letter entries, and report their commands as failed."""
        core = self._core
        for entry in entries:
            await dead_letter(core, core.keys.events(self.number), entry, reason, partition=self.number)
        await self._commit(discard(entries, CommandStatus.FAILED, failure or f"{DEAD_LETTERED}{reason}"))

    # ---- end ---------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop after the current batch; end a read that waits."""
        self._advance(PartitionStatus.STOPPING)
        self._core.partition_store.stop_reading(self.number)

    def mark_lost(self) -> None:
        """Stop reading: this lease has ended."""
        self._advance(PartitionStatus.LOST)
        self._core.partition_store.stop_reading(self.number)

    async def note_end(self) -> None:
        """Note in the lease key how this lease ended, once no job runs.

        If it is released: this owner has not died. If it is lost: whether Redis lacks something.
        """
        await self._lease_check.note_end(is_release=not self.status.is_aborted)

    def _advance(self, status: PartitionStatus) -> None:
        """Advance to a status, unless a later one is reached."""
        self.status = max(self.status, status)

    # ---- what others ask ---------------------------------------------------------------------------------------------

    @property
    def is_confirmed(self) -> bool:
        """Whether its lease was confirmed since Redis may have been replaced."""
        return self._lease_check.is_confirmed


@contextmanager
def _deciding() -> Iterator[None]:
    """Raise DecisionFailedError for any unexpected error within."""
    with catch_unexpected() as failure:
        yield
    if failure:
        raise DecisionFailedError("deciding failed") from failure.unexpected


def _decision_spans(events: Events) -> Iterator[tuple[str, str, tracing.Attributes, str]]:
    """Return a span for each event, from its decision to the commit."""
    for entry, event in events:
        parent = entry.fields.get(tracing.FIELD.encode(), b"").decode(errors="replace")
        yield entry.entry_id, f"decide {event.name}", {tracing.SESSION_ID: event.session_id}, parent
