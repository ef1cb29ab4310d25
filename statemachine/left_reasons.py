"""Left reasons: why a party is no longer in a session, in `left_reason`."""

from conferral.statemachine.session import Session

#: Twilio's ReasonParticipantLeft: the party hung up.
HUNG_UP = "participant_hung_up"
#: Why a party's call continues outside the session: Conferral redirected it to your app's TwiML, or your app did.
REDIRECTED_AWAY = "redirected-away"
#: Why a guest's call continues: another app brought it into the conference, and only the conference ended.
NOT_OURS = "not-ours"
CONTINUES_ELSEWHERE = frozenset({REDIRECTED_AWAY, NOT_OURS, "participant_updated_via_api"})
#: Reasons reported as one: the party hung up.
_HANG_UP_REASONS = frozenset({"completed", "answered", "in-progress", HUNG_UP})


def reported_reason(reason: str) -> str:
    """Return why a party is gone, with one word for all the ways of hanging up."""
    return "hung-up" if reason in _HANG_UP_REASONS else reason


def has_left_guests(session: Session) -> bool:
    """Whether guests may still be in the conference of an ended session."""
    return bool(session.conference_sid) and any(party.left_reason == NOT_OURS for party in session.parties.values())
