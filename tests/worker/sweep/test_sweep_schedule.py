"""Who sweeps, when, and what a sweep does when Twilio or Redis refuse."""

import asyncio

import pytest
from structlog.testing import capture_logs

from conferral.telephony.account_lists import AccountSnapshot
from conferral.worker.sweep.sweeper import SweepTimes
from tests.worker.sweep.sweep_harness import SweepHarness

pytestmark = pytest.mark.redis


# ---- who sweeps, and when --------------------------------------------------------------------------------------------


async def test_sweeper_that_lost_the_lease_publishes_nothing(sea: SweepHarness) -> None:
    await sea.store(sea.session("s1", "CA1"))
    sea.account.waits = asyncio.Event()
    stop = asyncio.Event()
    owner = ["this worker"]
    running = asyncio.create_task(sea.sweeper(owns_sweep=lambda: bool(owner)).run(stop))
    await sea.until(lambda: sea.account.readings > 0)
    owner.clear()
    sea.account.waits.set()
    await sea.until(lambda: sea.sweeps("given-up") == 1)

    assert await sea.published() == []
    readings, sea.account.waits = sea.account.readings, None
    owner.append("again")
    await sea.until(lambda: sea.account.readings > readings)
    stop.set()
    await running


async def test_stop_does_not_wait_for_a_list(sea: SweepHarness) -> None:
    sea.account.waits = asyncio.Event()
    stop = asyncio.Event()
    running = asyncio.create_task(sea.sweeper().run(stop))
    await sea.until(lambda: sea.account.readings > 0)

    stop.set()
    async with asyncio.timeout(2):
        await running

    assert (sea.sweeps(), sea.sweeps("given-up")) == (0, 0)


# ---- what goes wrong -------------------------------------------------------------------------------------------------


async def test_redis_that_is_away_for_a_while_is_waited_for(sea: SweepHarness) -> None:
    await sea.store(sea.session("s1", "CA1"))
    stop = asyncio.Event()
    await sea.client.config_set("min-replicas-to-write", 1)
    with capture_logs() as lines:
        running = asyncio.create_task(sea.sweeper(times=sea.times(again_after_s=0.05)).run(stop))
        await sea.until(lambda: any(line["event"] == "sweep_abandoned" for line in lines))
    assert sea.sweeps() == 0
    assert await sea.reported() == set()

    await sea.client.config_set("min-replicas-to-write", 0)
    await sea.until(lambda: sea.sweeps() >= 1)
    stop.set()
    await running
    assert ("call-missing", "s1", "CA1", "") in await sea.reported()


async def test_sweep_that_finds_a_lost_callback_is_followed_by_another_one_soon(sea: SweepHarness) -> None:
    await sea.store(sea.session("S1", "CA1"))
    once = sea.times(interval_s=86_400, again_after_s=0.05)
    await sea.sweep(sweeps=3, times=once)
    assert sea.account.readings >= 3


async def test_leftover_of_an_ended_session_is_no_lost_callback(sea: SweepHarness) -> None:
    await sea.store(sea.ended("S1", "CA1"))
    sea.account.account = AccountSnapshot(calls={"CA1"})
    await sea.sweep(times=sea.times(interval_s=86_400, again_after_s=0.0))
    assert sea.account.readings == 1


def test_times_are_shorter_where_the_interval_is_short() -> None:
    assert SweepTimes.for_interval(30) == SweepTimes(30, quiet_s=3, settle_s=1, again_after_s=4)
    assert SweepTimes.for_interval(1) == SweepTimes(1, quiet_s=0.5, settle_s=0.25, again_after_s=1)
