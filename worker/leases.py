"""Which partitions this worker holds: takes its share of them, renews its own, gives back what others lack.

A share follows from who is alive and who holds what (`worker.shares`). Every worker works it out by itself, and all
come to the same; while they don't, the lease decides. On a clean stop all are given back.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Collection

import structlog

from conferral.runtime.clock import Clock, StoreClock
from conferral.runtime.errors import StoreError
from conferral.runtime.lifecycle import pause
from conferral.runtime.metrics import Metrics
from conferral.runtime.outage import note_unreachable
from conferral.storage import lease as leases
from conferral.storage.connection import Client
from conferral.storage.keys import Keys
from conferral.storage.lease import LEASE_MS, RENEW_EVERY_S, REWIND_CARE_S, Lease, Renewal, Taken
from conferral.storage.levels import Level
from conferral.worker.company import Company
from conferral.worker.executor import Executor
from conferral.worker.held import HeldPartition, Surroundings
from conferral.worker.rollback_checks import RollbackChecks
from conferral.worker.shares import OthersLeases, quotas

log = structlog.get_logger()

#: How often free and expired leases are looked for, seconds.
TAKE_EVERY_S = 0.5
#: Leases asked for at the same time, count: no burst on Redis at start, and few waits one after the other when it is
#: silent.
AT_ONCE_MAX = 64
#: Share of a lease that has to be left when a REST request is sent: connecting takes its time.
MARGIN = 0.2
#: How long one that has nothing under way at Twilio is waited for before one that has is given back, seconds.
IDLE_WAIT_S = 0.5
IDLE_LOOK_S = 0.02
#: How long what is under way for a partition is waited for before it is given back, seconds.
HAND_OVER_S = 2.0
#: How long what is free is left to those who lack some before anybody takes it, seconds.
UNCLAIMED_S = 2.0
#: How long nothing more is given back when somebody who lacks some has not taken what was, seconds, first and at most:
#: he is offered some ever more seldom.
KEEPS_S = 4.0
KEEPS_MAX_S = 240.0
#: Tries to give a lease back while Redis is away, count, and the pause between them, seconds.
RELEASE_TRIES = 5
RELEASE_PAUSE_S = 0.2


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
        level: Level | None = None,
    ) -> None:
        self._client = client
        self._keys = keys
        self._name = name
        self._clock = clock
        self._store_clock = store_clock
        self._metrics = metrics
        self._lease_ms = lease_ms
        self._renew_every_s = min(RENEW_EVERY_S, lease_ms / 1000 / 3)
        self._level = level or Level()
        self.company = Company(client, keys, name, clock, store_clock, self._look_soon, self._level, lease_ms)
        self._others = OthersLeases(client, keys, name, clock, store_clock, lease_ms)
        self._wakes = asyncio.Event()
        self._giving: asyncio.Task[None] | None = None
        self._keeps_until_s = 0.0
        self._keeps_s = KEEPS_S
        #: What was given back and is not taken yet, as far as is known.
        self._given: set[int] = set()
        self.held: dict[int, HeldPartition] = {}
        self._running: dict[int, asyncio.Task[None]] = {}
        #: Until when the orders of a partition may be ones that were carried out before, monotonic seconds.
        self._rewound_until_s: dict[int, float] = {}
        #: Partitions that were rolled back under this worker's lease, and whose sessions are not being checked yet.
        self._unchecked: set[int] = set()
        self._checks = RollbackChecks(metrics)
        #: Set when a timer was set that is due before those that are known.
        self.timers_changed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<LeaseKeeper {self._name} holds {sorted(self.held)}>"

    @property
    def workers_alive(self) -> int:
        """How many workers there are, this one among them (count)."""
        return self.company.count

    def _look_soon(self) -> None:
        self._wakes.set()

    async def keep(self, stop: asyncio.Event, around: Surroundings, executor: Executor) -> None:
        """Renews and shares out until the process stops, then finishes what is in hand.

        Leases of partitions for which nothing is under way at Twilio are given back at once; `release` does the rest.

        Args:
            stop: Set when the process shall stop.
            around: What partitions need.
            executor: Forgets the unsent orders of a partition that was lost.
        """
        drop = executor.drop_partition
        renewed_at_s = self._clock.monotonic_s()
        while not stop.is_set():
            self._wakes.clear()
            self._reap(drop)
            if self._clock.monotonic_s() - renewed_at_s >= self._renew_every_s:
                renewed_at_s = self._clock.monotonic_s()
                await self._each(list(self.held), self.renew)
            if self.company.has_looked.is_set():
                await self._share_out(around, executor)
            self._metrics.partitions_held.set(len(self.held))
            self._metrics.workers_alive.set(self.workers_alive)
            await self._wait(stop)
        self.timers_changed.set()  # whoever waits for the next timer need not wait any longer
        self._checks.stop()
        if self._giving is not None:
            await asyncio.wait({self._giving})
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

        await self._each([number for number in self.held if number not in except_for], one)
        await self.company.hint()

    async def wind_down(self, is_over: asyncio.Event, executor: Executor) -> None:
        """While a worker that stops finishes what is under way: gives back what has nothing left, renews the rest.

        Twilio may take its time, and a lease that ran out would make the next holder look at everything twice.

        Args:
            is_over: Set when nothing is waited for any more.
            executor: Tells what is under way.
        """
        renewed_at_s = self._clock.monotonic_s()
        while not is_over.is_set() and self.held:
            if self._clock.monotonic_s() - renewed_at_s >= self._renew_every_s:
                renewed_at_s = self._clock.monotonic_s()
                await self._each(list(self.held), self.renew)
                for number in [number for number, held in self.held.items() if held.is_lost]:
                    executor.drop_partition(number)
                    del self.held[number]
            busy = executor.busy_partitions
            free = self.held.keys() - busy
            if free:
                await self.release(except_for=busy)
            was_refused = not free.isdisjoint(self.held)
            await pause(is_over, RELEASE_PAUSE_S if was_refused else IDLE_LOOK_S)

    def now_ms(self, partition: int) -> int:
        """The time of a partition, Unix milliseconds; of one that is not held here any more, Redis's."""
        held = self.held.get(partition)
        return held.clock.now_ms() if held is not None else self._store_clock.now_ms()

    def is_ours(self, partition: int) -> bool:
        """Whether the lease of a partition runs now, by our own clock: a stop of the whole process counts."""
        held = self.held.get(partition)
        return held is not None and not held.is_lost and held.lease.is_sure(self._clock)

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
        if step_ms := held.clock.observe(now_ms, asked_at_s):
            log.warning("store_clock_set", partition=partition, duration_ms=step_ms)
        if renewal is Renewal.LOST:
            held.lose()
        elif renewal is Renewal.REWOUND:
            log.error("history_rewound", partition=partition, holder=held.lease.holder)
            held.was_rewound = True
            held.lose()

    # ---- sharing out ----------------------------------------------------------------------------------------------

    async def _wait(self, stop: asyncio.Event) -> None:
        waiting = {asyncio.ensure_future(self._wakes.wait()), asyncio.ensure_future(stop.wait())}
        wait_s = min(TAKE_EVERY_S, self._renew_every_s)
        await asyncio.wait(waiting, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        for waiter in waiting:
            waiter.cancel()

    async def _share_out(self, around: Surroundings, executor: Executor) -> None:
        """Takes what this worker lacks, or gives one back of which it has too many.

        What it can't read it leaves to newer versions: it takes nothing, and gives back all that it has.
        """
        if self._level.is_too_new:
            if self.held and self._giving is None:
                self._giving = asyncio.get_running_loop().create_task(self._give_one_back(executor))
            return
        others, now_s = self._others, self._clock.monotonic_s()
        try:
            not_held = [number for number in range(self._keys.partitions) if number not in self.held]
            await others.look(not_held, 2 * self._renew_every_s)
        except StoreError as error:
            note_unreachable(error, task="leases")
            return
        held = Counter({**others.held, self._name: len(self.held)})
        shares = quotas(held, self.company.names, self._keys.partitions)
        wanted = shares.pop(self._name) - len(self.held)
        lacking = sum(max(0, share - held[name]) for name, share in shares.items() if self.company.is_fresh(name))
        unclaimed = [number for number in others.free if others.waited_s(number) >= UNCLAIMED_S]
        self._see_whether_taken(unclaimed)
        if wanted > 0:
            await self._take_some(wanted, around)
        elif unclaimed:
            part = math.ceil(len(unclaimed) / self.workers_alive)
            await self._each(unclaimed[:part], lambda number: self._take(number, around))
        elif wanted < 0 and lacking > len(others.free) and now_s >= self._keeps_until_s and self._giving is None:
            self._giving = asyncio.get_running_loop().create_task(self._give_one_back(executor))

    def _see_whether_taken(self, unclaimed: Collection[int]) -> None:
        """Whether what was given back is taken, or whoever lacks it seems not to want it."""
        for number in list(self._given):
            if number in unclaimed:
                self._keeps_until_s = self._clock.monotonic_s() + self._keeps_s
                self._keeps_s = min(2 * self._keeps_s, KEEPS_MAX_S)
                self._given.clear()
                return
            if number not in self._others.free:
                self._keeps_s = KEEPS_S
                self._given.discard(number)

    async def _take_some(self, wanted: int, around: Surroundings) -> None:
        free = self._others.free
        while free and wanted > 0:
            asked, free = free[:wanted], free[wanted:]
            before = len(self.held)
            await self._each(asked, lambda number: self._take(number, around))
            wanted -= len(self.held) - before

    async def _take(self, partition: int, around: Surroundings) -> None:
        watch = self._others.watch(partition)
        taken, _ = await leases.take(
            self._client, self._keys.lease(partition), self._name, self._clock, self._lease_ms, watch
        )
        if not isinstance(taken, Taken):
            self._others.forget(partition)
            self._start(partition, taken, around)

    async def _give_one_back(self, executor: Executor) -> None:
        """Gives a partition back between two batches: the next holder goes on at once, and finds nothing under way."""
        held = await self._to_give(executor)
        if held is None:
            return
        running = self._running.pop(held.number)
        held.stop()
        await asyncio.wait({running})
        if held.is_lost or running.exception() is not None:
            executor.drop_partition(held.number)
            self._note_end(held, running)
        else:
            await executor.drain_partition(held.number, HAND_OVER_S)
            await self._release_one(held)
        self._look_soon()

    async def _to_give(self, executor: Executor) -> HeldPartition | None:
        """Of those with nothing under way at Twilio the one with the fewest sessions; of all, when all are busy."""
        until_s = self._clock.monotonic_s() + IDLE_WAIT_S
        while True:
            now_s, busy = self._clock.monotonic_s(), executor.busy_partitions
            held = [
                one
                for number, one in self.held.items()
                if one.goes_on and self._rewound_until_s.get(number, 0.0) <= now_s
            ]
            idle = [one for one in held if one.number not in busy]
            if idle or not held or now_s >= until_s:
                return min(idle or held, key=lambda one: len(one.states.by_session), default=None)
            await asyncio.sleep(IDLE_LOOK_S)

    async def _release_one(self, held: HeldPartition) -> None:
        for _ in range(RELEASE_TRIES):
            if held.is_lost:
                break
            try:
                await leases.release(self._client, held.lease, held.clock.now_ms())
                self._given.add(held.number)
                log.info("lease_given_back", partition=held.number, holder=held.lease.holder)
                break
            except StoreError as error:
                note_unreachable(error, partition=held.number)
                await asyncio.sleep(RELEASE_PAUSE_S)
        # Where it could not be given back it runs out.
        self._forget(held)
        await self.company.hint()

    # ---- one partition --------------------------------------------------------------------------------------------

    def _start(self, partition: int, lease: Lease, around: Surroundings) -> None:
        # The holder before may not have lived to notice.
        until_s = max(self._rewound_until_s.get(partition, 0.0), lease.rewound_until_s)
        if lease.rewound_until_s > self._clock.monotonic_s():
            self._unchecked.add(partition)
        held = HeldPartition(partition, lease, around, self.timers_changed.set, self.renew, looks_first_until_s=until_s)
        self.held[partition] = held
        if partition in self._unchecked:
            self._unchecked.discard(partition)
            self._checks.add(partition, lease.holder, around.access, lambda: held.goes_on)
        self._running[partition] = asyncio.get_running_loop().create_task(held.run())
        outcome = "clean" if lease.was_clean else "expired"
        log.info("lease_taken", partition=partition, holder=lease.holder, outcome=outcome)

    def _reap(self, drop: Callable[[int], None]) -> None:
        if self._giving is not None and self._giving.done():
            self._giving.result()
            self._giving = None
        for partition, task in list(self._running.items()):
            held = self.held[partition]
            if held.is_lost:
                drop(partition)
            if task.done():
                del self._running[partition]
                self._note_end(held, task)

    def _note_end(self, held: HeldPartition, task: asyncio.Task[None]) -> None:
        """A partition's work has ended: it was stopped, or its lease is lost or has to run out."""
        if held.is_lost:
            log.warning("lease_lost", partition=held.number, holder=held.lease.holder)
            self._forget(held)
        task.result()

    def _forget(self, held: HeldPartition) -> None:
        if held.was_rewound:
            self._rewound_until_s[held.number] = self._clock.monotonic_s() + REWIND_CARE_S
            self._unchecked.add(held.number)
        del self.held[held.number]
        self._others.forget(held.number)

    async def _each(self, partitions: list[int], act: Callable[[int], Awaitable[None]]) -> None:
        for start in range(0, len(partitions), AT_ONCE_MAX):
            results = await asyncio.gather(
                *(act(number) for number in partitions[start : start + AT_ONCE_MAX]), return_exceptions=True
            )
            for result in results:
                if isinstance(result, StoreError):
                    note_unreachable(result)
                elif isinstance(result, BaseException):
                    raise result
