"""Guards on a transfer, its fallback, and the voicemail."""

from collections.abc import Iterator

from conferral.statemachine import events
from conferral.statemachine.events import Event
from conferral.statemachine.guards.calls import (
    agent_is_confirming,
    is_connected,
    leg_may_be_moving,
    outbound_is_still_bridged,
    transfer_awaits_conversion,
)
from conferral.statemachine.guards.commands import consult_is_unrecorded, is_held_by_command, named_party
from conferral.statemachine.guards.conference import is_another_conference, may_be_unheld_late
from conferral.statemachine.guards.loss import agent_is_lost, lost_agent
from conferral.statemachine.guards.outage import is_found_guest, legs_may_show
from conferral.statemachine.guards.unsettled import is_suspected
from conferral.statemachine.guards.waiting_party import (
    expected_party_failed,
    keeps_found_hold,
    present_parties,
    waiting_party_has_joined,
)
from conferral.statemachine.places import is_url
from conferral.statemachine.session import AGENT, CUSTOMER, TARGET, Party, Session
from conferral.statemachine.states import (
    UNREACHED_DIAL_STATUSES,
    WITHOUT_AGENT,
    ParticipantUpdate,
    Phase,
    Place,
    State,
    TransferMode,
    TransferStage,
    TransferStatus,
)
from conferral.statemachine.step import Draft

#: Stages without an open dial: a customer who is alone in one of them has been abandoned.
_AFTER_DIAL = (
    TransferStage.TALKING, TransferStage.HOLDING_FOR_SWAP, TransferStage.UNHOLDING, TransferStage.COMPLETING,
    TransferStage.RELEASING_AGENT, TransferStage.CANCELLING, TransferStage.RETURNING_CUSTOMER,
)  # fmt: skip
#: Stages of a consult in which a swap or a cancel takes the held party off hold.
_ENDS_HOLD = (TransferStage.HOLDING_FOR_SWAP, TransferStage.CANCELLING)
#: Phases in which the agent is being dialed.
AGENT_RING_PHASES = frozenset({Phase.RECALL, Phase.RETRIEVE})
#: Twilio's ReasonConferenceEnded.
_ENDED_BY_FLAG = "participant-with-end-conference-on-exit-left"


def no_target_remains(draft: Draft, _event: Event) -> bool:
    """Whether each target has left, or lost to another of its ring group."""
    # A loser's phone may ring a moment longer.
    return all(target.is_gone or (target.is_leaving and target.name != TARGET) for target in draft.session.targets)


def others_are_present(draft: Draft) -> bool:
    """Whether the customer is with added parties who can stay."""
    session = draft.session
    own = {CUSTOMER, AGENT, *(target.name for target in session.targets)}
    others = (one for one in present_parties(session) if one.name not in own and not one.is_leaving)
    return any(one.answered or not one.dial_id for one in others)


def dialed_parties(draft: Draft) -> tuple[Party, ...]:
    """Return the parties being dialed: the targets, or the recalled agent."""
    return (draft.session.agent,) if draft.session.phase in AGENT_RING_PHASES else draft.session.targets


def answering_party(draft: Draft, _event: Event) -> Party | None:
    """Return the party that took the call, unless it is being removed."""
    return next((party for party in dialed_parties(draft) if party.takes_part and not party.is_leaving), None)


# ---- after every event: each leads to another stage, where it no longer holds ------------------------------------


def customer_has_left(draft: Draft, _event: Event) -> bool:
    """Whether the customer has hung up, or left in another way."""
    return draft.session.customer.is_gone


def agent_left_by_command(draft: Draft, _event: Event) -> bool:
    """Whether `complete` released the agent while the target still rings."""
    return draft.transfer.step_name == "complete" and draft.session.agent.is_gone


def agent_left_after_transfer(draft: Draft, _event: Event) -> bool:
    """Whether the agent hung up on a customer who was off hold again."""
    # A customer who is still on hold has not been given back to the agent, and is not hung up for this.
    customer = draft.session.customer
    is_kept = customer.held or customer.pending_update in (ParticipantUpdate.HOLD, ParticipantUpdate.UNHOLD)
    return draft.session.agent.is_gone and not is_kept and not others_are_present(draft)


def agent_may_leave(draft: Draft, _event: Event) -> bool:
    """Whether the agent, not on hold, can leave without ending the conference."""
    agent = draft.session.agent
    return agent.is_gone or not (agent.pending_update or agent.end_on_exit or agent.held)


def customer_is_held(draft: Draft, _event: Event) -> bool:
    """Whether the customer is on hold, or hears wait audio without a hold."""
    customer = draft.session.customer
    held = customer.held and customer.desired_hold and not customer.pending_update
    return held or customer.waits_for_start


