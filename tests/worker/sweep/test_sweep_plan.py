"""When a sweep is due, to the moment: by a clock that is set by hand."""

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

from conferral.storage.keys import Keys
from conferral.worker.sweep.sweeper import Sweeper, SweepTimes
from tests.worker.cores import core_of
from tests.worker.executor_harness import FakeTime


def sweeper_of(time: FakeTime, times: SweepTimes) -> Sweeper:
    nothing: Any = None
    core = core_of(nothing, Keys("test", 4), time)
    return Sweeper(core, account_lists=nothing, names=nothing, times=times, is_ours=nothing)


async def test_new_holder_sweeps_at_once_and_knows_what_its_predecessor_did_not_know() -> None:
    """What a dead sweeper was about to find may have left someone alone."""
    time = FakeTime()
    time.s = 500.0
    sweeper = sweeper_of(time, SweepTimes.for_interval(30.0))
    now_ms = sweeper._core.store_clock.now_ms()
    store: Any = SimpleNamespace(unknown_since_ms=AsyncMock(return_value={"CF1": now_ms + 5}))
    sweeper._store = store
    sweeper._is_ours = lambda: True
    begun_s: list[float] = []

    async def sweep(stop: asyncio.Event, started_s: float) -> None:
        begun_s.append(started_s)
        stop.set()

    sweeper._sweep = sweep  # type: ignore[method-assign]
    await sweeper.run(asyncio.Event())
    assert begun_s == [500.0]
    assert sweeper._orphans.since_ms == {"CF1": now_ms}


def test_incomplete_sweep_is_repeated_soon_and_never_later_than_it_was_due() -> None:
    time = FakeTime()
    sweeper = sweeper_of(time, SweepTimes(30.0, quiet_s=3.0, settle_s=2.0))
    for due_s, again_s in ((30.0, 4.0), (2.0, 2.0)):
        sweeper._next_sweep_s = due_s
        sweeper._sweep_again_soon()
        assert sweeper._next_sweep_s == again_s
