"""Guards on the conference and its participants."""

from conferral.statemachine import events
from conferral.statemachine.draft import Draft
from conferral.statemachine.events import ParticipantChanged, ParticipantJoined, ParticipantLeft
from conferral.statemachine.reasons import is_label_of_dial
from conferral.statemachine.session import AGENT, CUSTOMER

#: Twilio truncates times to the second, so they may be this much too early.
_WHOLE_SECOND_MS = 1_000


def is_unknown_participant(draft: Draft, event: ParticipantJoined | ParticipantLeft | ParticipantChanged) -> bool:
    """Whether the call does not belong to the session."""
    return draft.session.find_party(call_sid=event.call_sid, label=event.label) is None


def is_of_former_party(draft: Draft, event: ParticipantLeft | ParticipantChanged) -> bool:
    """Whether the event is about a party that left or was given up."""
    party = draft.session.find_party(call_sid=event.call_sid, label=event.label)
    if party is not None:
        return party.is_gone and isinstance(event, ParticipantChanged)
    # Labels are numbered and never reused, so a label identifies a party whose call SID was never known.
    return event.call_sid in draft.session.former_calls or is_label_of_dial(draft.session, event.label)


def is_older_than_known(draft: Draft, event: ParticipantJoined | ParticipantLeft | ParticipantChanged) -> bool:
    """Whether a newer event about this participant was already applied."""
    if event.conference_sid != draft.session.conference_sid:
        return False  # each conference numbers its own events
    party = draft.session.find_party(call_sid=event.call_sid, label=event.label)
    return party is not None and event.sequence is not None and event.sequence < party.conference_sequence


def precedes_update(draft: Draft, event: ParticipantChanged) -> bool:
    """Whether the change precedes the party's latest requested update.

    In the second of a hold that is confirmed, a change that shows no hold is earlier: requests are sent in order.
    """
    party = draft.session.find_party(call_sid=event.call_sid, label=event.label)
    if party is None or not event.occurred_at_ms:
        return False
    # In partition time, as the worker knows it from Twilio's clock; too early a time would drop the confirmation.
    if event.occurred_at_ms + _WHOLE_SECOND_MS <= party.pending_since_ms:
        return True
    is_held = party.held and not party.pending_update
    return is_held and not event.held and event.occurred_at_ms <= party.pending_since_ms


def is_of_former_conference(draft: Draft, event: ParticipantJoined) -> bool:
    """Whether the event is about a conference that the session has left."""
    return draft.session.is_former_conference(event.conference_sid)


def is_another_conference(draft: Draft, event: events.ConferenceEvent) -> bool:
    """Whether the event is about a conference other than the session's."""
    return bool(draft.session.conference_sid) and event.conference_sid != draft.session.conference_sid


def joins_another_conference(draft: Draft, event: ParticipantJoined) -> bool:
    """Whether a leg joined a second conference while the first is in use."""
    return is_another_conference(draft, event) and bool(draft.session.participants)


def is_known_to_have_joined(draft: Draft, event: ParticipantJoined) -> bool:
    """Whether the join is known, but not from a callback; or this is none."""
    party = draft.session.find_party(call_sid=event.call_sid, label=event.label)
    if party is None or event.conference_sid != draft.session.conference_sid:
        return False
    is_reported = party.conference_sequence >= 0
    if is_reported and event.sequence is None:
        return party.in_conference  # a request for wait audio, on its way together with the callback
    return party.in_conference and not is_reported and (party.answered or not party.dial_id)


def is_of_released_party(draft: Draft, event: ParticipantJoined) -> bool:
    """Whether the party that joined is no longer expected."""
    party = draft.session.find_party(call_sid=event.call_sid, label=event.label)
    if party is None:
        return event.call_sid in draft.session.former_calls
    is_former_agent = party.is_gone and party.name.startswith(f"{AGENT}-")
    return is_former_agent or (bool(party.dial_id) and (party.is_gone or party.is_leaving))


def is_last_to_join(draft: Draft, event: ParticipantJoined) -> bool:
    """Whether one of customer and agent joined, and the other is there."""
    joining = draft.session.find_party(call_sid=event.call_sid, label=event.label)
    other = {CUSTOMER: AGENT, AGENT: CUSTOMER}.get(joining.name if joining else "")
    return other is not None and draft.session.parties[other].in_conference


def party_hung_up(draft: Draft, event: ParticipantLeft) -> bool:
    """Whether customer or agent left the conference by hanging up."""
    return event.hung_up and not event.call_continues and not _is_of_guest(draft, event)


def guest_hung_up(draft: Draft, event: ParticipantLeft) -> bool:
    """Whether a guest, or a call that is no party's, hung up."""
    return event.hung_up and _is_of_guest(draft, event)


def _is_of_guest(draft: Draft, event: ParticipantLeft) -> bool:
    party = draft.session.find_party(call_sid=event.call_sid, label=event.label)
    return party is None or party.name not in (CUSTOMER, AGENT)


def is_of_absent_party(draft: Draft, event: events.DialEnded) -> bool:
    """Whether the call is unknown, or its party is not in the conference."""
    party = draft.session.find_party(call_sid=event.call_sid)
    return party is None or not party.in_conference
