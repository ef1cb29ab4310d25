"""Guards on what a read of Twilio shows."""

from conferral.statemachine.draft import Draft
from conferral.statemachine.events import CallSeen, CallsRead, ConvertOverdue, Event, LeaveOverdue
from conferral.statemachine.guards.conversion import outbound_is_still_bridged, was_moved_recently
from conferral.statemachine.guards.waiting_party import has_reached_conference
from conferral.statemachine.ids import visit_number
from conferral.statemachine.session import AGENT, CUSTOMER, INBOUND, Party
from conferral.statemachine.states import (
    FINAL_CALL_STATUSES,
    WITHOUT_AGENT,
    CallStatus,
    Opening,
    Phase,
    State,
    TransferStage,
)

#: Stages of a transfer without the agent, past the customer's move into the conference.
_AFTER_MOVE = (TransferStage.DIALING, TransferStage.UNHOLDING_CUSTOMER, TransferStage.PARKING)


def is_outdated(draft: Draft, event: CallsRead) -> bool:
    """Whether facts changed after the read began, so it may be outdated."""
    return draft.session.facts_version > event.read_version


def reread_is_due(draft: Draft, _event: Event) -> bool:
    """Whether a read is wanted, and none is open."""
    return draft.session.reread_wanted and not draft.session.open_read_id


def shows_parent_ended(draft: Draft, event: CallsRead) -> bool:
    """Whether the call whose `<Dial>` made the bridge is over."""
    return _shows_ended(draft, event, draft.session.parent)


def shows_parent_ended_after_dial(draft: Draft, event: CallsRead) -> bool:
    """Whether the parent's call is over, and its `<Dial>` ended before."""
    return bool(draft.session.dial_call_status) and shows_parent_ended(draft, event)


def shows_child_ended(draft: Draft, event: CallsRead) -> bool:
    """Whether the call that the bridge's `<Dial>` made is over."""
    return _shows_ended(draft, event, draft.session.child)


def shows_either_ended(draft: Draft, event: CallsRead) -> bool:
    """Whether the call of either party is over."""
    return shows_parent_ended(draft, event) or shows_child_ended(draft, event)


def shows_parent_moved(draft: Draft, event: CallsRead) -> bool:
    """Whether the parent's call goes on, well after its `<Dial>` has ended.

    The action's answer would have ended it, so another app has moved it. No one is moved into our conference alone.
    """
    session = draft.session
    # In a conversion, the `<Dial>` ends because Conferral moved the child.
    has_ended = session.child.is_gone or (draft.state is State.BRIDGED and bool(session.dial_call_status))
    # While a timer runs, the end is news, and the action's answer may still be on its way.
    is_old = not any(timer.timer in session.timers for timer in (LeaveOverdue, ConvertOverdue))
    goes_on = event.status_of(session.parent.call_sid) == CallStatus.IN_PROGRESS
    return has_ended and is_old and not session.reread_wanted and goes_on and not shows_parent_inside(draft, event)


def shows_parent_inside(draft: Draft, event: CallsRead) -> bool:
    """Whether the parent's call is in our conference."""
    return any(seen.call_sid == draft.session.parent.call_sid for seen in event.participants)


def shows_child_ended_alone(draft: Draft, event: CallsRead) -> bool:
    """Whether only the child's call is over, and the parent's is elsewhere."""
    is_alone = shows_child_ended(draft, event) and not shows_parent_ended(draft, event)
    return is_alone and not shows_parent_inside(draft, event)


def shows_child_answered(draft: Draft, event: CallsRead) -> bool:
    """Whether the child's call is in progress."""
    seen = child_in_read(draft, event)
    return seen is not None and seen.status == CallStatus.IN_PROGRESS


def shows_visitor_elsewhere(draft: Draft, event: CallsRead) -> bool:
    """Whether a caller who came back never got this session's TwiML.

    The voice request was an earlier one, sent again while the call continues elsewhere.
    """
    session = draft.session
    caller = session.parties[CUSTOMER if session.direction == INBOUND else AGENT]
    is_due = draft.now_ms - session.created_at_ms >= draft.policy.ring_timeout_ms
    if visit_number(session.id) == 1 or not is_due or event.status_of(caller.call_sid) in ("", *FINAL_CALL_STATUSES):
        return False
    if draft.state is State.BRIDGED:
        return session.phase is Phase.RINGING and not session.child.call_sid and child_in_read(draft, event) is None
    is_waiting = session.opening is Opening.ARRIVING and not has_reached_conference(draft, caller)
    return is_waiting and all(seen.call_sid != caller.call_sid for seen in event.participants)


def shows_next_agent(draft: Draft, event: CallsRead) -> bool:
    """Whether the next agent's phone rings, although no callback said so."""
    return awaits_next_agent(draft, event) and next_agent_call(draft, event) is not None


def awaits_next_agent(draft: Draft, event: CallsRead) -> bool:
    """Whether an agent was not reached, and the next is about to ring."""
    session = draft.session
    is_left = session.phase is Phase.RINGING and session.agent_number + 1 < len(session.agents)
    return is_left and shows_child_ended(draft, event)