def consult_is_prepared(draft: Draft, event: Event) -> bool:
    """Whether the customer stays on hold, and nothing records the consult."""
    is_held = customer_is_held(draft, event) and not may_be_unheld_late(draft, draft.session.customer)
    return is_held and consult_is_unrecorded(draft, event)


def customer_has_arrived(draft: Draft, _event: Event) -> bool:
    """Whether the customer has moved from the bridge into the conference."""
    return draft.session.customer.in_conference


def customer_is_unattended(draft: Draft, event: Event) -> bool:
    """Whether the customer has no one to talk to, and no one is being dialed.

    After an outage, those whom Redis forgot may still show.
    """
    return _is_unattended(draft, event) and not legs_may_show(draft)


def missing_legs(draft: Draft) -> Iterator[str]:
    """Yield who misses a leg that may show after an outage."""
    session, event = draft.session, draft.event
    if not session.lost_at_ms:
        return
    if lost_agent(session) is not None:
        yield AGENT
    if draft.state is State.TRANSFERRING and _is_unattended(draft, event):
        yield CUSTOMER


def _is_unattended(draft: Draft, event: Event) -> bool:
    session, stage = draft.session, draft.transfer.stage
    if stage is TransferStage.UNHOLDING_CUSTOMER:
        # The next dial reuses the name `agent` or `target`, so that party must be gone first.
        is_alone = session.agent.is_gone if session.phase in AGENT_RING_PHASES else no_target_remains(draft, event)
    elif stage is TransferStage.DIALING:
        is_alone = session.phase in WITHOUT_AGENT and all(party.is_gone for party in dialed_parties(draft))
    else:
        both_are_gone = agent_is_gone(draft, event) and no_target_remains(draft, event)
        is_alone = stage in _AFTER_DIAL and both_are_gone and not others_are_present(draft)
    # Conferral waits for an agent who is leaving: a recall may dial them next.
    return is_alone and (session.phase is Phase.RECALL or session.agent.is_gone)


def next_place(draft: Draft) -> str:
    """Return the next place of the fallback; `end` after the last one."""
    transfer = draft.transfer
    if draft.session.phase is Phase.RECALL and transfer.mode is not TransferMode.LOSS:
        recalls = sum(one.party == AGENT for one in transfer.attempts)
        # An operator who removes an agent whose phone rings does not want it to ring again.
        if recalls < draft.policy.recalls_max and not draft.session.agent.is_removed:
            return Place.RECALL
    return next(iter(transfer.places_left), Place.END)


def recall_is_next(draft: Draft, _event: Event) -> bool:
    """Whether the agent is called back next."""
    return next_place(draft) == Place.RECALL


def recall_is_repeated(draft: Draft, event: Event) -> bool:
    """Whether the agent is called back next, and was before."""
    return draft.transfer.places_tried > 0 and recall_is_next(draft, event)


def destination_is_next(draft: Draft, event: Event) -> bool:
    """Whether a destination of the fallback is dialed next."""
    return not (url_is_next(draft, event) or next_place(draft) in tuple(Place))


def url_is_next(draft: Draft, _event: Event) -> bool:
    """Whether the customer continues at a URL of your app's."""
    return is_url(next_place(draft))


def others_stay(draft: Draft, _event: Event) -> bool:
    """Whether no one is dialed next, but the customer is with added parties."""
    return draft.session.customer.in_conference and others_are_present(draft)


def found_guests_stay(draft: Draft, _event: Event) -> bool:
    """Whether the customer is with those whose dial Redis lost.

    An agent whose leg was lost is rung first.
    """
    transfer = draft.transfer
    is_agent_next = transfer.mode is TransferMode.LOSS and not transfer.places_tried
    are_there = any(is_found_guest(one) and one.takes_part for one in draft.session.parties.values())
    return are_there and draft.session.customer.in_conference and not is_agent_next


def customer_was_taken_over(draft: Draft, _event: Event) -> bool:
    """Whether the customer talks to the answering party, without the agent."""
    customer = draft.session.customer
    agent_is_out = draft.session.phase in AGENT_RING_PHASES or draft.session.agent.is_gone
    is_back = customer.in_conference and (_is_off_hold(customer) or keeps_found_hold(draft, customer))
    return answering_party(draft, _event) is not None and is_back and agent_is_out


def customer_is_parked(draft: Draft, _event: Event) -> bool:
    """Whether the customer waits, and the agent who parks the call is gone."""
    return draft.session.agent.is_gone and draft.session.customer.in_conference


