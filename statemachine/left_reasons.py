"""Left reasons: why a party is no longer in a session, in `left_reason`."""

import re

from conferral.statemachine.session import GUEST, Party, Session

#: Twilio's ReasonParticipantLeft: the party hung up.
HUNG_UP = "participant_hung_up"
#: Why a party's call continues outside the session: Conferral redirected it to your app's TwiML, or your app did.
REDIRECTED_AWAY = "redirected-away"
#: Why a guest's call continues: another app brought it into the conference, and only the conference ended.
NOT_OURS = "not-ours"
CONTINUES_ELSEWHERE = frozenset({REDIRECTED_AWAY, NOT_OURS, "participant_updated_via_api"})
#: Reasons reported as one: the party hung up.
_HANG_UP_REASONS = frozenset({"completed", "answered", "in-progress", HUNG_UP})
#: The name of a guest, and the label of a dialed party.
_GUEST = re.compile(rf"{GUEST}-[0-9]+", re.ASCII)
_LABEL = re.compile(r"[a-z][A-Za-z0-9_-]{0,50}-(?P<number>[1-9][0-9]{0,5})", re.ASCII)


def reported_reason(reason: str) -> str:
    """Return why a party is gone, with one word for all the ways of hanging up."""
    return "hung-up" if reason in _HANG_UP_REASONS else reason


def is_not_ours(session: Session, party: Party) -> bool:
    """Whether another app owns the party's call. Only legs that Conferral dialed have its labels; guests have none."""
    return _GUEST.fullmatch(party.name) is not None and not (party.dial_id or is_label_of_dial(session, party.label))


def is_label_of_dial(session: Session, label: str) -> bool:
    """Whether a leg that the session dialed may have the label. Another app's labels may end in a number, too."""
    found = _LABEL.fullmatch(label)
    return found is not None and int(found["number"]) <= session.dials


def has_left_guests(session: Session) -> bool:
    """Whether guests may still be in the conference of an ended session."""
    return bool(session.conference_sid) and any(party.left_reason == NOT_OURS for party in session.parties.values())
