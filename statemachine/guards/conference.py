"""Questions about the conference and who is in it."""

import re

from conferral.statemachine.draft import Draft
from conferral.statemachine.events import (
    ConferenceEvent,
    DialEnded,
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
)
from conferral.statemachine.session import AGENT, CUSTOMER

#: Of a participant label. Only ASCII digits: whoever is nobody of ours may have any label.
_NUMBER = re.compile(r"[0-9]{1,6}")
#: A time that is cut to its second may be this much earlier than the moment itself.
_WHOLE_SECOND_MS = 1_000


def is_unknown_participant(draft: Draft, event: ParticipantJoined | ParticipantLeft | ParticipantChanged) -> bool:
    """Whether the call is none of the session's."""
    return draft.session.find_party(call_sid=event.call_sid, label=event.label) is None


def is_of_former_party(draft: Draft, event: ParticipantLeft | ParticipantChanged) -> bool:
    """Whether it tells of somebody of ours who has left or was given up, and whose name may be somebody else's now.

    Where his call was never learnt, his label tells: labels are numbered, and none is used twice.
    """
    if not is_unknown_participant(draft, event):
        return False
    number = event.label.rpartition("-")[2]
    is_of_earlier_dial = _NUMBER.fullmatch(number) is not None and 1 <= int(number) <= draft.session.dials
    return event.call_sid in draft.session.former_calls or is_of_earlier_dial


def is_older_than_known(draft: Draft, event: ParticipantJoined | ParticipantLeft | ParticipantChanged) -> bool:
    """Whether something newer about this participant was taken already."""
    if event.conference_sid != draft.session.conference_sid:
        return False  # each conference counts for itself
    party = draft.session.find_party(call_sid=event.call_sid, label=event.label)
    return party is not None and event.sequence is not None and event.sequence < party.conference_sequence


def precedes_pending_update(draft: Draft, event: ParticipantChanged) -> bool:
    """Whether it happened before what was asked of Twilio last: it came late, and does not tell what came of that.

    Twilio tells whole seconds. Should its clock be behind ours, a look tells in place of the callback.
    """
    party = draft.session.find_party(call_sid=event.call_sid, label=event.label)
    known = party is not None and bool(party.pending_update) and bool(event.occurred_at_ms)
    return known and party is not None and event.occurred_at_ms + _WHOLE_SECOND_MS <= party.pending_since_ms


def is_of_former_conference(draft: Draft, event: ParticipantJoined) -> bool:
    """Whether it tells of a conference that the session has left: it came late."""
    return event.conference_sid in draft.session.former_conferences


def is_another_conference(draft: Draft, event: ConferenceEvent) -> bool:
    """Whether it is about another conference than the session's."""
    return bool(draft.session.conference_sid) and event.conference_sid != draft.session.conference_sid


def joins_another_conference(draft: Draft, event: ParticipantJoined) -> bool:
    """Whether a leg of ours opened a second room while the first one is in use."""
    return is_another_conference(draft, event) and bool(draft.session.participants)


def is_of_released_party(draft: Draft, event: ParticipantJoined) -> bool:
    """Whether somebody has reached the conference whom nobody waits for any more."""
    party = draft.session.find_party(call_sid=event.call_sid, label=event.label)
    if party is None:
        return event.call_sid in draft.session.former_calls
    return bool(party.dial_id) and (party.is_gone or party.is_leaving)


def is_last_to_join(draft: Draft, event: ParticipantJoined) -> bool:
    """Whether everybody else is in already."""
    joining = draft.session.find_party(call_sid=event.call_sid, label=event.label)
    other = {CUSTOMER: AGENT, AGENT: CUSTOMER}.get(joining.name if joining else "")
    return other is not None and draft.session.parties[other].in_conference


def party_hung_up(draft: Draft, event: ParticipantLeft) -> bool:
    """Whether customer or agent left the room because the call is over."""
    return event.hung_up and not event.goes_on and not _is_of_guest(draft, event)


def guest_hung_up(draft: Draft, event: ParticipantLeft) -> bool:
    """Whether somebody left whom somebody else had brought in."""
    return event.hung_up and _is_of_guest(draft, event)


def _is_of_guest(draft: Draft, event: ParticipantLeft) -> bool:
    party = draft.session.find_party(call_sid=event.call_sid, label=event.label)
    return party is None or party.name not in (CUSTOMER, AGENT)


def is_of_absent_party(draft: Draft, event: DialEnded) -> bool:
    """Whether the call that asked is none of the session's, or is known to be out of the room already."""
    party = draft.session.find_party(call_sid=event.call_sid)
    return party is None or not party.in_conference
