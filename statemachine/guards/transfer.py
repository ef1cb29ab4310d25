"""Guards on a running transfer: what its stage waits for, and whether that has happened.

Those of the first part are used by automatic rows, which are tried after every event. Each leads to another stage, so
it no longer holds afterwards.
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

#: Agent and target talk or are about to; no one has been released.
_TOGETHER = frozenset({TransferStage.TALKING, TransferStage.SWAPPING, TransferStage.SWAPPED, TransferStage.MERGING})
#: Only customer and agent take part.
_BEFORE_ANSWER = frozenset(
    {
        TransferStage.CLEARING_END_ON_EXIT,
        TransferStage.HOLDING_CUSTOMER,
        TransferStage.PAUSING_RECORDING,
        TransferStage.DIALING,
    }
)
#: Stages without an open dial: a customer who is alone in one of them has been abandoned.
_AFTER = _TOGETHER | {
    TransferStage.COMPLETING,
    TransferStage.RELEASING_AGENT,
    TransferStage.CANCELLING,
    TransferStage.RETURNING_CUSTOMER,
}
#: Phases in which the agent is being dialed.
AGENT_RING_PHASES = frozenset({Phase.RECALL, Phase.RETRIEVE})
#: Phases in which the customer is, or will be, without an agent.
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
    """Whether all targets are out. Losers of a ring group count, although their phones may ring a moment longer."""
    return all(target.is_gone or (target.is_leaving and target.name != TARGET) for target in draft.session.targets)


def others_are_present(draft: Draft) -> bool:
    """Whether the customer is with added parties that the transfer does not depend on and who can stay."""
    session = draft.session
    beside = (
        one for one in present_parties(session) if one.name not in (CUSTOMER, AGENT) and one not in session.targets
    )
    return session.is_group and any(not one.is_leaving and (one.answered or not one.dial_id) for one in beside)


def dialed_parties(draft: Draft) -> tuple[Party, ...]:
    """Return the parties being dialed: the targets, or the recalled agent."""
    return (_agent(draft),) if draft.session.phase in AGENT_RING_PHASES else draft.session.targets


def answering_party(draft: Draft) -> Party | None:
    """Return the party that took the call: answered, in the conference, and not being removed."""
    return next((party for party in dialed_parties(draft) if party.takes_part and not party.is_leaving), None)


# ---- after every event -------------------------------------------------------------------------------------------


def transfer_is_pending(draft: Draft, _event: Event) -> bool:
    """Whether a transfer was waiting for the conversion, which is done."""
    transfer = draft.session.transfer
    return transfer is not None and transfer.stage is TransferStage.CONVERTING


def customer_has_left(draft: Draft, _event: Event) -> bool:
    """Whether the customer has left."""
    return _customer(draft).is_gone


def agent_left_by_command(draft: Draft, _event: Event) -> bool:
    """Whether the agent left while the target still rings, as `complete` requested."""
    return draft.session.phase is Phase.BLIND and draft.transfer.step_name == "complete" and _agent(draft).is_gone


def agent_left_before_answer(draft: Draft, _event: Event) -> bool:
    """Whether the agent hung up before the target joined."""
    handing_over = draft.session.phase in (Phase.WARM, Phase.CONSULT)
    return handing_over and _stage(draft) in _BEFORE_ANSWER and _agent(draft).is_gone


def customer_is_alone(draft: Draft, _event: Event) -> bool:
    """Whether agent and target are both gone, and no one is being dialed."""
    stage = _stage(draft)
    if stage is TransferStage.UNHOLDING_CUSTOMER:
        return answering_party(draft) is None and all(
            party.is_gone or party.is_leaving for party in dialed_parties(draft)
        )
    return stage in _AFTER and _agent(draft).is_gone and _targets_are_out(draft) and not others_are_present(draft)


def agent_left_after_transfer(draft: Draft, _event: Event) -> bool:
    """Whether the agent hung up after the transfer failed or was canceled, which ends the call.

    A customer who is still on hold has not been given back to the agent, and is not hung up for this.
    """
    customer = _customer(draft)
    is_kept = customer.held or customer.pending_update in (ParticipantUpdate.HOLD, ParticipantUpdate.UNHOLD)
    after = _stage(draft) in (TransferStage.CANCELLING, TransferStage.RETURNING_CUSTOMER)
    return after and _agent(draft).is_gone and not is_kept and not others_are_present(draft)


def agent_may_leave(draft: Draft, _event: Event) -> bool:
    """Whether the agent can leave without ending the conference, and is not on hold."""
    agent = _agent(draft)
    is_free = not (agent.pending_update or agent.end_on_exit or agent.held)
    return _stage(draft) is TransferStage.CLEARING_END_ON_EXIT and (agent.is_gone or is_free)


def customer_is_held(draft: Draft, _event: Event) -> bool:
    """Whether the customer is on hold, or hears wait audio without a hold."""
    customer = _customer(draft)
    held = customer.held and customer.desired_hold and not customer.pending_update
    return _stage(draft) is TransferStage.HOLDING_CUSTOMER and (held or customer.waits_for_start)


def customer_has_arrived(draft: Draft, _event: Event) -> bool:
    """Whether the customer has moved from the bridge into the conference."""
    return _stage(draft) is TransferStage.MOVING_CUSTOMER and _customer(draft).in_conference


def target_joined(draft: Draft, _event: Event) -> bool:
    """Whether a dialed party answered and is in the conference."""
    rings = _stage(draft) is TransferStage.DIALING
    # An agent released before the answer need not be waited for once it comes.
    rings_meanwhile = _stage(draft) is TransferStage.HOLDING_CUSTOMER and draft.session.phase is Phase.BLIND
    return (rings or rings_meanwhile) and answering_party(draft) is not None


def every_dial_failed(draft: Draft, _event: Event) -> bool:
    """Whether none of the dialed parties can be reached."""
    return _stage(draft) is TransferStage.DIALING and all(party.is_gone for party in dialed_parties(draft))


def no_target_was_reached(draft: Draft, event: Event) -> bool:
    """Whether none of the dialed parties can be reached, and the agent is with the customer."""
    return every_dial_failed(draft, event) and draft.session.phase in (Phase.WARM, Phase.CONSULT)


def transfer_failed_for_good(draft: Draft, event: Event) -> bool:
    """Whether the customer has no one to talk to and no one is left to dial."""
    if not fallback_is_due(draft, event):
        return False
    transfer, fallback = draft.transfer, draft.policy.fallback
    if draft.session.phase is Phase.RECALL:
        return transfer.recalls >= draft.policy.recalls_max
    return fallback == "end" or (fallback != "recall" and transfer.fell_back)


def failed_with_others_present(draft: Draft, event: Event) -> bool:
    """Whether no one is left to dial, but an added party is still with the customer."""
    return transfer_failed_for_good(draft, event) and others_are_present(draft)


def retrieve_has_failed(draft: Draft, event: Event) -> bool:
    """Whether no one retrieved the parked call."""
    deserted = every_dial_failed(draft, event) or customer_is_alone(draft, event)
    return draft.session.phase is Phase.RETRIEVE and deserted


def fallback_is_due(draft: Draft, event: Event) -> bool:
    """Whether the recall or the fallback is due, because the customer has no one to talk to.

    Conferral waits for an agent who is leaving: the recall may dial them next.
    """
    is_alone = _is_alone_after_failure(draft, event) or customer_is_alone(draft, event)
    if draft.session.phase is Phase.RETRIEVE:
        return False
    return is_alone and (draft.session.phase is Phase.RECALL or _agent(draft).is_gone)


def _is_alone_after_failure(draft: Draft, event: Event) -> bool:
    return every_dial_failed(draft, event) and draft.session.phase in (Phase.BLIND, Phase.RECALL)


def customer_was_taken_over(draft: Draft, _event: Event) -> bool:
    """Whether the customer talks to the party that took the call, and the agent who handed over is gone."""
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
    """Whether the recalled agent talks to the customer."""
    return draft.session.phase is Phase.RECALL and customer_was_taken_over(draft, event)


def is_retrieved(draft: Draft, event: Event) -> bool:
    """Whether the party that retrieved the call talks to the customer."""
    return draft.session.phase is Phase.RETRIEVE and customer_was_taken_over(draft, event)


def customer_is_parked(draft: Draft, _event: Event) -> bool:
    """Whether the customer is waiting and the agent who parks the call is gone."""
    return _stage(draft) is TransferStage.PARKING and _agent(draft).is_gone and _customer(draft).in_conference


def recording_is_paused(draft: Draft, event: Event) -> bool:
    """Whether the recording is paused, so that the consult's dial can start."""
    return _stage(draft) is TransferStage.PAUSING_RECORDING and consult_is_unrecorded(draft, event)


