"""Timers of one partition: fires due ones, and knows the next."""

import asyncio
import math
from collections.abc import Mapping

from conferral.runtime.clock import StoreClock
from conferral.runtime.lifecycle import pause
from conferral.statemachine.events import TIMERS, AgeOverdue, DialOverdue, ParkOverdue, RingOverdue
from conferral.statemachine.policy import Policy
from conferral.storage.coordinator import Lease
from conferral.storage.partition.partition_store import PartitionStore

#: The longest timer of a dial: a ring time of 600 s, and the gate; and of all kinds without a setting, milliseconds.
DIAL_MAX_MS = 670_000
OTHERS_MAX_MS = 60_000
#: Minimum wait, seconds: due times are whole milliseconds.
WAIT_MIN_S = 0.002


def longest_ms(policy: Policy) -> dict[str, int]:
    """Return how long each kind of timer can be, milliseconds."""
    others_ms = max(OTHERS_MAX_MS, policy.convert_timeout_ms, policy.lone_grace_ms)
    return dict.fromkeys((kind.timer for kind in TIMERS), others_ms) | {
        RingOverdue.timer: DIAL_MAX_MS,
        DialOverdue.timer: DIAL_MAX_MS,
        ParkOverdue.timer: policy.park_timeout_ms,
        AgeOverdue.timer: policy.age_max_ms,
    }


class PartitionTimers:
    """One partition's timers."""

    def __init__(self, partition: int, lease: Lease, store: PartitionStore, clock: StoreClock) -> None:
        self._partition = partition
        self._lease = lease
        self._store = store
        self._clock = clock
        #: Set when a timer is due before all known ones.
        self._is_changed = asyncio.Event()
        #: Unix milliseconds; None without timers.
        self._next_ms: int | None = None
        #: The earliest timer set during a firing, Unix milliseconds.
        self._set_while_firing_ms: int | None = None

    def ms_until_due(self) -> float:
        """Return the milliseconds until the next timer; infinite without one."""
        return math.inf if self._next_ms is None else self._next_ms - self._clock.now_ms()

    async def wait_until_due(self) -> None:
        """Wait for the next timer, also for one that is set meanwhile."""
        while (until_due_ms := self.ms_until_due()) > 0:
            self._is_changed.clear()
            await pause(self._is_changed, None if until_due_ms == math.inf else max(WAIT_MIN_S, until_due_ms / 1000))

    async def fire(self, longest: Mapping[str, int] | None = None) -> None:
        """Move due timers onto the stream; note when the next one is due.

        After a takeover, `longest` says how long each kind can be: one due later counts as due, since someone has set
        Redis's clock back.
        """
        self._set_while_firing_ms = None
        now_ms = self._clock.now_ms()
        _, next_due_ms = await self._store.fire_timers(self._partition, self._lease, now_ms, longest or {})
        # The script's answer misses timers that were committed after it ran.
        due_times_ms = [due_ms for due_ms in (next_due_ms, self._set_while_firing_ms) if due_ms is not None]
        self._next_ms = min(due_times_ms, default=None)

    def note_set(self, due_ms: int) -> None:
        """Note a committed timer; `due_ms` is Unix milliseconds."""
        if self._set_while_firing_ms is None or due_ms < self._set_while_firing_ms:
            self._set_while_firing_ms = due_ms
        if self._next_ms is None or due_ms < self._next_ms:
            self._next_ms = due_ms
            self._is_changed.set()
