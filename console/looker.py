"""Looks at all sessions for everybody who watches, and only while somebody does.

Four times a second it asks which partitions have committed anything; only those are looked at, and of their sessions
only those are read whose version is another one. So a thousand calls that just go on cost nothing. Nothing here is
worth keeping: it is read again from Redis by the next console, which then shows the same.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import structlog

from conferral.console import rows
from conferral.console.store import Store
from conferral.operations import destinations
from conferral.operations.reader import CHUNK, Fields
from conferral.operations.times import Times, read_times
from conferral.operations.trouble import Trouble, trouble_of
from conferral.runtime.clock import Clock, StoreClock
from conferral.runtime.errors import StoreError
from conferral.runtime.outage import note_unreachable
from conferral.statemachine.states import State

log = structlog.get_logger()

#: Between two looks, seconds.
LOOK_EVERY_S = 0.25
#: A look may take this part of the time at most: with very many sessions it is looked less often.
BUSY_MOST = 0.2
#: Longest pause while Redis is away, seconds.
BACK_OFF_MAX_S = 5.0
#: In so many looks every session is asked once whether something is wrong with it by now, though nothing has happened
#: to it (count).
ROUND = 16
#: In one of so many looks (count) one partition is looked at though it has committed nothing: whoever repairs records
#: by hand commits nothing.
ALSO_EVERY = 4
#: How often Redis's clock is asked, and how many partitions there are, seconds.
TIME_EVERY_S = 5.0
#: Ended sessions that are shown, the newest (count).
ENDED_MAX = 500
#: How often those are listed anew, seconds: some expire.
ENDED_EVERY_S = 30.0
#: Of how many live sessions destinations are collected (count), and how often anew, seconds.
DESTINATIONS_OF = 500
DESTINATIONS_EVERY_S = 10.0
#: Changes that are remembered (count); who has seen less than these gets everything.
CHANGES_MAX = 20_000


@dataclass(slots=True)
class Kept:
    """A session as it was read last."""

    fields: Fields
    trouble: Trouble | None
    #: Rows as JSON, made when somebody wants them: with short and with whole numbers.
    short: bytes = b""
    whole: bytes = b""

    @property
    def version(self) -> str:
        """Of the hash."""
        return self.fields.get("version", "")

    def row(self, *, full: bool) -> bytes:
        """The session's row."""
        if full:
            self.whole = self.whole or rows.row(self.fields, self.trouble, full=True)
            return self.whole
        self.short = self.short or rows.row(self.fields, self.trouble, full=False)
        return self.short


@dataclass(frozen=True, slots=True)
class Changes:
    """What is new for somebody in the list of sessions."""

    #: Whether these are all there are.
    is_whole: bool
    rows: list[Kept]
    gone: list[str]
    #: Up to where this leads.
    revision: int


