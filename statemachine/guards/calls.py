"""Guards on the bridge, its conversion, and parties dialed by REST."""

from conferral.statemachine import events
from conferral.statemachine.effects import FindCall
from conferral.statemachine.events import CallProgressed, CallsRead, DialEnded, EffectOutcome, Event
from conferral.statemachine.reasons import CONTINUES_ELSEWHERE, NOT_OURS, is_beyond_bridge
from conferral.statemachine.session import AGENT, CUSTOMER, INBOUND, OUTBOUND, Party
from conferral.statemachine.states import CallStatus, PartyStatus, Phase, SessionMode
from conferral.statemachine.step import Draft

#: DialCallStatus of a party that was not reached. Source: Twilio docs, TwiML `<Dial>`, `action`.
_UNREACHED = frozenset({"busy", "no-answer", "failed"})
#: DialCallStatus of a bridge in which both parties talked.
TALKED = frozenset({"completed", "answered"})
#: Values of `dial_check` while a search for the call is due or open.
UNKNOWN_DIAL = ("unknown", "searched")
_RINGING_STATUSES = frozenset({CallStatus.QUEUED, CallStatus.INITIATED, CallStatus.RINGING})


def opens_session(draft: Draft, _event: Event) -> bool:
    """Whether this event opens the session."""
    return draft.session.version == 0


def opens_conference(draft: Draft, event: events.CallReceived | events.Call) -> bool:
    """Whether this event opens a session whose parties meet in a conference."""
    return opens_session(draft, event) and event.mode == SessionMode.CONFERENCE


def opens_session_by_callback(draft: Draft, event: CallProgressed) -> bool:
    """Whether the agent's live call shows a session that was never stored."""
    return opens_session(draft, event) and event.party == AGENT and not event.dial and not event.is_final


def is_connected(draft: Draft, _event: Event) -> bool:
    """Whether customer and agent talk, so there is a bridge to convert."""
    session = draft.session
    is_bridge = session.phase is Phase.CONNECTED and not session.dial_call_status
    return is_bridge and all(side.call_sid and not side.is_gone for side in (session.parent, session.child))


def is_of_unknown_call(draft: Draft, event: Event) -> bool:
    """Whether the call does not belong to the session."""
    return draft.session.subject_of(event) is None


def is_of_former_call(draft: Draft, event: CallProgressed) -> bool:
    """Whether the call was replaced, and has ended or is ending."""
    # The end of a dial may be the first callback about it, after its party was replaced.
    is_end_of_earlier_dial = bool(event.dial) and event.is_final and draft.session.subject_of(event) is None
    return event.call_sid in draft.session.former_calls or is_end_of_earlier_dial


def is_late_status(draft: Draft, event: CallProgressed) -> bool:
    """Whether a newer status of the call is already known."""
    party = draft.session.subject_of(event)
    if party is None or party.is_gone or event.is_final:
        return party is not None and party.is_gone
    came_in = draft.session.direction == INBOUND and party == draft.session.parent
    return came_in or party.answered or party.status is PartyStatus.CONNECTED


def is_bridge_of_live_party(_draft: Draft, event: DialEnded) -> bool:
    """Whether the bridge's `<Dial>` ended, and its parent is connected."""
    return event.dial == "bridge" and not event.party_is_gone


def is_other_dial(_draft: Draft, event: DialEnded) -> bool:
    """Whether a `<Dial>` other than the bridge's ended."""
    return event.dial != "bridge"


def other_side_was_moved(_draft: Draft, event: DialEnded) -> bool:
    """Whether the other side's call is live: an unknown conversion moved it."""
    return event.other_side_is_live and not event.party_is_gone


def dial_has_ended(draft: Draft, event: DialEnded) -> bool:
    """Whether the action of the bridge's `<Dial>` was requested before."""
    return bool(draft.session.dial_call_status) and not event.party_is_gone


