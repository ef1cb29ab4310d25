"""What is repeated, for how long, and how a redirect with an unknown outcome is verified before a retry."""

import random
from typing import Any

import pytest
from structlog.testing import capture_logs

from conferral.runtime.errors import (
    ProviderError,
    ProviderGoneError,
    ProviderRefusedError,
    ProviderUnreachableError,
    RateLimitedError,
    ResultUnknownError,
    UnfinishedRecordingError,
)
from conferral.statemachine.effects import (
    Effect,
    EndConference,
    FindMessage,
    FindRecording,
    HangUpCall,
    ReadCalls,
    RedirectCall,
    RedirectToVoicemail,
)
from conferral.statemachine.events import CallsRead, EffectFailed, EffectSucceeded, EffectUnknown
from conferral.statemachine.record import replace
from conferral.worker.executor.job import AT_MOST_ONCE, HANG_UP_RETRY, RETRIES, RetryPolicy, backoff_s
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
    UNKNOWN,
    ExecutorHarness,
    announcement,
    away,
    change,
    find,
    find_recording,
    gated,
    hang_up,
    message,
    read,
    recording,
    redirect,
    say,
    straight,
    succeeded,
    update,
)

POLICY = RetryPolicy(deadline_s=8, request_timeout_s=4, first_backoff_max_s=0.25, backoff_max_s=2)


class Highest(random.Random):
    """Draws the upper bound, so that results are predictable."""

    def uniform(self, _a: float, b: float) -> float:
        return b


@pytest.mark.parametrize("error", [RateLimitedError(), ProviderUnreachableError(), ResultUnknownError()])
def test_bounds_of_the_backoff_double_up_to_a_maximum(error: ProviderError) -> None:
    bounds_s = [backoff_s(failures, error, POLICY, Highest()) for failures in range(1, 7)]

    assert bounds_s == [0.25, 0.5, 1.0, 2.0, 2.0, 2.0]


def test_backoffs_are_spread_from_zero_to_their_bound() -> None:
    rng = random.Random(1)

    backoffs_s = [backoff_s(4, RateLimitedError(), POLICY, rng) or 0.0 for _ in range(500)]

    assert 0.0 <= min(backoffs_s) < 0.05
    assert 1.95 < max(backoffs_s) <= 2.0


def test_ten_thousandth_failure_has_a_backoff_too() -> None:
    assert backoff_s(10_000, ResultUnknownError(), HANG_UP_RETRY, Highest()) == 30.0


def test_retry_after_is_waited_out_with_a_little_jitter_on_top() -> None:
    error = RateLimitedError(http_status=429, retry_after_s=3)

    backoffs_s = [backoff_s(1, error, POLICY, random.Random(seed)) or 0.0 for seed in range(100)]

    assert all(3.0 <= one <= 3.25 for one in backoffs_s)
    assert len(set(backoffs_s)) > 90
    absurd = RateLimitedError(http_status=429, retry_after_s=1e9)
    assert backoff_s(1, absurd, HANG_UP_RETRY, Highest()) == 60.25


@each(
    "error, repeats_denied, is_repeated",
    [
        (ProviderRefusedError(http_status=400, code=20001), True,  False),
        (ProviderGoneError(http_status=404, code=20404),    True,  False),
        (ProviderRefusedError(http_status=401, code=20003), False, False),
        (ProviderRefusedError(http_status=401, code=20003), True,  True),
        (ProviderRefusedError(http_status=403),             True,  True),
        (ProviderRefusedError(http_status=403),             False, False),
        (ProviderRefusedError(http_status=302),             True,  True),
        (ProviderRefusedError(http_status=404),             True,  True),
        (ProviderRefusedError(http_status=407),             False, False),
    ],
)  # fmt: skip
def test_refusal_is_repeated_only_where_it_may_be_temporary(
    error: ProviderError, repeats_denied: bool, is_repeated: bool
) -> None:
    policy = RetryPolicy(deadline_s=8, request_timeout_s=4, retries_temporary_refusals=repeats_denied)

    assert (backoff_s(1, error, policy, random.Random(1)) is not None) is is_repeated


