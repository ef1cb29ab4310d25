"""Yes-or-no questions about a session and an event. The table asks them from top to bottom.

Each takes the scratch (session, time, policy) and the event. They change nothing.
"""

from statemachine.effects import ReadCalls, RedirectCall
from statemachine.events import (
    CallProgressed,
    CallsRead,
    ConferenceEvent,
    DialEnded,
    EffectFailed,
    EffectOutcome,
    Event,
    ParticipantJoined,
    ParticipantLeft,
)
from statemachine.scratch import Scratch
from statemachine.session import AGENT, CUSTOMER, Party
from statemachine.states import FINAL_CALL_STATUSES, CallStatus, Phase

#: Order of a call's life: a status of a lower rank than one that is known came late.
_RINGING_STATUSES = frozenset({CallStatus.QUEUED, CallStatus.INITIATED, CallStatus.RINGING})


def party_of_call(scratch: Scratch, event: CallProgressed) -> Party | None:
    """The party that a call's callback speaks of."""
    return scratch.session.party_of(call_sid=event.call_sid, name=event.party)


# ---- sessions that do not exist yet ------------------------------------------------------------------------------


def is_new(scratch: Scratch, _event: Event) -> bool:
    """Whether this event opens the session."""
    return scratch.session.version == 0


# ---- the bridge --------------------------------------------------------------------------------------------------


def is_connected(scratch: Scratch, _event: Event) -> bool:
    """Whether customer and agent talk, so that there is something to convert."""
    agent = scratch.session.parties.get(AGENT)
    return scratch.session.phase is Phase.CONNECTED and agent is not None and bool(agent.call_sid) and not agent.is_gone


def is_ringing_still(scratch: Scratch, _event: Event) -> bool:
    """Whether nobody has answered yet."""
    return scratch.session.phase is Phase.RINGING


def is_of_unknown_call(scratch: Scratch, event: CallProgressed) -> bool:
    """Whether the callback speaks of a call that is none of the session's."""
    return party_of_call(scratch, event) is None


def is_late_status(scratch: Scratch, event: CallProgressed) -> bool:
    """Whether more than this is known of the call already."""
    party = party_of_call(scratch, event)
    if party is None or party.is_gone:
        return party is not None
    return not event.is_final and (party.name != AGENT or scratch.session.phase is not Phase.RINGING)


def agent_rings(scratch: Scratch, event: CallProgressed) -> bool:
    """Whether the agent's phone is being dialled or rings."""
    party = party_of_call(scratch, event)
    return party is not None and party.name == AGENT and event.status in _RINGING_STATUSES


def agent_answers(scratch: Scratch, event: CallProgressed) -> bool:
    """Whether the agent picked up."""
    party = party_of_call(scratch, event)
    return party is not None and party.name == AGENT and event.status == CallStatus.IN_PROGRESS


def agent_is_over_and_dial_ended(scratch: Scratch, event: CallProgressed) -> bool:
    """Whether the agent's call is over and the `<Dial>`'s action has told its side already."""
    return bool(scratch.session.dial_call_status) and agent_is_over(scratch, event)


def agent_is_over(scratch: Scratch, event: CallProgressed) -> bool:
    """Whether the agent's call is over."""
    party = party_of_call(scratch, event)
    return party is not None and party.name == AGENT and event.is_final


def customer_is_over(scratch: Scratch, event: CallProgressed) -> bool:
    """Whether the customer's call is over."""
    party = party_of_call(scratch, event)
    return party is not None and party.name == CUSTOMER and event.is_final


def customer_is_over_after_agent(scratch: Scratch, event: CallProgressed) -> bool:
    """Whether both calls are over now, so that who hung up first is still to be told."""
    return customer_is_over(scratch, event) and scratch.session.parties[AGENT].is_gone


def opens_by_callback(scratch: Scratch, event: CallProgressed) -> bool:
    """Whether a live call of the agent tells of a session that could not be stored when the call came in."""
    return is_new(scratch, event) and event.party == AGENT and not event.is_final


def party_is_over(scratch: Scratch, event: CallProgressed) -> bool:
    """Whether the call of one of the parties is over."""
    return event.is_final and party_of_call(scratch, event) is not None


def is_bridge_and_alive(_scratch: Scratch, event: DialEnded) -> bool:
    """Whether it was the `<Dial>` between customer and agent, and the asker is still there."""
    return event.dial == "bridge" and not event.party_is_gone


