"""After a rollback of Redis, a session reads Twilio before it decides.

Redis then lacks what it was sent last, and may hold events that outlived their sessions. Decided as if they were new,
these would end calls. So until a read has shown a session what its calls do, its entries wait in the stream, and its
effects in the outbox. Of its older callbacks, only the newest of each call and conference counts.
"""

import asyncio
import itertools
import math
from collections import defaultdict
from collections.abc import Iterable

import structlog

from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import StoreError
from conferral.runtime.log import log_unreachable
from conferral.statemachine.effects import ReadCalls
from conferral.statemachine.events import (
    AccountSwept,
    Call,
    CallReceived,
    CallsRead,
    ClientCallReceived,
    EffectFailed,
    EffectUnknown,
    Event,
    RecordingChanged,
)
from conferral.statemachine.states import RecordingStatus
from conferral.storage.coordinator import Lease
from conferral.storage.partition.partition_store import ENTRY_ID, Entry, parse_entry_id
from conferral.worker.core import WorkerCore
from conferral.worker.executor.executor import Executor
from conferral.worker.partition_parts.batch import Decision

log = structlog.get_logger()

Events = list[tuple[Entry, Event]]
#: The `finding` of the event that makes a session read.
ROLLED_BACK = "rolled-back"
#: Sessions of a partition that read at a time, count: enough that no request slot stays free. How soon others follow,
#: seconds.
READS_OPEN_MAX = 8
READS_PAUSE_S = 0.25
#: When a read without an answer is repeated, seconds.
REPEAT_S = 10.0
#: Waiting entries at which a partition reads no more, count.
WAITING_MAX = 10_000
_OPENING_EVENTS = (CallReceived, ClientCallReceived, Call)


