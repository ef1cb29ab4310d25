"""Guards on what is unsettled: they yield names, each with its last request."""

from collections.abc import Iterator

from conferral.statemachine.guards.conference import next_update
from conferral.statemachine.guards.waiting_party import is_alone, park_is_over, presence_is_uncertain, waiting_party
from conferral.statemachine.states import Opening
from conferral.statemachine.step import Draft

#: The key of a doubt: it has no other place than the session's mapping.
DOUBT = "doubts calls"


def read_is_open(draft: Draft) -> bool:
    """Whether a read has no answer yet, and is not taken as lost."""
    session = draft.session
    is_recent = draft.now_ms - session.open_read_since_ms < draft.policy.read_timeout_ms
    return bool(session.open_read_id) and is_recent


def doubts(draft: Draft) -> Iterator[str]:
    """Yield whether all calls are to be read."""
    if DOUBT in draft.session.unsettled:
        yield "calls"


def calls_left_out(draft: Draft) -> Iterator[str]:
    """Yield the calls that the last read had no room for."""
    yield from draft.session.unread_calls[:1]


def session_too_old(draft: Draft) -> Iterator[str]:
    """Yield whether the session is older than a day."""
    if draft.now_ms - draft.session.created_at_ms >= draft.policy.age_max_ms:
        yield "session"


def open_updates(draft: Draft) -> Iterator[str]:
    """Yield the updates of participants that Twilio has not confirmed."""
    for party in draft.session.participants:
        if update := party.pending_update or next_update(draft.session, party):
            yield f"{party.name} {update}"


def unproven_answers(draft: Draft) -> Iterator[str]:
    """Yield the participants whose answer no callback has reported."""
    return (party.name for party in draft.session.participants if party.dial_id and not party.answered)


def ringing_dials(draft: Draft) -> Iterator[str]:
    """Yield the dialed parties that may still ring; in a bridge, other callbacks show a failure."""
    for party in draft.session.parties.values():
        is_over = party.is_gone or party.is_leaving or party.answered or party.dial_check
        if party.dial_id and party.call_sid and not (is_over or party.in_conference):
            yield party.label


def absent_waiting_party(draft: Draft) -> Iterator[str]:
    """Yield the party that is to wait in the conference, and has not joined."""
    party = waiting_party(draft)
    if party is not None and not party.in_conference and draft.session.opening is not Opening.CALLING:
        yield f"{party.name} {'redirected' if draft.session.repair_attempted else ''}".strip()


def doubtful_loneliness(draft: Draft) -> Iterator[str]:
    """Yield whether a party's loneliness decides, and a callback is missing."""
    if (is_alone(draft) or park_is_over(draft)) and presence_is_uncertain(draft, draft.event):
        yield "presence"


# ---- a conversion: the child is moved first, and the action of its parent's `<Dial>` follows ------------------------


def legs_outside(draft: Draft) -> Iterator[str]:
    """Yield the parties of a bridge that have not joined the conference."""
    for leg in (draft.session.child, draft.session.parent):
        if not (leg.in_conference or leg.is_gone):
            yield f"{leg.name} {'repaired' if leg.repair_moved_at_ms else ''}".strip()


def parent_without_child(draft: Draft) -> Iterator[str]:
    """Yield the parent, if it has not joined, and the child is gone."""
    parent = draft.session.parent
    if draft.session.child.is_gone and not (parent.is_gone or parent.in_conference):
        yield parent.name
