"""What is repeated, for how long, and how a redirect with an unknown outcome is verified before a retry."""

from typing import Any

import pytest

from conferral.runtime.errors import OutcomeUnknownError, ProviderError, ProviderRefusedError, RateLimitedError
from conferral.statemachine.effects import Effect, ReadCalls
from conferral.statemachine.events import CallsRead, EffectFailed, EffectSucceeded, EffectUnknown
from tests.support.each import each
from tests.worker.executor_harness import (
    AWAY,
    BUSY,
    DENIED,
    ELSEWHERE,
    GONE,
    IN_CONFERENCE,
    OF_A_PROXY,
    OVER,
    REFUSED,
    START_MS,
    UNKNOWN,
    ExecutorHarness,
    change,
    find,
    gated,
    hang_up,
    read,
    recording,
    redirect,
    say,
    straight,
    succeeded,
    update,
)
from tests.worker.test_retry import Highest

# ---- retries ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("retry_after_s, shown_ms", [(8, 8_000), (9, 9_000), (1e9, 60_000)])
async def test_retry_after_up_to_the_deadline_fails_at_once(
    system: ExecutorHarness, retry_after_s: float, shown_ms: int
) -> None:
    system.calls.script["a"].append(RateLimitedError(http_status=429, code=20429, retry_after_s=retry_after_s))

    outcome = await system.run(redirect("a"))

    assert isinstance(outcome, EffectFailed)
    assert (outcome.http_status, outcome.code, outcome.gone) == (429, 20429, False)
    assert outcome.retry_after_ms == shown_ms
    assert system.time.sleeps == []


@pytest.mark.parametrize("error", [BUSY, AWAY])
@pytest.mark.parametrize(("effect", "deadline_s"), [(redirect("a"), 8), (straight("a"), 10), (gated("a"), 10)])
async def test_definite_no_until_the_deadline_is_a_failure(
    system: ExecutorHarness, effect: Effect, deadline_s: float, error: ProviderError
) -> None:
    system.calls.script["a"].append(error)

    outcome = await system.run(effect)

    assert isinstance(outcome, EffectFailed)
    assert outcome.http_status == error.http_status
    assert 5 < system.time.s <= deadline_s
    assert system.counts == (0, len(system.calls.asked) - 1, 1, 0)
    assert len(system.calls.asked) > 3


@pytest.mark.parametrize("may_have_been_sent", [False, True])
@each(
    "effect",
    [
        hang_up("a"), read("a"), update("a"), say("a"), find("a"),
        *(change("a", status=status) for status in ("paused", "in-progress", "stopped")),
    ],
)  # fmt: skip
async def test_effect_that_may_happen_twice_is_simply_repeated(effect: Effect, may_have_been_sent: bool) -> None:
    for script in ([UNKNOWN, UNKNOWN, None], [UNKNOWN, BUSY, None]):
        system = ExecutorHarness()
        system.calls.script["a"].extend(script)

        outcome = await system.run(effect, may_have_been_sent=may_have_been_sent)

        assert isinstance(outcome, CallsRead) if isinstance(effect, ReadCalls) else outcome == succeeded(effect)
        assert system.calls.asked == ["a", "a", "a"]


@each("effect", [update("a"), change("a", status="in-progress")])
async def test_update_that_a_later_one_replaced_is_not_repeated(effect: Effect) -> None:
    """The request may have worked long ago, and a consult may have begun since."""
    restored, retried = ExecutorHarness(), ExecutorHarness()
    restored.records.replaced.add("a")
    assert isinstance(await restored.run(effect, may_have_been_sent=True), EffectUnknown)
    assert restored.calls.asked == []

    retried.calls.script["a"].append(UNKNOWN)
    outcome = await retried.run_and_change(effect, lambda: retried.records.replaced.add("a"))
    assert isinstance(outcome, EffectUnknown)
    assert retried.calls.asked == ["a"]


async def test_redirect_is_not_repeated_once_the_session_has_moved_on() -> None:
    """The leg may have left the conference on purpose since, and would be pulled back."""
    restored, retried, refused = ExecutorHarness(), ExecutorHarness(), ExecutorHarness()
    restored.records.replaced.add("a")
    restored.calls.reads["a"].append(ELSEWHERE)
    outcome = await restored.run(redirect("a"), may_have_been_sent=True, sent_until_ms=START_MS - 60_000)
    assert isinstance(outcome, EffectUnknown)
    assert restored.calls.asked == ["look a"], "it was verified only"

    retried.calls.script["a"].append(UNKNOWN)
    retried.calls.reads["a"].extend([ELSEWHERE] * 30)
    outcome = await retried.run_and_change(redirect("a"), lambda: retried.records.replaced.add("a"))
    assert isinstance(outcome, EffectUnknown)
    assert retried.calls.asked.count("a") == 1

    refused.calls.script["a"].append(BUSY)
    outcome = await refused.run_and_change(redirect("a"), lambda: refused.records.replaced.add("a"))
    assert isinstance(outcome, EffectUnknown)
    assert refused.calls.asked == ["a"]


async def test_stop_of_a_recording_is_repeated_although_the_session_has_forgotten_it(system: ExecutorHarness) -> None:
    """The conference's recording takes its place, and no command could stop it later."""
    system.records.replaced.add("a")
    stop = change("a", status="stopped")
    assert await system.run(stop, may_have_been_sent=True) == succeeded(stop)
    assert system.calls.asked == ["a"]


async def test_recording_that_another_one_replaced_is_not_started_late(system: ExecutorHarness) -> None:
    system.records.replaced.add("a")
    system.calls.reads["a"].append("")
    outcome = await system.run(recording("a"), may_have_been_sent=True, sent_until_ms=START_MS - 60_000)
    assert isinstance(outcome, EffectFailed)
    assert system.calls.asked == ["look a"], "it was verified only"


