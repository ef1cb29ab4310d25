"""How long an effect waits before it is tried again."""

import random

import pytest

from conferral.runtime.errors import (
    OutcomeUnknownError,
    ProviderError,
    ProviderGoneError,
    ProviderRefusedError,
    ProviderUnreachableError,
    RateLimitedError,
)
from conferral.statemachine.effects import Effect, EndConference, HangUpCall, ReadCalls, RedirectCall
from conferral.worker.executor.job import AT_MOST_ONCE, ENDING, RETRIES, RetryPolicy, backoff_s
from tests.support.each import each
from tests.worker.executor_harness import announcement, away, change, find, gated, recording, say, straight, update

POLICY = RetryPolicy(deadline_s=8, request_timeout_s=4, first_wait_s=0.25, wait_max_s=2)


class Highest(random.Random):
    """Draws the upper end, so that ends are predictable."""

    def uniform(self, _a: float, b: float) -> float:
        return b


@pytest.mark.parametrize("error", [RateLimitedError(), ProviderUnreachableError(), OutcomeUnknownError()])
def test_ends_of_the_waits_double_up_to_a_bound(error: ProviderError) -> None:
    ends = [backoff_s(attempt, error, POLICY, Highest()) for attempt in range(1, 7)]

    assert ends == [0.25, 0.5, 1.0, 2.0, 2.0, 2.0]


def test_waits_are_spread_from_zero_to_their_end() -> None:
    rng = random.Random(1)

    waits = [backoff_s(4, RateLimitedError(), POLICY, rng) or 0.0 for _ in range(500)]

    assert 0.0 <= min(waits) < 0.05
    assert 1.95 < max(waits) <= 2.0


def test_thousandth_try_has_a_wait_too() -> None:
    assert backoff_s(10_000, OutcomeUnknownError(), ENDING, Highest()) == 30.0


def test_retry_after_is_waited_out_with_a_little_jitter_on_top() -> None:
    error = RateLimitedError(http_status=429, retry_after_s=3)

    waits = [backoff_s(1, error, POLICY, random.Random(seed)) or 0.0 for seed in range(100)]

    assert all(3.0 <= wait <= 3.25 for wait in waits)
    assert len(set(waits)) > 90


def test_absurd_retry_after_is_cut() -> None:
    error = RateLimitedError(http_status=429, retry_after_s=1e9)

    assert backoff_s(1, error, ENDING, Highest()) == 60.25


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
def test_refusal_is_repeated_only_where_it_may_pass(
    error: ProviderError, repeats_denied: bool, is_repeated: bool
) -> None:
    policy = RetryPolicy(deadline_s=8, request_timeout_s=4, retries_passing_refusals=repeats_denied)

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
    ],
)
def test_each_kind_has_its_times(effect: Effect, deadline_s: float, request_s: float) -> None:
    """What may not be repeated gets its whole time for one request; an ending waits longest, and without a limit."""
    is_at_most_once = isinstance(effect, AT_MOST_ONCE)
    policy = ENDING if effect.is_ending else RETRIES[type(effect)]
    assert (policy.deadline_s, policy.request_timeout_s) == (deadline_s, request_s)
    assert policy.last_request_s == (request_s if is_at_most_once else 1)
    assert (policy.first_wait_s, policy.wait_max_s) == (0.25, 30 if effect.is_ending else 2)
    assert policy.retries_passing_refusals is effect.is_ending
