"""A dial that no one waits for any more is not sent, or hung up where it was under way."""

import asyncio

from conferral.statemachine.effects import Dial
from conferral.statemachine.events import EffectSucceeded
from conferral.telephony.parameters import PlacedCall
from tests.worker.executor_harness import (
    BUSY,
    DENIED,
    UNKNOWN,
    ExecutorHarness,
    both_ways,
    hang_up,
    straight,
    update,
)


@both_ways
async def test_dial_whose_session_ended_while_it_was_under_way_is_hung_up(system: ExecutorHarness, dial: Dial) -> None:
    answer = asyncio.Event()
    system.calls.script["d"].extend([answer, PlacedCall("CA7")])
    system.calls.script["stray CA7"].extend([UNKNOWN, BUSY, DENIED, None])
    system.submit(dial)
    await system.settle()

    system.submit(hang_up("h"))
    system.records.gone.add("d")
    answer.set()
    await system.settle()

    assert system.calls.asked == ["d", "h", *["stray CA7"] * 4]
    assert system.finished == ["h", "d", "stray CA7"]
    assert isinstance(system.outcomes[-1], EffectSucceeded)


async def test_dial_of_unknown_outcome_and_ended_session_is_searched_for_and_hung_up(system: ExecutorHarness) -> None:
    system.calls.script["d"].append(UNKNOWN)
    system.calls.reads["d"].extend(["", "CA7"])
    system.time.gate = asyncio.Event()
    system.submit(straight("d"))
    await system.settle()

    system.executor.cancel_session("S1")
    system.records.gone.add("d")
    system.time.gate.set()
    await system.settle()

    assert system.calls.asked == ["d", "look d", "look d", "stray CA7"]


async def test_hang_up_of_an_unwanted_dial_affects_nothing_else(system: ExecutorHarness) -> None:
    answer = system.hold_answer("d")
    system.submit(straight("d"))
    system.submit(update("u"))
    await system.settle()
    system.records.gone.add("d")
    answer.set()
    await system.settle()

    assert sorted(system.finished) == ["d", "stray CA-d", "u"]
    assert system.dropped == 0
