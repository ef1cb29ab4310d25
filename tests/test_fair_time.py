"""The clock of the loop in which tests run."""

import asyncio
import time

from tests.support.fair_time import FairLoop, ahead_s


def run(loop: FairLoop, what) -> float:
    """How much time of the loop passed."""
    began_s = loop.time()
    try:
        loop.run_until_complete(what())
        return loop.time() - began_s
    finally:
        loop.close()


async def idles() -> None:
    await asyncio.sleep(0.2)  # a delay: it is what is measured


async def works() -> None:
    until_s = time.process_time() + 0.05
    while time.process_time() < until_s:
        await asyncio.sleep(0)


def test_at_a_quick_pace_time_without_work_passes_four_times_as_fast() -> None:
    loop = FairLoop(set(), pace=4.0)
    assert run(loop, idles) >= 0.2
    assert 0.1 < ahead_s(loop) <= 0.151


def test_how_far_ahead_it_was_is_known_of_each_moment() -> None:
    loop = FairLoop(set(), pace=4.0)
    before_s = time.time()
    run(loop, idles)
    after_s = time.time()
    assert loop.ahead_at_s(before_s) == 0.0
    assert 0.0 < loop.ahead_at_s((before_s + after_s) / 2) < loop.ahead_at_s(after_s) == ahead_s(loop)


def test_at_a_quick_pace_work_takes_as_long_as_ever() -> None:
    loop = FairLoop(set(), pace=4.0)
    assert run(loop, works) > 0.0
    assert ahead_s(loop) == 0.0


def test_at_the_real_pace_no_time_is_won() -> None:
    loop = FairLoop(set())
    assert run(loop, idles) >= 0.2
    assert ahead_s(loop) == 0.0
