"""Guards on a running conversion."""

from conferral.statemachine.draft import Draft
from conferral.statemachine.events import CallProgressed, CallsRead, DialEnded, Event, ParticipantLeft
from conferral.statemachine.session import AGENT, OUTBOUND, Party


def was_moved_recently(draft: Draft, _event: Event) -> bool:
    """Whether a leg was moved so recently that it may still be on its way."""
    moved_at_ms = draft.session.moved_at_ms
    return bool(moved_at_ms) and draft.now_ms - moved_at_ms < draft.policy.settle_ms


def both_are_still_bridged(draft: Draft, _event: Event) -> bool:
    """Whether no leg is known to have left the bridge: both still talk."""
    session = draft.session
    return not (session.participants or session.dial_call_status or session.conference_sid or session.moved_at_ms)


def outbound_is_still_bridged(draft: Draft, event: Event) -> bool:
    """Whether an outbound session may still be a bridge."""
    # There, hanging up the agent would end the customer's call.
    return draft.session.direction == OUTBOUND and both_are_still_bridged(draft, event)


def has_open_redirect(draft: Draft, _event: Event) -> bool:
    """Whether a redirect is open; its outcome comes as an event."""
    return bool(draft.session.open_redirects)


def awaits_redirect(draft: Draft, event: Event) -> bool:
    """Whether a redirect is open, and no leg is known to have left the bridge."""
    return has_open_redirect(draft, event) and both_are_still_bridged(draft, event)


def leg_to_repair(draft: Draft, event: CallsRead) -> Party | None:
    """Return the leg to redirect next, once each; None if none is left.

    A read without a conference does not show which leg is missing: one of them may wait where no list shows it.
    """
    session = draft.session
    inside = {seen.call_sid for seen in event.participants}
    if not event.conference_sid:
        inside = {party.call_sid for party in session.participants}  # by callbacks
    # Moving the parent ends the child's call, unless the child has been moved before.
    legs = (session.parent, session.child) if session.dial_call_status else (session.child, session.parent)
    missing = (leg for leg in legs if not (leg.call_sid in inside or leg.repair_moved_at_ms))
    return next(missing, None)


def repair_is_available(draft: Draft, event: CallsRead) -> bool:
    """Whether a leg that the conference lacks has not been redirected again."""
    return leg_to_repair(draft, event) is not None


def shows_leg_still_missing(draft: Draft, event: CallsRead) -> bool:
    """Whether the conference lacks a leg long after its second redirect."""
    # Without a conference, the read shows nothing: no list need have one that has not started.
    return draft.session.presence_reads > 0 and bool(event.conference_sid)


def transfer_awaits_conversion(draft: Draft, _event: Event) -> bool:
    """Whether a transfer waits for both parties to join the conference."""
    return draft.session.running_transfer is not None


def agent_leaves_during_conversion(draft: Draft, event: CallProgressed | DialEnded | ParticipantLeft) -> bool:
    """Whether only the agent hung up during a conversion for a transfer."""
    if not transfer_awaits_conversion(draft, event) or draft.session.customer.is_gone:
        return False
    if isinstance(event, CallProgressed):
        over, party = event.is_final, draft.session.find_party(call_sid=event.call_sid, name=event.party)
    elif isinstance(event, DialEnded):
        over, party = event.party_is_gone, draft.session.find_party(call_sid=event.call_sid)
    else:
        over = event.hung_up and not event.call_continues
        party = draft.session.find_party(call_sid=event.call_sid, label=event.label)
    return over and party is not None and party.name == AGENT


def child_leaves_parent_outside(draft: Draft, event: CallProgressed | ParticipantLeft) -> bool:
    """Whether the child hung up, and the parent is not in the conference.

    The parent may be on its way there. If another app moved it, Twilio hung up the child.
    """
    session = draft.session
    if isinstance(event, CallProgressed):
        over, party = event.is_final, session.find_party(call_sid=event.call_sid, name=event.party)
    else:
        over = event.hung_up and not event.call_continues
        party = session.find_party(call_sid=event.call_sid, label=event.label)
    return over and party == session.child and not (session.parent.is_gone or session.parent.in_conference)


def parent_joined_alone(draft: Draft, _event: Event) -> bool:
    """Whether the parent joined the conference after the child had hung up."""
    return draft.session.child.is_gone and draft.session.parent.in_conference


def agent_left_early(draft: Draft, event: Event) -> bool:
    """Whether only the agent is gone while a transfer awaits the conversion."""
    session = draft.session
    return transfer_awaits_conversion(draft, event) and session.agent.is_gone and not session.customer.is_gone


def shows_only_customer_joined(draft: Draft, event: CallsRead) -> bool:
    """Whether a transfer's conversion brought in the customer alone."""
    inside = {seen.call_sid for seen in event.participants}
    is_missing = shows_leg_still_missing(draft, event) and transfer_awaits_conversion(draft, event)
    return is_missing and draft.session.customer.call_sid in inside
