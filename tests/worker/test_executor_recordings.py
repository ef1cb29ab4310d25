"""Recordings, announcements and customers who are sent away: what is looked up, what is repeated, and what never is."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from conferral.runtime.errors import ProviderError
from conferral.statemachine.effects import Effect
from conferral.statemachine.events import EffectFailed, EffectSucceeded, EffectUnknown
from conferral.worker.executor import ExecutorPolicy, RetryPolicy
from tests.worker.executor_world import (
    AWAY,
    BUSY,
    GONE,
    REFUSED,
    START_MS,
    UNKNOWN,
    FakeRecords,
    World,
    announcement,
    away,
    change,
    hang_up,
    recording,
    redirect,
    straight,
    succeeded,
    update,
)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    assert (world.executor.in_flight, world.executor.waiting) == (0, 0)


# ---- the start of a recording: looked up before it is repeated -------------------------------------------------------


async def test_recording_that_has_begun_is_told(world: World) -> None:
    assert await world.run(recording("r")) == succeeded(recording("r"), recording_sid="RE-r")

    assert world.records.written == ["outcome r"]


async def test_recording_of_unknown_outcome_that_runs_is_not_begun_again(world: World) -> None:
    world.calls.script["r"].append(UNKNOWN)
    world.calls.looks["r"].extend(["", "RE7"])

    assert await world.run(recording("r")) == succeeded(recording("r"), recording_sid="RE7")

    assert world.calls.asked == ["r", "look r", "look r"]


async def test_recording_that_is_in_no_list_after_two_seconds_is_begun_again(world: World) -> None:
    world.calls.script["r"].extend([UNKNOWN, None])
    world.calls.looks["r"].append("")

    assert await world.run(recording("r")) == succeeded(recording("r"), recording_sid="RE-r")

    assert world.calls.asked == ["r", *["look r"] * 5, "r"]
    assert world.time.s == 2.0


async def test_recording_that_stays_in_doubt_is_unknown_at_the_deadline(world: World) -> None:
    world.calls.script["r"].append(UNKNOWN)
    world.calls.looks["r"].append(UNKNOWN)

    assert isinstance(await world.run(recording("r")), EffectUnknown)

    assert world.calls.asked.count("r") == 1
    assert 7 < world.time.s <= 10


async def test_recording_taken_over_is_looked_up_before_it_is_begun(world: World) -> None:
    world.calls.looks["r"].append("RE7")

    assert await world.run(recording("r"), maybe_sent=True) == succeeded(recording("r"), recording_sid="RE7")

    assert world.calls.asked == ["look r"]


async def test_recording_taken_over_that_never_began_is_begun_when_it_would_have_shown(world: World) -> None:
    world.calls.looks["r"].append("")

    outcome = await world.run(recording("r"), maybe_sent=True, sent_until_ms=START_MS - 1_500)

    assert outcome == succeeded(recording("r"), recording_sid="RE-r")
    assert world.calls.asked == ["look r", "look r", "r"]


@pytest.mark.parametrize("error", [REFUSED, GONE])
async def test_recording_that_is_refused_has_failed(world: World, error: ProviderError) -> None:
    world.calls.script["r"].append(error)

    outcome = await world.run(recording("r"))

    assert isinstance(outcome, EffectFailed)
    assert outcome.gone == (error is GONE)


# ---- its changes: simply repeated ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["paused", "in-progress", "stopped"])
async def test_change_of_a_recording_is_simply_repeated(world: World, status: str) -> None:
    world.calls.script["c"].extend([UNKNOWN, BUSY, None])

    assert await world.run(change("c", status=status), maybe_sent=True) == succeeded(change("c", status=status))

    assert world.calls.asked == ["c", "c", "c"]


@pytest.mark.parametrize(
    "script, outcome",
    [([REFUSED], EffectFailed), ([BUSY, REFUSED], EffectFailed), ([UNKNOWN, REFUSED], EffectUnknown)],
    ids=["at-once", "after-a-definite-no", "after-an-unclear-answer"],
)
async def test_refused_change_of_a_recording_has_failed_unless_it_may_have_happened_before(
    world: World, script: list[ProviderError], outcome: type[object]
) -> None:
    """What is paused already can't be paused: the refusal may be the first request's success."""
    world.calls.script["c"].extend(script)

    assert isinstance(await world.run(change("c")), outcome)


async def test_change_of_a_recording_that_is_gone_is_told_as_gone(world: World) -> None:
    world.calls.script["c"].extend([UNKNOWN, GONE])

    outcome = await world.run(change("c"))

    assert isinstance(outcome, EffectFailed)
    assert outcome.gone


async def test_change_of_a_recording_keeps_nobody_waiting_for_long(world: World) -> None:
    """A consult begins when its recording is paused, or stopped because it could not be."""
    world.calls.script["c"].append(AWAY)

    assert isinstance(await world.run(change("c")), EffectFailed)

    assert world.time.s <= 4


# ---- announcements: never heard twice --------------------------------------------------------------------------------


async def test_announcement_is_marked_before_it_is_sent_and_sent_once() -> None:
    asked: list[list[str]] = []

    async def checkpoint(point: str, _effect: Effect) -> None:
        if point == "before_request":
            asked.append([*world.records.written, *world.calls.asked])

    world = World(checkpoint=checkpoint)
    world.calls.script["a"].extend([BUSY, AWAY, None])

    assert await world.run(announcement("a")) == succeeded(announcement("a"))

    assert asked == [["mark a"], ["mark a", "a"], ["mark a", "a", "a"]]


@pytest.mark.parametrize("error", [UNKNOWN, asyncio.Event()], ids=["5xx", "hangs"])
async def test_announcement_of_unknown_outcome_is_unknown_at_once(error: ProviderError | asyncio.Event) -> None:
    world = World(ExecutorPolicy(play_announcement=RetryPolicy(deadline_s=5, request_timeout_s=0.005)))
    world.calls.script["a"].append(error)

    assert isinstance(await world.run(announcement("a")), EffectUnknown)

    assert world.calls.asked == ["a"]
    assert world.time.s == 0.0


async def test_last_request_of_an_announcement_is_not_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float | None] = []
    timeout = asyncio.timeout
    monkeypatch.setattr(asyncio, "timeout", lambda delay: given.append(delay) or timeout(delay))
    world = World()
    world.calls.script["a"].append(BUSY)

    await world.run(announcement("a"))

    assert len(given) > 2
    assert set(given) == {5}


async def test_announcement_taken_over_that_was_marked_is_unknown_without_being_sent(world: World) -> None:
    outcome = await world.run(announcement("a"), maybe_sent=True, sent_at_ms=START_MS - 60_000)

    assert isinstance(outcome, EffectUnknown)
    assert world.calls.asked == []


async def test_announcement_taken_over_that_was_not_marked_is_sent(world: World) -> None:
    assert await world.run(announcement("a"), maybe_sent=True) == succeeded(announcement("a"))


async def test_announcement_whose_mark_may_be_lost_is_not_sent(world: World) -> None:
    assert isinstance(await world.run(announcement("a"), maybe_sent=True, mark_may_be_lost=True), EffectUnknown)

    assert world.calls.asked == []


async def test_announcement_that_is_in_no_outbox_is_not_sent(world: World) -> None:
    """Its session has ended."""
    world.records.gone.add("a")

    world.submit(announcement("a"))
    world.submit(update("u"))
    await world.settle()

    assert (world.calls.asked, world.finished) == (["u"], ["u"])


async def test_lease_that_is_lost_over_the_mark_keeps_the_announcement_from_being_sent() -> None:
    class Slow(FakeRecords):
        async def mark_sent(self, effect: Effect) -> bool:
            world.lost.add(0)
            return True

    world = World(records=Slow())

    world.submit(announcement("a"))
    await world.settle()

    assert world.calls.asked == []
    assert world.executor.dropped == 1


async def test_announcements_to_several_are_played_in_their_order(world: World) -> None:
    answer = asyncio.Event()
    world.calls.script["a"].append(answer)
    for name in ("a", "b"):
        world.submit(announcement(name, call_sid=f"CA-{name}"))
    await world.settle()
    assert world.calls.asked == ["a"]

    answer.set()
    await world.settle()
    assert world.finished == ["a", "b"]


# ---- order, and the end ----------------------------------------------------------------------------------------------


async def test_session_does_what_was_ordered_first_first(world: World) -> None:
    """A consult: the recording is paused before anybody is dialled."""
    answer = asyncio.Event()
    world.calls.script["c"].append(answer)
    for effect in (change("c"), straight("d"), recording("r"), redirect("other", "S2")):
        world.submit(effect)
    await world.settle()
    assert world.calls.asked == ["c", "other"]

    answer.set()
    await world.settle()
    assert world.finished == ["other", "c", "d", "r"]


async def test_customer_is_sent_away_beside_whatever_is_in_flight(world: World) -> None:
    answer = asyncio.Event()
    world.calls.script["a"].append(answer)
    for effect in (announcement("a"), recording("r"), change("c")):
        world.submit(effect)
    await world.settle()

    world.submit(away("w"))
    world.submit(hang_up("h"))
    await world.settle()
    assert world.finished == ["w", "h"]

    answer.set()
    await world.settle()
    assert world.calls.asked == ["a", "w", "h"]


@pytest.mark.parametrize("error", [UNKNOWN, BUSY, AWAY])
async def test_customer_is_sent_away_for_as_long_as_it_takes(world: World, error: ProviderError) -> None:
    world.calls.script["w"].extend([*[error] * 20, None])

    assert isinstance(await world.run(away("w"), maybe_sent=True), EffectSucceeded)

    assert world.time.s > 30


async def test_announcement_in_doubt_is_not_played_again_when_its_session_ends(world: World) -> None:
    answer = asyncio.Event()
    world.calls.script["a"].extend([answer, UNKNOWN])
    world.submit(announcement("a"))
    await world.settle()

    world.submit(hang_up("h"))
    answer.set()
    await world.settle()

    assert world.calls.asked == ["a", "h"]
    assert [type(outcome) for outcome in world.outcomes] == [EffectSucceeded, EffectUnknown]
