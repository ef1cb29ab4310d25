"""A partition's timers: fires those that are due."""

import asyncio
import math
from collections.abc import Mapping
from typing import Never

from conferral.runtime.clock import StoreClock
from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import LeaseLostError, StoreError
from conferral.runtime.lifecycle import wait_at_most
from conferral.runtime.log import log_unreachable
from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import (
    COMMANDS,
    TIMERS,
    AgeOverdue,
    CallsOverdue,
    DialOverdue,
    HoldOverdue,
    ParkOverdue,
    ReadOverdue,
)
from conferral.statemachine.policy import Policy
from conferral.storage.coordinator import Lease
from conferral.storage.partition.partition_store import PartitionStore

#: The longest timer of a dial: a ring time of 600 s, and the gate; and of all kinds without a setting, milliseconds.
DIAL_MAX_MS = 670_000
OTHERS_MAX_MS = max(60_000, *(1_000 * command.pending_s for command in COMMANDS))
#: Minimum wait for a timer, seconds: due times are whole milliseconds.
WAIT_MIN_S = 0.002
#: Pause after an error of the timers, which stay due, seconds.
PAUSE_S = 0.5


def max_timer_lengths_ms(policy: Policy) -> dict[str, int]:
    """Return how long each kind of timer can be, milliseconds."""
    others_ms = max(OTHERS_MAX_MS, policy.convert_timeout_ms, policy.lone_grace_ms)
    return dict.fromkeys((kind.timer for kind in TIMERS), others_ms) | {
        CallsOverdue.timer: DIAL_MAX_MS,
        DialOverdue.timer: DIAL_MAX_MS,
        ParkOverdue.timer: policy.park_timeout_ms,
        ReadOverdue.timer: policy.background_read_timeout_ms,
        HoldOverdue.timer: policy.hold_limit_ms,
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
        #: Unix milliseconds, infinite without one: the next timer, and the earliest one set during a firing.
        self._next_ms = self._set_while_firing_ms = math.inf

    def ms_until_due(self) -> float:
        """Return the milliseconds until the next timer; infinite without one."""
        return self._next_ms - self._clock.now_ms()

    async def wait_until_due(self) -> None:
        """Wait for the next timer, also for one that is set meanwhile."""
        while (until_due_ms := self.ms_until_due()) > 0:
            self._is_changed.clear()
            await wait_at_most(
                self._is_changed, None if until_due_ms == math.inf else max(WAIT_MIN_S, until_due_ms / 1000)
            )

    async def run(self, metrics: Metrics, max_lengths_ms: Mapping[str, int]) -> Never:
        """Fire timers until LeaseLostError; after other errors, they stay due.

        Args:
            max_lengths_ms: The maximum length of each kind of timer. At first, one that is due later than this from now
                counts as due: Redis's clock was set back after it was stored.
        """
        while True:
            try:
                with contain(ItemKind.TIMER, metrics, passing=(StoreError,), partition=self._partition) as failure:
                    await self.fire(max_lengths_ms)
                if not failure:
                    max_lengths_ms = {}
                    await self.wait_until_due()
                    continue
            except LeaseLostError:
                raise
            except StoreError as error:
                log_unreachable(error, partition=self._partition)
            await asyncio.sleep(PAUSE_S)

    async def fire(self, max_lengths_ms: Mapping[str, int] | None = None) -> None:
        """Move due timers onto the stream, and store when the next one is due."""
        self._set_while_firing_ms = math.inf
        now_ms = self._clock.now_ms()
        next_due_ms = await self._store.fire_timers(self._partition, self._lease, now_ms, max_lengths_ms or {})
        # The script's answer misses timers that were committed after the script ran.
        self._next_ms = min(math.inf if next_due_ms is None else next_due_ms, self._set_while_firing_ms)

    def add_due(self, timers: Mapping[str, int | None]) -> None:
        """Add a commit's timers: when each is due, Unix milliseconds, or None."""
        self._set_due(min((due_ms for due_ms in timers.values() if due_ms is not None), default=math.inf))

    def _set_due(self, due_ms: float) -> None:
        self._set_while_firing_ms = min(self._set_while_firing_ms, due_ms)
        if due_ms < self._next_ms:
            self._next_ms = due_ms
            self._is_changed.set()
