"""One answer for everyone who asks within a second. In virtual time."""

import asyncio

import pytest

from conferral.runtime.web.server import TTL_S, SharedResult
from tests.simulation.virtual_loop import in_virtual_time


@in_virtual_time
async def test_everyone_who_asks_within_a_second_gets_one_answer() -> None:
    asked = 0

    async def ask() -> int:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.3)  # a delay: the answer takes its time
        return asked

    shared = SharedResult(ask)
    assert await asyncio.gather(*(shared() for _ in range(100))) == [1] * 100
    assert await shared() == 1
    await asyncio.sleep(TTL_S)  # a delay: virtual time passes
    assert await asyncio.gather(*(shared() for _ in range(100))) == [2] * 100


@in_virtual_time
async def test_query_slower_than_its_cache_lifetime_is_not_issued_twice() -> None:
    asked = 0

    async def ask() -> int:
        nonlocal asked
        asked += 1
        await asyncio.sleep(3 * TTL_S)  # a delay: the answer takes its time
        return asked

    shared = SharedResult(ask)

    async def later(wait_s: float) -> int:
        await asyncio.sleep(wait_s)  # a delay: virtual time passes
        return await shared()

    assert await asyncio.gather(*(later(wait_s / 10) for wait_s in range(30))) == [1] * 30


@in_virtual_time
async def test_canceled_asker_takes_the_answer_from_no_one_else() -> None:
    async def ask() -> str:
        await asyncio.sleep(0.5)  # a delay: the answer takes its time
        return "answer"

    shared = SharedResult(ask)
    impatient, patient = asyncio.ensure_future(shared()), asyncio.ensure_future(shared())
    await asyncio.sleep(0.1)  # a delay: virtual time passes
    impatient.cancel()
    assert await patient == "answer"


@in_virtual_time
async def test_error_is_raised_for_everyone_and_not_kept() -> None:
    failing = True

    async def ask() -> str:
        if failing:
            raise ConnectionError
        return "answer"

    shared = SharedResult(ask)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await shared()
    failing = False
    assert await shared() == "answer"
