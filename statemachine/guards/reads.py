"""Guards on what reads and the sweep show, also of a session Redis lost."""

import re

from conferral.statemachine.draft import Draft
from conferral.statemachine.events import (
    CallSeen,
    CallsRead,
    ConferenceFound,
    ConvertOverdue,
    Event,
    LeaveOverdue,
    ParticipantFound,
    ParticipantSeen,
)
from conferral.statemachine.guards.calls import opens_session
from conferral.statemachine.guards.commands import dials_to_come
from conferral.statemachine.guards.waiting_party import has_reached_conference
from conferral.statemachine.ids import visit_number
from conferral.statemachine.session import AGENT, CUSTOMER, INBOUND, LABEL, SUPERVISOR, TARGET, Party, Session
from conferral.statemachine.states import (
    FINAL_CALL_STATUSES,
    CallStatus,
    Opening,
    PartyStatus,
    Phase,
    State,
    TransferStage,
)

#: A phone number within a name, which must not appear in logs.
_PHONE_NUMBER = re.compile(r"[0-9](?:[_-]?[0-9]){6}")


def found_transfer(draft: Draft, event: ConferenceFound) -> bool:
    """Whether a lost conference holds customer, agent, and one target."""
    return opens_session(draft, event) and _is_transfer(assign_names(event))


def _is_transfer(by_name: dict[str, ParticipantFound]) -> bool:
    """Whether customer, agent, and target are there, all answered."""
    three = {CUSTOMER, AGENT, TARGET}
    if not three <= by_name.keys() or any(by_name[name].is_ringing for name in three):
        return False
    # With guests, it may not be a transfer; if someone is held, it is treated as one, so that they don't hear others.
    return by_name[CUSTOMER].held or by_name[TARGET].held or by_name.keys() - {SUPERVISOR} == three


def shows_conversation_in_conference(draft: Draft, event: CallsRead) -> bool:
    """Whether the bridge's customer talks in an unknown conference."""
    inside = {seen.call_sid for seen in event.participants}
    customer, agent = draft.session.customer, draft.session.agent
    if customer.call_sid not in inside or len(inside) < 2:
        return False
    # If the agent's call continues elsewhere, a leg is on its way, and Conferral waits for it.
    is_over = agent.is_gone or not agent.call_sid or event.status_of(agent.call_sid) in FINAL_CALL_STATUSES
    return is_over or agent.call_sid in inside


def shows_transfer_in_conference(draft: Draft, event: CallsRead) -> bool:
    """Whether the conference shows a transfer that Redis lost."""
    return shows_conversation_in_conference(draft, event) and _is_transfer(assign_names(conference_found(draft, event)))


def conference_found(draft: Draft, event: ConferenceFound | CallsRead) -> ConferenceFound:
    """Return a sweep's event, or what a read shows in the form of one."""
    if isinstance(event, ConferenceFound):
        return event
    session = draft.session
    addresses = {call.call_sid: call.to for call in event.calls} | {
        party.call_sid: party.address for party in session.parties.values() if party.address
    }
    came_in = session.parent.call_sid if session.direction == INBOUND else ""
    participants = tuple(
        ParticipantFound.of(seen, addresses.get(seen.call_sid, ""), came_in=seen.call_sid == came_in)
        for seen in event.participants
    )
    return ConferenceFound(session_id=session.id, conference_sid=event.conference_sid, participants=participants)


def label_number(one: ParticipantFound | ParticipantSeen) -> int:
    """Return the number in Conferral's label, which counts dials; 0 if none."""
    label = LABEL.fullmatch(one.label)
    return int(label["number"]) if label else 0


def assign_names(event: ConferenceFound) -> dict[str, ParticipantFound]:
    """Return the participants by their new names; a name's newest leg gets it."""
    by_name: dict[str, ParticipantFound] = {}
    others: list[ParticipantFound] = []
    for one in sorted(event.participants, key=label_number, reverse=True):
        name = name_from_label(one)
        if name and name not in by_name:
            by_name[name] = one
        else:
            others.append(one)
    if TARGET in by_name and AGENT not in by_name:  # the transfer is lost
        by_name[AGENT] = by_name.pop(TARGET)
    return by_name | {f"guest-{number}": one for number, one in enumerate(others, start=1)}