def agent_has_left(draft: Draft, _event: Event) -> bool:
    """Whether the agent hung up after the target joined, which counts as `complete`."""
    return _stage(draft) in _TOGETHER and _agent(draft).is_gone


def target_has_left(draft: Draft, _event: Event) -> bool:
    """Whether the target hung up while the agent is still there, which counts as `cancel`."""
    return _stage(draft) in _TOGETHER | {TransferStage.COMPLETING} and _targets_are_out(draft)


def first_is_held(draft: Draft, _event: Event) -> bool:
    """Whether the party that the agent talked to before a swap is on hold."""
    if _stage(draft) is not TransferStage.SWAPPING:
        return False
    other = CUSTOMER if draft.transfer.swap_to == TARGET else TARGET
    party = draft.session.parties[other]
    return party.held and not party.pending_update


def second_is_unheld(draft: Draft, _event: Event) -> bool:
    """Whether the party that the agent talks to after a swap is off hold."""
    return _stage(draft) is TransferStage.SWAPPED and _is_off_hold(draft.session.parties[draft.transfer.swap_to])


def all_unheld(draft: Draft, _event: Event) -> bool:
    """Whether no one is on hold after a merge."""
    return _stage(draft) is TransferStage.MERGING and _no_one_is_held(draft)


def agent_may_be_released(draft: Draft, _event: Event) -> bool:
    """Whether no remaining party is on hold."""
    return _stage(draft) is TransferStage.COMPLETING and _no_one_is_held(draft)


