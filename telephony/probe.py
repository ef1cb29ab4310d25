"""How `check` marks the two requests by which it tries the webhooks, so that they are no alarm in the log.

The mark proves that the sender has the auth token, and holds for one harmless request only: for the sentence of an
announcement that no session has. An attacker can't make a mark, and by repeating one could only hide that same request.
"""

import hmac
from collections.abc import Sequence

from conferral.telephony.callback_urls import ANNOUNCEMENT_PATH

HEADER = "X-Conferral-Probe"
#: The session that is asked for; there is none.
SESSION = "conferral-check"
#: Path and query of both requests.
TARGET = f"{ANNOUNCEMENT_PATH}?session={SESSION}&command={SESSION}"
#: How far the clocks of both sides may be apart, seconds.
CLOCK_SKEW_MAX_S = 300


def make_probe(token: str, at_s: int) -> str:
    """Return the header's value at a moment, Unix seconds."""
    return f"{at_s}.{hmac.new(token.encode(), f'{TARGET} {at_s}'.encode(), 'sha256').hexdigest()}"


def is_probe(value: str, tokens: Sequence[str], now_s: float) -> bool:
    """Return whether a header's value was made with one of the tokens a short time ago."""
    text = value.partition(".")[0]
    if not (text.isascii() and text.isdigit() and len(text) <= 12) or abs(now_s - int(text)) > CLOCK_SKEW_MAX_S:
        return False
    given = value.encode("utf-8", "surrogateescape")
    return any(hmac.compare_digest(make_probe(token, int(text)).encode(), given) for token in tokens)