def recovered_dial_id(call_sid: str) -> str:
    """Return a stand-in for a lost dial id; callbacks are matched by call SID."""
    return f"found:{call_sid}"


def name_from_label(one: ParticipantFound | ParticipantSeen | Party) -> str:
    """Return the name in Conferral's label; `target` for any of a ring group."""
    label = LABEL.fullmatch(one.label)
    if label is None or _PHONE_NUMBER.search(label["name"]):
        return ""
    name = label["name"]
    return TARGET if name.startswith(f"{TARGET}-") else name


# ---- guards on unknown participants in a read: a rollback, or a lost join ------------------------------------------


_BEFORE_DIAL = frozenset({
    TransferStage.CONVERTING, TransferStage.CLEARING_END_ON_EXIT, TransferStage.HOLDING_CUSTOMER,
    TransferStage.PAUSING_RECORDING, TransferStage.MOVING_CUSTOMER, TransferStage.WAITING_TO_RECALL,
})  # fmt: skip


def unknown_participants(session: Session, event: CallsRead) -> tuple[ParticipantSeen, ...]:
    """Return the participants of the session's conference that it never knew."""
    conference = event.conference_sid
    is_own = conference == session.conference_sid or not session.participants
    if not is_own or session.is_former_conference(conference):
        return ()
    return tuple(
        seen
        for seen in event.participants
        if seen.call_sid
        and session.find_party(call_sid=seen.call_sid, label=seen.label) is None
        and seen.call_sid not in session.former_calls
        and not _will_be_found(session, seen)
    )


def _will_be_found(session: Session, seen: ParticipantSeen) -> bool:
    """Whether the search before a pending dial will find this participant."""
    if label_number(seen) <= session.dials:
        return False
    name = name_from_label(seen)
    if any(command.party == name for command in dials_to_come(session)):
        return True
    transfer = session.running_transfer
    return name in (TARGET, AGENT) and transfer is not None and transfer.stage in _BEFORE_DIAL


def is_muted_guest(seen: ParticipantSeen) -> bool:
    """Whether a guest is muted, and so only listens."""
    return not name_from_label(seen) and seen.muted


def is_supervisor(seen: ParticipantSeen) -> bool:
    """Whether a participant is a supervisor, by label or by coaching."""
    return name_from_label(seen) == SUPERVISOR or bool(seen.coaches)


def _counts_as_party(seen: ParticipantSeen) -> bool:
    return not (is_supervisor(seen) or is_muted_guest(seen))


def shows_lost_transfer(draft: Draft, event: CallsRead) -> bool:
    """Whether customer, agent, and an unknown target show a lost transfer."""
    session = draft.session
    is_busy = session.opening is not Opening.OVER or session.phase is not Phase.NONE
    if is_busy or session.running_transfer is not None:
        return False
    seen_by_call = {seen.call_sid: seen for seen in event.participants if not seen.is_ringing}
    customer, agent = session.customer, session.agent
    if any(
        party.is_gone or party.is_leaving or party.call_sid not in seen_by_call
        or event.status_of(party.call_sid) in FINAL_CALL_STATUSES
        for party in (customer, agent)
    ):  # fmt: skip
        return False
    targets = lost_targets(session, event)
    if not targets:
        return False
    known = {customer.call_sid, agent.call_sid, *(target.call_sid for target in targets)}
    # With others present, it may not be a transfer; if someone is held, it is treated as one.
    others = [one for sid, one in seen_by_call.items() if sid not in known and _counts_as_party(one)]
    return seen_by_call[customer.call_sid].held or targets[0].held or not others


def shows_lost_talk(draft: Draft, event: CallsRead) -> bool:
    """Whether a lost transfer's target has answered."""
    return shows_lost_transfer(draft, event) and not lost_targets(draft.session, event)[0].is_ringing


