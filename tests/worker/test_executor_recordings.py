"""Recordings, announcements and customers who are sent away: their outcomes, and their order."""

import asyncio

import pytest

from conferral.runtime.errors import ProviderError
from conferral.statemachine.events import EffectFailed, EffectSucceeded, EffectUnknown
from tests.worker.executor_harness import (
    AWAY,
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
    redirect,
    straight,
    succeeded,
)

# ---- recordings ------------------------------------------------------------------------------------------------------


async def test_started_recording_is_reported(system: ExecutorHarness) -> None:
    assert await system.run(recording("r")) == succeeded(recording("r"), recording_sid="RE-r")

    assert system.records.written == ["outcome r"]


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


async def test_recording_change_retries_only_briefly(system: ExecutorHarness) -> None:
    """A consult begins when its recording is paused, or stopped because it could not be."""
    system.calls.script["c"].append(AWAY)

    assert isinstance(await system.run(change("c")), EffectFailed)

    assert system.time.s <= 4


# ---- order, and the end ----------------------------------------------------------------------------------------------


async def test_announcements_to_several_are_played_in_their_order(system: ExecutorHarness) -> None:
    answer = system.hold_answer("a")
    for name in ("a", "b"):
        system.submit(announcement(name, call_sid=f"CA-{name}"))
    await system.settle()
    assert system.calls.asked == ["a"]

    answer.set()
    await system.settle()
    assert system.finished == ["a", "b"]


async def test_session_does_what_was_ordered_first_first(system: ExecutorHarness) -> None:
    """A consult: the recording is paused before anyone is dialed."""
    answer = system.hold_answer("c")
    for effect in (change("c"), straight("d"), recording("r"), redirect("other", "S2")):
        system.submit(effect)
    await system.settle()
    assert system.calls.asked == ["c", "other"]

    answer.set()
    await system.settle()
    assert system.finished == ["other", "c", "d", "r"]


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


@pytest.mark.parametrize("error", [UNKNOWN, BUSY, AWAY])
async def test_customer_is_sent_away_for_as_long_as_it_takes(system: ExecutorHarness, error: ProviderError) -> None:
    system.calls.script["w"].extend([*[error] * 20, None])

    assert isinstance(await system.run(away("w"), may_have_been_sent=True), EffectSucceeded)

    assert system.time.s > 30


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
