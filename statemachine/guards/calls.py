"""Guards on the legs: the bridge, its two calls, and parties dialed by REST."""

from conferral.statemachine.draft import Draft
from conferral.statemachine.events import (
    Call,
    CallProgressed,
    CallReceived,
    DialEnded,
    EffectOutcome,
    EffectSucceeded,
    Event,
    GateDecided,
    GateDecision,
    GateReached,
)
from conferral.statemachine.reasons import CONTINUES_ELSEWHERE, NOT_OURS
from conferral.statemachine.session import AGENT, CUSTOMER, INBOUND, OUTBOUND, Party
from conferral.statemachine.states import CallStatus, PartyStatus, Phase, SessionMode

_RINGING_STATUSES = frozenset({CallStatus.QUEUED, CallStatus.INITIATED, CallStatus.RINGING})


def party_of_call(draft: Draft, event: CallProgressed) -> Party | None:
    """Return the party that a call's callback is about."""
    return draft.session.find_party(call_sid=event.call_sid, name=event.party, dial=event.dial)


def opens_session(draft: Draft, _event: Event) -> bool:
    """Whether this event opens the session."""
    return draft.session.version == 0


def opens_conference(draft: Draft, event: CallReceived | Call) -> bool:
    """Whether this event opens the session, and its parties meet in a conference."""
    return opens_session(draft, event) and event.mode == SessionMode.CONFERENCE


def opens_session_by_callback(draft: Draft, event: CallProgressed) -> bool:
    """Whether the agent's live call belongs to a session that could not be stored when the call came in."""
    return opens_session(draft, event) and event.party == AGENT and not event.dial and not event.is_final


# ---- the bridge --------------------------------------------------------------------------------------------------


def is_connected(draft: Draft, _event: Event) -> bool:
    """Whether customer and agent talk, so that there is a bridge to convert."""
    parent, child = draft.session.parent, draft.session.child
    is_known = bool(parent.call_sid) and bool(child.call_sid)
    return draft.session.phase is Phase.CONNECTED and is_known and not parent.is_gone and not child.is_gone


def is_ringing(draft: Draft, _event: Event) -> bool:
    """Whether no one has answered yet."""
    return draft.session.phase is Phase.RINGING


def is_of_unknown_call(draft: Draft, event: CallProgressed) -> bool:
    """Whether the call does not belong to the session."""
    return party_of_call(draft, event) is None


def is_of_former_call(draft: Draft, event: CallProgressed) -> bool:
    """Whether the event is about a call that was replaced and has ended or is ending.

    The end of a dial may be the first callback about it, after its party was replaced.
    """
    is_end_of_earlier_dial = bool(event.dial) and event.is_final and party_of_call(draft, event) is None
    return event.call_sid in draft.session.former_calls or is_end_of_earlier_dial


def is_late_status(draft: Draft, event: CallProgressed) -> bool:
    """Whether a newer status of the call is already known."""
    party = party_of_call(draft, event)
    if party is None or party.is_gone:
        return party is not None
    if event.is_final:
        return False
    came_in = draft.session.direction == INBOUND and party == draft.session.parent
    return came_in or party.answered or party.status is PartyStatus.CONNECTED


def parent_rings_or_answers(draft: Draft, event: CallProgressed) -> bool:
    """Whether the parent, an agent dialed by REST, is queued, ringing, or answered."""
    return _is_parent(draft, event) and not event.is_final


def child_rings(draft: Draft, event: CallProgressed) -> bool:
    """Whether the child's call is queued, being dialed, or ringing."""
    return _is_child(draft, event) and event.status in _RINGING_STATUSES


def child_answers(draft: Draft, event: CallProgressed) -> bool:
    """Whether the child answered."""
    return _is_child(draft, event) and event.status == CallStatus.IN_PROGRESS


def child_ended_after_dial(draft: Draft, event: CallProgressed) -> bool:
    """Whether the child's call is over, and the `<Dial>` action has already reported its side."""
    return bool(draft.session.dial_call_status) and child_ended(draft, event)


def child_ended(draft: Draft, event: CallProgressed) -> bool:
    """Whether the child's call is over."""
    return _is_child(draft, event) and event.is_final


