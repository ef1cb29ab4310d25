"""Rebalance: target number of partitions per worker; the leases of peers."""

import math
import zlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet

import structlog

from conferral.runtime.clock import Clock
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.outage import log_unreachable
from conferral.storage.connection.client import Client
from conferral.storage.partition import lease as leases
from conferral.storage.partition.connections import which_are_open
from conferral.storage.partition.lease import LeaseInfo, LeaseMonitor
from conferral.worker.core import WorkerCore

log = structlog.get_logger()

#: Pause after Redis refused CLIENT LIST, as some managed servers do, seconds.
RETRY_REFUSED_S = 60.0


def target_counts(held: Mapping[str, int], names: Collection[str], partitions: int) -> dict[str, int]:
    """Return how many partitions each live worker should hold.

    Counts differ by at most one. Workers that hold more keep more, so that few partitions move.

    >>> target_counts({"a": 9, "b": 7}, ["a", "b", "c"], 16)
    {'a': 6, 'b': 5, 'c': 5}
    """
    ranking = sorted(names, key=lambda name: (-held.get(name, 0), name))
    base, remainder = divmod(partitions, len(ranking))
    return {name: base + (place < remainder) for place, name in enumerate(ranking)}


class ConnectionWatch:
    """Finds the closed connections of killed workers; slow ones keep theirs."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._refused_until_s = float("-inf")

    async def find_closed(self, suspects: AbstractSet[str]) -> set[str]:
        """Return closed suspects, all once listed by Redis; none if it can't say."""
        now_s = self._clock.monotonic_s()
        if not suspects or now_s < self._refused_until_s:
            return set()
        try:
            is_open = await which_are_open(self._client, suspects)
        except StoreUnreachableError as error:
            log_unreachable(error, task="connections")
        except StoreError as error:
            self._refused_until_s = now_s + RETRY_REFUSED_S
            log.info("client_list_unavailable", reason=str(error))
        else:
            return {name for name in suspects if is_open.get(name) is False}
        return set()


class PeerLeases:
    """The leases that this worker does not hold, each timed by its own clock."""

    def __init__(self, core: WorkerCore) -> None:
        self._core = core
        self._clock = core.clock
        self._monitors: dict[int, LeaseMonitor] = {}
        self._free_since_s: dict[int, float] = {}
        self._read_at_s: dict[int, float] = {}
        #: Why some leases could not be read; None if all were.
        self.error: StoreUnreachableError | None = None
        self._connections = ConnectionWatch(core.client, core.clock)
        #: Workers that the last read found dead: no renewal in time, and closed connections.
        self.dead_workers: frozenset[str] = frozenset()
        #: Partitions whose last holder was found dead that way.
        self.disconnected: set[int] = set()
        #: In an order of this worker's own, so that two workers rarely request the same ones.
        self.free: list[int] = []
        #: Partitions per other worker, as far as known (count).
        self.counts: Counter[str] = Counter()

    def monitor(self, number: int) -> LeaseMonitor:
        """Return what this worker observed of the partition's lease."""
        return self._monitors[number]

    def forget(self, number: int) -> None:
        """Forget a partition's lease: this worker holds it, or just lost it."""
        self._monitors.pop(number, None)
        self._read_at_s.pop(number, None)
        self._free_since_s.pop(number, None)
        self.disconnected.discard(number)

    def unclaimed_s(self, number: int) -> float:
        """Return how long a partition has been free, seconds."""
        return self._clock.monotonic_s() - self._free_since_s[number]

    def holder_probably_died(self, number: int) -> bool:
        """Whether a free partition's lease was not released."""
        info = self._monitors[number].last_info
        return info is not None and info.until_ms > 0

    def until_overdue_s(self) -> float:
        """Return the seconds until the next lease is overdue; infinite if none."""
        now_s = self._clock.monotonic_s()
        times_s = (monitor.disconnected_at_s() for monitor in self._monitors.values() if _connection(monitor))
        return min((at_s - now_s for at_s in times_s if at_s > now_s), default=math.inf)

    def how_lease_ended(self, number: int) -> str:
        """Return how an unreleased lease ended, as a word for logs and metrics."""
        return "disconnected" if number in self.disconnected else "expired"

    async def read(self, numbers: Sequence[int], max_gap_s: float) -> None:
        """Read the leases of partitions that this worker does not hold.

        Leases on silent nodes stay as last read, and don't count as free. After a gap of more than `max_gap_s` between
        reads (Redis was unreachable, or this process suspended), holders get time to renew.
        """
        infos = await leases.read_leases(self._core.client, [self._core.keys.lease(number) for number in numbers])
        now_s, store_now_ms = self._clock.monotonic_s(), self._core.store_clock.store_now_ms()
        self.error = None
        for number, info in zip(numbers, infos, strict=True):
            monitor = self._monitors.setdefault(number, LeaseMonitor(self._core.lease_ms))
            if isinstance(info, StoreUnreachableError):
                self.error = info
                continue
            had_gap = now_s - self._read_at_s.get(number, now_s) > max_gap_s
            self._read_at_s[number] = now_s
            if had_gap:
                self._free_since_s.pop(number, None)
            if info is not None:
                monitor.update(info, now_s, info.until_ms - store_now_ms)
                if had_gap:
                    monitor.extend(now_s, now_s + max_gap_s)
        await self._expire_disconnected(now_s)
        self.counts = Counter()
        free = []
        for number, info in zip(numbers, infos, strict=True):
            if isinstance(info, StoreUnreachableError):
                known = self._monitors[number].last_info
                if known is not None and known.until_ms:
                    self.counts[known.worker_name] += 1
                continue
            # A lease under this worker's name was acquired by a request whose answer was lost.
            if info is None or self._monitors[number].is_expired(now_s) or info.worker_name == self._core.name:
                free.append(number)
                self._free_since_s.setdefault(number, now_s)
            else:
                self._free_since_s.pop(number, None)
                self.disconnected.discard(number)
                self.counts[info.worker_name] += 1
        first = zlib.crc32(self._core.name.encode()) % self._core.keys.partitions
        self.free = sorted(free, key=lambda number: (number - first) % self._core.keys.partitions)

    async def _expire_disconnected(self, now_s: float) -> None:
        """Expire overdue leases with closed connections; log each worker once."""
        overdue = {
            number: monitor
            for number, monitor in self._monitors.items()
            if _connection(monitor) and monitor.disconnected_at_s() <= now_s
        }
        closed = await self._connections.find_closed({_connection(monitor) for monitor in overdue.values()})
        dead: Counter[str] = Counter()
        for number, monitor in overdue.items():
            if _connection(monitor) in closed and monitor.last_info is not None:
                monitor.expire(now_s)
                dead[monitor.last_info.worker_name] += number not in self.disconnected
                self.disconnected.add(number)
        self.dead_workers = frozenset(dead)
        for name, count in dead.items():
            if count:
                log.warning("worker_disconnected", holder=name, count=count)


def _connection(monitor: LeaseMonitor) -> str:
    """Return the holder's connection; empty if unknown or released."""
    info: LeaseInfo | None = monitor.last_info
    return info.connection if info is not None and info.until_ms else ""