def bridge_is_over(draft: Draft, _event: Event) -> bool:
    """Whether the bridge's calls are over or about to be, and who left first.

    Twilio hangs up the child with its parent, and may report the child's end first: then the `<Dial>` action decides,
    or a read. If the `<Dial>` ended because no one answered, the child's callback may still distinguish a refusal from
    busy. If it ended after they talked, another app may have moved a party.
    """
    session = draft.session
    parent, child = session.parent, session.child
    if not session.dial_call_status:
        return parent.is_gone and session.first_to_leave == parent.name
    if session.dial_call_status not in TALKED:
        is_expected = dial_reached_no_one(draft, _event) or child.hang_up_requested
        return parent.is_gone or (child.is_gone and is_expected)
    continues = parent.name == CUSTOMER and bool(session.attributes.after_url)
    return continues or child.hang_up_requested or (parent.is_gone and child.is_gone)


def dial_reached_no_one(draft: Draft, _event: Event) -> bool:
    """Whether the bridge's `<Dial>` ended because no one answered it."""
    return draft.session.dial_call_status in _UNREACHED


def next_agent_is_dialed(draft: Draft, event: DialEnded) -> bool:
    """Whether no one answered, and the `<Dial>` action rings the next agent."""
    session = draft.session
    return (
        event.dial == "bridge"
        and event.dial_call_status in _UNREACHED
        and not event.party_is_gone
        and not event.other_side_is_live
        and session.phase is Phase.RINGING
        and session.agent_number <= event.agent_number < len(session.agents) - 1
    )


def agent_is_redialed(draft: Draft, event: DialEnded) -> bool:
    """Whether a `<Dial>` that failed by its caller ID is repeated without it."""
    session, number = draft.session, event.agent_number
    is_current = session.phase is Phase.RINGING and session.agent_number == number < len(session.agents)
    return (
        event.failed_with_callers_number
        and not event.party_is_gone
        and is_current
        and session.agents[number].startswith("+")
    )


def is_of_earlier_agent(draft: Draft, event: CallProgressed | DialEnded) -> bool:
    """Whether the event is about an earlier agent, whose dial was given up."""
    if event.agent_number >= draft.session.agent_number:
        return False
    if isinstance(event, DialEnded):
        return event.dial == "bridge" and not event.party_is_gone
    return event.party == AGENT and not event.dial


def is_of_later_agent(draft: Draft, event: CallProgressed) -> bool:
    """Whether the `<Dial>` action is already ringing a later agent."""
    session = draft.session
    later = session.agent_number < event.agent_number < len(session.agents)
    # A read that came first knows of no numbers: it takes the call for the earlier agent's.
    is_open = session.phase is Phase.RINGING or event.call_sid == session.agent.call_sid
    return later and event.party == AGENT and is_open


def is_of_abandoned_dial(draft: Draft, event: CallProgressed | events.GateReached | events.GateDecided) -> bool:
    """Whether a call is live though its dial was given up."""
    if not event.dial or (isinstance(event, CallProgressed) and event.is_final):
        return False
    if event.call_sid in draft.session.former_calls:
        return False
    party = draft.session.subject_of(event)
    if party is None:
        return True  # a later transfer may have replaced the parties that an earlier one gave up
    return party.dial_id == event.dial and party.is_gone and not party.hang_up_requested


def shows_live_leg(
    draft: Draft, event: CallProgressed | events.GateReached | events.GateDecided | events.EffectSucceeded
) -> bool:
    """Whether a dialed call is live, and was not hung up at the end."""
    # After a Redis rollback, the end may be decided before the gate's events.
    if isinstance(event, events.EffectSucceeded):
        is_live = bool(event.call_sid)
    elif isinstance(event, events.GateDecided):
        is_live = bool(event.dial) and event.decision == events.GateDecision.ACCEPTED
    else:
        is_live = bool(event.dial) and not (isinstance(event, CallProgressed) and event.is_final)
    return is_live and not _is_released(draft, event.call_sid)


