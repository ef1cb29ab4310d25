"""Worker membership: heartbeats, and notifications of joins and leaves."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass

from conferral.runtime.clock import until_tick_s
from conferral.runtime.errors import StoreError
from conferral.runtime.lifecycle import pause
from conferral.runtime.outage import log_unreachable
from conferral.storage import scripts
from conferral.storage.connection.client import store_errors
from conferral.storage.queries.live_workers import HEARTBEAT_TIMEOUT_MS
from conferral.storage.rebalance_channel import RebalanceChannel
from conferral.worker.core import WorkerCore

HEARTBEAT_EVERY_S = 1.0
#: As fractions of the lease duration, for short leases.
HEARTBEAT_EVERY_LEASE_FRACTION, HEARTBEAT_TIMEOUT_LEASE_FRACTION = 0.2, 0.7
#: Time after which a dead worker is removed from the list, seconds.
UNLISTED_AFTER_S = 30.0
#: Pause before acting on a notification, seconds: they come in bursts.
NOTIFICATION_DEBOUNCE_S = 0.01


@dataclass(frozen=True, slots=True)
class _Heartbeat:
    #: Unix milliseconds of Redis's clock.
    sent_ms: float
    #: Monotonic seconds of this worker.
    seen_at_s: float


class Membership:
    """The live workers.

    A peer lives while its heartbeat changes, timed by this worker's clock. Redis's clock may be set at any time, so it
    counts only on the first read, and on the first one after a gap.
    """

    def __init__(self, core: WorkerCore, on_change: Callable[[], None]) -> None:
        self._core = core
        self._name = core.name
        self._clock = core.clock
        lease_s = core.lease_ms / 1000
        self._heartbeat_every_s = min(HEARTBEAT_EVERY_S, HEARTBEAT_EVERY_LEASE_FRACTION * lease_s)
        self._heartbeat_timeout_s = min(HEARTBEAT_TIMEOUT_MS / 1000, HEARTBEAT_TIMEOUT_LEASE_FRACTION * lease_s)
        self._on_change = on_change
        self._rebalance_channel = RebalanceChannel(core.client, core.keys, core.name)
        self._was_notified = asyncio.Event()
        self._heartbeats: dict[str, _Heartbeat] = {}
        #: Workers known to have died, and the heartbeat last seen since; None before the next read.
        self._dead: dict[str, float | None] = {}
        #: Until when workers seen before a Redis outage still count as alive, monotonic seconds.
        self._grace_until_s = -math.inf
        self._read_at_s = core.clock.monotonic_s()
        self.is_loaded = asyncio.Event()
        #: Names of the live workers, including this one.
        self.names = frozenset({core.name})

    @property
    def count(self) -> int:
        """Live workers, this one included (count)."""
        return len(self.names)

    def is_alive(self, name: str) -> bool:
        """Whether its heartbeat is recent; grace after an outage doesn't count."""
        return (
            name in self._heartbeats
            and name not in self._dead
            and self._clock.monotonic_s() - self._heartbeats[name].seen_at_s < 2 * self._heartbeat_every_s
        )

    @property
    def dead(self) -> Collection[str]:
        """Names of workers found dead that have sent no heartbeat since."""
        return self._dead.keys()

    def is_dead(self, name: str) -> bool:
        """Whether a worker was found dead and has sent no heartbeat since."""
        return name in self._dead

    def note_dead(self, names: Collection[str]) -> None:
        """Note workers found dead by their closed connections."""
        for name in names:
            self._dead.setdefault(name)
        self.names = self.names - self._dead.keys() | {self._name}

    async def heartbeat(self, stop: asyncio.Event) -> None:
        """Send heartbeats and read those of others until the process stops."""
        stopping = asyncio.ensure_future(stop.wait())
        stopping.add_done_callback(lambda _: self._was_notified.set())
        await self._run_tolerantly(self._send_heartbeat)
        await self.notify()
        while not stop.is_set():
            await pause(self._was_notified, until_tick_s(self._heartbeat_every_s))
            if self._was_notified.is_set() and not stop.is_set():
                await asyncio.sleep(NOTIFICATION_DEBOUNCE_S)
                self._was_notified.clear()
                self._on_change()
            if not stop.is_set():
                await self._run_tolerantly(self._send_heartbeat)
        await self._run_tolerantly(self._leave)
        await self.notify()

    async def listen(self, stop: asyncio.Event) -> None:
        """Receive notifications from other workers until the process stops."""
        await self._rebalance_channel.subscribe(stop, self._was_notified.set)

    async def notify(self) -> None:
        """Notify the other workers that a rebalance may be necessary."""
        await self._rebalance_channel.notify()

    async def _run_tolerantly(self, action: Callable[[], Awaitable[None]]) -> None:
        try:
            await action()
        except StoreError as error:
            log_unreachable(error, task="heartbeat")

    async def _send_heartbeat(self) -> None:
        """Send a heartbeat and read all; leave while this worker takes nothing."""
        if self._core.takes_nothing:
            await self._leave()
            return
        requested_at_s = self._clock.monotonic_s()
        arguments: list[scripts.Argument] = [self._name, round(UNLISTED_AFTER_S * 1000)]
        with store_errors():
            now_ms, entries = await scripts.write_heartbeat(self._core.client, [self._core.keys.workers], arguments)
        # A cluster's time is always that of the same node.
        self._core.store_clock.observe(int(now_ms), requested_at_s)
        pairs = zip(entries[::2], entries[1::2], strict=True)
        self._update({name.decode(errors="replace"): float(sent_ms) for name, sent_ms in pairs}, int(now_ms))

    async def _leave(self) -> None:
        with store_errors():
            await self._core.client.zrem(self._core.keys.workers, self._name)

    def _update(self, sent_ms: Mapping[str, float], now_ms: int) -> None:
        """Update the live workers; times are Redis's, Unix milliseconds."""
        now_s = self._clock.monotonic_s()
        is_first = not self.is_loaded.is_set()
        had_gap = now_s - self._read_at_s > 2 * self._heartbeat_every_s
        if had_gap:
            # Redis was unreachable, or this process was suspended: give known workers time.
            self._grace_until_s = now_s + 2 * self._heartbeat_every_s
        self._read_at_s = now_s
        heartbeats = {}
        for name, sent in sent_ms.items():
            previous = self._heartbeats.get(name)
            if previous is not None and previous.sent_ms == sent:
                heartbeats[name] = previous
            elif (is_first or had_gap) and abs(now_ms - sent) >= self._heartbeat_timeout_s * 1000:
                heartbeats[name] = _Heartbeat(sent, -math.inf)
            else:
                heartbeats[name] = _Heartbeat(sent, now_s)
        self._heartbeats = heartbeats
        # The last heartbeat may have come after the previous read; only a later one shows that the worker lives.
        self._dead = {name: sent_ms[name] for name, last_ms in self._dead.items()
                      if name in sent_ms and last_ms in (None, sent_ms[name])}  # fmt: skip
        timeout_s = self._heartbeat_timeout_s
        names = {name for name, heartbeat in heartbeats.items() if now_s - heartbeat.seen_at_s < timeout_s}
        if now_s < self._grace_until_s:
            names |= self.names & heartbeats.keys()
        names = names - self._dead.keys() | {self._name}
        has_changed = is_first or names != self.names
        self.names = frozenset(names)
        self.is_loaded.set()
        if has_changed:
            self._on_change()
