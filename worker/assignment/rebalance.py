"""Who is to hold how many partitions, and who does: what a worker knows of the others' leases."""

import zlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from conferral.runtime.clock import Clock, StoreClock
from conferral.storage.connection.client import Client
from conferral.storage.keys import Keys
from conferral.storage.partition import lease as leases
from conferral.storage.partition.lease import LeaseInfo, LeaseMonitor


def target_counts(held: Mapping[str, int], names: Collection[str], partitions: int) -> dict[str, int]:
    """How many partitions each worker is to hold: they differ by one at most, and add up to all of them.

    Where they can't be equal, who holds more is to hold more: so as few as possible change hands.

    >>> quotas({"a": 9, "b": 7}, ["a", "b", "c"], 16)
    {'a': 6, 'b': 5, 'c': 5}

    Args:
        held: How many partitions each worker holds (count); those that are not named hold none.
        names: The workers alive.
        partitions: How many there are (count).
    """
    ranking = sorted(names, key=lambda name: (-held.get(name, 0), name))
    base, remainder = divmod(partitions, len(ranking))
    return {name: base + (place < remainder) for place, name in enumerate(ranking)}


class PeerLeases:
    """The leases of partitions that this worker does not hold, each watched by our own clock."""

    def __init__(
        self, client: Client, keys: Keys, name: str, clock: Clock, store_clock: StoreClock, lease_ms: int
    ) -> None:
        """Has seen nothing yet.

        Args:
            client: For commands.
            keys: Names.
            name: This worker's.
            clock: For durations.
            store_clock: Redis's time; for the first look at a lease alone.
            lease_ms: How long a lease lasts without renewal, milliseconds.
        """
        self._client = client
        self._keys = keys
        self._name = name
        self._clock = clock
        self._store_clock = store_clock
        self._lease_ms = lease_ms
        self._monitors: dict[int, LeaseMonitor] = {}
        #: Since when a partition could be taken, monotonic seconds.
        self._free_since_s: dict[int, float] = {}
        self._read_at_s: float | None = None
        #: Partitions that may be taken, as far as is known. Each worker has an order of its own, so that two who want
        #: some don't ask for the same ones.
        self.free: list[int] = []
        #: How many partitions each other worker holds (count).
        self.counts: Counter[str] = Counter()

    def monitor(self, number: int) -> LeaseMonitor:
        """What is known of a partition's lease."""
        return self._monitors[number]

    def reset(self, number: int) -> None:
        """The lease is ours, or was until now: what was seen of it says nothing."""
        self._monitors.pop(number, None)
        self._free_since_s.pop(number, None)

    def unclaimed_s(self, number: int) -> float:
        """How long nobody has taken a partition that could be taken, seconds."""
        return self._clock.monotonic_s() - self._free_since_s[number]

    async def read(self, numbers: Sequence[int], max_gap_s: float) -> None:
        """Looks at the leases of all partitions that this worker does not hold.

        Args:
            numbers: Those partitions.
            max_gap_s: When the last look was longer ago than this, seconds, holders are given time to renew: Redis was
                away, or we were.

        Raises:
            StoreError: as of any command.
        """
        infos = await leases.read_leases(self._client, [self._keys.lease(number) for number in numbers])
        now_s, store_now_ms = self._clock.monotonic_s(), self._store_clock.store_now_ms()
        had_gap = self._read_at_s is not None and now_s - self._read_at_s > max_gap_s
        self._read_at_s = now_s
        if had_gap:
            self._free_since_s.clear()
        self.counts = Counter()
        free = []
        for number, info in zip(numbers, infos, strict=True):
            monitor = self._monitors.setdefault(number, LeaseMonitor(self._lease_ms))
            if info is not None:
                monitor.update(info, now_s, info.until_ms - store_now_ms)
                if had_gap:
                    monitor.extend(now_s + max_gap_s)
            # One that reads as ours was taken by a request whose answer was lost.
            if info is None or monitor.is_expired(now_s) or _worker_name(info) == self._name:
                free.append(number)
                self._free_since_s.setdefault(number, now_s)
            else:
                self._free_since_s.pop(number, None)
                self.counts[_worker_name(info)] += 1
        first = zlib.crc32(self._name.encode()) % self._keys.partitions
        self.free = sorted(free, key=lambda number: (number - first) % self._keys.partitions)


def _worker_name(info: LeaseInfo) -> str:
    """The worker of a lease's holder, which is its epoch and its name."""
    return info.holder.partition(":")[2]
