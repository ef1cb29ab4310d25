"""Recordings, announcements and customers who are sent away: what is verified, what is repeated, and what never is."""

import asyncio

import pytest

from conferral.runtime.errors import ProviderError
from conferral.statemachine.effects import Effect
from conferral.statemachine.events import EffectFailed, EffectSucceeded, EffectUnknown
from conferral.worker.executor.executor import ExecutorPolicy, RetryPolicy
from tests.worker.executor_harness import (
    AWAY,
    BUSY,
    GONE,
    REFUSED,
    START_MS,
    UNKNOWN,
    ExecutorHarness,
    FakeRecords,
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

# ---- the start of a recording: verified before it is repeated --------------------------------------------------------


async def test_started_recording_is_reported(system: ExecutorHarness) -> None:
    assert await system.run(recording("r")) == succeeded(recording("r"), recording_sid="RE-r")

    assert system.records.written == ["outcome r"]


async def test_recording_of_unknown_outcome_that_runs_is_not_begun_again(system: ExecutorHarness) -> None:
    system.calls.script["r"].append(UNKNOWN)
    system.calls.reads["r"].extend(["", "RE7"])

    assert await system.run(recording("r")) == succeeded(recording("r"), recording_sid="RE7")

    assert system.calls.asked == ["r", "look r", "look r"]


async def test_recording_that_is_in_no_list_after_two_seconds_is_begun_again(system: ExecutorHarness) -> None:
    system.calls.script["r"].extend([UNKNOWN, None])
    system.calls.reads["r"].append("")

    assert await system.run(recording("r")) == succeeded(recording("r"), recording_sid="RE-r")

    assert system.calls.asked == ["r", *["look r"] * 5, "r"]
    assert system.time.s == 2.0


async def test_recording_that_is_never_confirmed_is_unknown_at_the_deadline(system: ExecutorHarness) -> None:
    system.calls.script["r"].append(UNKNOWN)
    system.calls.reads["r"].append(UNKNOWN)

    assert isinstance(await system.run(recording("r")), EffectUnknown)

    assert system.calls.asked.count("r") == 1
    assert 7 < system.time.s <= 10


async def test_recording_taken_over_is_verified_before_it_is_started(system: ExecutorHarness) -> None:
    system.calls.reads["r"].append("RE7")

    assert await system.run(recording("r"), may_have_been_sent=True) == succeeded(recording("r"), recording_sid="RE7")

    assert system.calls.asked == ["look r"]


async def test_recording_taken_over_that_never_began_is_begun_when_it_would_have_shown(system: ExecutorHarness) -> None:
    system.calls.reads["r"].append("")

    outcome = await system.run(recording("r"), may_have_been_sent=True, sent_until_ms=START_MS - 1_500)

    assert outcome == succeeded(recording("r"), recording_sid="RE-r")
    assert system.calls.asked == ["look r", "look r", "r"]


@pytest.mark.parametrize("error", [REFUSED, GONE])
async def test_recording_that_is_refused_has_failed(system: ExecutorHarness, error: ProviderError) -> None:
    system.calls.script["r"].append(error)

    outcome = await system.run(recording("r"))

    assert isinstance(outcome, EffectFailed)
    assert outcome.gone == (error is GONE)


# ---- its changes: simply repeated ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["paused", "in-progress", "stopped"])
async def test_change_of_a_recording_is_simply_repeated(system: ExecutorHarness, status: str) -> None:
    system.calls.script["c"].extend([UNKNOWN, BUSY, None])

    assert await system.run(change("c", status=status), may_have_been_sent=True) == succeeded(
        change("c", status=status)
    )

    assert system.calls.asked == ["c", "c", "c"]


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


# ---- announcements: never heard twice --------------------------------------------------------------------------------


async def test_announcement_is_marked_before_it_is_sent_and_sent_once() -> None:
    asked: list[list[str]] = []

    async def checkpoint(point: str, _effect: Effect) -> None:
        if point == "before_request":
            asked.append([*system.records.written, *system.calls.asked])

    system = ExecutorHarness(checkpoint=checkpoint)
    system.calls.script["a"].extend([BUSY, AWAY, None])

    assert await system.run(announcement("a")) == succeeded(announcement("a"))

    assert asked == [["mark a"], ["mark a", "a"], ["mark a", "a", "a"]]


@pytest.mark.parametrize("error", [UNKNOWN, asyncio.Event()], ids=["5xx", "hangs"])
async def test_announcement_of_unknown_outcome_is_unknown_at_once(error: ProviderError | asyncio.Event) -> None:
    system = ExecutorHarness(ExecutorPolicy(play_announcement=RetryPolicy(deadline_s=5, request_timeout_s=0.005)))
    system.calls.script["a"].append(error)

    assert isinstance(await system.run(announcement("a")), EffectUnknown)

    assert system.calls.asked == ["a"]
    assert system.time.s == 0.0


async def test_last_request_of_an_announcement_is_not_cut_short(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float | None] = []
    timeout = asyncio.timeout
    monkeypatch.setattr(asyncio, "timeout", lambda delay: given.append(delay) or timeout(delay))
    system = ExecutorHarness()
    system.calls.script["a"].append(BUSY)

    await system.run(announcement("a"))

    assert len(given) > 2
    assert set(given) == {5}


async def test_announcement_taken_over_that_was_marked_is_unknown_without_being_sent(system: ExecutorHarness) -> None:
    outcome = await system.run(announcement("a"), may_have_been_sent=True, sent_at_ms=START_MS - 60_000)

    assert isinstance(outcome, EffectUnknown)
    assert system.calls.asked == []


async def test_announcement_taken_over_that_was_not_marked_is_sent(system: ExecutorHarness) -> None:
    assert await system.run(announcement("a"), may_have_been_sent=True) == succeeded(announcement("a"))


async def test_announcement_whose_mark_may_be_lost_is_not_sent(system: ExecutorHarness) -> None:
    assert isinstance(
        await system.run(announcement("a"), may_have_been_sent=True, mark_may_be_lost=True), EffectUnknown
    )

    assert system.calls.asked == []


async def test_announcement_that_is_in_no_outbox_is_not_sent(system: ExecutorHarness) -> None:
    """Its session has ended."""
    system.records.gone.add("a")

    system.submit(announcement("a"))
    system.submit(update("u"))
    await system.settle()

    assert (system.calls.asked, system.finished) == (["u"], ["u"])


async def test_lease_that_is_lost_over_the_mark_keeps_the_announcement_from_being_sent() -> None:
    class Slow(FakeRecords):
        async def mark_sent(self, effect: Effect) -> bool:
            system.lost.add(0)
            return True

    system = ExecutorHarness(outbox=Slow())

    system.submit(announcement("a"))
    await system.settle()

    assert system.calls.asked == []
    assert system.dropped == 1


async def test_announcements_to_several_are_played_in_their_order(system: ExecutorHarness) -> None:
    answer = asyncio.Event()
    system.calls.script["a"].append(answer)
    for name in ("a", "b"):
        system.submit(announcement(name, call_sid=f"CA-{name}"))
    await system.settle()
    assert system.calls.asked == ["a"]

    answer.set()
    await system.settle()
    assert system.finished == ["a", "b"]


# ---- order, and the end ----------------------------------------------------------------------------------------------


async def test_session_does_what_was_ordered_first_first(system: ExecutorHarness) -> None:
    """A consult: the recording is paused before anyone is dialed."""
    answer = asyncio.Event()
    system.calls.script["c"].append(answer)
    for effect in (change("c"), straight("d"), recording("r"), redirect("other", "S2")):
        system.submit(effect)
    await system.settle()
    assert system.calls.asked == ["c", "other"]

    answer.set()
    await system.settle()
    assert system.finished == ["other", "c", "d", "r"]


async def test_customer_is_sent_away_beside_whatever_is_in_flight(system: ExecutorHarness) -> None:
    answer = asyncio.Event()
    system.calls.script["a"].append(answer)
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
