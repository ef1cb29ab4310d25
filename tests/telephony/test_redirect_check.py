"""A redirect of unknown outcome is judged by the participant, and sent again only when it certainly did not happen."""

from conferral.telephony.redirect_check import RedirectResult, RedirectSeen, check_redirect
from tests.support.each import each


@each(
    "call_status, in_conference, since_s, expected",
    [
        ("in-progress", True,  0.0, RedirectResult.HAPPENED),
        ("completed",   True,  0.0, RedirectResult.HAPPENED),
        ("completed",   False, 0.0, RedirectResult.GONE),
        ("busy",        False, 9.0, RedirectResult.GONE),
        ("no-answer",   False, 9.0, RedirectResult.GONE),
        ("failed",      False, 9.0, RedirectResult.GONE),
        ("canceled",    False, 9.0, RedirectResult.GONE),
        ("in-progress", False, 0.0, RedirectResult.WAIT),
        ("in-progress", False, 1.9, RedirectResult.WAIT),
        ("in-progress", False, 2.0, RedirectResult.NOT_HAPPENED),
        ("ringing",     False, 9.0, RedirectResult.WAIT),
        ("queued",      False, 9.0, RedirectResult.WAIT),
        ("",            False, 9.0, RedirectResult.WAIT),
        ("unheard-of",  False, 9.0, RedirectResult.WAIT),
    ],
)  # fmt: skip
def test_redirect_check_result(call_status: str, in_conference: bool, since_s: float, expected: RedirectResult) -> None:
    assert check_redirect(RedirectSeen(call_status=call_status, in_conference=in_conference), since_s) is expected
