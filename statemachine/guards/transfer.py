"""Questions about a running transfer: what it waits for, and whether that has come.

Those of the first part stand in the table's `Always` rows: they are asked after every event, and each leads on to
another stage, so that it is answered no afterwards.
"""

from conferral.statemachine.draft import Draft
from conferral.statemachine.events import ConferenceEnded, EffectFailed, Event, ParticipantJoined, Remove, Transfer
from conferral.statemachine.guards.calls import is_connected
from conferral.statemachine.guards.conference import is_another_conference
from conferral.statemachine.guards.recording import consult_is_unrecorded
from conferral.statemachine.guards.waiting_party import (
    customer_hold_failed,
    customer_waits_in_silence,
    park_timeout_ends_session,
    present_parties,
)
from conferral.statemachine.session import AGENT, CUSTOMER, TARGET, ParticipantUpdate, Party
from conferral.statemachine.states import Phase, TransferMode, TransferStage, TransferStatus

#: The agent and the target may talk, or are about to; nobody has been let go yet.
_TOGETHER = frozenset({TransferStage.TALKING, TransferStage.SWAPPING, TransferStage.SWAPPED, TransferStage.MERGING})
#: Nobody takes part yet besides customer and agent.
_BEFORE_ANSWER = frozenset(
    {
        TransferStage.CLEARING_END_ON_EXIT,
        TransferStage.HOLDING_CUSTOMER,
        TransferStage.PAUSING_RECORDING,
        TransferStage.DIALING,
    }
)
#: Stages in which nobody is dialled any more or yet again, so that a customer without company is deserted.
_AFTER = _TOGETHER | {
    TransferStage.COMPLETING,
    TransferStage.RELEASING_AGENT,
    TransferStage.CANCELLING,
    TransferStage.RETURNING_CUSTOMER,
}
#: The agent himself is being dialled.
AGENT_RING_PHASES = frozenset({Phase.RECALL, Phase.RETRIEVE})
#: The customer is to be left with nobody beside him, or is so.
_WITHOUT_AGENT = frozenset({Phase.BLIND, Phase.PARK}) | AGENT_RING_PHASES


#: ReasonConferenceEnded in Twilio's words.
_ENDED_BY_FLAG = "participant-with-end-conference-on-exit-left"


def _stage(draft: Draft) -> TransferStage:
    return draft.transfer.stage


def _customer(draft: Draft) -> Party:
    return draft.session.parties[CUSTOMER]


def _agent(draft: Draft) -> Party:
    return draft.session.parties[AGENT]


def _targets_are_out(draft: Draft) -> bool:
    """Those who lost to somebody quicker count as out although their phones may still ring for a moment."""
    return all(target.is_gone or (target.is_leaving and target.name != TARGET) for target in draft.session.targets)


def others_are_present(draft: Draft) -> bool:
    """Whether somebody is with the customer whom the transfer does not depend on, and whom nobody's leaving ends."""
    session = draft.session
    beside = (
        one for one in present_parties(session) if one.name not in (CUSTOMER, AGENT) and one not in session.targets
    )
    return session.is_group and any(not one.is_leaving and (one.answered or not one.dial_id) for one in beside)


def dialed_parties(draft: Draft) -> tuple[Party, ...]:
    """Those who are being dialled: the targets, or the agent who is rung again."""
    return (_agent(draft),) if draft.session.phase in AGENT_RING_PHASES else draft.session.targets


def answering_party(draft: Draft) -> Party | None:
    """Who has taken the call: answered, in the conference, and not to leave."""
    return next((party for party in dialed_parties(draft) if party.takes_part and not party.is_leaving), None)


# ---- asked after every event -------------------------------------------------------------------------------------


def transfer_is_pending(draft: Draft, _event: Event) -> bool:
    """Whether both are in the conference and a transfer was waiting for that."""
    transfer = draft.session.transfer
    return transfer is not None and transfer.stage is TransferStage.CONVERTING


def customer_has_left(draft: Draft, _event: Event) -> bool:
    """Whether the customer is gone: everybody else is let go."""
    return _customer(draft).is_gone


def agent_left_by_command(draft: Draft, _event: Event) -> bool:
    """Whether the agent, let go while the target still rings, is gone: that was what `complete` asked for."""
    return draft.session.phase is Phase.BLIND and draft.transfer.step_name == "complete" and _agent(draft).is_gone