def parent_ended(draft: Draft, event: CallProgressed) -> bool:
    """Whether the parent's call is over."""
    return _is_parent(draft, event) and event.is_final


def parent_ended_after_child(draft: Draft, event: CallProgressed) -> bool:
    """Whether both calls are over; only who hung up first is still unknown."""
    return parent_ended(draft, event) and draft.session.child.is_gone


def party_ended(draft: Draft, event: CallProgressed) -> bool:
    """Whether the call of one of the parties is over."""
    return event.is_final and party_of_call(draft, event) is not None


def _is_child(draft: Draft, event: CallProgressed) -> bool:
    """Whether the callback is about the party that the bridge's `<Dial>` rings."""
    return party_of_call(draft, event) == draft.session.child


def _is_parent(draft: Draft, event: CallProgressed) -> bool:
    """Whether the callback is about the party whose `<Dial>` makes the bridge."""
    return party_of_call(draft, event) == draft.session.parent


def is_bridge_of_live_party(_draft: Draft, event: DialEnded) -> bool:
    """Whether the `<Dial>` between customer and agent ended and the parent is still connected."""
    return event.dial == "bridge" and not event.party_is_gone


def is_other_dial(_draft: Draft, event: DialEnded) -> bool:
    """Whether a `<Dial>` other than the one between customer and agent ended."""
    return event.dial != "bridge"


def dialing_party_is_gone(_draft: Draft, event: DialEnded) -> bool:
    """Whether the party whose `<Dial>` ended had hung up."""
    return event.party_is_gone


def other_side_was_moved(_draft: Draft, event: DialEnded) -> bool:
    """Whether the other side's call is live: it was moved, although this session knows of no conversion."""
    return event.other_side_is_live and not event.party_is_gone


def dial_result_is_final(draft: Draft, event: DialEnded) -> bool:
    """Whether the `<Dial>` ended after a conversation, or the child's own callback has come.

    If no one answered, that callback may still distinguish a refusal from busy, so Conferral waits for it.
    """
    child = draft.session.child
    return event.dial_call_status in ("completed", "answered") or child.is_gone


def dial_has_ended(draft: Draft, _event: Event) -> bool:
    """Whether Twilio has already requested the action of the bridge's `<Dial>`."""
    return bool(draft.session.dial_call_status)


def is_of_unknown_party(draft: Draft, event: DialEnded) -> bool:
    """Whether the call does not belong to the session."""
    return draft.session.find_party(call_sid=event.call_sid, name=event.party) is None


# ---- several agents in turn --------------------------------------------------------------------------------------

#: DialCallStatus values of a party that was not reached. Source: Twilio docs, TwiML `<Dial>`, `action`.
_UNREACHED = frozenset({"busy", "no-answer", "failed"})


def next_agent_is_dialed(draft: Draft, event: DialEnded) -> bool:
    """Whether an agent was not reached, and the document of the `<Dial>` action rings the next one."""
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
    """Whether a `<Dial>` failed because of its caller ID, and its action's document repeats it with Conferral's own."""
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
    earlier = event.agent_number < draft.session.agent_number
    if isinstance(event, DialEnded):
        return earlier and event.dial == "bridge" and not event.party_is_gone
    return earlier and event.party == AGENT and not event.dial


def is_of_later_agent(draft: Draft, event: CallProgressed) -> bool:
    """Whether the `<Dial>` action's document is already ringing a later agent."""
    session = draft.session
    later = event.party == AGENT and session.agent_number < event.agent_number < len(session.agents)
    return later and session.phase is Phase.RINGING


# ---- parties dialed by REST --------------------------------------------------------------------------------------


def is_of_abandoned_dial(draft: Draft, event: CallProgressed | GateReached | GateDecided) -> bool:
    """Whether the event shows a call whose dial was given up and that has not been hung up."""
    if not event.dial or (isinstance(event, CallProgressed) and event.is_final):
        return False
    if event.call_sid in draft.session.former_calls:
        return False
    party = draft.session.find_party(call_sid=event.call_sid, dial=event.dial)
    if party is None:
        return True  # a later transfer may have replaced the parties that an earlier one gave up
    if not party.dial_id and party.name not in (CUSTOMER, AGENT):
        return not (party.is_gone or party.hang_up_requested)  # its join came first, so it looked like a guest
    return party.dial_id == event.dial and party.is_gone and not party.hang_up_requested