async def test_outcome_counts_the_requests_and_their_failures(system: ExecutorHarness) -> None:
    system.calls.script["a"].extend([UNKNOWN, BUSY, UNKNOWN, AWAY, None])

    await system.run_all(hang_up("a"), hang_up("b", session="S2"))

    assert system.records.tried == {"a": (5, ("429 code 20429 x1", "503 x2", "no-answer x1")), "b": (None, ())}


async def test_outcome_counts_a_verified_request_but_reports_a_refusal_once(system: ExecutorHarness) -> None:
    system.calls.script["a"].append(UNKNOWN)
    system.calls.reads["a"].append(IN_CONFERENCE)
    system.calls.script["b"].extend([BUSY, REFUSED])
    system.calls.script["c"].append(REFUSED)

    await system.run_all(*(redirect(name, session=name) for name in "abc"))

    assert system.records.tried == {"a": (1, ("503 x1",)), "b": (2, ("429 code 20429 x1",)), "c": (None, ())}


async def test_kinds_of_setbacks_are_bounded(system: ExecutorHarness) -> None:
    codes = range(20500, 20512)
    system.calls.script["a"].extend([*(OutcomeUnknownError(http_status=503, code=code) for code in codes), None])

    await system.run(hang_up("a"))

    reported = tuple(f"503 code {code} x1" for code in codes[-6:])
    assert system.records.tried == {"a": (13, reported)}


@pytest.mark.parametrize(
    ("requests", "verifications", "waits_s"),
    [([BUSY, BUSY, None], [], [0.25, 0.5]), ([BUSY, UNKNOWN], [BUSY, BUSY, IN_CONFERENCE], [0.25, 0.25, 0.5])],
)
async def test_waits_grow_from_a_quarter_of_a_second_and_again_for_verifications(
    requests: list[ProviderError | None], verifications: list[Any], waits_s: list[float]
) -> None:
    system = ExecutorHarness(rng=Highest())
    system.calls.script["a"].extend(requests)
    system.calls.reads["a"].extend(verifications)

    assert isinstance(await system.run(redirect("a")), EffectSucceeded)

    assert system.time.sleeps == waits_s


async def test_ending_is_repeated_for_an_hour_with_waits_of_half_a_minute_at_most(system: ExecutorHarness) -> None:
    system.calls.script["h"].append(UNKNOWN)

    assert isinstance(await system.run(hang_up("h")), EffectUnknown)

    assert 3500 < system.time.s <= 3600
    assert max(system.time.sleeps) <= 30


@pytest.mark.parametrize("refusal", [DENIED, OF_A_PROXY])
@pytest.mark.parametrize("effect, requests", [(redirect("a"), 1), (read("a"), 1), (hang_up("a"), 3)])
async def test_refusal_that_may_pass_is_tried_again_only_to_end_something(
    system: ExecutorHarness, effect: Effect, requests: int, refusal: ProviderRefusedError
) -> None:
    system.calls.script["a"].extend([refusal, refusal, None])

    outcome = await system.run(effect)

    assert len(system.calls.asked) == requests
    assert isinstance(outcome, EffectSucceeded if requests > 1 else EffectFailed)


async def test_order_whose_time_passed_before_it_got_a_slot_was_certainly_not_sent() -> None:
    system = ExecutorHarness(requests_max=1)
    answer = system.hold_answer("a")
    system.submit(redirect("a", "S1"))
    system.submit(redirect("b", "S2"))
    await system.settle()

    system.time.s += 9
    answer.set()
    await system.settle()

    assert system.calls.asked == ["a"]
    assert isinstance(system.outcomes[-1], EffectFailed)


# ---- a change of a recording in doubt --------------------------------------------------------------------------------


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


# ---- a redirect in doubt ---------------------------------------------------------------------------------------------


async def test_unconfirmed_redirect_of_a_call_that_is_over_fails_as_gone(system: ExecutorHarness) -> None:
    system.calls.script["a"].append(UNKNOWN)
    system.calls.reads["a"].append(OVER)

    outcome = await system.run(redirect("a"))

    assert isinstance(outcome, EffectFailed)
    assert outcome.gone


@pytest.mark.parametrize("has_slot", [True, False])
@pytest.mark.parametrize("until_s, is_sent", [(9.999, True), (10.0, False)])
async def test_no_request_is_sent_from_the_deadline_on(has_slot: bool, until_s: float, is_sent: bool) -> None:
    async def wait(partition: int) -> bool:
        """Redis is slow to renew the lease, before the job asks for a slot or once it has one."""
        if system.permissions == has_slot:
            system.time.s = until_s
        system.permissions += 1
        return True

    system = ExecutorHarness(wait_to_send=wait)

    outcome = await system.run(gated("a"))

    assert isinstance(outcome, EffectSucceeded if is_sent else EffectFailed)
    assert system.calls.asked == (["a"] if is_sent else [])
    assert ("mark a" in system.records.written) is (has_slot or is_sent)


async def test_errors_during_verification_are_waited_out(system: ExecutorHarness) -> None:
    system.calls.script["a"].append(UNKNOWN)
    system.calls.reads["a"].extend([BUSY, UNKNOWN, IN_CONFERENCE])

    assert isinstance(await system.run(redirect("a")), EffectSucceeded)

    assert system.calls.asked == ["a", "look a", "look a", "look a"]


async def test_refused_verification_leaves_the_outcome_unknown(system: ExecutorHarness) -> None:
    system.calls.script["a"].append(UNKNOWN)
    system.calls.reads["a"].append(DENIED)

    assert isinstance(await system.run(redirect("a")), EffectUnknown)
