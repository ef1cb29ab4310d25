"""Recordings, announcements and customers who are sent away: their outcomes, and their order."""

import asyncio

import pytest

from conferral.runtime.errors import ProviderError
from conferral.statemachine.events import EffectFailed, EffectSucceeded, EffectUnknown
from tests.worker.executor_harness import (
    BUSY,
    GONE,
    REFUSED,
    UNKNOWN,
    ExecutorHarness,
    announcement,
    away,
    change,
    hang_up,
    recording,
)

# ---- recordings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script, outcome",
    [([REFUSED], EffectFailed), ([BUSY, REFUSED], EffectFailed), ([UNKNOWN, REFUSED], EffectUnknown)],
    ids=["at-once", "after-a-definite-no", "after-an-unclear-answer"],
)
async def test_refused_change_of_a_recording_has_failed_unless_it_may_have_happened_before(
    system: ExecutorHarness, script: list[ProviderError], outcome: type[object]
) -> None:
    """What is paused already can't be paused: the refusal may be the first request's success."""
    system.calls.script["c"].extend(script)

    assert isinstance(await system.run(change("c")), outcome)


async def test_change_of_a_gone_recording_is_reported_as_gone(system: ExecutorHarness) -> None:
    system.calls.script["c"].extend([UNKNOWN, GONE])

    outcome = await system.run(change("c"))

    assert isinstance(outcome, EffectFailed)
    assert outcome.gone


# ---- order, and the end ----------------------------------------------------------------------------------------------


async def test_customer_is_sent_away_beside_whatever_is_in_flight(system: ExecutorHarness) -> None:
    answer = system.hold_answer("a")
    for effect in (announcement("a"), recording("r"), change("c")):
        system.submit(effect)
    await system.settle()

    system.submit(away("w"))
    system.submit(hang_up("h"))
    await system.settle()
    assert system.finished == ["w", "h"]

    answer.set()
    await system.settle()
    assert system.calls.asked == ["a", "w", "h"]


async def test_unconfirmed_announcement_is_not_played_again_when_its_session_ends(system: ExecutorHarness) -> None:
    answer = asyncio.Event()
    system.calls.script["a"].extend([answer, UNKNOWN])
    system.submit(announcement("a"))
    await system.settle()

    system.submit(hang_up("h"))
    answer.set()
    await system.settle()

    assert system.calls.asked == ["a", "h"]
    assert [type(outcome) for outcome in system.outcomes] == [EffectSucceeded, EffectUnknown]
