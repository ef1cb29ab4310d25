"""Questions about the legs: the bridge, the two calls it joins, and those who are dialled by REST."""

from conferral.statemachine.actions.parties import CONTINUES_ELSEWHERE, NOT_OURS
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
from conferral.statemachine.session import AGENT, CUSTOMER, INBOUND, OUTBOUND, Party
from conferral.statemachine.states import CallStatus, PartyStatus, Phase, SessionMode

_RINGING_STATUSES = frozenset({CallStatus.QUEUED, CallStatus.INITIATED, CallStatus.RINGING})


def party_of_call(draft: Draft, event: CallProgressed) -> Party | None:
    """The party that a call's callback speaks of."""
    return draft.session.find_party(call_sid=event.call_sid, name=event.party, dial=event.dial)


def opens_session(draft: Draft, _event: Event) -> bool:
    """Whether this event opens the session."""
    return draft.session.version == 0


def opens_conference(draft: Draft, event: CallReceived) -> bool:
    """Whether the caller is to wait in a conference."""
    return opens_session(draft, event) and event.mode == SessionMode.CONFERENCE


def opens_conference_by_command(draft: Draft, event: Call) -> bool:
    """Whether agent and customer are to meet in a conference."""
    return opens_session(draft, event) and event.mode == SessionMode.CONFERENCE


def opens_session_by_callback(draft: Draft, event: CallProgressed) -> bool:
    """Whether a live call of the agent tells of a session that could not be stored when the call came in."""
    return opens_session(draft, event) and event.party == AGENT and not event.dial and not event.is_final


# ---- the bridge --------------------------------------------------------------------------------------------------


def is_connected(draft: Draft, _event: Event) -> bool:
    """Whether customer and agent talk, so that there is something to convert."""
    parent, child = draft.session.parent, draft.session.child
    is_known = bool(parent.call_sid) and bool(child.call_sid)
    return draft.session.phase is Phase.CONNECTED and is_known and not parent.is_gone and not child.is_gone


def is_ringing(draft: Draft, _event: Event) -> bool:
    """Whether nobody has answered yet."""
    return draft.session.phase is Phase.RINGING


def is_of_unknown_call(draft: Draft, event: CallProgressed) -> bool:
    """Whether the callback speaks of a call that is none of the session's."""
    return party_of_call(draft, event) is None


def is_of_former_call(draft: Draft, event: CallProgressed) -> bool:
    """Whether it speaks of a leg whose party was replaced: that is over, or will be.

    The end of a dial of ours may be all that is heard of it, when its party has made room already.
    """
    is_end_of_earlier_dial = bool(event.dial) and event.is_final and party_of_call(draft, event) is None
    return event.call_sid in draft.session.former_calls or is_end_of_earlier_dial


def is_late_status(draft: Draft, event: CallProgressed) -> bool:
    """Whether more than this is known of the call already."""
    party = party_of_call(draft, event)
    if party is None or party.is_gone:
        return party is not None
    if event.is_final:
        return False
    came_in = draft.session.direction == INBOUND and party == draft.session.parent
    return came_in or party.answered or party.status is PartyStatus.CONNECTED


def parent_rings_or_answers(draft: Draft, event: CallProgressed) -> bool:
    """Whether the agent of an outbound session, who is dialled by REST, rings or answers."""
    party = party_of_call(draft, event)
    return party is not None and party == draft.session.parent and not event.is_final


def child_rings(draft: Draft, event: CallProgressed) -> bool:
    """Whether the phone that the `<Dial>` calls is being dialled or rings."""
    return _is_child(draft, event) and event.status in _RINGING_STATUSES


def child_answers(draft: Draft, event: CallProgressed) -> bool:
    """Whether the one whom the `<Dial>` calls picked up."""
    return _is_child(draft, event) and event.status == CallStatus.IN_PROGRESS


def child_ended_after_dial(draft: Draft, event: CallProgressed) -> bool:
    """Whether the child's call is over and the `<Dial>`'s action has told its side already."""
    return bool(draft.session.dial_call_status) and child_ended(draft, event)


def child_ended(draft: Draft, event: CallProgressed) -> bool:
    """Whether the call that the `<Dial>` made is over."""
    return _is_child(draft, event) and event.is_final


def parent_ended(draft: Draft, event: CallProgressed) -> bool:
    """Whether the call whose `<Dial>` it is, is over."""
    party = party_of_call(draft, event)
    return party is not None and party == draft.session.parent and event.is_final