def is_own_live_leg(draft: Draft, event: CallProgressed) -> bool:
    """Whether a call dialed by REST is live, although the session ended without knowing of it."""
    return bool(event.dial) and not event.is_final and not _is_released(draft, event.call_sid)


def is_live_leg_at_gate(draft: Draft, event: GateReached | GateDecided) -> bool:
    """Whether a dialed call is in or past the gate, although the session ended without knowing of it.

    After a Redis rollback, the end may be decided before the gate's events.
    """
    is_over = isinstance(event, GateDecided) and event.decision != GateDecision.ACCEPTED
    return bool(event.dial) and not is_over and not _is_released(draft, event.call_sid)


def _is_released(draft: Draft, call_sid: str) -> bool:
    """Whether a dialed call was hung up or continues elsewhere."""
    known = draft.session.find_party(call_sid=call_sid)
    # A call that looked like a guest belongs to the session after all: the URL names its dial.
    return known is not None and (known.hang_up_requested or known.left_reason in CONTINUES_ELSEWHERE - {NOT_OURS})


def shows_live_leg(draft: Draft, event: EffectSucceeded) -> bool:
    """Whether a dial or a search has shown a call that was not hung up when the session ended."""
    return bool(event.call_sid) and not _is_released(draft, event.call_sid)


def is_of_current_dial(draft: Draft, event: GateReached | GateDecided | EffectOutcome) -> bool:
    """Whether the event is about a dial whose party has not left, so it is still expected."""
    return party_of_dial(draft, event) is not None


def party_of_dial(draft: Draft, event: GateReached | GateDecided | EffectOutcome) -> Party | None:
    """Return the party, not gone, of the dial that an event is about."""
    dial_id = event.effect_id if isinstance(event, EffectOutcome) else event.dial
    for party in draft.session.parties.values():
        if party.dial_id == dial_id and not party.is_gone:
            return party
    return None


def gate_accepted_call(draft: Draft, event: GateDecided) -> bool:
    """Whether the gate accepted a call that is still expected."""
    return event.decision == GateDecision.ACCEPTED and is_of_current_dial(draft, event)


def is_find_call_result(draft: Draft, event: EffectOutcome) -> bool:
    """Whether the event is the result of a search for the call of a dial with an unknown outcome."""
    return event.kind == "find_call" and searched_party(draft, event) is not None


def call_was_not_found(draft: Draft, event: EffectOutcome) -> bool:
    """Whether the search found no call, or failed."""
    found = isinstance(event, EffectSucceeded) and event.call_sid
    return is_find_call_result(draft, event) and not found


def search_misses_talking_agent(draft: Draft, event: EffectOutcome) -> bool:
    """Whether the search found no call, although the agent is talking, so there must be one."""
    return call_was_not_found(draft, event) and draft.session.phase is Phase.CONNECTED


def unwanted_call_was_found(draft: Draft, event: EffectSucceeded) -> bool:
    """Whether the search found the call of a dial that was given up, and it has not been hung up."""
    session = draft.session
    if event.kind != "find_call" or not event.call_sid or event.call_sid in session.former_calls:
        return False
    party = session.find_party(call_sid=event.call_sid)
    return party is None or (party.is_gone and not party.hang_up_requested)


def searched_party(draft: Draft, event: EffectOutcome) -> Party | None:
    """Return the party whose call was searched for; None if it is gone, or its call known, by now."""
    party = draft.session.parties.get(event.party)
    return party if party is not None and not party.is_gone and party.dial_check and not party.call_sid else None


def dial_outcome_is_unknown(draft: Draft, _event: Event) -> bool:
    """Whether the outcome of the agent's outbound dial is unknown, and no search was made.

    While the agent talks, Conferral searches until it finds the call.
    """
    agent = draft.session.agent
    talks = draft.session.phase is Phase.CONNECTED and not agent.call_sid
    return draft.session.direction == OUTBOUND and (agent.dial_check == "unknown" or (talks and bool(agent.dial_check)))


def dial_was_read(draft: Draft, _event: Event) -> bool:
    """Whether the agent's overdue dial was read or searched for, and no callback about it came since."""
    return draft.session.agent.dial_check in ("read", "searched")
