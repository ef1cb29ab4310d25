"""The pace of placing calls: one asks for all, callers who wait come first, and all workers share it."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from conferral.runtime.errors import StoreUnreachableError
from conferral.storage.keys import Keys
from conferral.storage.partition.dial_claims import DialClaims
from conferral.worker.executor.dial_rate import DialRateLimiter
from tests.support.redis_clients import AnyServer, client_of


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
    """A limiter that grants a configured number of turns."""

    def __init__(self) -> None:
        self.limiter = 0
        self.asked: list[bool] = []
        self.broken = 0

    async def ask(self, urgent: bool) -> float:
        self.asked.append(urgent)
        if self.broken:
            self.broken -= 1
            raise StoreUnreachableError("Redis can't be reached")
        if not self.limiter:
            return 0.5
        self.limiter -= 1
        return 0.0


class Dials:
    """Dials that wait for their turn at one worker, and in which order they got it."""

    def __init__(self, pace: DialRateLimiter, got: list[str] | None = None) -> None:
        self.pace = pace
        self.got = [] if got is None else got
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def add(self, name: str, *, urgent: bool = True) -> None:
        async def wait() -> None:
            await self.pace.acquire(urgent=urgent)
            self.got.append(name)

        self.tasks[name] = asyncio.create_task(wait())


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


# ---- one worker ------------------------------------------------------------------------------------------------------


@pytest.fixture
def gates() -> Gates:
    return Gates()


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
async def dials(gates: Gates, ticks: Ticks) -> AsyncIterator[Dials]:
    dials = Dials(DialRateLimiter(gates.ask, sleep=ticks.sleep))
    yield dials
    for task in dials.tasks.values():
        task.cancel()
    await asyncio.gather(*dials.tasks.values(), return_exceptions=True)
    assert dials.pace.waiting == 0


async def test_first_who_waits_asks_for_all(dials: Dials, gates: Gates, ticks: Ticks) -> None:
    for name in "abc":
        dials.add(name)
    await settle()
    assert (gates.asked, ticks.slept, dials.pace.waiting) == ([True], [0.5], 3)

    gates.limiter = 2
    ticks.tick()
    await settle()
    assert dials.got == ["a", "b"]
    assert len(gates.asked) == 4


async def test_callers_who_wait_come_first_in_the_order_in_which_they_came(
    dials: Dials, gates: Gates, ticks: Ticks
) -> None:
    dials.add("others-1", urgent=False)
    dials.add("others-2", urgent=False)
    await settle()
    dials.add("caller-1")
    dials.add("caller-2")
    await settle()
    # The one that came for a caller asked at once; it did not wait until the first woke up.
    assert gates.asked == [False, True]

    gates.limiter = 4
    ticks.tick()
    await settle()
    assert dials.got == ["caller-1", "caller-2", "others-1", "others-2"]


async def test_canceled_dials_free_their_places(dials: Dials, gates: Gates, ticks: Ticks) -> None:
    for name in "abc":
        dials.add(name)
    await settle()

    dials.tasks["a"].cancel()
    dials.tasks["b"].cancel()
    gates.limiter = 1
    await settle()

    assert dials.got == ["c"]


async def test_redis_that_is_away_is_waited_for(dials: Dials, gates: Gates, ticks: Ticks) -> None:
    gates.broken = 2
    gates.limiter = 1
    dials.add("a")
    await settle()
    ticks.tick()
    await settle()
    assert (ticks.slept, dials.got) == ([0.2, 0.2], [])

    ticks.tick()
    await settle()
    assert dials.got == ["a"]


@pytest.mark.parametrize("seed", range(20))
async def test_no_permit_is_lost_when_waiters_give_up(dials: Dials, gates: Gates, ticks: Ticks, seed: int) -> None:
    chance = random.Random(seed)
    given = 0
    for number in range(60):
        dials.add(f"d{number}", urgent=chance.random() < 0.5)
        if chance.random() < 0.4:
            gates.limiter += 1
            given += 1
        if chance.random() < 0.3:
            chance.choice(list(dials.tasks.values())).cancel()
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        if chance.random() < 0.5:
            ticks.tick()
    gates.limiter += 60
    for _ in range(60):
        await settle()
        ticks.tick()

    assert dials.pace.waiting == 0
    cancelled = sum(task.cancelled() for task in dials.tasks.values())
    assert len(dials.got) == 60 - cancelled


# ---- all workers -----------------------------------------------------------------------------------------------------


class Shared:
    """Several workers at one Redis, whose next turn comes when the test says so."""

    def __init__(self, server: AnyServer) -> None:
        self.client = client_of(server)
        self.keys = Keys("test", 4)
        self.got: list[str] = []
        self.ticks: dict[str, Ticks] = {}
        self.workers = {name: self._worker(name) for name in ("one", "two", "three")}

    def _worker(self, name: str) -> Dials:
        access = DialClaims(self.client, self.keys, session_ttl_s=60)
        ticks = self.ticks[name] = Ticks()
        pace = DialRateLimiter(lambda urgent: access.acquire_dial_permit(name, 0.001, urgent=urgent), sleep=ticks.sleep)
        return Dials(pace, self.got)

    async def everyone_sleeps(self) -> None:
        """Waits until each worker with dials that wait has asked for them and was refused."""
        async with asyncio.timeout(60):
            for name, worker in self.workers.items():
                while not self.ticks[name].sleeping and not all(task.done() for task in worker.tasks.values()):
                    await asyncio.sleep(0.001)

    async def comes(self, name: str, dial: str) -> None:
        """A caller waits for a dial, and it is refused for now."""
        self.ticks[name].sleeping = 0
        self.workers[name].add(dial)
        await self.everyone_sleeps()

    async def next_turn(self) -> None:
        await self.client.hset(self.keys.dial_rate, "next", 0)
        for ticks in self.ticks.values():
            ticks.tick()
        await self.everyone_sleeps()


@pytest.fixture
async def shared(any_redis: AnyServer) -> AsyncIterator[Shared]:
    shared = Shared(any_redis)
    yield shared
    for worker in shared.workers.values():
        for task in worker.tasks.values():
            task.cancel()
        await asyncio.gather(*worker.tasks.values(), return_exceptions=True)
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
