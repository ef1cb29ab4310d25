"""The pace of placing calls: of each kind, one dial asks for all."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from conferral.runtime.errors import StoreUnreachableError
from conferral.worker.executor import request_limiter
from tests.worker.executor_harness import ExecutorHarness, straight, waiting


class Pacing(ExecutorHarness):
    """Grants a configured number of permits to dial; each dial has a session, and sleeps until the next tick."""

    def __init__(self) -> None:
        super().__init__(acquire_permit=self.ask)
        self.time.gate = asyncio.Event()
        self.permits = 0
        self.asked: list[bool] = []
        #: How often Redis is away from now on.
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

    async def dial(self, *names: str, urgent: bool = True) -> None:
        for name in names:
            self.submit(straight(name, name, is_urgent=urgent))
        await self.settle()

    async def tick(self) -> None:
        await self.settle()
        before, self.time.gate = self.time.gate, asyncio.Event()
        assert before is not None
        before.set()
        await self.settle()


@pytest.fixture
async def system() -> AsyncIterator[Pacing]:
    system = Pacing()
    yield system
    await system.executor.drain(0)


async def test_first_who_waits_asks_for_all(system: Pacing) -> None:
    await system.dial("a", "b", "c")
    assert (system.asked, system.time.sleeps, waiting(system.executor)) == ([True], [0.5], 3)

    system.permits = 2
    await system.tick()
    assert system.calls.asked == ["a", "b"]
    assert len(system.asked) == 4


async def test_callers_who_wait_do_not_wait_for_other_dials(system: Pacing) -> None:
    """Redis grants a permit to the others only if no caller waits."""
    await system.dial("others-1", "others-2", urgent=False)
    await system.dial("caller-1", "caller-2")
    assert system.asked == [False, True]

    system.permits = 4
    await system.tick()
    assert [name for name in system.calls.asked if "caller" in name] == ["caller-1", "caller-2"]
    assert [name for name in system.calls.asked if "others" in name] == ["others-1", "others-2"]


async def test_removed_dials_free_their_places(system: Pacing) -> None:
    await system.dial("a", "b", "c")
    for name in ("a", "b"):
        system.executor.cancel_session(name)

    system.permits = 1
    await system.tick()
    assert system.calls.asked == ["c"]
    await system.dial("d")
    system.executor.cancel_session("d")
    await system.tick()
    assert (system.calls.asked, len(system.asked)) == (["c"], 3), "no one asks for no one"


async def test_redis_that_is_away_is_waited_for(system: Pacing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_limiter, "REDIS_PAUSE_S", 0)
    system.broken, system.permits = 2, 1
    await system.dial("a")
    assert (system.asked, system.calls.asked) == ([True] * 3, ["a"])
