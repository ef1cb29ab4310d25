"""Guards on the fallback of an inbound call, and on the voicemail."""

from conferral.statemachine import events
from conferral.statemachine.events import Event
from conferral.statemachine.guards.reads import child_in_read, shows_parent_inside
from conferral.statemachine.guards.transfer import answering_party, customer_is_unattended, next_place
from conferral.statemachine.guards.waiting_party import expected_party_failed, waiting_party_has_joined
from conferral.statemachine.session import CUSTOMER, Session
from conferral.statemachine.states import UNREACHED_DIAL_STATUSES, Phase, Place
from conferral.statemachine.step import Draft

# ---- the fallback of an inbound call ---------------------------------------------------------------------------------


def has_inbound_fallback(session: Session) -> bool:
    """Whether a caller whom no agent takes goes somewhere else."""
    return session.customer_is_parent and bool(session.fallback)


def bridge_falls_back(draft: Draft, event: events.DialEnded) -> bool:
    """Whether no one took a bridge's call, and its action joins the caller."""
    return event.reached_no_one and has_inbound_fallback(draft.session)


def caller_joined_for_fallback(draft: Draft, event: events.ParticipantJoined) -> bool:
    """Whether the caller joined, though Redis lost that no one answered."""
    party = draft.session.subject_of(event)
    return party is not None and party.name == CUSTOMER and has_inbound_fallback(draft.session)


def shows_caller_joined_for_fallback(draft: Draft, event: events.CallsRead) -> bool:
    """Whether a read shows the caller in our conference, and why no one came.

    An agent's call that is `completed` may have been in a conversion that Redis lost.
    """
    seen, agent = child_in_read(draft, event), draft.session.agent
    status = agent.left_reason if agent.is_gone or seen is None else seen.status
    was_reached = status not in (*UNREACHED_DIAL_STATUSES, "rejected", events.GateDecision.NO_CONFIRMATION)
    return not was_reached and has_inbound_fallback(draft.session) and shows_parent_inside(draft, event)


def inbound_fallback_follows(draft: Draft, event: Event) -> bool:
    """Whether no agent took the call of a caller who waits."""
    return expected_party_failed(draft, event) and has_inbound_fallback(draft.session)


def no_agent_is_configured(draft: Draft, event: Event) -> bool:
    """Whether a caller waits for whom there is no agent."""
    session = draft.session
    return session.customer_is_parent and not session.agent.address and waiting_party_has_joined(draft, event)


# ---- the voicemail ---------------------------------------------------------------------------------------------------


def voicemail_is_next(draft: Draft, _event: Event) -> bool:
    """Whether the customer leaves a message next."""
    return next_place(draft) == Place.VOICEMAIL


def customer_is_in_voicemail(draft: Draft, _event: Event) -> bool:
    """Whether the customer is in the voicemail, or on the way."""
    return draft.session.is_in_voicemail


def customer_is_outside(draft: Draft, event: events.ConferenceEnded) -> bool:
    """Whether the customer is in the voicemail, or on the way there or back."""
    session = draft.session
    comes_back = session.voicemail is not None and session.voicemail.is_left and session.phase is Phase.RETRIEVE
    return customer_is_in_voicemail(draft, event) or (comes_back and not session.customer.in_conference)


def is_moving_to_voicemail(draft: Draft, _event: Event) -> bool:
    """Whether the customer may still be in the conference."""
    voicemail = draft.session.voicemail
    return voicemail is not None and bool(voicemail.move_effect_id or voicemail.may_not_have_moved)


def is_of_voicemail(_draft: Draft, event: events.RecordingChanged) -> bool:
    """Whether the recording is a message left in the voicemail."""
    return event.of_voicemail


def voicemail_is_over(draft: Draft, event: Event) -> bool:
    """Whether the customer has left a message, or hung up in the voicemail."""
    voicemail = draft.session.voicemail
    if voicemail is None or voicemail.is_left:
        return False
    left_message = voicemail.is_recording and has_left_voicemail(draft, event)
    return voicemail.is_over or draft.session.customer.is_gone or left_message


def has_left_voicemail(draft: Draft, event: Event) -> bool:
    """Whether the customer is in a conference again: our document failed.

    Twilio then requests the fallback URL, which joins the customer.
    """
    session, voicemail = draft.session, draft.session.voicemail
    if voicemail is None or voicemail.is_left or is_moving_to_voicemail(draft, event):
        return False
    return session.customer.in_conference and session.conference_sid != voicemail.conference_sid


def shows_customer_not_in_voicemail(draft: Draft, event: events.CallsRead) -> bool:
    """Whether the customer is still in the conference, and not moved."""
    voicemail = draft.session.voicemail
    may_not_have_moved = voicemail is not None and voicemail.may_not_have_moved
    return may_not_have_moved and any(seen.call_sid == draft.session.customer.call_sid for seen in event.participants)


def voicemail_can_be_repeated(draft: Draft, event: events.CallsRead) -> bool:
    """Whether the customer is in the conference, and was to be moved once."""
    voicemail = draft.session.voicemail
    return shows_customer_not_in_voicemail(draft, event) and voicemail is not None and not voicemail.was_repeated


def answers_for_voicemail(draft: Draft, event: Event) -> bool:
    """Whether someone joined who takes the customer out of the voicemail."""
    return draft.session.is_in_voicemail and answering_party(draft, event) is not None


def voicemail_was_not_retrieved(draft: Draft, event: Event) -> bool:
    """Whether no one took the customer out of the voicemail."""
    return draft.session.is_in_voicemail and customer_is_unattended(draft, event)
