"""Workers that only hold partitions, in virtual time: they join, leave, die and stall, and Redis's clock is set."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from conferral.runtime.metrics import Metrics
from conferral.storage.coordinator import read_owners
from conferral.storage.keys import Keys
from conferral.worker.core import WorkerCore, no_checkpoint
from conferral.worker.held_partitions import HeldPartitions
from conferral.worker.ownership import Ownership
from conferral.worker.partition.partition import Partition
from tests.simulation.virtual_loop import Process, VirtualLoop
from tests.support.memory_redis import MemoryServer
from tests.support.memory_redis.client import MemoryClient
from tests.support.stores import partition_store_of
from tests.worker.cores import core_of

#: The world's Unix time at its beginning, milliseconds.
EPOCH_MS = 1_800_000_000_000


class ClusterClock:
    """A process's clocks: its own zero, and the virtual world's time."""

    def __init__(self, loop: VirtualLoop, zero_s: float) -> None:
        self._loop = loop
        self._zero_s = zero_s

    def monotonic_s(self) -> float:
        return self._zero_s + self._loop.time()

    def wall_ms(self) -> int:
        return EPOCH_MS + round(self._loop.time() * 1000)


@dataclass
class Work:
    """Stands in for the executor: what is under way at Twilio for a partition."""

    busy_partitions: set[int] = field(default_factory=set)
    #: How long releasing a partition may wait for it, seconds.
    drains_s: set[float] = field(default_factory=set)
    drained: list[int] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    left: list[int] = field(default_factory=list)

    def drop_partition(self, partition: int) -> None:
        self.dropped.append(partition)

    def leave_partition(self, partition: int) -> None:
        self.left.append(partition)

    def submit(self, _job: object) -> None:
        """Twilio does not answer."""

    def withdraw(self, _effect: object) -> None: ...

    def expedite_read(self, _session_id: str) -> None: ...

    def cancel_session(self, _session_id: str) -> None: ...

    def cancel_unwanted_dials(self, _sessions: object) -> None: ...

    async def drain_partition(self, partition: int, timeout_s: float) -> None:
        self.drained.append(partition)
        self.drains_s.add(timeout_s)
        self.busy_partitions.discard(partition)


@dataclass
class ClusterMember:
    """A worker."""

    name: str
    process: Process
    #: Its line to Redis, whose `latency` and `fault` may differ from others'.
    line: MemoryClient
    ownership: Ownership
    work: Work
    core: WorkerCore
    clock: ClusterClock
    metrics: Metrics
    stop: asyncio.Event
    task: asyncio.Task[Any]

    def kill(self) -> None:
        self.process.kill()

    async def leave(self) -> None:
        """Stops as SIGTERM does."""
        self.stop.set()
        await self.task
        await self.process.start(self.ownership.leave())


class WorkerCluster:
    """All workers and their Redis."""

    def __init__(self, loop: VirtualLoop, partitions: int = 16) -> None:
        self.loop = loop
        self.server_set_ms = 0
        self.server = MemoryServer(lambda: EPOCH_MS + round(loop.time() * 1000) + self.server_set_ms)
        self.keys = Keys("test", partitions)
        self.client = self.server.client()
        self.alive: dict[str, ClusterMember] = {}
        self.joined: list[ClusterMember] = []
        self._joined = 0

    def join(
        self,
        *,
        work: Work | None = None,
        checkpoint: Callable[[str, int], Awaitable[None]] = no_checkpoint,
    ) -> ClusterMember:
        """A worker starts."""
        self._joined += 1
        name = f"worker-{(self._joined * 7919) % 1000:03}"
        process = Process(self.loop, name)
        client, blocking = self.server.client(), self.server.client(blocking=True)
        clock = ClusterClock(self.loop, 1000.0 * self._joined)
        metrics, work, stop = Metrics(), work or Work(), asyncio.Event()
        process.when_dead(client.kill)
        store = partition_store_of(client, self.keys, blocking=blocking)
        core = core_of(client, self.keys, clock, name, metrics=metrics, partition_store=store, checkpoint=checkpoint)
        held: HeldPartitions[Partition] = HeldPartitions(clock, core.lifetime_s)
        executor: Any = work  # this is all that it asks an executor
        ownership = Ownership(core, held, executor)
        task = process.start(ownership.run(stop))
        member = ClusterMember(name, process, client, ownership, work, core, clock, metrics, stop, task)
        self.alive[name] = member
        self.joined.append(member)
        return member

    def kill(self, member: ClusterMember) -> None:
        member.kill()
        del self.alive[member.name]

    async def leave(self, member: ClusterMember) -> None:
        await member.leave()
        del self.alive[member.name]

    async def passes(self, time_s: float) -> None:
        """Time passes, which is virtual."""
        await asyncio.sleep(time_s)  # a delay: virtual time

    def set_clock(self, by_s: float) -> None:
        """Someone sets Redis's clock."""
        self.server_set_ms += round(by_s * 1000)

    def assert_all_work(self) -> None:
        """Nothing of a worker alive has ended by itself."""
        for member in self.alive.values():
            if member.task.done():
                member.task.result()
                raise AssertionError(f"{member.name} has ended")

    async def owners(self) -> dict[int, str]:
        """Who owns each partition, as the coordinator has it; free partitions are left out."""
        owners = await read_owners(self.client, self.keys)
        return {number: name for number in range(self.keys.partitions) if (name := owners[str(number)].name)}

    async def shares(self) -> list[int]:
        """How many partitions each worker alive holds (counts), fewest first."""
        held = Counter((await self.owners()).values())
        return sorted(held[name] for name in self.alive)

    async def is_fair(self) -> bool:
        """Whether all partitions are held by workers alive, each by one, and shares differ by one at most."""
        shares = sorted(len(member.ownership.partitions) for member in self.alive.values())
        if sum(shares) != self.keys.partitions or shares[-1] - shares[0] > 1:
            return False
        owners = await self.owners()
        return all(
            {number for number, name in owners.items() if name == member.name} == member.ownership.partitions.keys()
            for member in self.alive.values()
        )

    async def until_fair(self, timeout_s: float) -> float:
        """How long it takes until it is fair, seconds."""
        began_s = self.loop.time()
        while not await self.is_fair():
            if self.loop.time() - began_s > timeout_s:
                reported = {name: sorted(member.ownership.partitions) for name, member in self.alive.items()}
                raise AssertionError(f"not fair after {timeout_s} s: {await self.owners()} {reported}")
            await asyncio.sleep(0.01)
        return self.loop.time() - began_s

    async def epochs(self) -> list[int]:
        """How often each partition has had a new owner (counts)."""
        owners = await read_owners(self.client, self.keys)
        return [owners[str(number)].epoch for number in range(self.keys.partitions)]


@asynccontextmanager
async def running_cluster(loop: VirtualLoop, partitions: int = 16) -> AsyncIterator[WorkerCluster]:
    """A cluster in which nothing fails unnoticed; workers are killed at the end."""
    team = WorkerCluster(loop, partitions)
    try:
        yield team
        assert loop.faults == []
        team.assert_all_work()
    finally:
        for member in team.joined:  # what is left of one that has left would log when it is collected, in another test
            member.kill()


@asynccontextmanager
async def cluster_of_one(loop: VirtualLoop, partitions: int = 16) -> AsyncIterator[tuple[WorkerCluster, ClusterMember]]:
    """A cluster of which one worker holds everything."""
    async with running_cluster(loop, partitions) as team:
        member = team.join()
        await team.until_fair(2.0)
        yield team, member