def agent_left_before_answer(draft: Draft, _event: Event) -> bool:
    """Whether the agent has hung up before the target took part."""
    handing_over = draft.session.phase in (Phase.WARM, Phase.CONSULT)
    return handing_over and _stage(draft) in _BEFORE_ANSWER and _agent(draft).is_gone


def customer_is_alone(draft: Draft, _event: Event) -> bool:
    """Whether agent and target are both gone, and nobody is being dialled."""
    stage = _stage(draft)
    if stage is TransferStage.UNHOLDING_CUSTOMER:
        return answering_party(draft) is None and all(
            party.is_gone or party.is_leaving for party in dialed_parties(draft)
        )
    return stage in _AFTER and _agent(draft).is_gone and _targets_are_out(draft) and not others_are_present(draft)


def agent_left_after_transfer(draft: Draft, _event: Event) -> bool:
    """Whether the agent has hung up when the transfer had failed or was cancelled: that ends the call, as ever.

    A customer who is still on hold, though, has not been given back to him: he is not let go for it.
    """
    customer = _customer(draft)
    is_kept = customer.held or customer.pending_update in (ParticipantUpdate.HOLD, ParticipantUpdate.UNHOLD)
    after = _stage(draft) in (TransferStage.CANCELLING, TransferStage.RETURNING_CUSTOMER)
    return after and _agent(draft).is_gone and not is_kept and not others_are_present(draft)


def agent_may_leave(draft: Draft, _event: Event) -> bool:
    """Whether the agent's leaving would not end the conference any more, and the agent is not on hold."""
    agent = _agent(draft)
    is_free = not (agent.pending_update or agent.end_on_exit or agent.held)
    return _stage(draft) is TransferStage.CLEARING_END_ON_EXIT and (agent.is_gone or is_free)


def customer_is_held(draft: Draft, _event: Event) -> bool:
    """Whether the customer is on hold, or hears a tune without it."""
    customer = _customer(draft)
    held = customer.held and customer.desired_hold and not customer.pending_update
    return _stage(draft) is TransferStage.HOLDING_CUSTOMER and (held or customer.waits_for_start)


def customer_has_arrived(draft: Draft, _event: Event) -> bool:
    """Whether the customer has come from the bridge into the room."""
    return _stage(draft) is TransferStage.MOVING_CUSTOMER and _customer(draft).in_conference


def target_joined(draft: Draft, _event: Event) -> bool:
    """Whether one of those who were dialled was answered and is in the conference."""
    rings = _stage(draft) is TransferStage.DIALING
    # Who is let go before the answer is waited for no longer when the answer comes.
    rings_meanwhile = _stage(draft) is TransferStage.HOLDING_CUSTOMER and draft.session.phase is Phase.BLIND
    return (rings or rings_meanwhile) and answering_party(draft) is not None


def every_dial_failed(draft: Draft, _event: Event) -> bool:
    """Whether none of those who were dialled can be reached."""
    return _stage(draft) is TransferStage.DIALING and all(party.is_gone for party in dialed_parties(draft))


def no_target_was_reached(draft: Draft, event: Event) -> bool:
    """Whether none of those who were dialled can be reached, and the agent is with the customer."""
    return every_dial_failed(draft, event) and draft.session.phase in (Phase.WARM, Phase.CONSULT)


def transfer_failed_for_good(draft: Draft, event: Event) -> bool:
    """Whether the customer has nobody to talk to and nobody is left to be tried."""
    if not fallback_is_due(draft, event):
        return False
    transfer, fallback = draft.transfer, draft.policy.fallback
    if draft.session.phase is Phase.RECALL:
        return transfer.recalls >= draft.policy.recalls_max
    return fallback == "end" or (fallback != "recall" and transfer.fell_back)


def failed_with_others_present(draft: Draft, event: Event) -> bool:
    """Whether that is so, and somebody who was added is still with the customer."""
    return transfer_failed_for_good(draft, event) and others_are_present(draft)


def retrieve_has_failed(draft: Draft, event: Event) -> bool:
    """Whether nobody has taken a parked call up."""
    deserted = every_dial_failed(draft, event) or customer_is_alone(draft, event)
    return draft.session.phase is Phase.RETRIEVE and deserted