class Looker:
    """Looks, remembers what it has seen, and wakes those who watch."""

    def __init__(self, store: Store, clock: Clock) -> None:
        """Does not look yet.

        Args:
            store: Of Redis.
            clock: Of this machine.
        """
        self._store = store
        self._own_clock = clock
        self._clock = StoreClock(clock)
        #: Who watches, and whether those that have ended are wanted.
        self._watchers: dict[asyncio.Event, bool] = {}
        self._task: asyncio.Task[None] | None = None
        #: Grows with every change of a row.
        self.revision = 0
        #: Why nothing new is known; empty while Redis answers.
        self.trouble = ""
        #: When Redis was seen last, Unix milliseconds; 0 before the first time.
        self.as_of_ms = 0
        self._forget()

    def _forget(self) -> None:
        self._live: dict[str, Kept] = {}
        self._ended: dict[str, Kept] = {}
        self._by_partition: dict[int, set[str]] = {}
        self._marks: list[str] = []
        #: Revision of each session that has changed or gone, the newest last.
        self._changes: OrderedDict[str, int] = OrderedDict()
        #: Who has seen less than this gets everything.
        self._known_from = self.revision
        #: Revision at which a partition has changed last, by its number.
        self._partition_revisions: dict[int, int] = {}
        self._to_judge: list[str] = []
        self._judged_at_once = 0
        self._looks = 0
        self._time_asked_s = -TIME_EVERY_S
        self._times: Times | None = None
        #: Until when they count, by this machine's clock in seconds, and the destinations; with whole numbers or not.
        self._destinations: dict[bool, tuple[float, list[str]]] = {}
        self._ended_listed_s = -ENDED_EVERY_S
        #: Whether all sessions have been looked at once.
        self.is_loaded = False

    # ---- who watches ---------------------------------------------------------------------------------------------

    def join(self, wake: asyncio.Event, *, with_ended: bool = False) -> None:
        """Somebody watches, or wants to see something else than before.

        Args:
            wake: Set after each look that has seen something new.
            with_ended: Whether those that have ended are wanted.
        """
        if with_ended and not any(self._watchers.values()):
            self._ended_listed_s = -ENDED_EVERY_S
        self._watchers[wake] = with_ended
        if self._task is None or self._task.done():
            self._forget()
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(self._over)

    def leave(self, wake: asyncio.Event) -> None:
        """Somebody watches no more; with the last one the looking ends."""
        self._watchers.pop(wake, None)

    async def close(self) -> None:
        """Returns when nothing is under way."""
        self._watchers.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _over(self, task: "asyncio.Task[None]") -> None:
        if self._task is task:  # else somebody came in the meantime, and another one looks
            self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            # A mistake of ours: the process stops, as for every task that nobody awaits.
            asyncio.get_running_loop().call_exception_handler({"message": "looking failed", "exception": error})

    # ---- what is known -------------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """Redis's time as far as it is known, Unix milliseconds."""
        return self._clock.now_ms()

    def now_of(self, fields: Fields) -> int:
        """What time it is for a session, Unix milliseconds: its timers go by its partition's time."""
        return self.now_ms() if self._times is None else self._times.of(fields, self._clock.store_now_ms())

    def ahead_ms(self, fields: Fields) -> int:
        """By how much a session's time is ahead of Redis's, by which pages count, milliseconds."""
        return 0 if self._times is None else self._times.of(fields) - self._times.now_ms

    def live(self) -> Iterable[Kept]:
        """The live sessions."""
        return self._live.values()

    def destinations(self, *, full: bool) -> list[str]:
        """Whom live sessions have as agents and targets, as far as some of them tell; worked out now and then."""
        now_s = self._own_clock.monotonic_s()
        until_s, found = self._destinations.get(full, (0.0, []))
        if now_s >= until_s and self.is_loaded:
            some = islice(self._live.values(), DESTINATIONS_OF)
            found = destinations.in_use((one.fields for one in some), full=full)
            self._destinations[full] = (now_s + DESTINATIONS_EVERY_S, found)
        return found

    def partition_revision(self, partition: int) -> int:
        """Grows whenever a partition has committed something."""
        return self._partition_revisions.get(partition, 0)

    def changes(self, since: int, *, with_ended: bool) -> Changes:
        """What has changed in the list of sessions.

        Args:
            since: The revision up to which it is known; -1 for nothing.
            with_ended: Whether those that have ended belong to the list.
        """
        if since < self._known_from:
            kept = [*self._live.values(), *(self._ended.values() if with_ended else ())]
            return Changes(is_whole=True, rows=kept, gone=[], revision=self.revision)
        found: list[Kept] = []
        gone: list[str] = []
        for name in reversed(self._changes):
            if self._changes[name] <= since:
                break
            kept_one = self._live.get(name) or (self._ended.get(name) if with_ended else None)
            if kept_one is None:
                gone.append(name)
            else:
                found.append(kept_one)
        return Changes(is_whole=False, rows=found, gone=gone, revision=self.revision)

    # ---- looking -------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        back_off_s = LOOK_EVERY_S
        while self._watchers:
            started_s, revision = loop.time(), self.revision
            trouble = self.trouble
            try:
                await self._look()
            except StoreError as error:
                note_unreachable(error, task="look")
                self.trouble = str(error)
                self._store.forget_setup()
                pause_s = back_off_s = min(BACK_OFF_MAX_S, back_off_s * 2)
            else:
                self.trouble, back_off_s = "", LOOK_EVERY_S
                took_s = loop.time() - started_s
                pause_s = max(LOOK_EVERY_S - took_s, took_s / BUSY_MOST - took_s, 0.0)
            if self.revision != revision or self.trouble != trouble:
                for wake in self._watchers:
                    wake.set()
            await asyncio.sleep(pause_s)

    async def _look(self) -> None:
        await self._ask_the_time()
        # The marks come first: what is committed behind them is seen by the next look.
        marks = await self._store.ask(lambda reader: reader.marks())
        if len(marks) != len(self._marks):
            self._begin_anew(len(marks))
            changed = list(range(len(marks)))
        else:
            also = self._looks // ALSO_EVERY % len(marks) if self._looks % ALSO_EVERY == 0 else -1
            changed = [number for number, mark in enumerate(marks) if mark != self._marks[number] or number == also]
        moved = [number for number in changed if marks[number] != self._marks[number]]
        await self._look_at(changed)
        await self._list_ended()
        await self._judge()
        for number in moved:
            self.revision += 1
            self._partition_revisions[number] = self.revision
        if not self.is_loaded:
            self.is_loaded = True
            self.revision += 1
            self._known_from = self.revision
        self._marks, self._looks = marks, self._looks + 1
        self.as_of_ms = self.now_ms()
        while len(self._changes) > CHANGES_MAX:
            self._known_from = self._changes.popitem(last=False)[1]

    def _begin_anew(self, partitions: int) -> None:
        """For the first time, or Redis was set up anew with another number of partitions."""
        for name in self._live:
            self._note(name)
        self._live.clear()
        self._marks = [""] * partitions
        self._by_partition = {number: set() for number in range(partitions)}

    async def _ask_the_time(self) -> None:
        now_s = self._own_clock.monotonic_s()
        if now_s - self._time_asked_s >= TIME_EVERY_S:
            self._times = await self._store.ask(read_times)
            self._clock.observe(self._times.now_ms, now_s)
            self._store.forget_setup()  # so that it is seen, too, when all of Redis was set up anew
            self._time_asked_s = now_s

    async def _look_at(self, partitions: list[int]) -> None:
        if not partitions:
            return
        versions = await self._store.ask(lambda reader: reader.live_versions(partitions))
        wanted, gone = [], []
        for number, found in versions.items():
            gone += [name for name in self._by_partition[number] if name not in found]
            wanted += [name for name, version in found.items()
                       if (kept := self._live.get(name)) is None or kept.version != version]  # fmt: skip
        await self._read(wanted)
        if gone:
            await self._bid_farewell(gone)
        for number, found in versions.items():
            self._by_partition[number] = set(found)

    async def _read(self, names: list[str]) -> None:
        for start in range(0, len(names), CHUNK):
            some = names[start : start + CHUNK]
            records = await self._records(some)
            for name in some:
                fields = records.get(name, {})
                if is_session(fields) and fields["state"] != "ended":
                    self._live[name] = Kept(fields, self._judged(fields))
                    self._note(name)

    async def _records(self, names: list[str]) -> dict[str, Fields]:
        return await self._store.ask(lambda reader: reader.records(names))

    async def _bid_farewell(self, names: list[str]) -> None:
        """Of those that live no more."""
        records = await self._records(names)
        for name in names:
            self._live.pop(name, None)
            self._keep_ended(name, records.get(name, {}))
            self._note(name)

    def _keep_ended(self, name: str, fields: Fields) -> None:
        if any(self._watchers.values()) and is_session(fields) and fields["state"] == "ended":
            self._ended[name] = Kept(fields, self._judged(fields))

    async def _list_ended(self) -> None:
        """Those that ended lately, as long as somebody wants to see them."""
        if not any(self._watchers.values()):
            self._ended.clear()
            return
        now_s = self._own_clock.monotonic_s()
        if now_s - self._ended_listed_s < ENDED_EVERY_S:
            return
        page = await self._store.ask(lambda reader: reader.list_sessions(state=State.ENDED, limit=ENDED_MAX))
        found = {fields["id"]: fields for fields in page.items if is_session(fields)}
        for name in [name for name in self._ended if name not in found]:
            del self._ended[name]
            self._note(name)
        for name, fields in found.items():
            kept = self._ended.get(name)
            if kept is None or kept.fields != fields:
                self._keep_ended(name, fields)
                self._note(name)
        self._ended_listed_s = now_s

    async def _judge(self) -> None:
        """Asks some sessions to which nothing has happened whether something is wrong with them by now."""
        if not self._to_judge:
            self._to_judge = [*self._live, *self._ended]
            self._judged_at_once = len(self._to_judge) // ROUND + 1
        some, self._to_judge = self._to_judge[: self._judged_at_once], self._to_judge[self._judged_at_once :]
        for name in some:
            kept = self._live.get(name) or self._ended.get(name)
            if kept is not None and (trouble := self._judged(kept.fields)) != kept.trouble:
                kept.trouble, kept.short, kept.whole = trouble, b"", b""
                self._note(name)

    def _judged(self, fields: Fields) -> Trouble | None:
        return trouble_of(fields, self.now_of(fields))

    def _note(self, name: str) -> None:
        """A session has changed."""
        self.revision += 1
        self._changes[name] = self.revision
        self._changes.move_to_end(name)


def is_session(fields: Fields) -> bool:
    """Whether a record is a session's: it is none any more, or never was ours, where it does not even say so much."""
    return "id" in fields and "state" in fields
