"""A partition that this worker holds: reading, deciding, committing, and handing over what follows.

The order is the code of `_run_once`: read, decide, commit, then act. If the process dies
- before the commit: the entries are still on the stream, and the next holder decides them again, with the same ids;
- after the commit, before acting: effects and timers are in Redis, and the next holder finds them there.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import structlog

from conferral.runtime.boundary import attempt
from conferral.runtime.clock import STEP_MS, Clock, StoreClock
from conferral.runtime.containment import Where, contain, note_unexpected
from conferral.runtime.errors import ConferralError, LeaseLostError, StoreError, StoreUnreachableError
from conferral.runtime.metrics import Metrics
from conferral.runtime.outage import note_unreachable
from conferral.statemachine.effects import Effect, FindCall
from conferral.statemachine.events import Command, Event
from conferral.statemachine.policy import Policy
from conferral.statemachine.step import CommandReport, CommandStatus
from conferral.storage import effect_codec
from conferral.storage.effect_codec import TellCommand
from conferral.storage.event_codec import BadEntryError
from conferral.storage.lease import Lease
from conferral.storage.partition import PUT_ASIDE, Entry, PartitionAccess, parts_of
from conferral.storage.session_codec import BrokenRecordError
from conferral.storage.store import Batch, CommitConflictError, CommitOutOfOrderError, Store, Stored
from conferral.worker.cache import SESSIONS_MAX, SessionCache
from conferral.worker.chores import PAUSE_S, Chores
from conferral.worker.deciding import Decided, Decision, decide, parse, set_aside
from conferral.worker.executor import Executor, Order, pass_by
from conferral.worker.live_states import LiveStates
from conferral.worker.suspects import ENTRY_DEATHS_MAX, Suspects
from conferral.worker.telling import tell
from conferral.worker.unreadable import put_unreadable_aside, sorted_out

log = structlog.get_logger()

#: Entries decided in one batch, count: bounds the commit's time in Redis.
BATCH_MAX = 200
#: For how long after a rewind what was lost with it is told anew, milliseconds: commands are routed again, timers fire
#: again. Whoever is dialled later is dialled for the first time.
REPETITIONS_MS = 10_000


class DecisionFailedError(ConferralError):
    """A mistake of ours came up while a batch was decided; its cause says which. Decide its entries one by one."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all partitions of a worker share."""

    access: PartitionAccess
    store: Store
    executor: Executor
    clock: Clock
    metrics: Metrics
    #: The times and choices by which sessions are driven; a batch is decided by those of its beginning.
    policy: Callable[[], Policy]
    #: How long the calls of an ended session are remembered, seconds.
    session_ttl_s: int
    #: Sessions kept in memory for one partition, count.
    sessions_max: int = SESSIONS_MAX
    #: For tests that end the process between the steps.
    checkpoint: Callable[[str, int], Awaitable[None]] = pass_by
    #: Called with every batch's decisions once they are committed.
    committed: Callable[[list[Decision]], None] = lambda _decisions: None