def fallback_is_due(draft: Draft, event: Event) -> bool:
    """Whether somebody else is to be tried, now that the customer has nobody to talk to.

    An agent who is on the way out is waited for: he may be the one who is rung next.
    """
    is_alone = _is_alone_after_failure(draft, event) or customer_is_alone(draft, event)
    if draft.session.phase is Phase.RETRIEVE:
        return False
    return is_alone and (draft.session.phase is Phase.RECALL or _agent(draft).is_gone)


def _is_alone_after_failure(draft: Draft, event: Event) -> bool:
    return every_dial_failed(draft, event) and draft.session.phase in (Phase.BLIND, Phase.RECALL)


def customer_was_taken_over(draft: Draft, _event: Event) -> bool:
    """Whether the customer talks to whoever has taken the call, and the one who handed over is gone."""
    found = answering_party(draft)
    customer = _customer(draft)
    unheld = _is_off_hold(customer)
    agent_is_out = draft.session.phase in AGENT_RING_PHASES or _agent(draft).is_gone
    return (
        _stage(draft) is TransferStage.UNHOLDING_CUSTOMER
        and found is not None
        and customer.in_conference
        and unheld
        and agent_is_out
    )


def agent_has_returned(draft: Draft, event: Event) -> bool:
    """Whether the agent who was rung again talks to the customer."""
    return draft.session.phase is Phase.RECALL and customer_was_taken_over(draft, event)


def is_retrieved(draft: Draft, event: Event) -> bool:
    """Whether whoever has taken a parked call up talks to the customer."""
    return draft.session.phase is Phase.RETRIEVE and customer_was_taken_over(draft, event)


def customer_is_parked(draft: Draft, _event: Event) -> bool:
    """Whether the customer waits, and the agent who parks the call is gone."""
    return _stage(draft) is TransferStage.PARKING and _agent(draft).is_gone and _customer(draft).in_conference


def recording_is_paused(draft: Draft, event: Event) -> bool:
    """Whether nothing stands in the way of a consult's dial any more."""
    return _stage(draft) is TransferStage.PAUSING_RECORDING and consult_is_unrecorded(draft, event)


def agent_has_left(draft: Draft, _event: Event) -> bool:
    """Whether the agent has hung up while the target takes part: that counts as `complete`."""
    return _stage(draft) in _TOGETHER and _agent(draft).is_gone


def target_has_left(draft: Draft, _event: Event) -> bool:
    """Whether the target has hung up while the agent is still there: that counts as `cancel`."""
    return _stage(draft) in _TOGETHER | {TransferStage.COMPLETING} and _targets_are_out(draft)


def first_is_held(draft: Draft, _event: Event) -> bool:
    """Whether the one whom the agent has talked to before a swap is on hold."""
    if _stage(draft) is not TransferStage.SWAPPING:
        return False
    other = CUSTOMER if draft.transfer.swap_to == TARGET else TARGET
    party = draft.session.parties[other]
    return party.held and not party.pending_update


def second_is_unheld(draft: Draft, _event: Event) -> bool:
    """Whether the one whom the agent is to talk to after a swap is off hold."""
    return _stage(draft) is TransferStage.SWAPPED and _is_off_hold(draft.session.parties[draft.transfer.swap_to])


def all_unheld(draft: Draft, _event: Event) -> bool:
    """Whether nobody is on hold after a merge."""
    return _stage(draft) is TransferStage.MERGING and _nobody_is_held(draft)


def agent_may_be_released(draft: Draft, _event: Event) -> bool:
    """Whether nobody who stays is on hold."""
    return _stage(draft) is TransferStage.COMPLETING and _nobody_is_held(draft)


def agent_is_gone(draft: Draft, _event: Event) -> bool:
    """Whether the agent who was let go is gone. That the target is not gone too was asked before."""
    return _stage(draft) is TransferStage.RELEASING_AGENT and _agent(draft).is_gone


def targets_are_gone(draft: Draft, _event: Event) -> bool:
    """Whether everybody who was dialled is gone, as `cancel` asked for."""
    return _stage(draft) is TransferStage.CANCELLING and all(target.is_gone for target in draft.session.targets)


def customer_is_unheld(draft: Draft, _event: Event) -> bool:
    """Whether the customer is off hold, and the agent is there, or somebody who was added."""
    has_company = not _agent(draft).is_gone or others_are_present(draft)
    return _stage(draft) is TransferStage.RETURNING_CUSTOMER and _is_off_hold(_customer(draft)) and has_company


