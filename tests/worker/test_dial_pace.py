"""The pace of placing calls: of each kind, one dial asks for all."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from conferral.runtime.errors import StoreUnreachableError
from conferral.worker.executor import request_limiter
from conferral.worker.executor.request_limiter import AcquirePermit, DialPace


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

    def __init__(self, acquire_permit: AcquirePermit) -> None:
        self.ticks = Ticks()
        self.got: list[str] = []
        self.waiting: dict[str, asyncio.Task[None]] = {}
        self._pace = DialPace(acquire_permit, self.ticks.sleep)

    def add(self, name: str, *, urgent: bool = True) -> None:
        self.waiting[name] = asyncio.create_task(self._wait(name, urgent))

    async def _wait(self, name: str, urgent: bool) -> None:
        await self._pace.wait(urgent=urgent)
        self.got.append(name)
        del self.waiting[name]

    def remove(self, *names: str) -> None:
        for name in names:
            self.waiting.pop(name).cancel()

    async def tick(self) -> None:
        await settle()
        self.ticks.tick()
        await settle()


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


@pytest.fixture
def gates() -> Gates:
    return Gates()


@pytest.fixture
async def dials(gates: Gates) -> AsyncIterator[Dials]:
    dials = Dials(gates.ask)
    yield dials
    dials.remove(*dials.waiting)


async def test_first_who_waits_asks_for_all(dials: Dials, gates: Gates) -> None:
    for name in "abc":
        dials.add(name)
    await settle()
    assert (gates.asked, dials.ticks.slept, len(dials.waiting)) == ([True], [0.5], 3)

    gates.permits = 2
    await dials.tick()
    assert dials.got == ["a", "b"]
    assert len(gates.asked) == 4


async def test_callers_who_wait_do_not_wait_for_other_dials(dials: Dials, gates: Gates) -> None:
    """Redis grants a permit to the others only if no caller waits."""
    dials.add("others-1", urgent=False)
    dials.add("others-2", urgent=False)
    await settle()
    dials.add("caller-1")
    dials.add("caller-2")
    await settle()
    assert gates.asked == [False, True]

    gates.permits = 4
    await dials.tick()
    assert [name for name in dials.got if "caller" in name] == ["caller-1", "caller-2"]
    assert [name for name in dials.got if "others" in name] == ["others-1", "others-2"]


async def test_removed_dials_free_their_places(dials: Dials, gates: Gates) -> None:
    for name in "abc":
        dials.add(name)
    await settle()
    dials.remove("a", "b")

    gates.permits = 1
    await dials.tick()
    assert dials.got == ["c"]
    dials.add("d")
    await settle()
    dials.remove("d")
    await dials.tick()
    assert (dials.got, len(gates.asked)) == (["c"], 3), "no one asks for no one"


async def test_redis_that_is_away_is_waited_for(dials: Dials, gates: Gates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_limiter, "REDIS_PAUSE_S", 0)
    gates.broken = 2
    gates.permits = 1
    dials.add("a")
    await settle()
    assert (gates.asked, dials.got) == ([True] * 3, ["a"])
