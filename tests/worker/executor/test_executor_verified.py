"""A request of unknown outcome is verified before it is repeated: redirects, dials into a conference, recordings."""

import asyncio
from dataclasses import dataclass, field

import pytest

from conferral.statemachine.effects import Effect
from conferral.statemachine.events import EffectSucceeded, EffectUnknown
from conferral.telephony.twilio_queries import RedirectSeen
from conferral.worker.executor.verification import Verdict, Verification, verify
from tests.support.each import each
from tests.worker.executor_harness import (
    ELSEWHERE,
    IN_CONFERENCE,
    QUICK,
    START_MS,
    UNKNOWN,
    ExecutorHarness,
    FakeCalls,
    Step,
    recording,
    redirect,
    straight,
    succeeded,
)


@dataclass(frozen=True)
class Verified:
    """An effect, and what a verification shows of it."""

    effect: Effect
    #: What shows that it has happened, and that it has not.
    there: Step
    nowhere: Step
    #: The outcome if it is there, and if it is sent.
    found: EffectSucceeded
    sent: EffectSucceeded
    #: The sessions of the calls that are there.
    owners: dict[str, str] = field(default_factory=dict)


REDIRECT, DIAL, RECORDING = redirect("e"), straight("e"), recording("e")
KINDS = [
    Verified(REDIRECT, IN_CONFERENCE, ELSEWHERE, succeeded(REDIRECT), succeeded(REDIRECT)),
    Verified(DIAL, "CA7", "", succeeded(DIAL, "CA7"), succeeded(DIAL, "CA-e"), {"CA7": "S1"}),
    Verified(
        RECORDING, "RE7", "", succeeded(RECORDING, recording_sid="RE7"), succeeded(RECORDING, recording_sid="RE-e")
    ),
]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.effect.kind)


@each_kind
@pytest.mark.parametrize("late", [0, 3])
async def test_effect_that_is_found_is_not_repeated(system: ExecutorHarness, kind: Verified, late: int) -> None:
    system.calls.script["e"].append(UNKNOWN)
    system.calls.reads["e"].extend([*[kind.nowhere] * late, kind.there])

    assert await system.run(kind.effect) == kind.found

    assert system.calls.asked == ["e", *["look e"] * (late + 1)]
    assert len(system.time.sleeps) == late
    assert system.records.owners == kind.owners


@each_kind
async def test_effect_that_is_nowhere_after_two_seconds_is_sent_again(system: ExecutorHarness, kind: Verified) -> None:
    system.calls.script["e"].extend([UNKNOWN, None])
    system.calls.reads["e"].append(kind.nowhere)

    assert await system.run(kind.effect) == kind.sent

    assert system.calls.asked == ["e", *["look e"] * 5, "e"]
    assert system.time.s == 2.0
    assert system.counts == (1, 1, 0, 0)


@each_kind
async def test_effect_that_is_never_confirmed_is_unknown_at_the_deadline(
    system: ExecutorHarness, kind: Verified
) -> None:
    system.calls.script["e"].append(UNKNOWN)
    system.calls.reads["e"].append(UNKNOWN)

    assert isinstance(await system.run(kind.effect), EffectUnknown)

    assert system.calls.asked.count("e") == 1
    assert 5 < system.time.s <= 10


@pytest.mark.parametrize("kind", KINDS[:2], ids=lambda kind: kind.effect.kind)
async def test_hanging_request_is_cut_off_and_verified(kind: Verified) -> None:
    system = ExecutorHarness(retries=QUICK)
    system.calls.script["e"].append(asyncio.Event())
    system.calls.reads["e"].append(kind.there)

    assert await system.run(kind.effect) == kind.found

    assert system.calls.asked == ["e", "look e"]
    assert system.calls.at_once == 0


@each_kind
async def test_effect_taken_over_is_verified_before_it_is_sent(system: ExecutorHarness, kind: Verified) -> None:
    system.calls.reads["e"].append(kind.there)

    assert await system.run(kind.effect, maybe_sent_until_s=0.0) == kind.found

    assert system.calls.asked == ["look e"]


@each_kind
@pytest.mark.parametrize(("ago_ms", "sent_at_s"), [(0, 2.0), (2_000, 0.0), (1_999, 0.5), (1_500, 0.5)])
async def test_effect_of_a_stopped_worker_is_sent_two_seconds_after_its_last_moment(
    system: ExecutorHarness, kind: Verified, ago_ms: int, sent_at_s: float
) -> None:
    system.calls.reads["e"].append(kind.nowhere)

    outcome = await system.run(kind.effect, maybe_sent_until_s=-ago_ms / 1000)

    assert outcome == kind.sent
    assert system.calls.asked == [*["look e"] * (1 + int(2 * sent_at_s)), "e"]
    assert system.time.s == sent_at_s


@each(
    "call_status, in_conference, elapsed_s, expected",
    [
        ("in-progress", True,  0.0, Verdict.HAPPENED),
        ("completed",   True,  0.0, Verdict.HAPPENED),
        ("completed",   False, 0.0, Verdict.GONE),
        ("busy",        False, 9.0, Verdict.GONE),
        ("no-answer",   False, 9.0, Verdict.GONE),
        ("failed",      False, 9.0, Verdict.GONE),
        ("canceled",    False, 9.0, Verdict.GONE),
        ("in-progress", False, 0.0, Verdict.WAIT),
        ("in-progress", False, 1.9, Verdict.WAIT),
        ("in-progress", False, 2.0, Verdict.NOT_HAPPENED),
        ("ringing",     False, 9.0, Verdict.WAIT),
        ("queued",      False, 9.0, Verdict.WAIT),
        ("",            False, 9.0, Verdict.WAIT),
        ("unheard-of",  False, 9.0, Verdict.WAIT),
    ],
)  # fmt: skip
async def test_verdict_on_a_redirect(
    call_status: str, in_conference: bool, elapsed_s: float, expected: Verdict
) -> None:
    calls = FakeCalls()
    calls.reads["a"].append(RedirectSeen(call_status=call_status, in_conference=in_conference))

    found = await verify(
        redirect("a"),
        calls,
        elapsed_s=elapsed_s,
        search_from_ms=START_MS,
    )

    assert found == Verification(expected)
