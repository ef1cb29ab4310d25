"""Guards on unknown participants in a read: a rollback, or a lost join."""

from conferral.statemachine.draft import Draft
from conferral.statemachine.events import CallsRead, Event, ParticipantSeen
from conferral.statemachine.guards.pending_commands import dials_to_come
from conferral.statemachine.guards.recovery import label_number, name_from_label, recovered_dial_id
from conferral.statemachine.session import AGENT, SUPERVISOR, TARGET, Party, Session
from conferral.statemachine.states import FINAL_CALL_STATUSES, Opening, PartyStatus, Phase, TransferStage

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