def is_not_the_bridge(_scratch: Scratch, event: DialEnded) -> bool:
    """Whether it was another `<Dial>` than the one between customer and agent."""
    return event.dial != "bridge"


def asker_is_gone(_scratch: Scratch, event: DialEnded) -> bool:
    """Whether the party whose `<Dial>` ended had hung up first."""
    return event.party_is_gone


def other_side_was_moved(_scratch: Scratch, event: DialEnded) -> bool:
    """Whether Twilio said that the other side lives on: it was moved, though no conversion is known here."""
    return event.other_side_lives and not event.party_is_gone


def dial_settles_it(scratch: Scratch, event: DialEnded) -> bool:
    """Whether the `<Dial>`'s end tells all there is to know.

    After a conversation it does. When nobody answered, the agent's own callback may still tell a refusal from a busy
    line, so it is waited for unless it is here already.
    """
    agent = scratch.session.parties.get(AGENT)
    return event.dial_call_status in ("completed", "answered") or agent is None or agent.is_gone


def dial_ended_before(scratch: Scratch, _event: Event) -> bool:
    """Whether the action of the bridge's `<Dial>` was asked already."""
    return bool(scratch.session.dial_call_status)


# ---- what a read showed ------------------------------------------------------------------------------------------


def is_outdated(scratch: Scratch, event: CallsRead) -> bool:
    """Whether facts changed after the read began: the picture may be older than they are."""
    return scratch.session.facts_version > event.read_version


def shows_customer_over(scratch: Scratch, event: CallsRead) -> bool:
    """Whether the customer's call is over."""
    return _is_over(scratch, event, CUSTOMER)


def shows_agent_over(scratch: Scratch, event: CallsRead) -> bool:
    """Whether the agent's call is over."""
    return _is_over(scratch, event, AGENT)


def shows_somebody_over(scratch: Scratch, event: CallsRead) -> bool:
    """Whether the call of one of the two is over."""
    return shows_customer_over(scratch, event) or shows_agent_over(scratch, event)


def shows_agent_answered(scratch: Scratch, event: CallsRead) -> bool:
    """Whether the agent's call is in progress although the session still rings."""
    agent = seen_agent(scratch, event)
    return agent is not None and agent[1] == CallStatus.IN_PROGRESS and scratch.session.phase is Phase.RINGING


def shows_both_in_room(scratch: Scratch, event: CallsRead) -> bool:
    """Whether customer and agent are both in the conference."""
    inside = {participant.call_sid for participant in event.participants}
    return all(scratch.session.parties[name].call_sid in inside for name in (CUSTOMER, AGENT))


def is_too_soon(scratch: Scratch, _event: Event) -> bool:
    """Whether a leg was moved so lately that it may still be on its way."""
    moved_at_ms = scratch.session.moved_at_ms
    return bool(moved_at_ms) and scratch.now_ms - moved_at_ms < scratch.policy.settle_ms


def has_moved_nobody(scratch: Scratch, _event: Event) -> bool:
    """Whether nothing says that a leg has left the bridge, so that the two talk as before."""
    session = scratch.session
    return not (session.in_room or session.dial_call_status or session.conference_sid or session.moved_at_ms)


def is_redirecting(scratch: Scratch, _event: Event) -> bool:
    """Whether a request that moves somebody is under way; its end comes as an event."""
    return bool(scratch.session.redirecting)


def waits_for_a_redirect(scratch: Scratch, event: Event) -> bool:
    """Whether nothing has moved so far and a request that would move somebody is still under way."""
    return bool(scratch.session.redirecting) and has_moved_nobody(scratch, event)


def is_unrepaired(scratch: Scratch, _event: Event) -> bool:
    """Whether the conversion's one repair is still to be tried."""
    return not scratch.session.repaired


def seen_agent(scratch: Scratch, event: CallsRead) -> tuple[str, str] | None:
    """The agent's call as the read showed it: SID and status. The newest child when the SID is not known yet."""
    agent = scratch.session.parties.get(AGENT)
    if agent is None:
        return None
    if agent.call_sid:
        status = event.status_of(agent.call_sid)
        return (agent.call_sid, status) if status else None
    children = [call for call in event.calls if call.parent_call_sid]
    return (children[0].call_sid, children[0].status) if children else None


def _is_over(scratch: Scratch, event: CallsRead, name: str) -> bool:
    party = scratch.session.parties.get(name)
    if party is None or party.is_gone:
        return party is not None
    if name == AGENT:
        seen = seen_agent(scratch, event)
        return seen is not None and seen[1] in FINAL_CALL_STATUSES
    return event.status_of(party.call_sid) in FINAL_CALL_STATUSES


