"""Rebalance: target number of partitions per worker, and the leases of peers."""

import zlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from conferral.runtime.clock import Clock, StoreClock
from conferral.runtime.errors import StoreUnreachableError
from conferral.storage.connection.client import Client
from conferral.storage.keys import Keys
from conferral.storage.partition import lease as leases
from conferral.storage.partition.lease import LeaseInfo, LeaseMonitor


def target_counts(held: Mapping[str, int], names: Collection[str], partitions: int) -> dict[str, int]:
    """Return how many partitions each worker should hold. Counts differ by at most one and sum to `partitions`.

    If they can't be equal, workers that hold more keep more, so that as few partitions as possible move.

    >>> target_counts({"a": 9, "b": 7}, ["a", "b", "c"], 16)
    {'a': 6, 'b': 5, 'c': 5}

    Args:
        held: Partitions that each worker holds (count); a missing worker holds none.
        names: The live workers.
        partitions: Total number of partitions (count).
    """
    ranking = sorted(names, key=lambda name: (-held.get(name, 0), name))
    base, remainder = divmod(partitions, len(ranking))
    return {name: base + (place < remainder) for place, name in enumerate(ranking)}


class PeerLeases:
    """The leases of partitions that this worker does not hold, each timed by its own clock."""

    def __init__(
        self, client: Client, keys: Keys, name: str, clock: Clock, store_clock: StoreClock, lease_ms: int
    ) -> None:
        self._client = client
        self._keys = keys
        self._name = name
        self._clock = clock
        self._store_clock = store_clock
        self._lease_ms = lease_ms
        self._monitors: dict[int, LeaseMonitor] = {}
        #: Since when each free partition has been free, monotonic seconds.
        self._free_since_s: dict[int, float] = {}
        #: When each partition's lease was last read, monotonic seconds.
        self._read_at_s: dict[int, float] = {}
        #: Why some leases could not be read; None if all were.
        self.error: StoreUnreachableError | None = None
        #: Partitions that seem free. Each worker has its own order, so that two workers rarely request the same ones.
        self.free: list[int] = []
        #: Partitions that each other worker holds, as far as known (count).
        self.counts: Counter[str] = Counter()

    def monitor(self, number: int) -> LeaseMonitor:
        """Return the observations of a partition's lease."""
        return self._monitors[number]

    def reset(self, number: int) -> None:
        """Forget the observations: this worker holds the lease, or just lost it."""
        self._monitors.pop(number, None)
        self._read_at_s.pop(number, None)
        self._free_since_s.pop(number, None)

    def unclaimed_s(self, number: int) -> float:
        """Return how long a partition has been free, seconds."""
        return self._clock.monotonic_s() - self._free_since_s[number]

    async def read(self, numbers: Sequence[int], max_gap_s: float) -> None:
        """Read the leases of all partitions that this worker does not hold.

        If only some nodes answer, the other leases stay as last read, and none of them counts as free.

        Args:
            numbers: Those partitions.
            max_gap_s: If a lease was last read longer ago than this, seconds, its holder gets time to renew: Redis was
                unreachable, or this process was suspended.

        Raises:
            StoreError: Redis failed.
        """
        infos = await leases.read_leases(self._client, [self._keys.lease(number) for number in numbers])
        now_s, store_now_ms = self._clock.monotonic_s(), self._store_clock.store_now_ms()
        self.counts = Counter()
        self.error = None
        free = []
        for number, info in zip(numbers, infos, strict=True):
            monitor = self._monitors.setdefault(number, LeaseMonitor(self._lease_ms))
            if isinstance(info, StoreUnreachableError):
                self.error = info
                if monitor.last_info is not None and monitor.last_info.until_ms:
                    self.counts[_worker_name(monitor.last_info)] += 1
                continue
            had_gap = now_s - self._read_at_s.get(number, now_s) > max_gap_s
            self._read_at_s[number] = now_s
            if had_gap:
                self._free_since_s.pop(number, None)
            if info is not None:
                monitor.update(info, now_s, info.until_ms - store_now_ms)
                if had_gap:
                    monitor.extend(now_s + max_gap_s)
            # A lease under this worker's name was acquired by a request whose answer was lost.
            if info is None or monitor.is_expired(now_s) or _worker_name(info) == self._name:
                free.append(number)
                self._free_since_s.setdefault(number, now_s)
            else:
                self._free_since_s.pop(number, None)
                self.counts[_worker_name(info)] += 1
        first = zlib.crc32(self._name.encode()) % self._keys.partitions
        self.free = sorted(free, key=lambda number: (number - first) % self._keys.partitions)


def _worker_name(info: LeaseInfo) -> str:
    """Return the worker's name from a lease holder, which is `epoch:name`."""
    return info.holder.partition(":")[2]