def parent_ended_after_child(draft: Draft, event: CallProgressed) -> bool:
    """Whether both calls are over now, so that who hung up first is still to be told."""
    child = draft.session.child
    return parent_ended(draft, event) and child.is_gone


def party_ended(draft: Draft, event: CallProgressed) -> bool:
    """Whether the call of one of the parties is over."""
    return event.is_final and party_of_call(draft, event) is not None


def _is_child(draft: Draft, event: CallProgressed) -> bool:
    party = party_of_call(draft, event)
    return party is not None and party == draft.session.child


def is_bridge_of_live_party(_scratch: Draft, event: DialEnded) -> bool:
    """Whether it was the `<Dial>` between customer and agent, and the asker is still there."""
    return event.dial == "bridge" and not event.party_is_gone


def is_other_dial(_scratch: Draft, event: DialEnded) -> bool:
    """Whether it was another `<Dial>` than the one between customer and agent."""
    return event.dial != "bridge"


def dialing_party_is_gone(_scratch: Draft, event: DialEnded) -> bool:
    """Whether the party whose `<Dial>` ended had hung up first."""
    return event.party_is_gone


def other_side_was_moved(_scratch: Draft, event: DialEnded) -> bool:
    """Whether Twilio said that the other side lives on: it was moved, though no conversion is known here."""
    return event.other_side_is_live and not event.party_is_gone


def dial_result_is_final(draft: Draft, event: DialEnded) -> bool:
    """Whether the `<Dial>`'s end tells all there is to know.

    After a conversation it does. When nobody answered, the child's own callback may still tell a refusal from a busy
    line, so it is waited for unless it is here already.
    """
    child = draft.session.child
    return event.dial_call_status in ("completed", "answered") or child.is_gone


def dial_has_ended(draft: Draft, _event: Event) -> bool:
    """Whether the action of the bridge's `<Dial>` was asked already."""
    return bool(draft.session.dial_call_status)


def is_of_unknown_party(draft: Draft, event: DialEnded) -> bool:
    """Whether the call that asked is none of the session's."""
    return draft.session.find_party(call_sid=event.call_sid, name=event.party) is None


# ---- several agents, one after the other -------------------------------------------------------------------------

#: DialCallStatus of somebody who was not reached. Source: Twilio docs, TwiML `<Dial>`, `action`.
_UNREACHED = frozenset({"busy", "no-answer", "failed"})


def next_agent_is_dialed(draft: Draft, event: DialEnded) -> bool:
    """Whether an agent did not answer, and the action's document rings the next one."""
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
    """Whether a dial failed because of its caller ID, and the action's document repeats it with our own number."""
    session, number = draft.session, event.agent_number
    is_current = session.phase is Phase.RINGING and session.agent_number == number < len(session.agents)
    return (
        event.failed_with_callers_number
        and not event.party_is_gone
        and is_current
        and session.agents[number].startswith("+")
    )


def is_of_earlier_agent(draft: Draft, event: CallProgressed | DialEnded) -> bool:
    """Whether it tells of an agent who was given up since."""
    earlier = event.agent_number < draft.session.agent_number
    if isinstance(event, DialEnded):
        return earlier and event.dial == "bridge" and not event.party_is_gone
    return earlier and event.party == AGENT and not event.dial


def is_of_later_agent(draft: Draft, event: CallProgressed) -> bool:
    """Whether a later agent is being rung already, by the action's document."""
    session = draft.session
    later = event.party == AGENT and session.agent_number < event.agent_number < len(session.agents)
    return later and session.phase is Phase.RINGING


# ---- those who are dialled by REST -------------------------------------------------------------------------------


def is_of_abandoned_dial(draft: Draft, event: CallProgressed | GateReached | GateDecided) -> bool:
    """Whether a call shows up whose dial nobody waits for any more, and that was not hung up yet."""
    if not event.dial or (isinstance(event, CallProgressed) and event.is_final):
        return False
    if event.call_sid in draft.session.former_calls:
        return False
    party = draft.session.find_party(call_sid=event.call_sid, dial=event.dial)
    if party is None:
        return True  # a later transfer's parties may have taken the place of those whom an earlier one gave up
    if not party.dial_id and party.name not in (CUSTOMER, AGENT):
        return not (
            party.is_gone or party.hang_up_requested
        )  # its join came first, and looked like somebody else's guest
    return party.dial_id == event.dial and party.is_gone and not party.hang_up_requested


