"""A redirect of unknown outcome is judged by the participant, and sent again only when it certainly did not happen."""

from conferral.telephony.twilio_queries import RedirectSeen
from conferral.worker.executor.verification import Verdict, Verification, verify
from tests.support.each import each
from tests.worker.executor_harness import START_MS, FakeCalls, redirect


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