def _is_off_hold(party: Party) -> bool:
    return (
        not party.held
        and not party.desired_hold
        and party.pending_update not in (ParticipantUpdate.HOLD, ParticipantUpdate.UNHOLD)
    )


def _nobody_is_held(draft: Draft) -> bool:
    parties = draft.session.parties.values()
    return all(_is_off_hold(party) for party in parties if party.in_conference and not party.is_gone)


# ---- asked when a timer expires ----------------------------------------------------------------------------------


def confirmation_timed_out(draft: Draft, _event: Event) -> bool:
    """Whether Twilio confirms neither that the agent may leave nor a hold without which people could be overheard."""
    agent_stays = not (_agent(draft).is_gone or _agent(draft).is_leaving)
    needed = draft.session.phase is Phase.CONSULT or (draft.session.phase is Phase.PARK and agent_stays)
    return _stage(draft) is TransferStage.CLEARING_END_ON_EXIT or (
        _stage(draft) is TransferStage.HOLDING_CUSTOMER and needed
    )


def pausing_recording_timed_out(draft: Draft, _event: Event) -> bool:
    """Whether Twilio does not confirm that the recording stands still."""
    return _stage(draft) is TransferStage.PAUSING_RECORDING


def hold_is_optional(draft: Draft, _event: Event) -> bool:
    """Whether the hold that is missing would only have given the customer a tune to listen to."""
    return _stage(draft) is TransferStage.HOLDING_CUSTOMER


def swap_timed_out(draft: Draft, _event: Event) -> bool:
    """Whether Twilio does not confirm the first hold of a swap."""
    return _stage(draft) is TransferStage.SWAPPING


def recall_is_due(draft: Draft, _event: Event) -> bool:
    """Whether the agent is to be rung once more now."""
    return _stage(draft) is TransferStage.WAITING_TO_RECALL


def agent_did_not_leave(draft: Draft, _event: Event) -> bool:
    """Whether the agent, whom the end of the `<Dial>` or a request should have sent away, was not heard of."""
    agent = _agent(draft)
    without_agent = (
        TransferStage.MOVING_CUSTOMER,
        TransferStage.DIALING,
        TransferStage.UNHOLDING_CUSTOMER,
        TransferStage.RELEASING_AGENT,
        TransferStage.PARKING,
    )
    waits = _stage(draft) in without_agent and not draft.session.open_redirects
    return waits and agent.is_leaving and agent.hang_up_requested and not agent.is_gone


def park_timed_out_with_others(draft: Draft, event: Event) -> bool:
    """Whether nobody is to be tried when a call was parked for too long, and somebody who was added is there."""
    return park_timeout_ends_session(draft, event) and _customer(draft).in_conference and others_are_present(draft)


# ---- asked when a conference ends --------------------------------------------------------------------------------


def agent_ended_conference(draft: Draft, event: ConferenceEnded) -> bool:
    """Whether the agent hung up before Twilio had cleared the flag, so that the customer lost the conference too."""
    if event.call_sid_ending:
        by_agent = event.call_sid_ending == _agent(draft).call_sid
    else:
        by_agent = event.conference_reason == _ENDED_BY_FLAG and _agent(draft).end_on_exit
    return _is_before_dial(draft) and by_agent


def customer_joined_another_conference(draft: Draft, event: ParticipantJoined) -> bool:
    """Whether the customer, who lost the conference so, is in a fresh one, before the end of the old one was told."""
    return _is_before_dial(draft) and _customer_joins_elsewhere(draft, event)


def customer_lost_conference(draft: Draft, _event: ConferenceEnded | ParticipantJoined) -> bool:
    """Whether the customer waited in the conference alone and has not hung up: his action leads him into another one.

    What he should hear there could not be had, so Twilio has put him out of it; or he has not come into it yet, and
    the agent, who was in it alone, has left.
    """
    others = any(party.name != CUSTOMER for party in draft.session.participants)
    return draft.session.phase in _WITHOUT_AGENT and not others and not _customer(draft).is_gone


def customer_waits_in_another_conference(draft: Draft, event: ParticipantJoined) -> bool:
    """Whether he is in the other one already, before the end of the first one was told."""
    return customer_lost_conference(draft, event) and _customer_joins_elsewhere(draft, event)


