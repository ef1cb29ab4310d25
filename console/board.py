"""What is read once for all pages that show it: the summary above the sessions, and health."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from conferral.console.looker import Looker
from conferral.console.messages import plain, told
from conferral.console.store import Store
from conferral.operations import counts, health
from conferral.operations.counts import Counts, Hour
from conferral.operations.dead_letters import DeadLetters
from conferral.operations.health import Health
from conferral.operations.takeovers import Takeover, Takeovers, read_held
from conferral.runtime.clock import Clock

T = TypeVar("T")

#: How often sessions are counted, seconds.
COUNT_EVERY_S = 1.0
#: How often the outcomes of the last hour are read, seconds.
HOUR_EVERY_S = 5.0
#: How often dead letters are counted, seconds.
DEAD_EVERY_S = 1.0
#: How often is read which worker holds what, seconds.
TAKEOVER_EVERY_S = 1.0
#: How often health is read, seconds.
HEALTH_EVERY_S = 1.0


#: Reading and counting may take this part of the time at most; with very much to count it is done less often.
BUSY_MOST = 0.1
#: Over how long rates are worked out, seconds: processes tell every other second what they have done.
RATES_OVER_S = 10.0


class _Now(Generic[T]):
    """Something that is read again when it is wanted and has grown old; by one at a time."""

    def __init__(self, read: Callable[[], Awaitable[T]], every_s: float, clock: Clock) -> None:
        self._read = read
        self._every_s = every_s
        self._clock = clock
        self._lock = asyncio.Lock()
        self._old_from_s = 0.0
        self._kept: tuple[T] | None = None

    async def get(self) -> T:
        """What was read last, if that is not long ago."""
        async with self._lock:
            started_s = self._clock.monotonic_s()
            if self._kept is None or started_s >= self._old_from_s:
                self._kept = (await self._read(),)
                took_s = self._clock.monotonic_s() - started_s
                self._old_from_s = started_s + max(self._every_s, took_s / BUSY_MOST)
            return self._kept[0]


class Board:
    """Reads what all pages show alike, however many look. All may raise StoreError."""

    def __init__(self, looker: Looker, store: Store, clock: Clock) -> None:
        """Has read nothing yet.

        Args:
            looker: Knows the sessions.
            store: Of Redis.
            clock: Of this machine.
        """
        self._looker = looker
        self._store = store
        self._counts = _Now(self._count, COUNT_EVERY_S, clock)
        self._hour = _Now(self._read_hour, HOUR_EVERY_S, clock)
        self._dead = _Now(self._count_dead, DEAD_EVERY_S, clock)
        self._takeover = _Now(self._read_takeover, TAKEOVER_EVERY_S, clock)
        self._health = _Now(self._read_health, HEALTH_EVERY_S, clock)
        self._takeovers = Takeovers()
        self._earlier: deque[Health] = deque()

    async def summary(self) -> bytes:
        """The message above the list of sessions."""
        return told(
            "summary",
            counts=await self._counts.get(),
            hour=await self._hour.get(),
            dead=await self._dead.get(),
            takeover=await self._takeover.get(),
        )

    async def health(self) -> bytes:
        """The message about health."""
        return await self._health.get()

    async def _count(self) -> Counts:
        return counts.count((kept.fields, kept.trouble) for kept in list(self._looker.live()))

    async def _read_hour(self) -> Hour:
        return await self._store.ask(lambda reader: counts.last_hour(reader, self._looker.now_ms()))

    async def _count_dead(self) -> int:
        return await self._store.ask(lambda reader: DeadLetters(reader.client, reader.keys).count())

    async def _read_takeover(self) -> Takeover | None:
        return self._takeovers.observe(await self._store.ask(read_held))

    async def _read_health(self) -> bytes:
        found = await self._store.ask(lambda reader: health.read_health(reader))
        # The oldest that is not too old: a clock that was set back has none.
        while self._earlier and not 0 < found.at_ms - self._earlier[0].at_ms <= RATES_OVER_S * 1000:
            self._earlier.popleft()
        rates = health.rates(self._earlier[0], found) if self._earlier else None
        self._earlier.append(found)
        return told("health", **_parts(found), rates=rates)


def _parts(found: Health) -> dict[str, object]:
    parts = plain(found)
    assert isinstance(parts, dict)
    return {**parts, "unheld": found.unheld}