def _is_released(draft: Draft, call_sid: str) -> bool:
    """Whether a dialed call was hung up or continues elsewhere."""
    known = draft.session.find_party(call_sid=call_sid)
    # A call that looked like a guest is the session's after all: the URL names its dial.
    if known is None:
        return False
    continues = known.left_reason in CONTINUES_ELSEWHERE - {NOT_OURS} or is_beyond_bridge(draft.session, known)
    return known.hang_up_requested or continues


def party_of_dial(draft: Draft, event: events.GateReached | events.GateDecided | EffectOutcome) -> Party | None:
    """Return the party, not gone, of the dial that an event is about."""
    dial_id = event.effect_id if isinstance(event, EffectOutcome) else event.dial
    return next((one for one in draft.session.parties.values() if one.dial_id == dial_id and not one.is_gone), None)


def gate_accepted_call(draft: Draft, event: events.GateDecided) -> bool:
    """Whether the gate accepted a call that is still expected."""
    return event.decision == events.GateDecision.ACCEPTED and party_of_dial(draft, event) is not None


def searched_party(draft: Draft, event: EffectOutcome) -> Party | None:
    """Return the party whose call was searched for; None if not needed now."""
    party = draft.session.present_party(event.party) if event.kind == FindCall.kind else None
    return party if party is not None and party.dial_check and not party.call_sid else None


# ---- guards on a running conversion --------------------------------------------------------------------------------


def leg_may_be_moving(draft: Draft, _event: Event) -> bool:
    """Whether a redirect has no outcome yet, or a leg was moved just now."""
    moved_at_ms = draft.session.moved_at_ms
    was_moved = bool(moved_at_ms) and draft.now_ms - moved_at_ms < draft.policy.settle_ms
    return was_moved or bool(draft.session.open_redirects)


def both_are_still_bridged(draft: Draft, _event: Event) -> bool:
    """Whether no leg is known to have left the bridge: both still talk."""
    session = draft.session
    return not (session.participants or session.dial_call_status or session.conference_sid or session.moved_at_ms)


def outbound_is_still_bridged(draft: Draft, event: Event) -> bool:
    """Whether an outbound session may still be a bridge."""
    # There, hanging up the agent would end the customer's call.
    return draft.session.direction == OUTBOUND and both_are_still_bridged(draft, event)


def awaits_redirect(draft: Draft, event: Event) -> bool:
    """Whether a redirect is open, and no leg is known to have left the bridge."""
    return bool(draft.session.open_redirects) and both_are_still_bridged(draft, event)


def leg_to_repair(draft: Draft, event: CallsRead) -> Party | None:
    """Return the leg to redirect next, once each.

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


def shows_leg_still_missing(draft: Draft, event: CallsRead) -> bool:
    """Whether the conference lacks a leg long after its second redirect."""
    # Without a conference, the read shows nothing: no list need have one that has not started.
    return draft.session.presence_reads > 0 and bool(event.conference_sid)


def transfer_awaits_conversion(draft: Draft, _event: Event) -> bool:
    """Whether a transfer waits for both parties to join the conference."""
    return draft.session.running_transfer is not None


def conversion_is_over(draft: Draft, _event: Event) -> bool:
    """Whether the parent is gone, or has joined after the child had hung up."""
    parent = draft.session.parent
    return parent.is_gone or (draft.session.child.is_gone and parent.in_conference)


def agent_left_early(draft: Draft, event: Event) -> bool:
    """Whether only the agent is gone while a transfer awaits the conversion."""
    session = draft.session
    return transfer_awaits_conversion(draft, event) and session.agent.is_gone and not session.customer.is_gone


def shows_only_customer_joined(draft: Draft, event: CallsRead) -> bool:
    """Whether a transfer's conversion brought in the customer alone."""
    inside = {seen.call_sid for seen in event.participants}
    is_missing = shows_leg_still_missing(draft, event) and transfer_awaits_conversion(draft, event)
    return is_missing and draft.session.customer.call_sid in inside
