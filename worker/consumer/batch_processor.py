"""Batch processor: decides, commits, and dispatches, or dead-letters."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

import structlog

from conferral.runtime import tracing
from conferral.runtime.containment import ItemKind, log_unexpected
from conferral.runtime.error_boundary import catch_unexpected
from conferral.runtime.errors import ConferralError, LeaseLostError, StoreUnreachableError
from conferral.runtime.log import log_unreachable
from conferral.statemachine.events import Command, Event
from conferral.statemachine.session import Session
from conferral.statemachine.step import CommandReport, CommandStatus
from conferral.storage.codecs.event_codec import BadEntryError
from conferral.storage.codecs.session_codec import CorruptHashError
from conferral.storage.coordinator import Lease
from conferral.storage.partition.partition_store import DEAD_LETTERED, Entry
from conferral.storage.partition.session_store import Commit, CommitConflictError, CommitResult
from conferral.worker.consumer.batch import decide, discard, encode, needs_log
from conferral.worker.consumer.dispatcher import Dispatcher
from conferral.worker.consumer.first_reads import Events, FirstReads
from conferral.worker.core import REDIS_PAUSE_S, WorkerCore, dead_letter
from conferral.worker.times import event_in_our_time, session_in_our_time

log = structlog.get_logger()


class DecisionFailedError(ConferralError):
    """Deciding a batch failed unexpectedly; the cause has the error."""


class BatchProcessor:
    """Processes the entries of one partition."""

    def __init__(
        self,
        partition: int,
        lease: Lease,
        core: WorkerCore,
        dispatcher: Dispatcher,
        first_reads: FirstReads,
    ) -> None:
        self.is_stopping = False
        #: Whether decisions are being made or committed.
        self.is_deciding = False
        self._partition = partition
        self._lease = lease
        self._core = core
        self._clock = core.store_clock
        self._metrics = core.metrics
        self._dispatcher = dispatcher
        self._first_reads = first_reads
        #: Cached live sessions, 5 KB each. One may be stale: the commit checks the version.
        self.sessions: dict[str, Session] = {}
        #: State of each live session as last committed, by id; the takeover reads them once.
        self.states: dict[str, str] = {}

    async def process(self, entries: Iterable[Entry]) -> bool:
        """Decide entries together; if that fails, one by one.

        Return whether some wait until their sessions have read Twilio.
        """
        parsed = await self._parse(entries)
        admitted = self._first_reads.admit(parsed)
        await self._first_reads.request_reads_of_waiting()
        self.is_deciding = True
        try:
            await self._process(admitted)
        finally:
            self.is_deciding = False
        return len(admitted) < len(parsed)

    async def _process(self, events: Events, *, is_alone: bool = False) -> None:
        """Decide and commit events; if that fails, each alone, or dead-letter it."""
        events, sessions = await self._load_sessions(events)
        try:
            await self._decide_and_commit(events, sessions)
        except CommitConflictError as error:
            reason = "the session can't be committed"
            log.warning("commit_conflicted", partition=self._partition, sessions=len(error.session_ids))
            self._metrics.commits.labels("conflict").inc()
        except DecisionFailedError as error:
            reason = "processing failed"
            if is_alone:
                entry, event = events[0]
                fields = {"entry_id": entry.entry_id, "event_name": event.name, "session_id": event.session_id}
                log_unexpected(ItemKind.DECISION, self._metrics, error.__cause__ or error, **fields)
        else:
            return
        for _, event in events:
            self.sessions.pop(event.session_id, None)
        for one in events:
            if is_alone:
                await self.dead_letter([one[0]], reason)
            else:
                await self._process([one], is_alone=True)

    async def dead_letter(self, entries: Sequence[Entry], reason: str) -> None:
        """Dead-letter entries, and report their commands as failed."""
        core, commands = self._core, []
        for entry in entries:
            await dead_letter(core, core.keys.events(self._partition), entry, reason, partition=self._partition)
            with suppress(BadEntryError):
                commands.append(entry.event())
        await self._discard(entries, commands, CommandStatus.FAILED, f"{DEAD_LETTERED}{reason}")

    async def _discard(
        self, entries: Iterable[Entry], events: Iterable[Event], status: CommandStatus, reason: str
    ) -> None:
        """Remove undecided entries, and report the commands among `events`."""
        reports = [
            (event.session_id, CommandReport(event.command_id, status, reason))
            for event in events
            if isinstance(event, Command)
        ]
        await self._commit(discard(entries, reports))

    async def _parse(self, entries: Iterable[Entry]) -> Events:
        events, partition_of = [], self._core.keys.partition_of
        for entry in entries:
            try:
                event = entry.event()
            except BadEntryError as error:
                await self.dead_letter([entry], str(error))
                continue
            if partition_of(event.session_id) == self._partition:
                events.append((entry, event))
            else:  # another program wrote it; only the session's own partition has its events in order
                await self.dead_letter([entry], "its session belongs to another partition")
        return events

    async def _decide_and_commit(self, events: Events, sessions: dict[str, Session]) -> None:
        """Decide events in order, and commit the decisions together."""
        now_ms, twilio_now_ms = self._clock.now_ms(), self._core.twilio_now_ms()
        timed = [event_in_our_time(event, now_ms, twilio_now_ms) for _, event in events]
        with tracing.consumer_spans(_decision_spans(events)) as traceparents:
            with _deciding():
                current = {name: session_in_our_time(session, now_ms) for name, session in sessions.items()}
                decisions = decide(timed, current, now_ms, self._core.policy())
            logs = await self._core.session_store.logs(needs_log(decisions))
            with _deciding():
                open_effects = self._dispatcher.open_effects_of
                batch = encode(decisions, sessions, now_ms, open_effects, logs, traceparents)
            await self._core.checkpoint("before_commit", self._partition)
            await self._commit(batch.commit)
        await self._core.checkpoint("after_commit", self._partition)
        self._dispatcher.dispatch(batch)
        for change in batch.commit.sessions:
            after = change.after
            self.sessions[after.id], self.states[after.id] = after, after.state.value
            if after.is_ended:  # only a few late callbacks follow
                del self.sessions[after.id], self.states[after.id]
        for decision in decisions:
            if superseded := self._first_reads.end(decision):
                log.info("outdated_events_dropped", session_id=decision.event.session_id, count=len(superseded))
                entries = [entry for entry, _ in superseded]
                await self._discard(entries, (event for _, event in superseded), CommandStatus.DONE, "")

    async def _load_sessions(self, events: Events) -> tuple[Events, dict[str, Session]]:
        """Return entries and sessions; dead-letter entries of corrupt sessions."""
        names = dict.fromkeys(event.session_id for _, event in events)
        sessions = {name: self.sessions[name] for name in names if name in self.sessions}
        if missing := [name for name in names if name not in sessions]:
            for session_id, loaded in (await self._core.session_store.load(missing)).items():
                if isinstance(loaded, CorruptHashError):
                    self._metrics.damaged_sessions.labels("decision").inc()
                    log.error(
                        "session_hash_corrupt", session_id=session_id, partition=self._partition, reason=loaded.field
                    )
                else:
                    sessions[session_id] = loaded
        if corrupt := [entry for entry, event in events if event.session_id not in sessions]:
            await self.dead_letter(corrupt, "the session's stored state is damaged")
        return [(entry, event) for entry, event in events if event.session_id in sessions], sessions

    async def _commit(self, commit: Commit) -> None:
        """Store a commit; retry under the same number while the result is unknown."""
        while True:
            try:
                result = await self._core.session_store.commit(self._partition, self._lease, commit)
            except StoreUnreachableError as error:
                self._metrics.commits.labels("unknown").inc()
                if self.is_stopping:
                    raise  # the next holder reads the entries again, if they are still there
                log_unreachable(error, partition=self._partition)
                await asyncio.sleep(REDIS_PAUSE_S)
                continue
            except LeaseLostError:
                self._metrics.commits.labels("lost").inc()
                raise
            self._metrics.commits.labels(result.name.lower()).inc()
            if result is CommitResult.PARTIAL:
                self._metrics.writes_refused.labels("commit").inc()
            self._first_reads.forget(commit.entry_ids)
            return


@contextmanager
def _deciding() -> Iterator[None]:
    """Raise DecisionFailedError for any unexpected error within."""
    with catch_unexpected() as boundary:
        yield
    if boundary.unexpected is not None:
        raise DecisionFailedError("deciding failed") from boundary.unexpected


def _decision_spans(events: Events) -> Iterator[tuple[str, str, tracing.Attributes, str]]:
    """Return a span for each event, from its decision to the commit."""
    for entry, event in events:
        parent = entry.fields.get(tracing.FIELD.encode(), b"").decode(errors="replace")
        yield entry.entry_id, f"decide {event.name}", {tracing.SESSION_ID: event.session_id}, parent
