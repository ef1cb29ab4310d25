"""A redirect of unknown outcome is judged by the participant, and sent again only when it certainly did not happen."""

import pytest

from conferral.telephony.look import RedirectSeen, Verdict, verdict


@pytest.mark.parametrize(
    "call_status, in_room, since_s, expected",
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
def test_verdict(call_status: str, in_room: bool, since_s: float, expected: Verdict) -> None:
    assert verdict(RedirectSeen(call_status=call_status, in_room=in_room), since_s) is expected
