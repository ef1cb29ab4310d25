"""Which partitions and tasks this worker owns.

Every half second, each worker calls the coordinator, one script in Redis (`answer_tick-2.lua`). It renews what the
worker owns, computes its share of the partitions, and hands out what is free. This file is the worker's side, top to
bottom: the tick, what follows from its answer, the life of one partition, and the stop.

Redis's clock decides nothing. Each tick carries a number that grows. A worker whose number has not changed for its
lifetime, by another worker's monotonic clock, is dead; if it still has that number, the script frees what it owned
(takeover). So the others count from when a tick arrived. The worker itself counts from when it sent it, which is
earlier: it stops sending before a successor starts. The lifetime grows with the round trip, for a slow Redis, but not
where Sentinels or a cluster may name another primary: its workers know only lifetimes that were replicated.
"""

import asyncio
import math
from collections.abc import Collection

import structlog

from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import StoreError
from conferral.runtime.lifecycle import wait_at_most
from conferral.runtime.log import log_unreachable
from conferral.storage import coordinator
from conferral.storage.coordinator import EpochUsedError, Granted, Lease, OtherWorker, Tick, Wants
from conferral.worker.core import REDIS_PAUSE_S, TICK_S, WorkerCore
from conferral.worker.executor.executor import Executor
from conferral.worker.held_partitions import HeldPartitions, PartitionStatus
from conferral.worker.partition.partition import Partition

log = structlog.get_logger()

#: How long the other workers may take to tick, and to confirm what they own, once Redis is back, seconds.
OTHERS_TICK_S = 2 * TICK_S
#: How long a partition that ends waits for its running jobs, seconds.
DRAIN_S = 2.0
#: How long partitions may be without a worker before `/readyz` says so, seconds.
UNOWNED_S = 5.0
#: Pause between checks for running jobs during a stop, seconds.
IDLE_POLL_S = 0.02