class FirstReads:
    """One partition's sessions that must read Twilio before they decide."""

    def __init__(self, partition: int, lease: Lease, core: WorkerCore, executor: Executor) -> None:
        self._partition = partition
        self._lease = lease
        self._store = core.partition_store
        self._executor = executor
        self._clock = core.clock
        self._metrics = core.metrics
        #: By session that must read: when its read was last requested, monotonic seconds; None before.
        self._unread: dict[str, float | None] = {}
        #: Sessions that have read under a former owner, which may not have dropped their outdated entries.
        self._have_read: set[str] = set()
        #: Entries that had to wait, by id. Each stays until a commit has removed it from the stream.
        self._waiting: dict[str, tuple[Entry, Event]] = {}
        self._newest_id = parse_entry_id(lease.newest_id)
        #: Whether Redis might lack what came before the takeover, when that began.
        self._began_after_rollback = False
        self._request_numbers = itertools.count()

    async def load(self) -> None:
        """Find the live sessions that must read; none if Redis lacks nothing.

        It may be repeated.
        """
        self._began_after_rollback = self._lease.writes_may_be_lost(self._clock)
        if not self._began_after_rollback:
            return
        read_at = await self._store.field_of(await self._store.live_sessions(self._partition), "verified_entry_id")
        self._have_read = {
            name
            for name, entry_id in read_at.items()
            if ENTRY_ID.fullmatch(entry_id) and parse_entry_id(entry_id) > self._newest_id
        }
        self._unread = {name: None for name in read_at if name not in self._have_read}
        if self._unread:
            log.warning("rollback_found", partition=self._partition, sessions=len(self._unread))

    def is_unread(self, session_id: str) -> bool:
        """Whether a session must still read."""
        return session_id in self._unread

    def is_background(self, session_id: str) -> bool:
        """Whether a session must still read, and no entry waits for that."""
        return session_id in self._unread and session_id not in self._awaited()

    def _awaited(self) -> set[str]:
        """Return the sessions of waiting entries."""
        return {event.session_id for _, event in self._waiting.values()}

    @property
    def has_waiting(self) -> bool:
        """Whether the stream holds entries that were read and not decided."""
        return bool(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether too many entries wait to read more."""
        return len(self._waiting) >= WAITING_MAX

    def ready(self, count: int) -> list[Entry]:
        """Return entries that waited, and may be decided now."""
        if self._unread and not self._lease.writes_may_be_lost(self._clock):
            self._unread.clear()
        ready = (entry for entry, event in self._waiting.values() if not self.is_unread(event.session_id))
        return [*itertools.islice(ready, count)]

    def forget(self, entry_ids: Iterable[str]) -> None:
        """Forget entries that are decided, and no longer in the stream."""
        for entry_id in entry_ids:
            self._waiting.pop(entry_id, None)

    async def admit(self, events: Events) -> Events:
        """Return what may be decided now; the rest waits for reads."""
        if not self._began_after_rollback:
            return events
        admitted, awaited = [], self._awaited()
        for entry, event in events:
            if isinstance(event, CallsRead) and self.is_unread(event.session_id) and self._is_old(entry):
                event = _without_result(event)
            if self._may_be_decided(entry, event):
                admitted.append((entry, event))
                continue
            if event.session_id not in awaited:
                awaited.add(event.session_id)
                self._executor.expedite_read(event.session_id)
            self._waiting[entry.entry_id] = entry, event  # after an error, an entry comes again
        if unrequested := [name for name, at_s in self._unread.items() if at_s is None and name in awaited]:
            await self._request(unrequested)
        return admitted

    def _may_be_decided(self, entry: Entry, event: Event) -> bool:
        """Whether its session need not read first, or it is part of the read.

        An old entry may show that a session must read after all.
        """
        session_id = event.session_id
        if session_id not in self._unread:
            if not self._is_old(entry):
                return True
            if isinstance(event, _OPENING_EVENTS):
                # Redis lacks the session's beginning, and may hold what followed.
                self._unread[session_id] = None
            if session_id not in self._have_read:
                return True
            self._have_read.discard(session_id)
            self._unread[session_id] = None
        if isinstance(event, EffectFailed | EffectUnknown) and event.kind == ReadCalls.kind:
            self._unread[session_id] = self._clock.monotonic_s() - REPEAT_S  # request it again soon
            return True
        return isinstance(event, AccountSwept | CallsRead) or _is_message_begun(event)

    def _is_old(self, entry: Entry) -> bool:
        """Whether an entry is from before the rollback was noticed."""
        return parse_entry_id(entry.entry_id) <= self._newest_id

    def is_waiting(self, entry: Entry) -> bool:
        """Whether an entry had to wait, and is not decided yet."""
        return entry.entry_id in self._waiting

    def end_waits(self, decisions: Iterable[Decision]) -> list[Entry]:
        """Let sessions go on that have read Twilio, or need not.

        Return their entries that must not be decided anymore.
        """
        outdated: list[Entry] = []
        for decision in decisions if self._unread else ():
            session, has_read = decision.step.session, isinstance(decision.event, CallsRead)
            if not self.is_unread(session.id) or not (has_read or session.version == 0 or session.ended_at_ms):
                continue
            del self._unread[session.id]
            waiting = [one for one in self._waiting.values() if one[1].session_id == session.id]
            if has_read and (found := self._outdated(waiting)):
                log.info("outdated_events_dropped", session_id=session.id, count=len(found))
                outdated += [entry for entry, _ in found]
        return outdated

    def _outdated(self, events: Events) -> Events:
        """Return old callbacks that a newer one of the same source follows."""
        newest: defaultdict[str, int] = defaultdict(int)
        for _, event in events:
            if event.sequence is not None:
                newest[event.source] = max(event.sequence, newest[event.source])
        return [
            (entry, event)
            for entry, event in events
            if event.sequence is not None and event.sequence < newest[event.source] and self._is_old(entry)
        ]

    async def request_all(self) -> None:
        """Request reads, some at a time, while any session may have to read.

        Sessions with waiting entries come first, and a repetition after all that have not read at all.
        """
        with contain(ItemKind.TASK, self._metrics, task="first_reads", partition=self._partition):
            while self._lease.writes_may_be_lost(self._clock):
                repeat_before_s = self._clock.monotonic_s() - REPEAT_S
                requested_at_s = {name: -math.inf if at_s is None else at_s for name, at_s in self._unread.items()}
                due = [name for name, at_s in requested_at_s.items() if at_s <= repeat_before_s]
                awaited = self._awaited()
                due.sort(key=lambda name: (name not in awaited, requested_at_s[name]))
                open_count = len(requested_at_s) - len(due)
                await self._request(due[: max(0, READS_OPEN_MAX - open_count)])
                await asyncio.sleep(READS_PAUSE_S)

    async def _request(self, session_ids: Iterable[str]) -> None:
        """Publish the event that makes sessions read Twilio."""
        now_s = self._clock.monotonic_s()
        events = []
        for session_id in session_ids:
            # A former owner's read may have died with it, so its request does not count; an answer that it got does.
            token = f"{ROLLED_BACK}:{self._lease.holder}:{next(self._request_numbers)}"
            events.append(AccountSwept(session_id=session_id, token=token, finding=ROLLED_BACK))
            self._unread[session_id] = now_s
        try:
            if events:
                await self._store.append(events)
                self._metrics.sweep_findings.labels(ROLLED_BACK).inc(len(events))
        except StoreError as error:
            log_unreachable(error, partition=self._partition)  # repeated with the others


def _is_message_begun(event: Event) -> bool:
    """Whether it is only that a message begins, which no read shows.

    A read may end the session, and the caller has left a message then.
    """
    return isinstance(event, RecordingChanged) and event.of_voicemail and event.status == RecordingStatus.IN_PROGRESS


def _without_result(event: CallsRead) -> EffectUnknown:
    """Return the end of a read from before the rollback: another can follow."""
    return EffectUnknown(
        session_id=event.session_id,
        entry_id=event.entry_id,
        token=event.token,
        effect_id=event.effect_id,
        kind=ReadCalls.kind,
    )
