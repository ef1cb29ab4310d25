"""An entry that kills each worker that decides it, and workers that are started again, as systemd does."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest

from conferral.statemachine.events import CallProgressed
from conferral.storage.coordinator import WORKER_LIFETIME_MS
from conferral.storage.partition.partition_store import append_events
from tests.fault_injection.fault_system import FaultSystem
from tests.support.forked_worker import ForkedWorker

pytestmark = [pytest.mark.redis, pytest.mark.soak, pytest.mark.processes]
#: Whose entry kills, and how long after the third death the others have gone on, seconds.
BAD, OTHERS_GO_ON_S = 7, 7.0
PARTITIONS = 16
RESTART_S = 0.2


class Restarted:
    """Two workers that die of the partition's entries, and are started again."""

    def __init__(self, system: FaultSystem, folder: Path, processes: ExitStack) -> None:
        self._system, self._folder, self._processes = system, folder, processes
        self.running: list[ForkedWorker] = []
        self.died_at_s: list[float] = []

    async def run(self) -> None:
        """Keeps two running."""
        while True:
            for dead in [one for one in self.running if one.was_killed]:
                self.running.remove(dead)
                self.died_at_s.append(self._system.clock.monotonic_s())
            while len(self.running) < 2:
                self._start()
            await asyncio.sleep(RESTART_S)  # a delay: of the service manager

    def _start(self) -> None:
        name = f"worker-{len(self.died_at_s) + len(self.running)}"
        worker = self._system.worker_process(
            self._folder, name, lease_ms=WORKER_LIFETIME_MS, die_at="after_read", partition=BAD
        )
        self._processes.enter_context(worker)
        worker.arm()
        self.running.append(worker)


def event_in(system: FaultSystem, number: int) -> CallProgressed:
    """An event of no known session, in a partition: it is decided, and changes nothing."""
    session_id = next(one for at in range(10_000) if system.keys.partition_of(one := f"s{at}") == number)
    return CallProgressed(session_id=session_id, token="t", party="agent", call_sid="CA1", status="completed")


@pytest.mark.parametrize("is_busy", [False, True], ids=["idle", "busy"])
@pytest.mark.system(workers=0, CONFERRAL_PARTITIONS=PARTITIONS)
async def test_fault_33_deadly_entry_costs_three_workers(system, tmp_path, is_busy):
    others = [number for number in range(PARTITIONS) if number != BAD]

    async def append() -> list[str]:
        found = await append_events(system.client, system.keys, [event_in(system, number) for number in others])
        return [entry.entry_id for entry in found]

    async def undecided(ids: list[str]) -> int:
        streams = [(system.keys.events(number), one) for number, one in zip(others, ids, strict=True)]
        return sum([len(await system.client.xrange(stream, one, one)) for stream, one in streams])

    async def keep_busy() -> None:
        while True:
            await append()
            await asyncio.sleep(0.1)  # a delay: between events

    with ExitStack() as processes:
        workers = Restarted(system, tmp_path, processes)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(workers.run())]
            await system.everything_is_held()
            await system.workers_are_up(2)
            tasks += [group.create_task(keep_busy())] if is_busy else []
            await append_events(system.client, system.keys, [event_in(system, BAD)])
            await system.eventually(lambda: len(workers.died_at_s), "three workers are dead", equals=3)
            newest = await append()
            await system.eventually(lambda: undecided(newest), "all go on", equals=0)
            assert system.clock.monotonic_s() - workers.died_at_s[2] < OTHERS_GO_ON_S
            await system.eventually(lambda: system.client.xlen(system.keys.events(BAD)), "it is given up", equals=0)
            assert len(workers.died_at_s) == 3
            assert await system.client.xlen(system.keys.dead) == 1
            for task in tasks:
                task.cancel()