def agent_is_gone(draft: Draft, _event: Event) -> bool:
    """Whether the released agent is gone. An earlier row has checked the target."""
    return _stage(draft) is TransferStage.RELEASING_AGENT and _agent(draft).is_gone


def targets_are_gone(draft: Draft, _event: Event) -> bool:
    """Whether all targets are gone, as `cancel` requested."""
    return _stage(draft) is TransferStage.CANCELLING and all(target.is_gone for target in draft.session.targets)


def customer_is_unheld(draft: Draft, _event: Event) -> bool:
    """Whether the customer is off hold and the agent or an added party is present."""
    has_company = not _agent(draft).is_gone or others_are_present(draft)
    return _stage(draft) is TransferStage.RETURNING_CUSTOMER and _is_off_hold(_customer(draft)) and has_company


def _is_off_hold(party: Party) -> bool:
    return (
        not party.held
        and not party.desired_hold
        and party.pending_update not in (ParticipantUpdate.HOLD, ParticipantUpdate.UNHOLD)
    )


def _no_one_is_held(draft: Draft) -> bool:
    parties = draft.session.parties.values()
    return all(_is_off_hold(party) for party in parties if party.in_conference and not party.is_gone)


# ---- when a timer expires ----------------------------------------------------------------------------------------


def confirmation_timed_out(draft: Draft, _event: Event) -> bool:
    """Whether Twilio has not confirmed that the agent can leave, or a hold without which parties could be overheard."""
    agent_stays = not (_agent(draft).is_gone or _agent(draft).is_leaving)
    needed = draft.session.phase is Phase.CONSULT or (draft.session.phase is Phase.PARK and agent_stays)
    return _stage(draft) is TransferStage.CLEARING_END_ON_EXIT or (
        _stage(draft) is TransferStage.HOLDING_CUSTOMER and needed
    )


def pausing_recording_timed_out(draft: Draft, _event: Event) -> bool:
    """Whether Twilio has not confirmed the pause of the recording."""
    return _stage(draft) is TransferStage.PAUSING_RECORDING


def hold_is_optional(draft: Draft, _event: Event) -> bool:
    """Whether the missing hold would only have given the customer audio to hear."""
    return _stage(draft) is TransferStage.HOLDING_CUSTOMER


def swap_timed_out(draft: Draft, _event: Event) -> bool:
    """Whether Twilio has not confirmed the first hold of a swap."""
    return _stage(draft) is TransferStage.SWAPPING


def recall_is_due(draft: Draft, _event: Event) -> bool:
    """Whether the agent should be called back once more now."""
    return _stage(draft) is TransferStage.WAITING_TO_RECALL


def agent_did_not_leave(draft: Draft, _event: Event) -> bool:
    """Whether nothing was heard of the agent, whom the end of the `<Dial>` or a request should have hung up."""
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
    """Whether a parked call timed out with no one left to dial, while an added party is present."""
    return park_timeout_ends_session(draft, event) and _customer(draft).in_conference and others_are_present(draft)


# ---- when a conference ends --------------------------------------------------------------------------------------


def agent_ended_conference(draft: Draft, event: ConferenceEnded) -> bool:
    """Whether the agent hung up before Twilio cleared `EndConferenceOnExit`, so the customer lost the conference."""
    if event.call_sid_ending:
        by_agent = event.call_sid_ending == _agent(draft).call_sid
    else:
        by_agent = event.conference_reason == _ENDED_BY_FLAG and _agent(draft).end_on_exit
    return _is_before_dial(draft) and by_agent