def previous_party_is_held(draft: Draft, _event: Event) -> bool:
    """Whether the party that the agent talked to before a swap stays on hold."""
    party = _previous_party(draft)
    return party.held and not (party.pending_update or may_be_unheld_late(draft, party))


def _previous_party(draft: Draft) -> Party:
    return draft.session.parties[CUSTOMER if draft.transfer.swap_to == TARGET else TARGET]


def hold_may_be_undone(draft: Draft, event: Event) -> Party | None:
    """Return whose hold a late request may undo, if all else is prepared."""
    if draft.transfer.stage is TransferStage.HOLDING_FOR_SWAP:
        party, is_ready = _previous_party(draft), True
    else:
        is_consult = draft.session.phase is Phase.CONSULT
        party, is_ready = draft.session.customer, is_consult and consult_is_unrecorded(draft, event)
    return party if is_ready and party.late_unhold_ms and party.held and not party.pending_update else None


def agent_is_gone(draft: Draft, _event: Event) -> bool:
    """Whether the agent is gone, and not about to be rung again."""
    return draft.session.agent.is_gone and lost_agent(draft.session) is None


def customer_is_live(draft: Draft, _event: Event) -> bool:
    """Whether the customer has not hung up, either, as a read shows."""
    return draft.session.customer.in_conference and not is_suspected(draft.session, CUSTOMER)


def lost_agent_is_due(draft: Draft, event: Event) -> bool:
    """Whether the agent whose leg was lost is rung now."""
    return agent_is_lost(draft, event) and customer_is_live(draft, event)


def targets_are_gone(draft: Draft, _event: Event) -> bool:
    """Whether all targets have left, or none was reached."""
    return all(target.is_gone for target in draft.session.targets)


def customer_is_unheld(draft: Draft, _event: Event) -> bool:
    """Whether the customer is off hold."""
    return _is_off_hold(draft.session.customer)


def _is_off_hold(party: Party) -> bool:
    """Whether a party is confirmed off hold, and no hold is under way."""
    is_changing = party.pending_update in (ParticipantUpdate.HOLD, ParticipantUpdate.UNHOLD)
    return not (party.held or party.desired_hold or is_changing)


def talking_are_unheld(draft: Draft, _event: Event) -> bool:
    """Whether all who are not to be on hold are off hold."""
    return all(_is_off_hold(party) for party in draft.session.present.values() if not party.desired_hold)


# ---- when a timer expires ----------------------------------------------------------------------------------------


def stays_after_hang_up(draft: Draft, event: events.CallsRead, party: Party) -> bool:
    """Whether a party of the transfer goes on after its hangup."""
    # An outbound agent's call holds the bridge until the customer has left it; then their `<Dial>` action hangs it up.
    is_bridged = party.name == AGENT and (leg_may_be_moving(draft, event) or outbound_is_still_bridged(draft, event))
    is_due = party.is_leaving and party.hang_up_has_result and not is_bridged
    return is_due and draft.state is State.TRANSFERRING and (party.name == AGENT or party.is_target)


def hold_limits_ms(draft: Draft) -> dict[str, int]:
    """Return when held parties reach `CONFERRAL_HOLD_LIMIT`, Unix ms, by name.

    A hold counts in a settled conference and in a consult, unless it is about to end. In other transfers, and parked,
    a party waits for someone who is or will be dialed.
    """
    session, limit_ms = draft.session, draft.policy.hold_limit_ms
    if not limit_ms or session.phase not in (Phase.CONNECTED, Phase.CONSULT) or session.transfer_stage in _ENDS_HOLD:
        return {}
    held = (party for party in session.participants if party.held and is_held_by_command(party))
    return {party.name: party.since_ms + limit_ms for party in held}


def overdue_holds(draft: Draft, _event: Event) -> tuple[str, ...]:
    """Return the parties that have been on hold for `CONFERRAL_HOLD_LIMIT`."""
    return tuple(name for name, at_ms in hold_limits_ms(draft).items() if at_ms <= draft.now_ms)


# ---- when a conference ends --------------------------------------------------------------------------------------


def agent_ended_conference(draft: Draft, event: events.ConferenceEnded) -> bool:
    """Whether the agent's leaving ended the customer's conference."""
    # Before Twilio cleared the agent's `EndConferenceOnExit`.
    if event.call_sid_ending:
        by_agent = event.call_sid_ending == draft.session.agent.call_sid
    else:
        by_agent = event.conference_reason == _ENDED_BY_FLAG and draft.session.agent.end_on_exit
    return not draft.transfer.attempts and by_agent


def customer_joined_another_conference(draft: Draft, event: events.ParticipantJoined) -> bool:
    """Whether the customer joined another conference before the old one's end."""
    is_theirs = event.call_sid == draft.session.customer.call_sid
    return not draft.transfer.attempts and is_theirs and is_another_conference(draft, event)


