"""Calls in another app's hands: moved by it, or placed by it."""

import re

from conferral.statemachine.ids import split_label
from conferral.statemachine.session import GUEST, Party, Session

#: Within this time, Twilio has requested the action of a `<Dial>` whose child was moved, or has given up, milliseconds.
MOVE_SHOWS_MS = 60_000
_GUEST = re.compile(rf"{GUEST}-[0-9]+", re.ASCII)


def is_beyond_bridge(session: Session, party: Party) -> bool:
    """Whether Twilio ends a party's call of a bridge, or another app moved it.

    The child ends with its parent, and the action's answer ends the parent. Either call, if it is live after that, is
    in another app's hands.
    """
    is_in_conference = bool(session.conference_sid or session.former_conferences)
    if is_in_conference or may_be_moved_by_us(session, party, session.ended_at_ms):
        return False
    if party.name == session.parent.name:
        return bool(session.dial_call_status)
    return party.name == session.child.name and not party.dial_id


def may_be_moved_by_us(session: Session, party: Party, now_ms: int) -> bool:
    """Whether our redirect may have just moved a call into our conference.

    No list need show a conference with one party, so a read can't tell. Redis may have lost that redirect. While Twilio
    can't be read, only the parent's end shows when the bridge ended.
    """
    child_moved_at_ms = max(session.moved_at_ms, session.lost_at_ms) if party.name == session.child.name else 0
    moved_at_ms = max(party.repair_moved_at_ms, child_moved_at_ms)
    ended_at_ms = session.parent.status_since_ms if session.parent.is_gone else now_ms
    return bool(moved_at_ms) and ended_at_ms - moved_at_ms < MOVE_SHOWS_MS


def is_of_another_app(session: Session, party: Party) -> bool:
    """Whether a guest's call was placed by another app."""
    return _GUEST.fullmatch(party.name) is not None and not (party.dial_id or is_label_of_dial(session, party.label))


def is_label_of_dial(session: Session, label: str) -> bool:
    """Whether a dial of the session may have given this label, `NAME-NUMBER`."""
    # A number above the session's highest is in another app's label.
    return 0 < split_label(label)[1] <= session.highest_label_number