class Ownership:
    """Owns tasks and a fair share of the partitions; runs the partitions."""

    def __init__(
        self,
        core: WorkerCore,
        held: HeldPartitions[Partition],
        executor: Executor,
    ) -> None:
        self._core = core
        self._executor = executor
        self._clock = core.clock
        self.held = held
        self.partitions = held.partitions
        self._tick_number, self._round_trip_s = 0, 0.0
        #: Whether a tick has failed, or none was answered for a lifetime, since the last answer.
        self._was_away = False
        #: When the last tick was answered, monotonic seconds.
        self._answered_at_s = float("-inf")
        #: What the coordinator's last answer granted: epochs by partition number (as text) or task name.
        self._granted_epochs: dict[str, int] = {}
        self._unowned_since_s: float | None = None
        #: The other workers' newest ticks, and since when each is the newest, monotonic seconds.
        self._other_workers: dict[str, tuple[OtherWorker, float]] = {}
        #: By partition: the highest epoch that has ended here or was refused. A failover may make Redis forget it.
        self._ended: dict[int, int] = {}
        #: By partition: its epoch, and the task that serves it.
        self._serving: dict[int, tuple[int, asyncio.Task[None]]] = {}
        #: Partitions that an unexpected error has ended here.
        self._failed: set[int] = set()
        self._stopping, self._wake = asyncio.Event(), asyncio.Event()

    # ---- what others ask ---------------------------------------------------------------------------------------------

    def owns(self, task: str) -> bool:
        """Whether this worker, and no other, does the task now."""
        return task in self._granted_epochs and self.held.is_sending_allowed

    @property
    def problems(self) -> list[str]:
        """Why this worker does not serve all calls, one line each."""
        now_s = self._clock.monotonic_s()
        problems = []
        if self.partitions and not self.held.is_sending_allowed:
            problems.append(f"no request may leave: Redis took {self._round_trip_s:.1f} s to renew the leases")
        if self._unowned_since_s is not None and now_s - self._unowned_since_s > UNOWNED_S:
            problems.append("partitions unassigned")
        return problems

    # ---- the tick ----------------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Tick until the stop; then let every partition finish its batch."""
        stopping = asyncio.ensure_future(stop.wait())
        stopping.add_done_callback(lambda _: self._wake.set())
        try:
            while not stop.is_set():
                self._wake.clear()
                is_refused = self._core.is_refused
                granted = await self._tick(Wants.NOTHING if is_refused else Wants.SHARE)
                if granted is not None and not stop.is_set():
                    self._start_and_stop(granted)
                    self._stop_surplus(granted.surplus, also_busy=is_refused)
                await wait_at_most(self._wake, self._until_next_tick_s())
        finally:
            stopping.cancel()
        self._stopping.set()
        for partition in self.partitions.values():
            partition.stop()
        if tasks := [task for _, task in self._serving.values()]:
            await asyncio.wait(tasks)

    async def _tick(self, wants: Wants) -> Granted | None:
        """Renew what is owned; None if Redis fails, or had a later tick before."""
        sent_s = self._clock.monotonic_s()
        if sent_s - self._answered_at_s > self._core.lifetime_s:
            self._other_workers.clear()  # Redis was unreachable, or this process suspended: they get their time again
            self._was_away = self._answered_at_s > -math.inf
        self._tick_number += 1
        tick = Tick(
            name=self._core.name,
            number=self._tick_number,
            lifetime_s=self.held.lifetime_s,
            wants=wants,
            tasks=self._core.tasks,
            ended_epochs=self._ended_epochs_to_report,
            dead={
                name: worker.number
                for name, (worker, since_s) in self._other_workers.items()
                if since_s + worker.lifetime_s <= sent_s
            },
        )
        # From its arrival on, the others wait only this long, although its answer may be lost.
        self.held.valid_until_s = min(self.held.valid_until_s, sent_s + tick.lifetime_s)
        try:
            granted = await coordinator.send_tick(self._core.reserved, self._core.keys, tick)
        except StoreError as error:
            log_unreachable(error, task="leases")
            self._was_away = True
            return None
        finally:
            self._round_trip_s = self._clock.monotonic_s() - sent_s
            self.held.note_round_trip(self._round_trip_s)
        if granted is not None:
            self.held.valid_until_s = sent_s + tick.lifetime_s
            self._apply_answer(granted, tick, sent_s)
        return granted

    def _apply_answer(self, granted: Granted, tick: Tick, sent_s: float) -> None:
        """Update what is known of the other workers, and what is granted."""
        now_s = self._answered_at_s = self._clock.monotonic_s()
        if self._was_away:
            # Redis may be an older copy, in which this worker still owns what another has taken over since. By then,
            # that one has ticked, found its lease missing, and noted the loss.
            self._core.confirm_from_s, self._was_away = now_s + OTHERS_TICK_S, False
        self._core.store_clock.observe(granted.now_ms, sent_s)
        for name in tick.dead.keys() - granted.others.keys():
            log.warning("worker_lost", holder=name)
        before = self._other_workers
        self._other_workers = {
            name: before[name] if name in before and before[name][0].number == worker.number else (worker, now_s)
            for name, worker in granted.others.items()
        }
        self.held.live_workers = 1 + len(granted.others)
        self._granted_epochs = dict(granted.epochs)
        # Also those that were granted but not claimed: another program's keys may prevent it.
        unowned = granted.free + len(self._serving.keys() - self.partitions.keys())
        self._unowned_since_s = None if not unowned else self._unowned_since_s or now_s
        metrics = self._core.metrics
        metrics.workers_alive.set(self.held.live_workers)
        metrics.partitions_unassigned.set(unowned)
        metrics.lease_round_trip.set(self._round_trip_s)
        self.held.renew()

    def _until_next_tick_s(self) -> float:
        """Return the wait; it ends early when another worker's lifetime does."""
        wait_s = min(TICK_S, self._core.lifetime_s / 4) - self._round_trip_s
        ends_s = [since_s + worker.lifetime_s for worker, since_s in self._other_workers.values()]
        dies_at_s = min(ends_s, default=math.inf)
        return max(IDLE_POLL_S, min(wait_s, dies_at_s - self._clock.monotonic_s()))

    @property
    def _ended_epochs_to_report(self) -> dict[int, int]:
        """What the coordinator still grants us, though its epoch has ended here."""
        granted = self._granted_epochs
        return {number: ended for number, ended in self._ended.items() if ended >= granted.get(str(number), math.inf)}

    # ---- its consequences for the partitions -------------------------------------------------------------------------

    def _start_and_stop(self, granted: Granted) -> None:
        """Start new partitions, and stop lost ones."""
        epochs = {int(item): epoch for item, epoch in granted.epochs.items() if item.isdecimal()}
        for number, (epoch, _) in list(self._serving.items()):
            if epochs.get(number) != epoch:
                self._stop_lost(number)
        for number, epoch in epochs.items():
            # This worker has finished with it, but the coordinator learns that only with the next tick.
            is_finished = self._ended.get(number, -1) >= epoch
            if number not in self._serving and not is_finished:
                task = asyncio.get_running_loop().create_task(self._serve(number, epoch))
                self._serving[number] = epoch, task
        self._core.metrics.partitions_held.set(len(self.partitions))

    def _stop_lost(self, number: int) -> None:
        """Stop a partition whose epoch has ended: lost, or granted a new epoch."""
        partition = self.partitions.get(number)
        if partition is None:
            self._serving[number][1].cancel()  # it has not been claimed yet
        elif not partition.status.is_aborted:
            partition.mark_lost()
            self._executor.drop_partition(number)

    def _stop_surplus(self, surplus: int, *, also_busy: bool) -> None:
        """Stop idle partitions above the share: only this rebalances live workers.

        `also_busy`: Twilio refuses what they ask for; the next owner sends it.
        """
        active = [partition for partition in self.partitions.values() if partition.status.is_active]
        on_their_way = len(self._serving) - len(active) + len(self._ended_epochs_to_report)
        busy = set() if also_busy else self._executor.busy_partitions
        idle = [partition for partition in active if partition.number not in busy]
        for partition in idle[: max(0, surplus - on_their_way)]:
            partition.stop()

    # ---- the life of a partition -------------------------------------------------------------------------------------

    async def _serve(self, number: int, epoch: int) -> None:
        """Claim a partition, run it, and report the end with the next tick.

        After an error, the coordinator usually grants it to this worker again, with a new epoch.
        """
        try:
            with contain(ItemKind.TASK, self._core.metrics, task="leases", partition=number):
                lease = await self._claim(number, epoch)
                if lease is not None:
                    await self._run_partition(number, lease)
        finally:
            del self._serving[number]
            if number not in self.partitions:  # otherwise, `drain` or `leave` releases it
                self._report_epoch_end(number, epoch)

    def _report_epoch_end(self, number: int, epoch: int) -> None:
        """Report an epoch's end with the next tick, unless a newer one is granted."""
        self._ended[number] = max(epoch, self._ended.get(number, 0))

    async def _claim(self, number: int, epoch: int) -> Lease | None:
        """Write our epoch into the lease key.

        Return None at a stop, or if a failover lost a grant, so that the epoch was used before.
        """
        core, holder = self._core, f"{epoch}:{self._core.name}"
        while not self._stopping.is_set():
            try:
                lease = await coordinator.claim_partition(core.reserved, core.keys, number, holder)
            except EpochUsedError as error:
                self._report_epoch_end(number, error.epoch)
                return None
            except StoreError as error:
                log_unreachable(error, partition=number)
                await asyncio.sleep(REDIS_PAUSE_S)
            else:
                has_died = self._has_died(lease.last_holder)
                lease.is_after_death = has_died or number in self._failed
                end = "expired" if has_died else "clean"
                core.metrics.leases_acquired.labels(end).inc()
                log.info("lease_acquired", partition=number, holder=holder, outcome=end)
                # A stop ends only the partitions that it finds. This one isn't among them. Its lease isn't released:
                # the next owner claims it as after a death, and verifies its effects.
                return lease if not self._stopping.is_set() else None
        return None

    def _has_died(self, last_holder: str) -> bool:
        """Whether a partition's last owner (empty if it released it) is dead."""
        return last_holder not in ("", self._core.name) and last_holder not in self._other_workers

    async def _run_partition(self, number: int, lease: Lease) -> None:
        """Run a claimed partition to its end, drain its jobs, and note the end.

        At a stop, the partition stays held until `drain` or `leave` releases its lease. After an abort, its jobs are
        dropped.
        """
        partition = Partition(number, lease, self._core, self._executor)
        self._failed.discard(number)
        self.partitions[number] = partition
        try:
            await partition.run()
            if self._stopping.is_set() and not partition.status.is_aborted:
                return  # its running requests may finish
            if not partition.status.is_aborted:
                await self._executor.drain_partition(number, DRAIN_S)
        finally:
            status = partition.status
            if status.is_aborted:
                self._executor.drop_partition(number)
            if status.is_aborted or not self._stopping.is_set():
                del self.partitions[number]
            if status is PartitionStatus.LOST:
                log.warning("lease_lost", partition=number, holder=lease.holder)
            elif status is PartitionStatus.FAILED:
                self._failed.add(number)
        await partition.note_end()

    # ---- the stop ----------------------------------------------------------------------------------------------------

    async def drain(self, is_drained: asyncio.Event) -> None:
        """Release idle partitions until `is_drained`; keep those with requests."""
        while not is_drained.is_set() and self.partitions:
            if self.held.live_workers > 1:  # a lone worker finishes them: no other could before the next start
                for number in self.partitions:
                    self._executor.leave_partition(number)
            await self._release(self.partitions.keys() - self._executor.busy_partitions)
            pause_s = IDLE_POLL_S
            if self._ended_epochs_to_report or self._clock.monotonic_s() - self._answered_at_s >= TICK_S:
                pause_s = IDLE_POLL_S if await self._tick(Wants.NOTHING) is not None else REDIS_PAUSE_S
            for number, partition in list(self.partitions.items()):
                if partition.status.is_aborted or str(number) not in self._granted_epochs:
                    self._executor.drop_partition(number)
                    del self.partitions[number]
            await wait_at_most(is_drained, pause_s)

    async def leave(self) -> None:
        """Free all partitions and tasks; without Redis, they expire."""
        await self._release([*self.partitions])
        await self._tick(Wants.TO_LEAVE)
        self.held.valid_until_s = float("-inf")

    async def _release(self, numbers: Collection[int]) -> None:
        """Release the leases of partitions, and report their epochs' ends."""
        released = [self.partitions.pop(number) for number in numbers]
        await asyncio.gather(*(partition.note_end() for partition in released))
        for number in numbers:
            self._report_epoch_end(number, self._granted_epochs.get(str(number), 0))