def customer_joined_another_conference(draft: Draft, event: ParticipantJoined) -> bool:
    """Whether the customer, who lost the conference, joined a new one before the end of the old one was reported."""
    return _is_before_dial(draft) and _customer_joins_elsewhere(draft, event)


def customer_lost_conference(draft: Draft, _event: ConferenceEnded | ParticipantJoined) -> bool:
    """Whether the customer waited alone and has not hung up: their `<Dial>` action joins another conference.

    Either Twilio removed the customer because the wait audio failed, or the customer has not joined yet and the agent,
    who was in the conference alone, has left.
    """
    others = any(party.name != CUSTOMER for party in draft.session.participants)
    return draft.session.phase in _WITHOUT_AGENT and not others and not _customer(draft).is_gone


def customer_waits_in_another_conference(draft: Draft, event: ParticipantJoined) -> bool:
    """Whether the waiting customer joined the new conference before the end of the old one was reported."""
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


# ---- when a command arrives --------------------------------------------------------------------------------------


def is_blind_and_connected(draft: Draft, event: Transfer) -> bool:
    """Whether the transfer is blind and both parties talk, so that only the customer is moved."""
    return event.mode == TransferMode.BLIND and is_connected(draft, event)


def lacks_agent_or_customer(draft: Draft, _event: Event) -> bool:
    """Whether customer or agent is not in the conference, so that there is no one to hand over or to do it."""
    parties = draft.session.parties
    return any(parties[name].is_gone or not parties[name].in_conference for name in (CUSTOMER, AGENT))


def transfer_is_running(draft: Draft, _event: Event) -> bool:
    """Whether a transfer is running or waiting for the conversion."""
    transfer = draft.session.transfer
    return transfer is not None and transfer.is_running


def customer_waits_without_agent(draft: Draft, _event: Event) -> bool:
    """Whether the customer is being handed over without an agent present."""
    return draft.session.phase in _WITHOUT_AGENT


def customer_is_left_in_silence(draft: Draft, event: Event) -> bool:
    """Whether the customer is being handed over and hears nothing meanwhile."""
    return customer_waits_without_agent(draft, event) and customer_waits_in_silence(draft, event)


def customer_is_left_unheld(draft: Draft, event: EffectFailed) -> bool:
    """Whether the customer, who is being handed over, can't be held because the conference has not started."""
    return customer_waits_without_agent(draft, event) and customer_hold_failed(draft, event)


def customer_arrived_alone(draft: Draft, event: Event) -> bool:
    """Whether the customer started the conference on arrival and is alone in it."""
    customer = _customer(draft)
    return (
        customer_has_arrived(draft, event)
        and not customer.waits_for_start
        and present_parties(draft.session) == (customer,)
    )


def agent_was_released(draft: Draft, _event: Event) -> bool:
    """Whether the agent is gone or leaving, so that there is nothing to complete or return to."""
    return draft.session.phase in _WITHOUT_AGENT or _agent(draft).is_leaving or _agent(draft).is_gone


def names_ringing_agent(draft: Draft, event: Remove) -> bool:
    """Whether the command names the agent being dialed for a retrieval or a recall."""
    agent = _agent(draft)
    is_rung = draft.session.phase in AGENT_RING_PHASES and not (agent.is_gone or agent.is_leaving)
    return is_rung and event.party in (agent.name, agent.call_sid)


def transfer_is_ending(draft: Draft, _event: Event) -> bool:
    """Whether the transfer is over except for Twilio's confirmations."""
    return _stage(draft) in (
        TransferStage.RELEASING_AGENT,
        TransferStage.CANCELLING,
        TransferStage.RETURNING_CUSTOMER,
    )


def is_completing(draft: Draft, _event: Event) -> bool:
    """Whether a `complete` is in progress."""
    return _stage(draft) is TransferStage.COMPLETING


def target_takes_part(draft: Draft, _event: Event) -> bool:
    """Whether agent and target are together."""
    return _stage(draft) in _TOGETHER


def is_not_consult(draft: Draft, _event: Event) -> bool:
    """Whether all three talk, so that there is no one to swap or merge."""
    return draft.session.phase is not Phase.CONSULT or draft.transfer.status is TransferStatus.MERGED


def is_before_answer(draft: Draft, _event: Event) -> bool:
    """Whether the target has not joined yet."""
    return _stage(draft) in _BEFORE_ANSWER


def step_is_running(draft: Draft, _event: Event) -> bool:
    """Whether another step of the consult is in progress."""
    return _stage(draft) is not TransferStage.TALKING
