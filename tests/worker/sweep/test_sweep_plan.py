"""When a sweep is due, to the moment: by a clock that is set by hand."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

from conferral.storage.keys import Keys
from conferral.worker.sweep.sweeper import Sweeper, SweepTimes
from tests.support.each import each
from tests.worker.cores import core_of
from tests.worker.executor_harness import START_MS, FakeTime


def sweeper_of(time: FakeTime, times: SweepTimes) -> Sweeper:
    nothing: Any = None
    core = core_of(nothing, Keys("test", 4), time)
    return Sweeper(core, account_lists=nothing, names=nothing, times=times, is_dead=nothing)


@each(
    "swept_s_ago, first_after_s, due_after_s",
    [(None, 4.0, 4.0), (10.0, 4.0, 4.0), (28.0, 4.0, 2.0), (30.0, 4.0, 0.0), (90.0, 4.0, 0.0), (10.0, 25.0, 20.0),
     (-3_600.0, 4.0, 4.0)],
)  # fmt: skip
async def test_new_holder_sweeps_when_the_previous_one_would_have(
    swept_s_ago: float | None, first_after_s: float, due_after_s: float
) -> None:
    time = FakeTime()
    time.s = 500.0
    sweeper = sweeper_of(time, SweepTimes(30.0, first_after_s, quiet_s=3.0, settle_s=2.0))
    swept_ms = None if swept_s_ago is None else START_MS - round(swept_s_ago * 1000)
    now_ms = sweeper._core.store_clock.now_ms()
    store: Any = SimpleNamespace(
        last_sweep_ms=AsyncMock(return_value=swept_ms), unknown_since_ms=AsyncMock(return_value={"CF1": now_ms + 5})
    )
    sweeper._store = store
    await sweeper._plan_first_sweep(START_MS)
    assert sweeper._next_sweep_s == 500.0 + due_after_s
    assert sweeper._orphans.since_ms == {"CF1": now_ms}


def test_incomplete_sweep_is_repeated_soon_and_never_later_than_it_was_due() -> None:
    time = FakeTime()
    sweeper = sweeper_of(time, SweepTimes(30.0, first_after_s=1.0, quiet_s=3.0, settle_s=2.0))
    for due_s, again_s in ((30.0, 4.0), (2.0, 2.0)):
        sweeper._next_sweep_s = due_s
        sweeper._sweep_again_soon()
        assert sweeper._next_sweep_s == again_s
