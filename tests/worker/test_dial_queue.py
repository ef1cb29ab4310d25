"""The pace of placing calls: one dial asks for all, callers who wait come first, and all workers share it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from conferral.runtime.errors import StoreUnreachableError
from conferral.runtime.metrics import Metrics
from conferral.storage.keys import Keys
from conferral.storage.partition.dial_claims import DialClaims
from conferral.worker.executor.dial_queue import DialQueue, RequestPermit
from conferral.worker.executor.job import Job
from tests.support.redis_clients import AnyServer, client_of
from tests.worker.executor_harness import FakeTime, straight


class Ticks:
    """Time in which everyone sleeps until the next tick."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        #: Who sleeps since the last tick (count).
        self.sleeping = 0
        self._tick = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.sleeping += 1
        await self._tick.wait()

    def tick(self) -> None:
        self._tick.set()
        self._tick = asyncio.Event()
        self.sleeping = 0


class Gates:
    """A pace that grants a configured number of permits."""

    def __init__(self) -> None:
        self.permits = 0
        self.asked: list[bool] = []
        self.broken = 0

    async def ask(self, urgent: bool) -> float:
        self.asked.append(urgent)
        if self.broken:
            self.broken -= 1
            raise StoreUnreachableError("Redis can't be reached")
        if not self.permits:
            return 0.5
        self.permits -= 1
        return 0.0


class Dials:
    """Dials that wait for their turn at one worker, and in which order they got it."""

    def __init__(self, request_permit: RequestPermit, got: list[str] | None = None) -> None:
        self.ticks = Ticks()
        self.got = [] if got is None else got
        self.queue = DialQueue(
            request_permit,
            lambda job: self.got.append(job.effect.effect_id),
            clock=FakeTime(),
            metrics=Metrics(),
            sleep=self.ticks.sleep,
        )

    def add(self, name: str, *, urgent: bool = True) -> None:
        self.queue.add(Job(effect=straight(name, is_urgent=urgent), partition=0, committed_at_ms=0))

    def remove(self, *names: str) -> list[str]:
        return [job.effect.effect_id for job in self.queue.remove(lambda job: job.effect.effect_id in names)]

    async def tick(self) -> None:
        self.ticks.tick()
        await settle()


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


# ---- one worker ------------------------------------------------------------------------------------------------------


@pytest.fixture
def gates() -> Gates:
    return Gates()


@pytest.fixture
async def dials(gates: Gates) -> AsyncIterator[Dials]:
    dials = Dials(gates.ask)
    yield dials
    dials.queue.close()
    assert len(dials.queue) == 0


async def test_first_who_waits_asks_for_all(dials: Dials, gates: Gates) -> None:
    for name in "abc":
        dials.add(name)
    await settle()
    assert (gates.asked, dials.ticks.slept, len(dials.queue)) == ([True], [0.5], 3)

    gates.permits = 2
    await dials.tick()
    assert dials.got == ["a", "b"]
    assert len(gates.asked) == 4


async def test_callers_who_wait_come_first_in_the_order_in_which_they_came(dials: Dials, gates: Gates) -> None:
    dials.add("others-1", urgent=False)
    dials.add("others-2", urgent=False)
    await settle()
    dials.add("caller-1")
    dials.add("caller-2")

    gates.permits = 4
    await dials.tick()
    assert gates.asked == [False, True, True, False, False]
    assert dials.got == ["caller-1", "caller-2", "others-1", "others-2"]


async def test_removed_dials_free_their_places(dials: Dials, gates: Gates) -> None:
    for name in "abc":
        dials.add(name)
    await settle()
    assert dials.remove("a", "b", "elsewhere") == ["a", "b"]

    gates.permits = 1
    await dials.tick()
    assert dials.got == ["c"]
    dials.add("d")
    await settle()
    assert (dials.remove("d"), len(gates.asked)) == (["d"], 3)
    await dials.tick()
    assert (dials.got, len(gates.asked)) == (["c"], 3), "no one asks for no one"


async def test_redis_that_is_away_is_waited_for(dials: Dials, gates: Gates) -> None:
    gates.broken = 2
    gates.permits = 1
    dials.add("a")
    await settle()
    await dials.tick()
    assert (dials.ticks.slept, dials.got) == ([0.2, 0.2], [])
    await dials.tick()
    assert dials.got == ["a"]


# ---- all workers -----------------------------------------------------------------------------------------------------


class Shared:
    """Several workers at one Redis, whose next turn comes when the test says so."""

    def __init__(self, server: AnyServer) -> None:
        self.client = client_of(server)
        self.keys = Keys("test", 4)
        self.got: list[str] = []
        self.workers = {name: self._worker(name) for name in ("one", "two", "three")}

    def _worker(self, name: str) -> Dials:
        access = DialClaims(self.client, self.keys, session_ttl_s=60)
        return Dials(lambda urgent: access.acquire_dial_permit(name, 0.001, urgent=urgent), self.got)

    async def everyone_sleeps(self) -> None:
        """Waits until each worker with dials that wait has asked for them and was refused."""
        async with asyncio.timeout(60):
            for worker in self.workers.values():
                while len(worker.queue) and not worker.ticks.sleeping:
                    await asyncio.sleep(0.001)

    async def comes(self, name: str, dial: str) -> None:
        """A caller waits for a dial, and it is refused for now."""
        worker = self.workers[name]
        worker.add(dial)
        worker.ticks.tick()
        await self.everyone_sleeps()

    async def next_turn(self) -> None:
        await self.client.hset(self.keys.dial_rate, "next", 0)
        for worker in self.workers.values():
            worker.ticks.tick()
        await self.everyone_sleeps()


@pytest.fixture
async def shared(any_redis: AnyServer) -> AsyncIterator[Shared]:
    shared = Shared(any_redis)
    yield shared
    for worker in shared.workers.values():
        worker.queue.close()
    await shared.client.aclose()


@pytest.mark.redis
async def test_one_dial_of_all_workers_goes_at_each_turn_and_workers_take_turns(shared: Shared) -> None:
    for name, worker in shared.workers.items():
        for number in range(12):
            worker.add(f"{name}-{number}")
    await shared.everyone_sleeps()
    assert len(shared.got) == 1  # the first turn is free

    for turns in range(2, 13):
        await shared.next_turn()
        assert len(shared.got) == turns

    # Who begins is up to Redis; from then on no one gets a second turn before everyone had one.
    names = [dial.partition("-")[0] for dial in shared.got]
    assert all(set(names[at : at + 3]) == {"one", "two", "three"} for at in range(1, 10))
    for name in shared.workers:
        mine = [dial for dial in shared.got if dial.startswith(name)]
        assert mine == [f"{name}-{number}" for number in range(len(mine))]


@pytest.mark.redis
async def test_waiting_callers_at_any_worker_precede_dials_without_a_waiting_caller(shared: Shared) -> None:
    one = shared.workers["one"]
    one.add("first")
    await shared.everyone_sleeps()
    for number in range(3):
        one.add(f"others-{number}", urgent=False)
    await shared.everyone_sleeps()
    await shared.comes("two", "caller-2")
    await shared.comes("three", "caller-3")

    for _ in range(4):
        await shared.next_turn()
    await shared.comes("one", "caller-1")
    for _ in range(2):
        await shared.next_turn()

    assert shared.got == ["first", "caller-2", "caller-3", "others-0", "others-1", "caller-1", "others-2"]