# ---- when a command arrives --------------------------------------------------------------------------------------


def moves_only_customer(draft: Draft, event: events.Transfer | events.Park) -> bool:
    """Whether both talk and the agent leaves first: only the customer moves."""
    return (isinstance(event, events.Park) or event.mode == TransferMode.BLIND) and is_connected(draft, event)


def needs_no_fallback(_draft: Draft, event: events.Transfer) -> bool:
    """Whether a fallback was given for a transfer with the agent."""
    return bool(event.fallback) and event.mode != TransferMode.BLIND


def transfer_waits_for_agent(draft: Draft, event: events.Transfer) -> bool:
    """Whether a transfer with the agent waits for the agent's key press."""
    is_first = draft.session.running_transfer is None and event.mode != TransferMode.BLIND
    return is_first and agent_is_confirming(draft, event)


def lacks_agent_or_customer(draft: Draft, _event: events.Transfer | events.Park) -> bool:
    """Whether customer or agent, both needed, is not in the conference."""
    return any(party.is_gone or not party.in_conference for party in (draft.session.customer, draft.session.agent))


def agent_is_leaving(draft: Draft, _event: Event) -> bool:
    """Whether the agent is gone or leaving."""
    return draft.session.agent.is_leaving or draft.session.agent.is_gone


def no_agent_remains(draft: Draft, event: Event) -> bool:
    """Whether the agent is gone or leaving: nothing to complete or cancel."""
    return draft.session.phase in WITHOUT_AGENT or agent_is_leaving(draft, event)


def transfer_continues_without(draft: Draft, event: events.Remove) -> bool:
    """Whether the transfer does not depend on the named party."""
    # It may be an added party, one of a ring group, or the agent being dialed for a retrieval or a recall.
    party = named_party(draft, event)
    if party is None:  # to be dialed by `add` or `supervise`
        return True
    # After a hangup that Twilio refused, the party can be removed again.
    was_refused = party.is_removed and party.hang_up_has_result
    is_expected = was_refused or not party.is_leaving
    if party.name == TARGET:  # in a blind transfer, the fallback follows
        return draft.session.phase in (Phase.BLIND, Phase.FALLBACK) and is_expected
    return party.name != AGENT or (draft.session.phase in AGENT_RING_PHASES and is_expected)


def completes_awaited_transfer(draft: Draft, event: events.Complete | events.Remove) -> bool:
    """Whether the command releases an agent whose transfer awaits conversion."""
    if not transfer_awaits_conversion(draft, event) or draft.transfer.mode is TransferMode.PARK:
        return False
    return isinstance(event, events.Complete) or named_party(draft, event) == draft.session.agent


def completes_again(draft: Draft, event: events.Complete | events.Remove) -> bool:
    """Whether an earlier command releases the agent after the conversion."""
    return completes_awaited_transfer(draft, event) and draft.transfer.step_name == "complete"


def is_merged(draft: Draft, _event: Event) -> bool:
    """Whether customer, agent, and target talk."""
    return draft.transfer.status is TransferStatus.MERGED


# ---- the fallback of an inbound call ---------------------------------------------------------------------------------


def has_inbound_fallback(session: Session) -> bool:
    """Whether a caller whom no agent takes goes somewhere else."""
    return session.customer_is_parent and bool(session.fallback)


def bridge_falls_back(draft: Draft, event: events.DialEnded) -> bool:
    """Whether no one took a bridge's call, and its action joins the caller."""
    return event.reached_no_one and has_inbound_fallback(draft.session)


def caller_joined_for_fallback(draft: Draft, _event: Event) -> bool:
    """Whether the caller of a bridge is in our conference, and no one came.

    An agent's call that is `completed` may have been in a conversion that Redis lost.
    """
    session, agent = draft.session, draft.session.agent
    unreached = (*UNREACHED_DIAL_STATUSES, "rejected", events.GateDecision.NO_CONFIRMATION)
    was_reached = agent.left_reason not in unreached if agent.is_gone else session.phase is not Phase.RINGING
    return session.customer.in_conference and has_inbound_fallback(session) and not was_reached


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
    if voicemail is None:
        return False
    left_message = voicemail.is_recording and is_back_from_voicemail(draft, event)
    return voicemail.is_over or draft.session.customer.is_gone or left_message


def is_back_from_voicemail(draft: Draft, event: Event) -> bool:
    """Whether the customer is in a conference again: our document failed.

    Twilio then requests the fallback URL, which joins the customer.
    """
    session, voicemail = draft.session, draft.session.voicemail
    if voicemail is None or is_moving_to_voicemail(draft, event):
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
