"""Probe header of `conferral check`, whose requests raise no alarm.

It proves that the sender has the auth token, and is valid only for the announcement of a session that does not exist.
By replaying it, an attacker could only hide that same request.
"""

import hmac
from collections.abc import Sequence

from conferral.telephony.callback_urls import ANNOUNCEMENT_PATH, Announcement

HEADER = "X-Conferral-Probe"
#: The requested session, which does not exist.
SESSION = "conferral-check"
#: Path and query of both requests.
TARGET = f"{ANNOUNCEMENT_PATH}?{Announcement(SESSION, SESSION).query()}"
#: Most clock skew between both sides, seconds.
CLOCK_SKEW_MAX_S = 300


def make_probe(token: str, at_s: int) -> str:
    """Return the header's value for a time in Unix seconds."""
    return f"{at_s}.{hmac.new(token.encode(), f'{TARGET} {at_s}'.encode(), 'sha256').hexdigest()}"


def is_probe(value: str, tokens: Sequence[str], now_s: float) -> bool:
    """Whether `make_probe` made this recently, with one of the tokens."""
    text = value.partition(".")[0]
    if not (text.isascii() and text.isdigit() and len(text) <= 12) or abs(now_s - int(text)) > CLOCK_SKEW_MAX_S:
        return False
    given = value.encode("utf-8", "surrogateescape")
    return any(hmac.compare_digest(make_probe(token, int(text)).encode(), given) for token in tokens)
