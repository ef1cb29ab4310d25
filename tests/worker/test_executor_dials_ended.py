"""A dial that nobody waits for any more is not sent, or hung up where it was under way."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from conferral.statemachine.effects import Dial
from conferral.statemachine.events import EffectSucceeded
from conferral.telephony.dialling import Dialled
from tests.worker.executor_world import (
    BUSY,
    DENIED,
    UNKNOWN,
    World,
    gated,
    hang_up,
    straight,
    update,
)

both_ways = pytest.mark.parametrize("dial", [straight("d"), gated("d")], ids=lambda dial: dial.kind)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    assert (world.executor.in_flight, world.executor.waiting) == (0, 0)


@both_ways
async def test_dial_that_was_not_sent_before_the_session_ended_is_never_sent(world: World, dial: Dial) -> None:
    answer = asyncio.Event()
    world.calls.script["u"].append(answer)
    world.submit(update("u"))
    world.submit(dial)
    await world.settle()

    world.executor.withdraw("S1")
    answer.set()
    await world.settle()

    assert world.calls.asked == ["u"]
    assert world.counts == (1, 0, 0, 1)


@both_ways
async def test_dial_that_waits_for_its_next_try_when_the_session_ends_is_not_sent_again(
    world: World, dial: Dial
) -> None:
    world.time.gate = asyncio.Event()
    world.calls.script["d"].append(BUSY)
    world.submit(dial)
    await world.settle()

    world.executor.withdraw("S1")
    world.time.gate.set()
    await world.settle()

    assert (world.calls.asked, world.finished) == (["d"], [])


@both_ways
async def test_dial_whose_session_ended_while_it_was_under_way_is_hung_up(world: World, dial: Dial) -> None:
    answer = asyncio.Event()
    world.calls.script["d"].extend([answer, Dialled("CA7")])
    world.calls.script["stray CA7"].extend([UNKNOWN, BUSY, DENIED, None])
    world.submit(dial)
    await world.settle()

    world.submit(hang_up("h"))
    world.records.gone.add("d")
    answer.set()
    await world.settle()

    assert world.calls.asked == ["d", "h", *["stray CA7"] * 4]
    assert world.finished == ["h", "d", "stray CA7"]
    assert isinstance(world.outcomes[-1], EffectSucceeded)


async def test_dial_in_doubt_whose_session_ended_is_looked_for_to_be_hung_up(world: World) -> None:
    world.calls.script["d"].append(UNKNOWN)
    world.calls.looks["d"].extend(["", "CA7"])
    world.time.gate = asyncio.Event()
    world.submit(straight("d"))
    await world.settle()

    world.executor.withdraw("S1")
    world.records.gone.add("d")
    world.time.gate.set()
    await world.settle()

    assert world.calls.asked == ["d", "look d", "look d", "stray CA7"]


async def test_hang_up_of_a_dial_that_nobody_waits_for_touches_nothing_else(world: World) -> None:
    world.records.gone.add("d")
    world.submit(straight("d"))
    world.submit(update("u"))
    await world.settle()

    assert sorted(world.finished) == ["d", "stray CA-d", "u"]
    assert world.executor.dropped == 0


async def test_drain_waits_for_such_a_hang_up_too(world: World) -> None:
    answer = asyncio.Event()
    world.calls.script["d"].extend([answer, Dialled("CA7")])
    world.records.gone.add("d")
    world.submit(straight("d"))
    await world.settle()

    drain = asyncio.create_task(world.executor.drain(5))
    await world.settle()
    answer.set()
    await drain

    assert world.finished == ["d", "stray CA7"]
