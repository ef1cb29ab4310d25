"""Session feed: what all pages show of sessions, kept while any is open."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from conferral.operations.explain.attention import Attention, attention_of
from conferral.operations.redis_access import RedisAccess
from conferral.operations.session_follower import FollowedSession, SessionFollower
from conferral.runtime.clock import Clock, StoreClock
from conferral.statemachine.session import CUSTOMER, Session
from conferral.statemachine.states import State
from conferral.storage.agents import Agent, AgentStatus
from conferral.storage.codecs.text_codec import to_iso
from conferral.storage.queries.live_workers import has_live_worker

#: Polls after which every session's attention is reevaluated, even without events.
ATTENTION_EVERY_POLLS = 4
#: Interval for reading Redis's clock, the number of partitions, and whether a worker is live.
CLOCK_EVERY_S = 5.0
#: Ended sessions shown, newest first, and the interval for listing them again: some expire.
ENDED_MAX = 500
ENDED_EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class Destination:
    """Whom a form offers."""

    #: What is filled in.
    to: str
    name: str
    #: `ready`, `away`, `busy`, or empty if it is not known.
    status: str


@dataclass(frozen=True, eq=False)
class CachedSession(FollowedSession):
    """A session, and whether it needs attention."""

    attention: Attention | None


class SessionFeed(SessionFollower[CachedSession]):
    """Adds to the live sessions what needs attention, and the ended ones."""

    def __init__(
        self,
        redis: RedisAccess,
        clock: Clock,
        directory: Callable[[], Mapping[str, str]] = dict,
        people: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._directory = directory
        self.people = people
        self._local_clock = clock
        self._clock = StoreClock(clock)
        #: Time of the last successful poll, Unix milliseconds; 0 before the first.
        self.as_of_ms = 0
        super().__init__(redis)

    def _reset(self) -> None:
        super()._reset()
        self._ended: dict[str, CachedSession] = {}
        self._clock_read_s = -CLOCK_EVERY_S
        #: Whether a worker is live, as last read with the clock.
        self.has_worker = True
        self._ended_listed_s = -ENDED_EVERY_S

    def now_ms(self) -> int:
        """Return the estimated time of Redis's clock, in Unix milliseconds."""
        return self._clock.now_ms()

    def directory(self) -> Mapping[str, str]:
        """Return the directory's addresses by name."""
        return self._directory()

    def known_destinations(self, besides: Collection[str], desks: Iterable[Agent]) -> list[Destination]:
        """Return whom forms offer: directory names, and other agents with a desk.

        Both without those of the addresses `besides`.
        """
        statuses = {f"client:{desk.identity}": str(desk.status) for desk in desks}
        for cached in self.live.values():
            on_call = (party.address for name, party in cached.session.present.items() if name != CUSTOMER)
            statuses |= dict.fromkeys(on_call, AgentStatus.BUSY)
        named = self._directory()
        others = {f"client:{desk.identity}" for desk in desks} - {*named.values()}
        addresses = dict(named) | {address: address for address in sorted(others)}
        return [
            Destination(to, to.removeprefix("client:"), statuses.get(address, ""))
            for to, address in addresses.items()
            if address not in besides
        ]

    def commit_mark(self, partition: int) -> str:
        """Return a mark that each commit of the partition changes."""
        return self._marks[partition] if partition < len(self._marks) else ""

    def sessions(self, *, with_ended: bool) -> dict[str, CachedSession]:
        """Return live sessions by id; `with_ended`: the newest ended ones, too."""
        return {**(self._ended if with_ended else {}), **self.live}

    async def _poll(self) -> None:
        await self._read_clock()
        await super()._poll()
        await self._list_ended()
        self._update_attention()
        self.as_of_ms = self.now_ms()

    def on_change(self, name: str, followed: CachedSession | None, /) -> None:
        """Keep what has ended."""
        if followed is not None and followed.session.is_ended:
            self._ended[name] = followed

    async def _read_clock(self) -> None:
        now_s = self._local_clock.monotonic_s()
        if now_s - self._clock_read_s >= CLOCK_EVERY_S:
            self._clock.observe(await self._redis.run(lambda reader: reader.now_ms()), now_s)
            self.has_worker = await self._redis.run(lambda reader: has_live_worker(reader.client, reader.keys))
            self._redis.reload_config()  # also detects that Redis was set up again
            self._clock_read_s = now_s

    async def _list_ended(self) -> None:
        """Update the newest ended sessions, at most every `ENDED_EVERY_S`."""
        now_s = self._local_clock.monotonic_s()
        if now_s - self._ended_listed_s < ENDED_EVERY_S:
            return
        page = await self._redis.run(lambda reader: reader.list_sessions(state=State.ENDED, limit=ENDED_MAX))
        ended = {}
        for session in page.items:
            if session.is_ended:
                cached = self._ended.get(session.id)
                if cached is None or cached.session != session:
                    cached = self.keep(session)
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
                evaluated = self.keep(cached.session)
                if evaluated.attention != cached.attention:
                    sessions[name] = evaluated
                    self.revision += 1

    def keep(self, session: Session) -> CachedSession:
        """Return the session with its attention as of now."""
        return CachedSession(session, attention_of(session, self.now_ms(), to_iso))
