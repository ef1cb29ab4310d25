"""Which partitions this worker holds: takes free and expired ones, renews its own, gives all back on a clean stop."""

import asyncio
from collections.abc import Awaitable, Callable, Collection

import structlog

from runtime.clock import Clock, StoreClock
from runtime.errors import StoreError
from runtime.lifecycle import pause
from runtime.metrics import Metrics
from streams import lease as leases
from streams.connection import Client
from streams.keys import Keys
from streams.lease import LEASE_MS, RENEW_EVERY_S, Lease, Renewal, Taken
from worker.executor import Executor
from worker.held import HeldPartition, Surroundings

log = structlog.get_logger()

#: How often free and expired leases are looked for, seconds.
TAKE_EVERY_S = 0.5
#: Leases asked for at the same time, count: no burst on Redis at start, and few waits one after the other when it is
#: silent.
AT_ONCE_MAX = 64
#: Share of a lease that has to be left when a REST request is sent: connecting takes its time.
MARGIN = 0.2
#: How long orders are looked up before they are sent after Redis's history was rewound, seconds.
REWIND_CARE_S = 60.0


class LeaseKeeper:
    """Holds partitions and runs them."""

    def __init__(
        self,
        client: Client,
        keys: Keys,
        name: str,
        clock: Clock,
        store_clock: StoreClock,
        metrics: Metrics,
        lease_ms: int = LEASE_MS,
    ) -> None:
        self._client = client
        self._keys = keys
        self._name = name
        self._clock = clock
        self._store_clock = store_clock
        self._metrics = metrics
        self._lease_ms = lease_ms
        self._renew_every_s = min(RENEW_EVERY_S, lease_ms / 1000 / 3)
        self.held: dict[int, HeldPartition] = {}
        self._running: dict[int, asyncio.Task[None]] = {}
        #: Until when the orders of a partition may be ones that were carried out before, monotonic seconds.
        self._rewound_until_s: dict[int, float] = {}
        #: Partitions whose work failed by a mistake of ours: their leases run out instead of being given back, so that
        #: the next holder is careful.
        self._failed: set[int] = set()
        #: Set when a timer was set that is due before those that are known.
        self.timers_changed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<LeaseKeeper {self._name} holds {sorted(self.held)}>"

    async def keep(self, stop: asyncio.Event, around: Surroundings, executor: Executor) -> None:
        """Renews and takes until the process stops, then finishes what is in hand.

        Leases of partitions for which nothing is under way at Twilio are given back at once; `release` does the rest.

        Args:
            stop: Set when the process shall stop.
            around: What partitions need.
            executor: Forgets the unsent orders of a partition that was lost.
        """
        drop = executor.drop_partition
        renewed_at_s = self._clock.monotonic_s()
        while not stop.is_set():
            self._reap(drop)
            if self._clock.monotonic_s() - renewed_at_s >= self._renew_every_s:
                renewed_at_s = self._clock.monotonic_s()
                await self._each(list(self.held), self.renew)
            free = [number for number in range(self._keys.partitions) if number not in self.held]
            await self._each(free, lambda number: self._take(number, around))
            self._metrics.partitions_held.set(len(self.held))
            await pause(stop, min(TAKE_EVERY_S, self._renew_every_s))
        self.timers_changed.set()  # whoever waits for the next timer need not wait any longer
        for held in self.held.values():
            held.stop()
        if self._running:
            await asyncio.wait(self._running.values())
        self._reap(drop)
        await self.release(except_for=executor.busy_partitions)

    async def release(self, *, except_for: Collection[int] = ()) -> None:
        """Gives leases back, so that the next worker need not wait."""

        async def one(number: int) -> None:
            await leases.release(self._client, self.held[number].lease, self.held[number].clock.now_ms())
            del self.held[number]

        await self._each([number for number in self.held if number not in self._failed | {*except_for}], one)

    def now_ms(self, partition: int) -> int:
        """The time of a partition, Unix milliseconds; of one that is not held here any more, Redis's."""
        held = self.held.get(partition)
        return held.clock.now_ms() if held is not None else self._store_clock.now_ms()

    async def may_send(self, partition: int) -> bool:
        """Whether a REST request may be sent for a partition now: waits until it is sure, or sure that it is not."""
        while (held := self.held.get(partition)) is not None and not held.is_lost:
            margin_s = self._lease_ms / 1000 * MARGIN
            if held.lease.is_sure(self._clock, margin_s):
                return True
            # Past the lease's end by our own clock somebody else may have it; only Redis knows.
            await self._each([partition], self.renew)
            if not held.lease.is_sure(self._clock, margin_s):
                await asyncio.sleep(TAKE_EVERY_S)
        return False

    async def renew(self, partition: int) -> None:
        """Renews one lease."""
        held = self.held.get(partition)
        if held is None or held.is_lost:
            return
        asked_at_s = self._clock.monotonic_s()
        renewal, now_ms = await leases.renew(self._client, held.lease, self._clock, self._lease_ms, held.clock.now_ms())
        self._store_clock.observe(now_ms, asked_at_s)
        if step_ms := held.clock.observe(now_ms, asked_at_s):
            log.warning("store_clock_set", partition=partition, duration_ms=step_ms)
        if renewal is Renewal.LOST:
            held.lose()
        elif renewal is Renewal.REWOUND:
            log.error("history_rewound", partition=partition, holder=held.lease.holder)
            held.was_rewound = True
            held.lose()

    async def _take(self, partition: int, around: Surroundings) -> None:
        taken, now_ms = await leases.take(
            self._client, self._keys.lease(partition), self._name, self._clock, self._lease_ms
        )
        self._store_clock.observe(now_ms)
        if not isinstance(taken, Taken):
            self._start(partition, taken, around)

    def _start(self, partition: int, lease: Lease, around: Surroundings) -> None:
        was_rewound = self._rewound_until_s.get(partition, 0.0) > self._clock.monotonic_s()
        held = HeldPartition(partition, lease, around, self.timers_changed.set, self.renew, looks_first=was_rewound)
        self.held[partition] = held
        self._running[partition] = asyncio.get_running_loop().create_task(held.run())
        outcome = "clean" if lease.was_clean else "expired"
        log.info("lease_taken", partition=partition, holder=lease.holder, outcome=outcome)

    def _reap(self, drop: Callable[[int], None]) -> None:
        for partition, task in list(self._running.items()):
            held = self.held[partition]
            if held.is_lost:
                drop(partition)
            if not task.done():
                continue
            del self._running[partition]
            if held.was_rewound:
                self._rewound_until_s[partition] = self._clock.monotonic_s() + REWIND_CARE_S
            if held.is_lost:
                log.warning("lease_lost", partition=partition, holder=held.lease.holder)
                del self.held[partition]
            if task.exception() is not None:
                self._failed.add(partition)
            task.result()  # an error of ours ends the process: the supervisor starts a fresh one

    async def _each(self, partitions: list[int], act: Callable[[int], Awaitable[None]]) -> None:
        for start in range(0, len(partitions), AT_ONCE_MAX):
            results = await asyncio.gather(
                *(act(number) for number in partitions[start : start + AT_ONCE_MAX]), return_exceptions=True
            )
            for result in results:
                if isinstance(result, StoreError):
                    log.warning("store_unreachable", reason=str(result))
                elif isinstance(result, BaseException):
                    raise result