def next_agent_call(draft: Draft, event: CallsRead) -> CallSeen | None:
    """Return a live, unknown call made by the bridge's `<Dial>`s."""
    known = (*draft.session.former_calls, draft.session.child.call_sid)
    children = (call for call in event.calls if call.parent_call_sid and call.call_sid not in known)
    return next((call for call in children if call.status not in FINAL_CALL_STATUSES), None)


def shows_both_in_conference(draft: Draft, event: CallsRead) -> bool:
    """Whether customer and agent are both in the conference."""
    inside = {participant.call_sid for participant in event.participants}
    return {draft.session.customer.call_sid, draft.session.agent.call_sid} <= inside


def shows_agent_left_early(draft: Draft, event: CallsRead) -> bool:
    """Whether only the agent is gone in a conversion for a transfer."""
    session = draft.session
    agent_left = _shows_ended(draft, event, session.agent) and not _shows_ended(draft, event, session.customer)
    return session.running_transfer is not None and agent_left


def shows_customer_missing(draft: Draft, event: CallsRead) -> bool:
    """Whether a redirect is to bring in the customer, whose call is live."""
    return not draft.session.repair_attempted and _is_customer_missing(draft, event)


def _is_customer_missing(draft: Draft, event: CallsRead) -> bool:
    """Whether the customer's call is live but not in the conference."""
    customer, stage = draft.session.customer, draft.transfer.stage
    is_expected = draft.session.phase in WITHOUT_AGENT and stage in _AFTER_MOVE
    return (
        (stage is TransferStage.MOVING_CUSTOMER or is_expected)
        and not customer.in_conference
        # A leg that is moving, or was just moved, may not be listed yet; a second move would take it out again.
        and not draft.session.open_redirects
        and not was_moved_recently(draft, event)
        and not _is_still_bridged(draft, event)
        and event.status_of(customer.call_sid) == CallStatus.IN_PROGRESS
        and all(seen.call_sid != customer.call_sid for seen in event.participants)
    )


def _is_still_bridged(draft: Draft, event: CallsRead) -> bool:
    """Whether the agent's hangup has not ended the bridge, or only just."""
    # A redirect that crosses with the hangup would take the customer out of the conference again. The hangup and
    # the read are sent together, so the read may show the agent's call as completed while the customer is on the way.
    agent = draft.session.agent
    if outbound_is_still_bridged(draft, event):
        return False  # the customer's own redirect moves them, not the agent's hangup
    if agent.hang_up_effect_id:
        return event.status_of(agent.call_sid) == CallStatus.IN_PROGRESS
    return agent.hang_up_requested and not agent.is_gone and draft.transfer.stage is TransferStage.MOVING_CUSTOMER


def shows_customer_still_missing(draft: Draft, event: CallsRead) -> bool:
    """Whether the conference lacks the customer after a second redirect."""
    # Without a conference, the read shows nothing: no list need have one that has not started.
    return bool(event.conference_sid) and _is_missing_after_repair(draft, event)


def _is_missing_after_repair(draft: Draft, event: CallsRead) -> bool:
    return draft.session.repair_attempted and _is_customer_missing(draft, event)


def shows_customer_still_bridged(draft: Draft, event: CallsRead) -> bool:
    """Whether a second redirect left the customer in the bridge."""
    agent_is_there = event.status_of(draft.session.agent.call_sid) == CallStatus.IN_PROGRESS
    return agent_is_there and outbound_is_still_bridged(draft, event) and _is_missing_after_repair(draft, event)


def shows_no_one_at_age_limit(draft: Draft, event: CallsRead) -> bool:
    """Whether a session that reached its limit has no call that goes on."""
    session = draft.session
    is_due = draft.now_ms - session.created_at_ms >= draft.policy.age_max_ms
    goes_on = event.unread or event.participants or any(one.status not in FINAL_CALL_STATUSES for one in event.calls)
    return is_due and not goes_on and not is_outdated(draft, event)


def child_in_read(draft: Draft, event: CallsRead) -> CallSeen | None:
    """Return the child's call as the read shows it; None if it shows none."""
    child = draft.session.child
    if child.call_sid:
        status = event.status_of(child.call_sid)
        return CallSeen(child.call_sid, status) if status else None
    # The newest child is listed first. One that is over may be an earlier visit's, even if that is not known.
    former, is_return = draft.session.former_calls, visit_number(draft.session.id) > 1
    children = (call for call in event.calls if call.parent_call_sid and call.call_sid not in former)
    return next((call for call in children if not (is_return and call.status in FINAL_CALL_STATUSES)), None)


def _shows_ended(draft: Draft, event: CallsRead, party: Party) -> bool:
    """Whether a party is gone, or a read shows the party's call as over."""
    if party.is_gone:
        return True
    if party == draft.session.child:
        seen = child_in_read(draft, event)
        return seen is not None and seen.status in FINAL_CALL_STATUSES
    return event.status_of(party.call_sid) in FINAL_CALL_STATUSES