class HeldPartition:
    """One partition under our lease."""

    def __init__(
        self,
        number: int,
        lease: Lease,
        around: Surroundings,
        timers_changed: Callable[[], None],
        renew: Callable[[int], Awaitable[None]],
        *,
        looks_first_until_s: float = 0.0,
    ) -> None:
        """Takes a partition on.

        Args:
            number: Which.
            lease: Our lease of it.
            around: What all partitions share.
            timers_changed: Told when a timer was set that is due before those that are known.
            renew: Renews the lease, so that the partition's time is written down.
            looks_first_until_s: Redis's history was rewound, so what is decided until then may have been decided and
                sent before, monotonic seconds.
        """
        self.number = number
        self.lease = lease
        self.is_lost = False
        self.is_stopping = False
        self.was_rewound = False
        #: The partition's time: what decides about it, and what its timers and orders are timed by. It goes on from
        #: holder to holder as if Redis's clock had never been set.
        self.clock = StoreClock(around.clock, ahead_ms=lease.ahead_ms)
        self.clock.observe(lease.taken_ms, lease.asked_at_s)
        #: When the next timer is due by that time, Unix milliseconds; None when there is none.
        self.next_timer_ms: int | None = None
        self.states = LiveStates(number, around.access)
        self._around = around
        self._cache = SessionCache(around.sessions_max)
        self._has_recovered = False
        self._reading: asyncio.Task[list[Entry]] | None = None
        self._timers_changed = timers_changed
        self._renew = renew
        #: What is in the outbox, by session and effect id.
        self._open_effects: dict[str, dict[str, Effect]] = defaultdict(dict)
        self._chores = Chores(number, around.access, session_ttl_s=around.session_ttl_s)
        self._looks_first_until_s = looks_first_until_s
        #: The newest entry that stood on the stream when a partition was taken over from somebody who had died, or
        #: after a rewind.
        self._newest_before = (0, 0)
        #: The earliest timer that was set while due ones were being moved, Unix milliseconds.
        self._set_meanwhile_ms: int | None = None
        self._suspects = Suspects(number, around.access, lambda order: around.executor.submit(order), around.metrics)
        #: Entries to be decided one by one because a worker died over this partition, count.
        self._suspected = 0
        #: Entries that were marked under this lease: a mark stands for a death, not for a try.
        self._marked: set[str] = set()

    def __repr__(self) -> str:
        return f"<HeldPartition {self.number} holder={self.lease.holder} commit={self.lease.commit} {self.is_lost=}>"

    @property
    def goes_on(self) -> bool:
        """Whether there is anything more to do here."""
        return not self.is_lost and not self.is_stopping

    async def run(self) -> None:
        """Works until the lease is lost or the worker stops; what is under way is finished."""
        is_well = False
        try:
            with contain(Where.DECISION, self._around.metrics, passing=(LeaseLostError,), partition=self.number):
                while self.goes_on:
                    await self._patiently(self._run_once if self._has_recovered else self._recover)
                is_well = True
        except LeaseLostError:
            is_well = False
        finally:
            # After an error of our own the lease is not given back but runs out, so that the next holder is careful.
            self.is_lost = self.is_lost or not is_well
            self._chores.stop()
            self._suspects.stop()
            self.states.stop()
        await self._chores.finished()

    def until_timer_ms(self) -> float:
        """How long it is until the next timer is due, milliseconds; infinite where there is none."""
        return math.inf if self.next_timer_ms is None else self.next_timer_ms - self.clock.now_ms()

    def stop(self) -> None:
        """Ends the work after the batch in hand. A read that waits takes nothing, so it is cut short."""
        self.is_stopping = True
        self._chores.stop()
        if self._reading is not None:
            self._reading.cancel()

    def lose(self) -> None:
        """Somebody else has the lease."""
        self.is_lost = True
        if self._reading is not None:
            self._reading.cancel()

    async def _patiently(self, act: Callable[[], Awaitable[None]]) -> None:
        """Does something with Redis; when that is out of reach, waits and gives up for this time."""
        try:
            await act()
        except LeaseLostError:
            raise
        except StoreUnreachableError as error:
            note_unreachable(error, partition=self.number)
            await asyncio.sleep(PAUSE_S)
        except StoreError as error:
            # Somebody writes under our prefix, or history was rewound: what is in memory is worth nothing.
            log.error("partition_refused", partition=self.number, error_type=type(error).__name__, reason=str(error))
            self.was_rewound = isinstance(error, CommitOutOfOrderError)
            raise LeaseLostError(str(error)) from error

    # ---- taking over ---------------------------------------------------------------------------------------------

    async def _recover(self) -> None:
        """Takes up what the holder before has left: effects that are not done, and the time of the next timer."""
        access = self._around.access
        await access.ensure_group(self.number)
        if self._looks_first or not self.lease.was_clean:
            self._newest_before = await access.newest_id(self.number)
        outbox = await access.outbox(self.number)
        await self.fire_timers()
        self.states.start()
        self._suspected = 0 if self.lease.was_clean else BATCH_MAX
        entries, unreadable = sorted_out(outbox)
        await put_unreadable_aside(self.number, access, self._around.metrics, unreadable)
        orders = self._orders_of(entries)
        await self._suspects.take_up(orders, outbox, self._open_effects_of, after_death=not self.lease.was_clean)
        self._has_recovered = True

    def _orders_of(self, entries: list[effect_codec.OutboxEntry]) -> list[Order]:
        """What was found in the outbox, oldest first; what is only written to Redis starts here."""
        orders = []
        for entry in entries:
            if isinstance(entry.work, Effect):
                self._open_effects[entry.work.session_id][entry.work.effect_id] = entry.work
                orders.append(
                    Order(
                        effect=self._as_sent(entry.work),
                        partition=self.number,
                        ordered_at_ms=entry.ordered_at_ms,
                        maybe_sent=True,
                        # A commit that ends a session takes out of the outbox what is not to be sent any more.
                        ends_session=False,
                        sent_until_ms=self.lease.sent_until_ms,
                        sent_at_ms=entry.sent_at_ms,
                        mark_may_be_lost=self._looks_first,
                    )
                )
            else:
                self._chores.start(entry.work)
        return orders

    async def fire_timers(self) -> None:
        """Moves due timers onto the stream and notes when the next one is due."""
        self._set_meanwhile_ms = None
        _, following_ms = await self._around.access.fire_timers(self.number, self.lease, self.clock.now_ms())
        # The answer does not know what was committed after it was given.
        known = [due_ms for due_ms in (following_ms, self._set_meanwhile_ms) if due_ms is not None]
        self.next_timer_ms = min(known, default=None)
        self._timers_changed()

    # ---- one batch -----------------------------------------------------------------------------------------------

    async def _run_once(self) -> None:
        count = 1 if self._suspected else BATCH_MAX
        entries = await self._read(count)
        if not entries or not self.goes_on:
            self._suspected = 0
            if self.goes_on and abs(self.clock.ahead_ms) >= STEP_MS:
                await self._set_clock_right()
            return
        if self._suspected:
            self._suspected -= 1
            if await self._is_poison(entries[0]):
                return
        await self._around.checkpoint("after_read", self.number)
        await self._decide_all(entries)

    async def _read(self, count: int) -> list[Entry]:
        self._reading = asyncio.ensure_future(self._around.access.read(self.number, count, block=True))
        try:
            return await self._reading
        except asyncio.CancelledError:
            if self.goes_on:
                raise
            return []
        finally:
            self._reading = None

    async def _set_clock_right(self) -> None:
        """When nothing is timed by the partition's time any more, it may be Redis's again. No batch is in hand here."""
        if await self._around.access.is_quiet(self.number):
            self.clock.set_right()
            await self._renew(self.number)

    async def _is_poison(self, entry: Entry) -> bool:
        if entry.entry_id in self._marked:
            return False
        deaths = await self._around.access.suspect(self.number, self.lease, entry.entry_id)
        self._marked.add(entry.entry_id)
        # The take-over was unclean, so one worker had died before the first mark was made.
        if deaths < ENTRY_DEATHS_MAX:
            return False
        await self._put_aside([entry], "workers died deciding it")
        await self._commit(set_aside([entry]))
        return True

    async def _decide_all(self, entries: list[Entry]) -> None:
        events, unreadable = await self._parse_all(entries)
        try:
            await self._decide_and_commit(events, unreadable)
        except (CommitConflictError, DecisionFailedError) as error:
            if isinstance(error, CommitConflictError):
                log.warning("commit_conflicted", partition=self.number, sessions=len(error.session_ids))
                self._around.metrics.commits.labels("conflict").inc()
            by_session: dict[str, list[tuple[Entry, Event]]] = defaultdict(list)
            for entry, event in events:
                by_session[event.session_id].append((entry, event))
            self._cache.drop(by_session)
            if unreadable:
                await self._commit(set_aside(unreadable))
            for of_one in by_session.values():
                await self._decide_alone(of_one)

    async def _parse_all(self, entries: list[Entry]) -> tuple[list[tuple[Entry, Event]], list[Entry]]:
        events, unreadable = [], []
        for entry in entries:
            try:
                events.append((entry, parse(entry)))
            except BadEntryError as error:
                await self._put_aside([entry], error.reason)
                unreadable.append(entry)
        return events, unreadable

    async def _decide_alone(self, events: list[tuple[Entry, Event]]) -> None:
        """One session by itself, freshly loaded; when even that is refused, its entries go to the dead letters."""
        try:
            await self._decide_and_commit(events, [])
        except DecisionFailedError as error:
            if len(events) > 1:
                for one in events:
                    await self._decide_alone([one])
                return
            entry, event = events[0]
            cause = error.__cause__ or error
            about = {"entry_id": entry.entry_id, "event_name": event.name, "session_id": event.session_id}
            note_unexpected(Where.DECISION, self._around.metrics, cause, **about)
            await self._put_aside([entry], "deciding it failed")
            await self._commit(set_aside([entry]))
        except CommitConflictError:
            self._cache.drop({event.session_id for _, event in events})
            await self._put_aside([entry for entry, _ in events], "its session can't be committed")
            await self._commit(set_aside(entry for entry, _ in events))

    async def _decide_and_commit(self, events: list[tuple[Entry, Event]], unreadable: list[Entry]) -> None:
        sessions = await self._sessions_of(events)
        broken = [(entry, event) for entry, event in events if event.session_id not in sessions]
        if broken:
            await self._put_aside([entry for entry, _ in broken], "its session's record is broken")
            unreadable = [*unreadable, *(entry for entry, _ in broken)]
            events = [(entry, event) for entry, event in events if event.session_id in sessions]
        now_ms = self.clock.now_ms()
        with attempt() as deciding:
            decided = decide(events, sessions, now_ms, self._around.policy(), self._open_effects_of)
        if deciding.unexpected is not None:
            raise DecisionFailedError("deciding failed") from deciding.unexpected.error
        aside = set_aside(unreadable)
        decided.batch.entry_ids += aside.entry_ids
        decided.batch.outbox_del += aside.outbox_del
        await self._around.checkpoint("before_commit", self.number)
        await self._commit(decided.batch)
        await self._around.checkpoint("after_commit", self.number)
        self._act(decided)

    def _open_effects_of(self, session_id: str) -> dict[str, Effect]:
        return self._open_effects.get(session_id, {})

    async def _sessions_of(self, events: list[tuple[Entry, Event]]) -> dict[str, Stored]:
        """The sessions of a batch: from the cache, the missing ones in one round trip. Broken ones are left out."""
        sessions: dict[str, Stored] = {}
        missing = []
        for session_id in dict.fromkeys(event.session_id for _, event in events):
            found = self._cache.get(session_id)
            if found is None:
                missing.append(session_id)
            else:
                sessions[session_id] = found
        if missing:
            for session_id, loaded in (await self._around.store.load(missing)).items():
                if isinstance(loaded, BrokenRecordError):
                    log.error("record_broken", session_id=session_id, partition=self.number, reason=loaded.field)
                else:
                    sessions[session_id] = loaded
        return sessions

    async def _commit(self, batch: Batch) -> None:
        """Commits a batch; asks again with the same number while nobody knows whether it was stored."""
        while True:
            try:
                result = await self._around.store.commit(self.number, self.lease, batch)
            except StoreUnreachableError as error:
                self._around.metrics.commits.labels("unclear").inc()
                if self.is_stopping:
                    raise  # the next holder reads the entries again, if they are still there
                note_unreachable(error, partition=self.number)
                await asyncio.sleep(PAUSE_S)
                continue
            except LeaseLostError:
                self._around.metrics.commits.labels("lost").inc()
                raise
            self._around.metrics.commits.labels(result.name.lower()).inc()
            return

    async def _put_aside(self, entries: list[Entry], reason: str) -> None:
        for entry in entries:
            await self._around.access.bury(self.number, entry, reason)
            self._around.metrics.dead_letters.labels(reason).inc()
            log.error("entry_put_aside", partition=self.number, entry_id=entry.entry_id, reason=reason)
            await self._tell_put_aside(entry, reason)

    async def _tell_put_aside(self, entry: Entry, reason: str) -> None:
        """Whoever has given a command that nobody will decide is told so."""
        try:
            event = parse(entry)
        except BadEntryError:
            return
        if isinstance(event, Command):
            report = CommandReport(event.command_id, CommandStatus.FAILED, f"{PUT_ASIDE}{reason}")
            try:
                await self._around.access.tell(TellCommand(event.session_id, report))
            except StoreUnreachableError:
                raise
            except StoreError as error:  # its key is somebody else's: that costs the command its outcome, no more
                log.error("chore_refused", partition=self.number, session_id=event.session_id, reason=str(error))

    # ---- after the commit ----------------------------------------------------------------------------------------

    def _act(self, decided: Decided) -> None:
        """Effects go out first: somebody waits for them. The rest is bookkeeping."""
        for session_id in decided.ended:
            self._around.executor.withdraw(session_id)
        for effect, event in decided.orders:
            self._open_effects[effect.session_id][effect.effect_id] = effect
            # Redis's own time, by the partition's.
            published_at_ms = event.occurred_at_ms and event.occurred_at_ms + self.clock.ahead_ms
            self._around.executor.submit(
                Order(
                    effect=self._as_sent(effect),
                    partition=self.number,
                    ordered_at_ms=self.clock.now_ms(),
                    command_published_at_ms=(isinstance(event, Command) and published_at_ms) or None,
                    ends_session=effect.session_id in decided.ended,
                    maybe_sent=self._may_have_been_sent(event),
                    sent_until_ms=self.lease.sent_until_ms,
                    # Not before the entry was there, in whatever history it was decided.
                    sent_since_ms=parts_of(event.entry_id)[0] + self.clock.ahead_ms,
                    mark_may_be_lost=self._looks_first and self._may_be_a_repetition(event),
                )
            )
        self._around.executor.review_dials({one.after.session.id: one.after.session for one in decided.batch.sessions})
        self._around.committed(decided.decisions)
        for chore in decided.chores:
            self._chores.start(chore)
        for change in decided.batch.sessions:
            self._cache.put(change.after)
            self.states.note(change.after.session.id, change.after.session.state)
        for effect_id in decided.batch.outbox_del:
            self._forget_effect(effect_id, decided)
        self._note_timers(decided.batch)
        tell(decided, self.number, self._around.metrics, self.clock.store_now_ms())

    def _as_sent(self, effect: Effect) -> Effect:
        """An effect as Twilio is to be asked: it has its own clock, and either of ours may be wrong.

        Of the two moments from which on a call is looked for the earlier one is taken: so none is missed.
        """
        if isinstance(effect, FindCall) and self.clock.ahead_ms >= STEP_MS:
            return replace(effect, since_ms=effect.since_ms - self.clock.ahead_ms)
        return effect

    def _forget_effect(self, effect_id: str, decided: Decided) -> None:
        for session_id in {change.after.session.id for change in decided.batch.sessions}:
            effects = self._open_effects.get(session_id)
            if effects is not None:
                effects.pop(effect_id, None)
                if not effects:
                    del self._open_effects[session_id]

    def _note_timers(self, batch: Batch) -> None:
        due = [due_ms for due_ms in batch.timers.values() if due_ms is not None]
        if not due:
            return
        if self._set_meanwhile_ms is None or min(due) < self._set_meanwhile_ms:
            self._set_meanwhile_ms = min(due)
        if self.next_timer_ms is None or min(due) < self.next_timer_ms:
            self.next_timer_ms = min(due)
            self._timers_changed()

    def _may_have_been_sent(self, event: Event) -> bool:
        """Whether this entry may have been decided, and acted upon, in a history that Redis has forgotten.

        A failover can lose a commit with the second that it loses; the entry is then decided again, with the same ids.
        """
        return self._looks_first or (not self.lease.was_clean and self._stood_there_before(event))

    def _may_be_a_repetition(self, event: Event) -> bool:
        """Whether what an entry tells may have been decided in a lost history: it was there, or is being told anew."""
        told_ms = parts_of(event.entry_id)[0]
        return self._stood_there_before(event) or told_ms <= self.lease.taken_ms + REPETITIONS_MS

    def _stood_there_before(self, event: Event) -> bool:
        """Whether the entry was there when the partition was taken over."""
        return parts_of(event.entry_id) <= self._newest_before

    @property
    def _looks_first(self) -> bool:
        return self._around.clock.monotonic_s() < self._looks_first_until_s