@each(
    "effect, deadline_s, request_s",
    [
        (RedirectCall(effect_id="e", session_id="S", call_sid="CA1", conference="S", label="agent-1"), 8, 4),
        (ReadCalls(effect_id="e", session_id="S", parent_call_sid="CA1", read_version=1), 10, 5),
        (HangUpCall(effect_id="e", session_id="S", call_sid="CA1"), 3600, 10),
        (EndConference(effect_id="e", session_id="S", conference_sid="CF1"), 3600, 10),
        (say("e"), 3600, 10),
        (straight("e"), 10, 5),
        (gated("e"), 10, 10),
        (find("e"), 10, 5),
        (update("e"), 4, 2),
        (announcement("e"), 5, 5),
        (recording("e"), 10, 5),
        (change("e"), 4, 2),
        (away("e"), 3600, 10),
        (RedirectToVoicemail(effect_id="e", session_id="S", call_sid="CA1"), 5, 5),
        (FindMessage(effect_id="e", session_id="S", call_sid="CA1"), 3600, 5),
        (find_recording("e"), 3600, 5),
    ],
)
def test_each_kind_has_its_times(effect: Effect, deadline_s: float, request_s: float) -> None:
    """What may not be repeated gets its whole time for one request; an ending waits longest, and without a limit."""
    is_at_most_once = isinstance(effect, AT_MOST_ONCE)
    policy = HANG_UP_RETRY if effect.is_ending else RETRIES[type(effect)]
    assert (policy.deadline_s, policy.request_timeout_s) == (deadline_s, request_s)
    assert policy.last_request_s == (request_s if is_at_most_once else 1)
    waits_s = (1, 30) if isinstance(effect, FindMessage | FindRecording) else (0.25, 30 if effect.is_ending else 2)
    assert (policy.first_backoff_max_s, policy.backoff_max_s) == waits_s
    assert policy.retries_temporary_refusals is effect.is_ending


# ---- retries ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("retry_after_s", [8, 9, 1e9])
async def test_retry_after_up_to_the_deadline_fails_at_once(system: ExecutorHarness, retry_after_s: float) -> None:
    system.calls.script["a"].append(RateLimitedError(http_status=429, code=20429, retry_after_s=retry_after_s))

    outcome = await system.run(redirect("a"))

    assert isinstance(outcome, EffectFailed)
    assert (outcome.http_status, outcome.code, outcome.gone) == (429, 20429, False)
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


@pytest.mark.parametrize("make", [message, find_recording])
async def test_recording_is_found_however_long_twilio_processes_it(system: ExecutorHarness, make: Any) -> None:
    """The callback that says so may be lost; until then, the list shows the recording as `processing`."""
    system.calls.script["a"].extend([UnfinishedRecordingError()] * 60 + [None])
    with capture_logs() as lines:
        assert isinstance(await system.run(make("a")), EffectSucceeded)
    assert system.time.s > 600
    assert {line["log_level"] for line in lines} == {"info"}, "nothing is wrong"


async def test_recording_that_a_callback_reports_is_not_searched_for(system: ExecutorHarness) -> None:
    """Most callbacks arrive within the seconds before the first request."""
    system.records.replaced.add("a")
    assert isinstance(await system.run(find_recording("a")), EffectSucceeded)
    assert (system.time.sleeps, system.calls.asked) == ([2], [])


@pytest.mark.parametrize("maybe_sent_until_s", [None, 0.0])
@each(
    "effect",
    [
        hang_up("a"), read("a"), update("a"), say("a"), find("a"),
        *(change("a", status=status) for status in ("paused", "in-progress", "stopped")),
    ],
)  # fmt: skip
async def test_effect_that_may_happen_twice_is_simply_repeated(
    effect: Effect, maybe_sent_until_s: float | None
) -> None:
    for script in ([UNKNOWN, UNKNOWN, None], [UNKNOWN, BUSY, None]):
        system = ExecutorHarness()
        system.calls.script["a"].extend(script)

        outcome = await system.run(effect, maybe_sent_until_s=maybe_sent_until_s)

        assert isinstance(outcome, CallsRead) if isinstance(effect, ReadCalls) else outcome == succeeded(effect)
        assert system.calls.asked == ["a", "a", "a"]


@each("effect", [update("a"), change("a", status="in-progress")])
async def test_update_that_a_later_one_replaced_is_not_repeated(effect: Effect) -> None:
    """The request may have worked long ago, and a consult may have begun since."""
    restored, retried = ExecutorHarness(), ExecutorHarness()
    restored.records.replaced.add("a")
    assert isinstance(await restored.run(effect, maybe_sent_until_s=0.0), EffectUnknown)
    assert restored.calls.asked == []

    retried.calls.script["a"].append(UNKNOWN)
    outcome = await retried.run_and_change(effect, lambda: retried.records.replaced.add("a"))
    assert isinstance(outcome, EffectUnknown)
    assert retried.calls.asked == ["a"]


UNHOLDS = [update("a", update=name) for name in ("unhold", "set-end-on-exit", "clear-end-on-exit")]


@each("effect", UNHOLDS)
async def test_unhold_that_was_replaced_before_it_was_sent_is_dropped(effect: Effect) -> None:
    """It would undo the hold that replaced it."""
    system = ExecutorHarness()
    system.records.replaced.add("a")
    outcome = await system.run(effect)
    assert not isinstance(outcome, EffectSucceeded)
    assert not outcome.may_unhold_later, "Twilio has not got it"
    assert system.calls.asked == []


