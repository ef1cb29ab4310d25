"""The workers alive: each shows it every second, and hears from the others when one comes or goes."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog

from conferral.runtime.clock import Clock, StoreClock
from conferral.runtime.errors import StoreError
from conferral.runtime.outage import note_unreachable
from conferral.storage import scripts
from conferral.storage.connection import Client, store_errors
from conferral.storage.hints import Hints
from conferral.storage.keys import Keys
from conferral.storage.lease import LEASE_MS
from conferral.storage.levels import Level

log = structlog.get_logger()

#: How often a worker shows that it is alive, seconds.
SIGN_OF_LIFE_S = 1.0
#: After how long without a sign it counts as dead, seconds; less than a lease lasts, so that who takes over what it
#: held knows his share by then.
DEAD_AFTER_S = 3.5
#: The same where leases are short, as parts of how long they last.
SIGN_OF_LIFE, DEAD_AFTER = 0.2, 0.7
#: After how long it is no longer listed, seconds.
FORGOTTEN_AFTER_S = 30.0
#: Pause before a hint is followed, seconds: they come in swarms.
HINT_PAUSE_S = 0.01


@dataclass(frozen=True, slots=True)
class _Sign:
    """The last sign of life of a worker."""

    #: When it was shown, Unix milliseconds by Redis's clock.
    shown_ms: float
    #: When it was seen first, monotonic seconds.
    changed_s: float


class Company:
    """Who else works.

    Whether somebody lives is told by our own clock: his sign has to change. Redis's clock may be set at any moment, and
    is believed at the first look alone, and at one after a gap.
    """

    def __init__(
        self,
        client: Client,
        keys: Keys,
        name: str,
        clock: Clock,
        store_clock: StoreClock,
        changed: Callable[[], None],
        level: Level,
        lease_ms: int = LEASE_MS,
    ) -> None:
        """Knows nobody yet but this worker.

        Args:
            client: For commands.
            keys: Names.
            name: This worker's.
            clock: For durations.
            store_clock: Is shown Redis's time; on a cluster that of one node, always the same.
            changed: Called when there may be something to share out anew.
            level: At which records are written: where this worker can't read them, it is no company.
            lease_ms: How long a lease lasts without renewal, milliseconds.
        """
        self._client = client
        self._keys = keys
        self._name = name
        self._clock = clock
        self._sign_every_s = min(SIGN_OF_LIFE_S, SIGN_OF_LIFE * lease_ms / 1000)
        self._dead_after_s = min(DEAD_AFTER_S, DEAD_AFTER * lease_ms / 1000)
        self._store_clock = store_clock
        self._changed = changed
        self._level = level
        self._hints = Hints(client, keys, name)
        self._hinted = asyncio.Event()
        self._signs: dict[str, _Sign] = {}
        #: Until when those count who were there before Redis was away, monotonic seconds.
        self._hopes_until_s = 0.0
        self._looked_at_s = clock.monotonic_s()
        #: Set once it was looked who else works.
        self.has_looked = asyncio.Event()
        #: Names of the workers alive, this one among them.
        self.names = frozenset({name})

    def __repr__(self) -> str:
        return f"<Company of {self._name} names={sorted(self.names)}>"

    @property
    def count(self) -> int:
        """Workers alive, this one among them (count)."""
        return len(self.names)

    def is_fresh(self, name: str) -> bool:
        """Whether a worker has shown that it is alive just now; one of those who are only hoped for has not."""
        return name in self._signs and self._clock.monotonic_s() - self._signs[name].changed_s < 2 * self._sign_every_s

    async def show_life(self, stop: asyncio.Event) -> None:
        """Shows that this worker is alive, and looks who else is, until the process stops."""
        stopping = asyncio.ensure_future(stop.wait())
        await self._patiently(self._show)
        await self.hint()
        while not stop.is_set():
            hinted = asyncio.ensure_future(self._hinted.wait())
            await asyncio.wait({hinted, stopping}, timeout=self._sign_every_s, return_when=asyncio.FIRST_COMPLETED)
            hinted.cancel()
            if self._hinted.is_set():
                await asyncio.sleep(HINT_PAUSE_S)
                self._hinted.clear()
                self._changed()
            if not stop.is_set():
                await self._patiently(self._show)
        await self._patiently(self._leave)
        await self.hint()

    async def listen(self, stop: asyncio.Event) -> None:
        """Hears the hints of others until the process stops."""
        await self._hints.listen(stop, self._hinted.set)

    async def hint(self) -> None:
        """Tells the others that something may have to be shared out anew."""
        await self._hints.give()

    async def _patiently(self, act: Callable[[], Awaitable[None]]) -> None:
        try:
            await act()
        except StoreError as error:
            note_unreachable(error, task="signs_of_life")

    async def _show(self) -> None:
        if self._level.is_too_new:
            await self._leave()
            return
        asked_at_s = self._clock.monotonic_s()
        arguments: list[scripts.Argument] = [self._name, round(FORGOTTEN_AFTER_S * 1000)]
        with store_errors():
            now_ms, listed = await scripts.show_life(self._client, [self._keys.workers], arguments)
        self._store_clock.observe(int(now_ms), asked_at_s)
        shown = zip(listed[::2], listed[1::2], strict=True)
        self._note({name.decode(errors="replace"): float(shown_ms) for name, shown_ms in shown}, int(now_ms))

    async def _leave(self) -> None:
        with store_errors():
            await self._client.zrem(self._keys.workers, self._name)

    def _note(self, shown_ms: Mapping[str, float], now_ms: int) -> None:
        now_s = self._clock.monotonic_s()
        is_first = not self.has_looked.is_set()
        had_gap = now_s - self._looked_at_s > 2 * self._sign_every_s
        if had_gap:
            # Nobody could show anything, or we could not look: whoever was there is waited for.
            self._hopes_until_s = now_s + 2 * self._sign_every_s
        self._looked_at_s = now_s
        signs = {}
        for name, shown in shown_ms.items():
            before = self._signs.get(name)
            if before is not None and before.shown_ms == shown:
                signs[name] = before
            elif (is_first or had_gap) and abs(now_ms - shown) >= self._dead_after_s * 1000:
                signs[name] = _Sign(shown, -math.inf)
            else:
                signs[name] = _Sign(shown, now_s)
        self._signs = signs
        names = {name for name, sign in signs.items() if now_s - sign.changed_s < self._dead_after_s} | {self._name}
        if now_s < self._hopes_until_s:
            names |= self.names & signs.keys()
        is_news = is_first or names != self.names
        self.names = frozenset(names)
        self.has_looked.set()
        if is_news:
            self._changed()