def lost_targets(session: Session, event: CallsRead) -> tuple[ParticipantSeen, ...]:
    """Return a lost transfer's targets: the answered one, then the ringing.

    With the customer held, it is a consult: the newest answered target counts, and ringing ones lost to it. If none
    answered, all ring: a ring group. With the customer off hold, it is a transfer only if exactly one answered; ringing
    ones don't count.
    """
    targets = [seen for seen in unknown_participants(session, event) if name_from_label(seen) == TARGET]
    answered = [seen for seen in targets if not seen.is_ringing]
    ringing = tuple(sorted((seen for seen in targets if seen.is_ringing), key=label_number))
    if any(seen.call_sid == session.customer.call_sid and seen.held for seen in event.participants):
        return (*sorted(answered, key=label_number)[-1:], *ringing)
    return tuple(answered) if len(answered) == 1 else ()


def shows_customer_with_guests(draft: Draft, event: CallsRead) -> bool:
    """Whether the agent is gone, and the customer is with unknown parties."""
    session = draft.session
    if session.running_transfer is not None:
        return False
    customer, agent = session.customer, session.agent
    agent_is_over = agent.is_gone or event.status_of(agent.call_sid) in FINAL_CALL_STATUSES
    is_there = any(seen.call_sid == customer.call_sid for seen in event.participants)
    return agent_is_over and is_there and any(_counts_as_party(seen) for seen in unknown_participants(session, event))


def losing_targets(session: Session) -> tuple[Party, ...]:
    """Return the targets that still ring after a ring group's answer."""
    targets = [
        party
        for party in session.parties.values()
        if party.dial_id == recovered_dial_id(party.call_sid) and name_from_label(party) == TARGET
    ]
    if not any(target.takes_part for target in targets):
        return ()
    return tuple(target for target in targets if target.status is PartyStatus.RINGING and not target.is_leaving)


def has_losing_target(draft: Draft, _event: Event) -> bool:
    """Whether targets of a lost ring group ring although one answered."""
    return any(party.status is PartyStatus.RINGING for party in draft.restless) and bool(losing_targets(draft.session))


# ---- guards on what a read of Twilio shows -------------------------------------------------------------------------


def is_outdated(draft: Draft, event: CallsRead) -> bool:
    """Whether facts changed after the read began, so it may be outdated."""
    return draft.session.facts_version > event.read_version


def reread_is_due(draft: Draft, _event: Event) -> bool:
    """Whether a read is wanted, and none is open."""
    return draft.session.reread_wanted and not draft.session.open_read_id


def shows_parent_ended(draft: Draft, event: CallsRead) -> bool:
    """Whether the call whose `<Dial>` made the bridge is over."""
    return _shows_ended(draft, event, draft.session.parent)


def shows_child_ended(draft: Draft, event: CallsRead) -> bool:
    """Whether the call that the bridge's `<Dial>` made is over."""
    return _shows_ended(draft, event, draft.session.child)


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


def shows_bridge_over(draft: Draft, event: CallsRead) -> bool:
    """Whether the parent is over, or the child is and the parent has joined."""
    is_alone = shows_child_ended(draft, event) and shows_parent_inside(draft, event)
    return is_alone or shows_parent_ended(draft, event)


def shows_child_ended_alone(draft: Draft, event: CallsRead) -> bool:
    """Whether only the child's call is over, and the parent's is elsewhere."""
    is_alone = shows_child_ended(draft, event) and not shows_parent_ended(draft, event)
    return is_alone and not shows_parent_inside(draft, event)


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


def shows_leg_left_alone(draft: Draft, event: CallsRead) -> bool:
    """Whether an ended session's leg is alone in its conference.

    Its label shows that no other app has brought it there. Reads that began before the end don't count.
    """
    if is_outdated(draft, event) or len(event.participants) != 1:
        return False
    (seen,) = event.participants
    party = draft.session.find_party(call_sid=seen.call_sid)
    return party is not None and party.label == seen.label


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