@each("effect", [update("a"), *(replace(one, keeps_hold=True) for one in UNHOLDS[1:])])
async def test_update_without_an_unhold_that_was_replaced_before_it_was_sent_does_no_harm(effect: Effect) -> None:
    system = ExecutorHarness()
    system.records.replaced.add("a")
    assert isinstance(await system.run(effect), EffectSucceeded)


@each("effect", UNHOLDS)
async def test_unhold_without_an_answer_may_happen_later_whatever_comes_of_its_repetition(effect: Effect) -> None:
    for script in ([UNKNOWN, None], [UNKNOWN, REFUSED], [UNKNOWN] * 60):
        system = ExecutorHarness()
        system.calls.script["a"].extend(script)
        assert (await system.run(effect)).may_unhold_later

    replaced = ExecutorHarness()
    replaced.calls.script["a"].append(UNKNOWN)
    outcome = await replaced.run_and_change(effect, lambda: replaced.records.replaced.add("a"))
    assert (outcome.may_unhold_later, replaced.calls.asked) == (True, ["a"])

    for script in ([], [REFUSED], [BUSY, None]):
        answered = ExecutorHarness()
        answered.calls.script["a"].extend(script)
        assert not (await answered.run(effect)).may_unhold_later


async def test_redirect_is_not_repeated_once_the_session_has_moved_on() -> None:
    """The leg may have left the conference on purpose since, and would be pulled back."""
    restored, retried, refused = ExecutorHarness(), ExecutorHarness(), ExecutorHarness()
    restored.records.replaced.add("a")
    restored.calls.reads["a"].append(ELSEWHERE)
    outcome = await restored.run(redirect("a"), maybe_sent_until_s=-60.0)
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
    assert await system.run(stop, maybe_sent_until_s=0.0) == succeeded(stop)
    assert system.calls.asked == ["a"]


async def test_recording_that_another_one_replaced_is_not_started_late(system: ExecutorHarness) -> None:
    system.records.replaced.add("a")
    system.calls.reads["a"].append("")
    outcome = await system.run(recording("a"), maybe_sent_until_s=-60.0)
    assert isinstance(outcome, EffectFailed)
    assert system.calls.asked == ["look a"], "it was verified only"


async def test_outcome_counts_the_requests_and_their_failures(system: ExecutorHarness) -> None:
    system.calls.script["a"].extend([UNKNOWN, BUSY, UNKNOWN, AWAY, None])

    await system.run_all(hang_up("a"), hang_up("b", session="S2"))

    assert system.records.tried == {"a": (5, ("429 code 20429 x1", "503 x2", "unknown x1")), "b": (None, ())}


async def test_outcome_counts_a_verified_request_but_reports_a_refusal_once(system: ExecutorHarness) -> None:
    system.calls.script["a"].append(UNKNOWN)
    system.calls.reads["a"].append(IN_CONFERENCE)
    system.calls.script["b"].extend([BUSY, REFUSED])
    system.calls.script["c"].append(REFUSED)

    await system.run_all(*(redirect(name, session=name) for name in "abc"))

    assert system.records.tried == {"a": (1, ("503 x1",)), "b": (2, ("429 code 20429 x1",)), "c": (None, ())}


async def test_kinds_of_setbacks_are_bounded(system: ExecutorHarness) -> None:
    codes = range(20500, 20512)
    system.calls.script["a"].extend([*(ResultUnknownError(http_status=503, code=code) for code in codes), None])

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


@pytest.mark.parametrize("refusal", [DENIED, OF_A_PROXY])
@pytest.mark.parametrize("effect, requests", [(redirect("a"), 1), (read("a"), 1), (hang_up("a"), 3)])
async def test_refusal_that_may_be_temporary_is_retried_only_to_end_something(
    system: ExecutorHarness, effect: Effect, requests: int, refusal: ProviderRefusedError
) -> None:
    system.calls.script["a"].extend([refusal, refusal, None])

    outcome = await system.run(effect)

    assert len(system.calls.asked) == requests
    assert isinstance(outcome, EffectSucceeded if requests > 1 else EffectFailed)


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


@pytest.mark.parametrize(
    "reads, outcome", [([ELSEWHERE] * 2, EffectUnknown), ([ELSEWHERE, IN_CONFERENCE], EffectSucceeded)]
)
async def test_redirect_that_twilio_leaves_unanswered_is_not_repeated(reads: list[Any], outcome: type[object]) -> None:
    """It may still happen: after a second one, it would take the leg out of the conference."""
    system = ExecutorHarness(retries={**RETRIES, RedirectCall: RetryPolicy(deadline_s=8, request_timeout_s=0.001)})
    system.hold_answer("a")
    system.calls.reads["a"].extend(reads)

    assert isinstance(await system.run(redirect("a")), outcome)

    assert system.calls.asked.count("a") == 1
