"""Verification of a redirect that may have been sent, or whose response was lost.

A blind retry would take the leg out of the conference it just joined. So the worker looks for the participant, never
only for the call, and retries only if the redirect certainly did not happen.
"""

from dataclasses import dataclass
from enum import Enum

from conferral.statemachine.states import FINAL_CALL_STATUSES, CallStatus

#: How long Twilio may take from the request until the participant is listed. A call runs its new TwiML within about two
#: thirds of a second, and a list may briefly miss a new conference.
SETTLE_S = 2.0


class RedirectResult(Enum):
    """Result of a verification."""

    #: The party is in the conference.
    HAPPENED = "happened"
    #: The call is over, so there is nothing to redirect.
    GONE = "gone"
    #: The call is live elsewhere, and enough time has passed: the redirect may be sent, again or for the first time.
    NOT_HAPPENED = "not-happened"
    #: Too early, or the call's status is inconclusive: verify again later.
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class RedirectSeen:
    """What a verification read."""

    #: Status of the call in Twilio's words; `completed` if Twilio no longer knows the call.
    call_status: str
    #: Whether the label or the call is in a live conference of the session.
    in_conference: bool


def check_redirect(seen: RedirectSeen, since_s: float, settle_s: float = SETTLE_S) -> RedirectResult:
    """Decide whether a redirect happened.

    Args:
        seen: What the verification read.
        since_s: Seconds since the request could last have been sent.
        settle_s: Seconds after which an executed redirect is visible.
    """
    if seen.in_conference:
        return RedirectResult.HAPPENED
    if seen.call_status in FINAL_CALL_STATUSES:
        return RedirectResult.GONE
    if seen.call_status == CallStatus.IN_PROGRESS and since_s >= settle_s:
        return RedirectResult.NOT_HAPPENED
    return RedirectResult.WAIT
