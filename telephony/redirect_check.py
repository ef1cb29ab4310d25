"""Did it happen? How a redirect is judged that may have been sent, or whose answer was lost.

A redirect that is repeated blindly takes the leg out of the room that it has just joined. So it is looked up by the
participant, never by the call alone, and sent again only when it certainly did not happen.
"""

from dataclasses import dataclass
from enum import Enum

from conferral.statemachine.states import FINAL_CALL_STATUSES, CallStatus

#: How long Twilio may take from the request to the participant that shows up in a list. A call runs its new TwiML
#: within about two thirds of a second, and a list may miss a new room for a moment.
SETTLE_S = 2.0


class RedirectResult(Enum):
    """What a look found."""

    #: The party is in the room.
    HAPPENED = "happened"
    #: The call is over; there is nobody left to be redirected.
    GONE = "gone"
    #: The call goes on elsewhere, and time enough has passed: it may be sent, again or for the first time.
    NOT_HAPPENED = "not-happened"
    #: Too early to say, or the call is in a state that says nothing: look again later.
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class RedirectSeen:
    """What a look at one redirect saw."""

    #: Status of the call in Twilio's words; `completed` when Twilio does not know the call any more.
    call_status: str
    #: Whether the label or the call is in a live room of the session.
    in_conference: bool


def check_redirect(seen: RedirectSeen, since_s: float, settle_s: float = SETTLE_S) -> RedirectResult:
    """Judges what was seen.

    Args:
        seen: What was seen.
        since_s: Seconds since the last moment at which the request could have been sent.
        settle_s: Seconds after which a redirect that was carried out shows.
    """
    if seen.in_conference:
        return RedirectResult.HAPPENED
    if seen.call_status in FINAL_CALL_STATUSES:
        return RedirectResult.GONE
    if seen.call_status == CallStatus.IN_PROGRESS and since_s >= settle_s:
        return RedirectResult.NOT_HAPPENED
    return RedirectResult.WAIT
