"""Timers of one partition: fires due ones, and knows the next."""

import math
from collections.abc import Callable

from conferral.runtime.clock import StoreClock
from conferral.storage.partition.lease import Lease
from conferral.storage.partition.partition_store import PartitionStore


class PartitionTimers:
    """One partition's timers, in its own time."""

    def __init__(
        self, partition: int, lease: Lease, store: PartitionStore, clock: StoreClock, on_changed: Callable[[], None]
    ) -> None:
        self._partition = partition
        self._lease = lease
        self._store = store
        self._clock = clock
        #: Called when a timer is due before all known ones.
        self._on_changed = on_changed
        #: Unix milliseconds of partition time; None without timers.
        self._next_ms: int | None = None
        #: The earliest timer set during a firing, Unix milliseconds.
        self._set_while_firing_ms: int | None = None

    def ms_until_due(self) -> float:
        """Return the milliseconds until the next timer; infinite without one."""
        return math.inf if self._next_ms is None else self._next_ms - self._clock.now_ms()

    async def fire(self) -> None:
        """Move due timers onto the stream; note when the next one is due."""
        self._set_while_firing_ms = None
        _, next_due_ms = await self._store.fire_timers(self._partition, self._lease, self._clock.now_ms())
        # The script's answer misses timers that were committed after it ran.
        due_times_ms = [due_ms for due_ms in (next_due_ms, self._set_while_firing_ms) if due_ms is not None]
        self._next_ms = min(due_times_ms, default=None)
        self._on_changed()

    def note_set(self, due_ms: int) -> None:
        """Note a committed or found timer; `due_ms` is partition time."""
        if self._set_while_firing_ms is None or due_ms < self._set_while_firing_ms:
            self._set_while_firing_ms = due_ms
        if self._next_ms is None or due_ms < self._next_ms:
            self._next_ms = due_ms
            self._on_changed()