def _customer_joins_elsewhere(draft: Draft, event: ParticipantJoined) -> bool:
    return event.call_sid == _customer(draft).call_sid and is_another_conference(draft, event)


def _is_before_dial(draft: Draft) -> bool:
    before_dial = (
        _stage(draft)
        in (TransferStage.CLEARING_END_ON_EXIT, TransferStage.HOLDING_CUSTOMER, TransferStage.PAUSING_RECORDING)
        and not draft.transfer.attempts
    )
    return before_dial and not _customer(draft).is_gone


# ---- asked when a command comes ----------------------------------------------------------------------------------


def is_blind_and_connected(draft: Draft, event: Transfer) -> bool:
    """Whether the customer alone is to be moved away from the bridge."""
    return event.mode == TransferMode.BLIND and is_connected(draft, event)


def lacks_agent_or_customer(draft: Draft, _event: Event) -> bool:
    """Whether one of the two is not in the conference, so that there is nobody to hand over, or nobody to do it."""
    parties = draft.session.parties
    return any(parties[name].is_gone or not parties[name].in_conference for name in (CUSTOMER, AGENT))


def transfer_is_running(draft: Draft, _event: Event) -> bool:
    """Whether a transfer runs or waits for the conversion."""
    transfer = draft.session.transfer
    return transfer is not None and transfer.is_running


def customer_waits_without_agent(draft: Draft, _event: Event) -> bool:
    """Whether the customer is to be handed over with nobody beside him."""
    return draft.session.phase in _WITHOUT_AGENT


def customer_is_left_in_silence(draft: Draft, event: Event) -> bool:
    """Whether the customer is to be handed over, and hears nothing meanwhile."""
    return customer_waits_without_agent(draft, event) and customer_waits_in_silence(draft, event)


def customer_is_left_unheld(draft: Draft, event: EffectFailed) -> bool:
    """Whether the customer, who is to be handed over, can't be held because the conference has not started."""
    return customer_waits_without_agent(draft, event) and customer_hold_failed(draft, event)


def customer_arrived_alone(draft: Draft, event: Event) -> bool:
    """Whether the customer has come into the room as one who starts it, and nobody else is there to start it with."""
    customer = _customer(draft)
    return (
        customer_has_arrived(draft, event)
        and not customer.waits_for_start
        and present_parties(draft.session) == (customer,)
    )


def agent_was_released(draft: Draft, _event: Event) -> bool:
    """Whether the agent is gone or on the way out, so that there is nothing to complete or to go back to."""
    return draft.session.phase in _WITHOUT_AGENT or _agent(draft).is_leaving or _agent(draft).is_gone


def names_ringing_agent(draft: Draft, event: Remove) -> bool:
    """Whether whoever is rung to take up a parked call, or to take one back, is meant."""
    agent = _agent(draft)
    is_rung = draft.session.phase in AGENT_RING_PHASES and not (agent.is_gone or agent.is_leaving)
    return is_rung and event.party in (agent.name, agent.call_sid)


def transfer_is_ending(draft: Draft, _event: Event) -> bool:
    """Whether the transfer is over but for what Twilio still has to confirm."""
    return _stage(draft) in (
        TransferStage.RELEASING_AGENT,
        TransferStage.CANCELLING,
        TransferStage.RETURNING_CUSTOMER,
    )


def is_completing(draft: Draft, _event: Event) -> bool:
    """Whether a `complete` is being carried out."""
    return _stage(draft) is TransferStage.COMPLETING


def target_takes_part(draft: Draft, _event: Event) -> bool:
    """Whether agent and target are together."""
    return _stage(draft) in _TOGETHER


def is_not_consult(draft: Draft, _event: Event) -> bool:
    """Whether all three talk, so that there is nobody to swap or merge."""
    return draft.session.phase is not Phase.CONSULT or draft.transfer.status is TransferStatus.MERGED


def is_before_answer(draft: Draft, _event: Event) -> bool:
    """Whether the target does not take part yet."""
    return _stage(draft) in _BEFORE_ANSWER


def step_is_running(draft: Draft, _event: Event) -> bool:
    """Whether another step of the consult is still being carried out."""
    return _stage(draft) is not TransferStage.TALKING