# ---- the conference ----------------------------------------------------------------------------------------------


def is_stranger(scratch: Scratch, event: ParticipantJoined | ParticipantLeft) -> bool:
    """Whether the call is none of the session's."""
    return scratch.session.party_of(call_sid=event.call_sid, label=event.label) is None


def is_older_news(scratch: Scratch, event: ParticipantJoined | ParticipantLeft) -> bool:
    """Whether something newer about this participant was taken already."""
    if event.conference_sid != scratch.session.conference_sid:
        return False  # each conference counts for itself
    party = scratch.session.party_of(call_sid=event.call_sid, label=event.label)
    return party is not None and event.sequence is not None and event.sequence < party.room_sequence


def is_another_room(scratch: Scratch, event: ConferenceEvent) -> bool:
    """Whether it is about another conference than the session's."""
    return bool(scratch.session.conference_sid) and event.conference_sid != scratch.session.conference_sid


def joins_another_room(scratch: Scratch, event: ParticipantJoined) -> bool:
    """Whether a leg of ours opened a second room while the first one is in use."""
    return is_another_room(scratch, event) and bool(scratch.session.in_room)


def is_last_to_join(scratch: Scratch, event: ParticipantJoined) -> bool:
    """Whether everybody else is in already."""
    joining = scratch.session.party_of(call_sid=event.call_sid, label=event.label)
    other = {CUSTOMER: AGENT, AGENT: CUSTOMER}.get(joining.name if joining else "")
    return other is not None and scratch.session.parties[other].in_room


def hung_up(scratch: Scratch, event: ParticipantLeft) -> bool:
    """Whether customer or agent left the room because the call is over."""
    party = scratch.session.party_of(call_sid=event.call_sid, label=event.label)
    return event.hung_up and party is not None and party.name in (CUSTOMER, AGENT)


def guest_hung_up(scratch: Scratch, event: ParticipantLeft) -> bool:
    """Whether somebody left whom somebody else had brought in."""
    return event.hung_up and not hung_up(scratch, event)


def leaves_nobody(scratch: Scratch, event: ParticipantLeft | CallProgressed | DialEnded) -> bool:
    """Whether the room is empty once this party is out."""
    return not _others_in_room(scratch, event)


def leaves_one(scratch: Scratch, event: ParticipantLeft | CallProgressed | DialEnded) -> bool:
    """Whether one is left alone once this party is out."""
    return len(_others_in_room(scratch, event)) == 1


def is_of_nobody(scratch: Scratch, event: DialEnded) -> bool:
    """Whether the call that asked is none of the session's, or is known to be out of the room already."""
    party = scratch.session.party_of(call_sid=event.call_sid)
    return party is None or not party.in_room


def is_of_stranger(scratch: Scratch, event: DialEnded) -> bool:
    """Whether the call that asked is none of the session's."""
    return scratch.session.party_of(call_sid=event.call_sid, name=event.party) is None


def _others_in_room(scratch: Scratch, event: ParticipantLeft | CallProgressed | DialEnded) -> list[Party]:
    label = event.label if isinstance(event, ParticipantLeft) else ""
    leaving = scratch.session.party_of(call_sid=event.call_sid, label=label)
    return [party for party in scratch.session.in_room if leaving is None or party.name != leaving.name]


# ---- what came of effects ----------------------------------------------------------------------------------------


def is_redirect(_scratch: Scratch, event: EffectOutcome) -> bool:
    """Whether it is about moving a leg into the conference."""
    return event.kind == RedirectCall.kind


def is_redirect_of_gone_call(_scratch: Scratch, event: EffectFailed) -> bool:
    """Whether the leg was gone when it should have been moved (21220): the conversion came too late."""
    return event.kind == RedirectCall.kind and event.gone


def is_first_redirect(scratch: Scratch, event: EffectFailed) -> bool:
    """Whether the refused redirect was the conversion's first step, so that the two still talk as before."""
    session = scratch.session
    return event.kind == RedirectCall.kind and not (session.repaired or session.in_room or session.dial_call_status)


def is_read(_scratch: Scratch, event: EffectOutcome) -> bool:
    """Whether it is about looking at the session's calls."""
    return event.kind == ReadCalls.kind


def is_ending_awaited(scratch: Scratch, event: EffectOutcome) -> bool:
    """Whether an ending that somebody waits for is meant."""
    return event.effect_id in scratch.session.ending_effects