def is_own_live_leg(draft: Draft, event: CallProgressed) -> bool:
    """Whether a call that was dialled by REST goes on though the session has ended without knowing of it."""
    return bool(event.dial) and not event.is_final and not _is_let_go(draft, event.call_sid)


def is_live_leg_at_gate(draft: Draft, event: GateReached | GateDecided) -> bool:
    """Whether a call that we placed stands at our gate, or passed it, though the session ended without knowing of it.

    After a rollback of Redis, the end may be decided before what the gate told.
    """
    is_over = isinstance(event, GateDecided) and event.decision != GateDecision.ACCEPTED
    return bool(event.dial) and not is_over and not _is_let_go(draft, event.call_sid)


def _is_let_go(draft: Draft, call_sid: str) -> bool:
    """Whether a call that we placed was hung up, or goes on elsewhere."""
    known = draft.session.find_party(call_sid=call_sid)
    # Who looked like somebody else's guest is ours after all: our dial shows in the URL.
    return known is not None and (known.hang_up_requested or known.left_reason in CONTINUES_ELSEWHERE - {NOT_OURS})


def shows_live_leg(draft: Draft, event: EffectSucceeded) -> bool:
    """Whether a dial had placed a call, or a search has found one, that nobody has hung up since the session ended."""
    known = draft.session.find_party(call_sid=event.call_sid) if event.call_sid else None
    return bool(event.call_sid) and (known is None or not known.hang_up_requested)


def is_of_current_dial(draft: Draft, event: GateReached | GateDecided | EffectOutcome) -> bool:
    """Whether a party is being dialled by this very dial."""
    return party_of_dial(draft, event) is not None


def party_of_dial(draft: Draft, event: GateReached | GateDecided | EffectOutcome) -> Party | None:
    """The party, not gone, that is being brought in by the dial that an event speaks of."""
    dial_id = event.effect_id if isinstance(event, EffectOutcome) else event.dial
    for party in draft.session.parties.values():
        if party.dial_id == dial_id and not party.is_gone:
            return party
    return None


def gate_accepted_call(draft: Draft, event: GateDecided) -> bool:
    """Whether our gate has let a call in that is waited for."""
    return event.decision == GateDecision.ACCEPTED and is_of_current_dial(draft, event)


def is_find_call_result(draft: Draft, event: EffectOutcome) -> bool:
    """Whether it is the search for the call of a dial of unknown outcome."""
    return event.kind == "find_call" and searched_party(draft, event) is not None


def call_was_not_found(draft: Draft, event: EffectSucceeded) -> bool:
    """Whether the search for a call has shown that there is none."""
    return is_find_call_result(draft, event) and not event.call_sid


def finds_nothing_of_talk(draft: Draft, event: EffectOutcome) -> bool:
    """Whether the search has not shown the call of an agent who talks, so that there is one."""
    found = isinstance(event, EffectSucceeded) and event.call_sid
    return is_find_call_result(draft, event) and draft.session.phase is Phase.CONNECTED and not found


def unwanted_call_was_found(draft: Draft, event: EffectSucceeded) -> bool:
    """Whether the search has found the call of a dial that nobody waits for any more, and that was not hung up yet."""
    session = draft.session
    if event.kind != "find_call" or not event.call_sid or event.call_sid in session.former_calls:
        return False
    party = session.find_party(call_sid=event.call_sid)
    return party is None or (party.is_gone and not party.hang_up_requested)


def searched_party(draft: Draft, event: EffectOutcome) -> Party | None:
    """The party whose call was searched for."""
    party = draft.session.parties.get(event.party)
    return party if party is not None and not party.is_gone and party.dial_check and not party.call_sid else None


def dial_outcome_is_unknown(draft: Draft, _event: Event) -> bool:
    """Whether nobody knows whether the agent of an outbound session was dialled, and no search was made.

    While the agent talks, their call is searched for until it is found.
    """
    agent = draft.session.parties[AGENT]
    talks = draft.session.phase is Phase.CONNECTED and not agent.call_sid
    return draft.session.direction == OUTBOUND and (agent.dial_check == "unknown" or (talks and bool(agent.dial_check)))


def dial_was_read(draft: Draft, _event: Event) -> bool:
    """Whether the overdue dial of the agent was looked at and nothing came of it."""
    return draft.session.parties[AGENT].dial_check in ("read", "searched")
