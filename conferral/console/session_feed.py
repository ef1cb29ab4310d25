"""Session feed: polls Redis for changed sessions while pages are open.

It queries only partitions with new commits, and reads only sessions whose version has changed: a thousand idle calls
cost nothing.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import structlog

from conferral.console.redis_access import RedisAccess
from conferral.operations import wording
from conferral.operations.attention import Attention, attention_of
from conferral.operations.session_queries import CHUNK
from conferral.runtime.clock import Clock, StoreClock
from conferral.runtime.errors import StoreError
from conferral.runtime.log import log_unreachable
from conferral.statemachine.session import CUSTOMER
from conferral.statemachine.states import State
from conferral.storage.codecs.session_codec import UNKNOWN_SESSION, StoredSession
from conferral.storage.queries.process_registry import has_live_worker

log = structlog.get_logger()

POLL_EVERY_S = 0.25
#: Longest backoff while Redis is unreachable.
BACK_OFF_MAX_S = 5.0
#: Polls after which every session's attention is reevaluated, even without events.
ATTENTION_EVERY_POLLS = 4
#: Polls after which one partition is read even without commits, to notice hashes edited by hand.
EXTRA_PARTITION_EVERY_POLLS = 4
#: Interval for reading Redis's clock, the number of partitions, and whether a worker is live.
CLOCK_EVERY_S = 5.0
#: Ended sessions shown, newest first, and the interval for listing them again: some expire.
ENDED_MAX = 500
ENDED_EVERY_S = 30.0
#: Sessions from which destinations are collected, live ones first.
DESTINATION_SESSIONS_MAX = 500
#: Destinations suggested in forms: no one reads a longer list.
SUGGESTED_MAX = 20
#: Addresses that can be typed as a destination, without a comma, which separates several.
_TYPEABLE_ADDRESS = re.compile(r"(?:client:|sip:|\+)[!-+\--~]{1,250}")


@dataclass(frozen=True, slots=True, eq=False)
class CachedSession:
    """A session as last read; a change makes a new one."""

    session: StoredSession
    attention: Attention | None


class SessionFeed:
    """Polls, caches sessions, and wakes subscribers."""

    def __init__(self, redis: RedisAccess, clock: Clock, directory_names: Callable[[], Sequence[str]] = tuple) -> None:
        self._redis = redis
        self._directory_names = directory_names
        self._local_clock = clock
        self._clock = StoreClock(clock)
        self._subscribers: set[asyncio.Event] = set()
        self._task: asyncio.Task[None] | None = None
        #: Increases with every change of a session.
        self.revision = 0
        #: Empty while Redis responds.
        self.redis_error = ""
        #: Time of the last successful poll, Unix milliseconds; 0 before the first.
        self.as_of_ms = 0
        self._reset()

    def _reset(self) -> None:
        #: The live sessions by id.
        self.live: dict[str, CachedSession] = {}
        self._ended: dict[str, CachedSession] = {}
        self._by_partition: dict[int, set[str]] = {}
        self._marks: list[str] = []
        self._polls = 0
        self._clock_read_s = -CLOCK_EVERY_S
        #: Whether a worker is live, as last read with the clock.
        self.has_worker = True
        self._ended_listed_s = -ENDED_EVERY_S
        self.is_loaded = False

    def subscribe(self, wake: asyncio.Event) -> None:
        """Set `wake` at every change; the first subscriber starts polling."""
        self._subscribers.add(wake)
        if self._task is None or self._task.done():
            self._reset()
            self._task = asyncio.get_running_loop().create_task(self._poll_while_subscribed())
            self._task.add_done_callback(self._on_polling_ended)

    def unsubscribe(self, wake: asyncio.Event) -> None:
        """Unsubscribe; polling stops with the last subscriber."""
        self._subscribers.discard(wake)

    async def close(self) -> None:
        """Stop polling."""
        self._subscribers.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _on_polling_ended(self, task: "asyncio.Task[None]") -> None:
        if self._task is task:  # otherwise, a new subscriber has started another task
            self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            # A bug: let the process stop, as for every task that no one awaits.
            asyncio.get_running_loop().call_exception_handler({"message": "session feed failed", "exception": error})

    def now_ms(self) -> int:
        """Return the estimated time of Redis's clock, in Unix milliseconds."""
        return self._clock.now_ms()

    def known_destinations(self, *, full: bool) -> list[str]:
        """Return what forms suggest: directory names, and addresses in use lately."""
        some = islice(chain(self.live.values(), self._ended.values()), DESTINATION_SESSIONS_MAX)
        return [*self._directory_names(), *_suggested_addresses((one.session for one in some), full=full)]

    def commit_mark(self, partition: int) -> str:
        """Return a mark that each commit of the partition changes."""
        return self._marks[partition] if partition < len(self._marks) else ""

    def sessions(self, *, with_ended: bool) -> dict[str, CachedSession]:
        """Return live sessions by id; `with_ended`: the newest ended ones, too."""
        return {**(self._ended if with_ended else {}), **self.live}

    async def _poll_while_subscribed(self) -> None:
        """Poll, and wake subscribers; without Redis, pauses double."""
        back_off_s = POLL_EVERY_S
        while self._subscribers:
            before = (self.revision, self.redis_error, self._marks)
            try:
                await self._poll()
            except StoreError as error:
                log_unreachable(error, task="session_feed")
                self.redis_error = str(error)
                self._redis.reload_config()
                pause_s = back_off_s = min(BACK_OFF_MAX_S, back_off_s * 2)
            else:
                self.redis_error, pause_s = "", POLL_EVERY_S
                back_off_s = POLL_EVERY_S
            if (self.revision, self.redis_error, self._marks) != before:
                for wake in self._subscribers:
                    wake.set()
            await asyncio.sleep(pause_s)

    async def _poll(self) -> None:
        """Read what has changed; each commit changes its partition's mark."""
        await self._read_clock()
        # Read the marks first: the next poll then finds commits made in between.
        marks = await self._redis.run(lambda reader: reader.commit_marks())
        if len(marks) != len(self._marks):
            changed = list(range(len(marks)))
            self.live.clear()
            self._by_partition = {number: set() for number in changed}
            self.revision += 1
        else:
            turn, rest = divmod(self._polls, EXTRA_PARTITION_EVERY_POLLS)
            extra = -1 if rest else turn % len(marks)
            changed = [number for number, mark in enumerate(marks) if mark != self._marks[number] or number == extra]
        await self._poll_partitions(changed)
        await self._list_ended()
        self._update_attention()
        if not self.is_loaded:
            self.is_loaded = True
            self.revision += 1
        self._marks, self._polls = marks, self._polls + 1
        self.as_of_ms = self.now_ms()

    async def _read_clock(self) -> None:
        now_s = self._local_clock.monotonic_s()
        if now_s - self._clock_read_s >= CLOCK_EVERY_S:
            self._clock.observe(await self._redis.run(lambda reader: reader.now_ms()), now_s)
            self.has_worker = await self._redis.run(lambda reader: has_live_worker(reader.client, reader.keys))
            self._redis.reload_config()  # also detects that Redis was set up again
            self._clock_read_s = now_s

    async def _poll_partitions(self, partitions: list[int]) -> None:
        """Read sessions whose version has changed, or that are no longer live."""
        if not partitions:
            return
        versions = await self._redis.run(lambda reader: reader.live_versions(partitions))
        wanted, removed = [], []
        for number, found in versions.items():
            removed += [name for name in self._by_partition[number] if name not in found]
            known = {name: self.live[name].session.fields.get("version", "") for name in found if name in self.live}
            wanted += [name for name, version in found.items() if known.get(name) != version]
        await self._refresh(wanted, are_live=True)
        await self._refresh(removed, are_live=False)
        for number, found in versions.items():
            self._by_partition[number] = set(found)

    async def _refresh(self, names: list[str], *, are_live: bool) -> None:
        """Read sessions that have changed, or that are no longer live."""
        kept = self.live if are_live else self._ended
        for start in range(0, len(names), CHUNK):
            some = names[start : start + CHUNK]
            sessions = await self._redis.limiter((await self._redis.reader()).read_sessions(some))
            for name in some:
                if not are_live:
                    self.live.pop(name, None)
                session = sessions.get(name, UNKNOWN_SESSION)
                if session.is_known and session.is_ended is not are_live:
                    kept[name] = self._cached(session)
                self.revision += 1

    async def _list_ended(self) -> None:
        now_s = self._local_clock.monotonic_s()
        if now_s - self._ended_listed_s < ENDED_EVERY_S:
            return
        page = await self._redis.run(lambda reader: reader.list_sessions(state=State.ENDED, limit=ENDED_MAX))
        ended = {}
        for session in page.items:
            if session.is_known and session.is_ended:
                cached = self._ended.get(session.id)
                if cached is None or cached.session.fields != session.fields:
                    cached = self._cached(session)
                ended[session.id] = cached
        if ended != self._ended:
            self._ended = ended
            self.revision += 1
        self._ended_listed_s = now_s

    def _update_attention(self) -> None:
        """Reevaluate sessions' attention once a second: time alone can change it."""
        if self._polls % ATTENTION_EVERY_POLLS:
            return
        for sessions in (self.live, self._ended):
            for name, cached in sessions.items():
                evaluated = self._cached(cached.session)
                if evaluated.attention != cached.attention:
                    sessions[name] = evaluated
                    self.revision += 1

    def _cached(self, session: StoredSession) -> CachedSession:
        return CachedSession(session, attention_of(session, self.now_ms()))


def _suggested_addresses(sessions: Iterable[StoredSession], *, full: bool) -> list[str]:
    """Return agents' and targets' addresses by frequency; numbers if `full`."""
    found: Counter[str] = Counter()
    for session in sessions:
        # A party that appears twice in a session counts once.
        found.update({party.address for name, party in session.parties.items() if name != CUSTOMER})
    # Order ties the same way every time, because a page receives every change.
    ordered = sorted(filter(_TYPEABLE_ADDRESS.fullmatch, found), key=lambda address: (-found[address], address))
    shown = (one for one in ordered if wording.display_address(one, full=full) == one)
    return list(islice(shown, SUGGESTED_MAX))
