"""Questions about a running transfer: what it waits for, and whether that has come.

Those of the first part stand in the table's `Always` rows: they are asked after every event, and each leads on to
another stage, so that it is answered no afterwards.
"""

from conferral.statemachine.events import ConferenceEnded, EffectFailed, Event, ParticipantJoined, Remove, Transfer
from conferral.statemachine.guards.calls import is_connected
from conferral.statemachine.guards.company import company, customer_is_not_held, park_ends_it, waits_in_silence
from conferral.statemachine.guards.recording import recording_is_quiet
from conferral.statemachine.guards.room import is_another_room
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.session import AGENT, CUSTOMER, TARGET, Ask, Party
from conferral.statemachine.states import Phase, Stage, TransferMode, TransferStatus

#: The agent and the target may talk, or are about to; nobody has been let go yet.
_TOGETHER = frozenset({Stage.TALKING, Stage.SWAPPING, Stage.SWAPPED, Stage.MERGING})
#: Nobody takes part yet besides customer and agent.
_BEFORE = frozenset({Stage.CLEARING, Stage.HOLDING, Stage.SILENCING, Stage.DIALING})
#: Stages in which nobody is dialled any more or yet again, so that a customer without company is deserted.
_AFTER = _TOGETHER | {Stage.COMPLETING, Stage.PARTING, Stage.WITHDRAWING, Stage.RESTORING}
#: The agent himself is being dialled.
RINGS_AGENT = frozenset({Phase.RECALL, Phase.RETRIEVE})
#: The customer is to be left with nobody beside him, or is so.
_WITHOUT_AGENT = frozenset({Phase.BLIND, Phase.PARK}) | RINGS_AGENT


#: ReasonConferenceEnded in Twilio's words.
_ENDED_BY_FLAG = "participant-with-end-conference-on-exit-left"


def _stage(scratch: Scratch) -> Stage:
    return scratch.transfer.stage


def _customer(scratch: Scratch) -> Party:
    return scratch.session.parties[CUSTOMER]


def _agent(scratch: Scratch) -> Party:
    return scratch.session.parties[AGENT]


def _targets_are_out(scratch: Scratch) -> bool:
    """Those who lost to somebody quicker count as out although their phones may still ring for a moment."""
    return all(target.is_gone or (target.is_leaving and target.name != TARGET) for target in scratch.session.targets)


def others_talk(scratch: Scratch) -> bool:
    """Whether somebody is with the customer whom the transfer does not depend on, and whom nobody's leaving ends."""
    session = scratch.session
    beside = (one for one in company(session) if one.name not in (CUSTOMER, AGENT) and one not in session.targets)
    return session.is_group and any(not one.is_leaving and (one.answered or not one.dial_id) for one in beside)


def awaited(scratch: Scratch) -> tuple[Party, ...]:
    """Those who are being dialled: the targets, or the agent who is rung again."""
    return (_agent(scratch),) if scratch.session.phase in RINGS_AGENT else scratch.session.targets


def taker(scratch: Scratch) -> Party | None:
    """Who has taken the call: answered, in the conference, and not to leave."""
    return next((party for party in awaited(scratch) if party.takes_part and not party.is_leaving), None)


# ---- asked after every event -------------------------------------------------------------------------------------


def transfer_is_pending(scratch: Scratch, _event: Event) -> bool:
    """Whether both are in the conference and a transfer was waiting for that."""
    transfer = scratch.session.transfer
    return transfer is not None and transfer.stage is Stage.CONVERTING


def customer_has_left(scratch: Scratch, _event: Event) -> bool:
    """Whether the customer is gone: everybody else is let go."""
    return _customer(scratch).is_gone


def agent_went_on_command(scratch: Scratch, _event: Event) -> bool:
    """Whether the agent, let go while the target still rings, is gone: that was what `complete` asked for."""
    return scratch.session.phase is Phase.BLIND and scratch.transfer.step_name == "complete" and _agent(scratch).is_gone


def agent_left_too_soon(scratch: Scratch, _event: Event) -> bool:
    """Whether the agent has hung up before the target took part."""
    handing_over = scratch.session.phase in (Phase.WARM, Phase.CONSULT)
    return handing_over and _stage(scratch) in _BEFORE and _agent(scratch).is_gone


def customer_is_deserted(scratch: Scratch, _event: Event) -> bool:
    """Whether agent and target are both gone, and nobody is being dialled."""
    stage = _stage(scratch)
    if stage is Stage.CONNECTING:
        return taker(scratch) is None and all(party.is_gone or party.is_leaving for party in awaited(scratch))
    return stage in _AFTER and _agent(scratch).is_gone and _targets_are_out(scratch) and not others_talk(scratch)


def agent_left_afterwards(scratch: Scratch, _event: Event) -> bool:
    """Whether the agent has hung up when the transfer had failed or was cancelled: that ends the call, as ever.

    A customer who is still on hold, though, has not been given back to him: he is not let go for it.
    """
    customer = _customer(scratch)
    is_kept = customer.held or customer.asked in (Ask.HOLD, Ask.UNHOLD)
    after = _stage(scratch) in (Stage.WITHDRAWING, Stage.RESTORING)
    return after and _agent(scratch).is_gone and not is_kept and not others_talk(scratch)


def is_clear(scratch: Scratch, _event: Event) -> bool:
    """Whether the agent's leaving would not end the conference any more, and the agent is not on hold."""
    agent = _agent(scratch)
    is_free = not (agent.asked or agent.ends_conference or agent.held)
    return _stage(scratch) is Stage.CLEARING and (agent.is_gone or is_free)


def customer_is_held(scratch: Scratch, _event: Event) -> bool:
    """Whether the customer is on hold, or hears a tune without it."""
    customer = _customer(scratch)
    held = customer.held and customer.hold_wanted and not customer.asked
    return _stage(scratch) is Stage.HOLDING and (held or customer.waits)


def customer_has_arrived(scratch: Scratch, _event: Event) -> bool:
    """Whether the customer has come from the bridge into the room."""
    return _stage(scratch) is Stage.ARRIVING and _customer(scratch).in_room


def somebody_takes_part(scratch: Scratch, _event: Event) -> bool:
    """Whether one of those who were dialled was answered and is in the conference."""
    rings = _stage(scratch) is Stage.DIALING
    # Who is let go before the answer is waited for no longer when the answer comes.
    rings_meanwhile = _stage(scratch) is Stage.HOLDING and scratch.session.phase is Phase.BLIND
    return (rings or rings_meanwhile) and taker(scratch) is not None


def every_dial_failed(scratch: Scratch, _event: Event) -> bool:
    """Whether none of those who were dialled can be reached."""
    return _stage(scratch) is Stage.DIALING and all(party.is_gone for party in awaited(scratch))


def nobody_was_reached(scratch: Scratch, event: Event) -> bool:
    """Whether none of those who were dialled can be reached, and the agent is with the customer."""
    return every_dial_failed(scratch, event) and scratch.session.phase in (Phase.WARM, Phase.CONSULT)


def fails_for_good(scratch: Scratch, event: Event) -> bool:
    """Whether the customer has nobody to talk to and nobody is left to be tried."""
    if not falls_back(scratch, event):
        return False
    transfer, fallback = scratch.transfer, scratch.policy.fallback
    if scratch.session.phase is Phase.RECALL:
        return transfer.recalls >= scratch.policy.recalls_max
    return fallback == "end" or (fallback != "recall" and transfer.fell_back)


def fails_among_others(scratch: Scratch, event: Event) -> bool:
    """Whether that is so, and somebody who was added is still with the customer."""
    return fails_for_good(scratch, event) and others_talk(scratch)


def retrieve_has_failed(scratch: Scratch, event: Event) -> bool:
    """Whether nobody has taken a parked call up."""
    deserted = every_dial_failed(scratch, event) or customer_is_deserted(scratch, event)
    return scratch.session.phase is Phase.RETRIEVE and deserted


def falls_back(scratch: Scratch, event: Event) -> bool:
    """Whether somebody else is to be tried, now that the customer has nobody to talk to.

    An agent who is on the way out is waited for: he may be the one who is rung next.
    """
    is_alone = _is_alone_after_failure(scratch, event) or customer_is_deserted(scratch, event)
    if scratch.session.phase is Phase.RETRIEVE:
        return False
    return is_alone and (scratch.session.phase is Phase.RECALL or _agent(scratch).is_gone)


def _is_alone_after_failure(scratch: Scratch, event: Event) -> bool:
    return every_dial_failed(scratch, event) and scratch.session.phase in (Phase.BLIND, Phase.RECALL)


def customer_was_taken_over(scratch: Scratch, _event: Event) -> bool:
    """Whether the customer talks to whoever has taken the call, and the one who handed over is gone."""
    found = taker(scratch)
    customer = _customer(scratch)
    unheld = _is_off_hold(customer)
    agent_is_out = scratch.session.phase in RINGS_AGENT or _agent(scratch).is_gone
    return _stage(scratch) is Stage.CONNECTING and found is not None and customer.in_room and unheld and agent_is_out


def agent_is_back(scratch: Scratch, event: Event) -> bool:
    """Whether the agent who was rung again talks to the customer."""
    return scratch.session.phase is Phase.RECALL and customer_was_taken_over(scratch, event)


def is_retrieved(scratch: Scratch, event: Event) -> bool:
    """Whether whoever has taken a parked call up talks to the customer."""
    return scratch.session.phase is Phase.RETRIEVE and customer_was_taken_over(scratch, event)


def customer_is_parked(scratch: Scratch, _event: Event) -> bool:
    """Whether the customer waits, and the agent who parks the call is gone."""
    return _stage(scratch) is Stage.PARKING and _agent(scratch).is_gone and _customer(scratch).in_room


def is_silenced(scratch: Scratch, event: Event) -> bool:
    """Whether nothing stands in the way of a consult's dial any more."""
    return _stage(scratch) is Stage.SILENCING and recording_is_quiet(scratch, event)


def agent_has_left(scratch: Scratch, _event: Event) -> bool:
    """Whether the agent has hung up while the target takes part: that counts as `complete`."""
    return _stage(scratch) in _TOGETHER and _agent(scratch).is_gone


def target_has_left(scratch: Scratch, _event: Event) -> bool:
    """Whether the target has hung up while the agent is still there: that counts as `cancel`."""
    return _stage(scratch) in _TOGETHER | {Stage.COMPLETING} and _targets_are_out(scratch)


def first_is_held(scratch: Scratch, _event: Event) -> bool:
    """Whether the one whom the agent has talked to before a swap is on hold."""
    if _stage(scratch) is not Stage.SWAPPING:
        return False
    other = CUSTOMER if scratch.transfer.swap_to == TARGET else TARGET
    party = scratch.session.parties[other]
    return party.held and not party.asked


def second_is_back(scratch: Scratch, _event: Event) -> bool:
    """Whether the one whom the agent is to talk to after a swap is off hold."""
    return _stage(scratch) is Stage.SWAPPED and _is_off_hold(scratch.session.parties[scratch.transfer.swap_to])


def all_talk(scratch: Scratch, _event: Event) -> bool:
    """Whether nobody is on hold after a merge."""
    return _stage(scratch) is Stage.MERGING and _nobody_is_held(scratch)


def may_let_agent_go(scratch: Scratch, _event: Event) -> bool:
    """Whether nobody who stays is on hold."""
    return _stage(scratch) is Stage.COMPLETING and _nobody_is_held(scratch)


def agent_is_out(scratch: Scratch, _event: Event) -> bool:
    """Whether the agent who was let go is gone. That the target is not gone too was asked before."""
    return _stage(scratch) is Stage.PARTING and _agent(scratch).is_gone


def target_is_out(scratch: Scratch, _event: Event) -> bool:
    """Whether everybody who was dialled is gone, as `cancel` asked for."""
    return _stage(scratch) is Stage.WITHDRAWING and all(target.is_gone for target in scratch.session.targets)


def customer_is_back(scratch: Scratch, _event: Event) -> bool:
    """Whether the customer is off hold, and the agent is there, or somebody who was added."""
    has_company = not _agent(scratch).is_gone or others_talk(scratch)
    return _stage(scratch) is Stage.RESTORING and _is_off_hold(_customer(scratch)) and has_company


def _is_off_hold(party: Party) -> bool:
    return not party.held and not party.hold_wanted and party.asked not in (Ask.HOLD, Ask.UNHOLD)


def _nobody_is_held(scratch: Scratch) -> bool:
    parties = scratch.session.parties.values()
    return all(_is_off_hold(party) for party in parties if party.in_room and not party.is_gone)


# ---- asked when a timer expires ----------------------------------------------------------------------------------


def is_unconfirmed_too_long(scratch: Scratch, _event: Event) -> bool:
    """Whether Twilio confirms neither that the agent may leave nor a hold without which people could be overheard."""
    agent_stays = not (_agent(scratch).is_gone or _agent(scratch).is_leaving)
    needed = scratch.session.phase is Phase.CONSULT or (scratch.session.phase is Phase.PARK and agent_stays)
    return _stage(scratch) is Stage.CLEARING or (_stage(scratch) is Stage.HOLDING and needed)


def records_too_long(scratch: Scratch, _event: Event) -> bool:
    """Whether Twilio does not confirm that the recording stands still."""
    return _stage(scratch) is Stage.SILENCING


def may_do_without_hold(scratch: Scratch, _event: Event) -> bool:
    """Whether the hold that is missing would only have given the customer a tune to listen to."""
    return _stage(scratch) is Stage.HOLDING


def swaps_too_long(scratch: Scratch, _event: Event) -> bool:
    """Whether Twilio does not confirm the first hold of a swap."""
    return _stage(scratch) is Stage.SWAPPING


def is_pausing(scratch: Scratch, _event: Event) -> bool:
    """Whether the agent is to be rung once more now."""
    return _stage(scratch) is Stage.PAUSING


def agent_lingers(scratch: Scratch, _event: Event) -> bool:
    """Whether the agent, whom the end of the `<Dial>` or a request should have sent away, was not heard of."""
    agent = _agent(scratch)
    without_agent = (Stage.ARRIVING, Stage.DIALING, Stage.CONNECTING, Stage.PARTING, Stage.PARKING)
    waits = _stage(scratch) in without_agent and not scratch.session.redirecting
    return waits and agent.is_leaving and agent.is_hung_up and not agent.is_gone


def park_ends_among_others(scratch: Scratch, event: Event) -> bool:
    """Whether nobody is to be tried when a call was parked for too long, and somebody who was added is there."""
    return park_ends_it(scratch, event) and _customer(scratch).in_room and others_talk(scratch)


# ---- asked when a conference ends --------------------------------------------------------------------------------


def agent_took_room_along(scratch: Scratch, event: ConferenceEnded) -> bool:
    """Whether the agent hung up before Twilio had cleared the flag, so that the customer lost the conference too."""
    if event.call_sid_ending:
        by_agent = event.call_sid_ending == _agent(scratch).call_sid
    else:
        by_agent = event.conference_reason == _ENDED_BY_FLAG and _agent(scratch).ends_conference
    return _is_before_dial(scratch) and by_agent


def customer_is_in_another_room(scratch: Scratch, event: ParticipantJoined) -> bool:
    """Whether the customer, who lost the conference so, is in a fresh one, before the end of the old one was told."""
    return _is_before_dial(scratch) and _customer_joins_elsewhere(scratch, event)


def customer_lost_room(scratch: Scratch, _event: ConferenceEnded | ParticipantJoined) -> bool:
    """Whether the customer waited in the conference alone and has not hung up: his action leads him into another one.

    What he should hear there could not be had, so Twilio has put him out of it; or he has not come into it yet, and
    the agent, who was in it alone, has left.
    """
    others = any(party.name != CUSTOMER for party in scratch.session.in_room)
    return scratch.session.phase in _WITHOUT_AGENT and not others and not _customer(scratch).is_gone


def customer_waits_in_another_room(scratch: Scratch, event: ParticipantJoined) -> bool:
    """Whether he is in the other one already, before the end of the first one was told."""
    return customer_lost_room(scratch, event) and _customer_joins_elsewhere(scratch, event)


def _customer_joins_elsewhere(scratch: Scratch, event: ParticipantJoined) -> bool:
    return event.call_sid == _customer(scratch).call_sid and is_another_room(scratch, event)


def _is_before_dial(scratch: Scratch) -> bool:
    before_dial = _stage(scratch) in (Stage.CLEARING, Stage.HOLDING, Stage.SILENCING) and not scratch.transfer.attempts
    return before_dial and not _customer(scratch).is_gone


# ---- asked when a command comes ----------------------------------------------------------------------------------


def is_blind_and_connected(scratch: Scratch, event: Transfer) -> bool:
    """Whether the customer alone is to be moved away from the bridge."""
    return event.mode == TransferMode.BLIND and is_connected(scratch, event)


def lacks_agent_or_customer(scratch: Scratch, _event: Event) -> bool:
    """Whether one of the two is not in the conference, so that there is nobody to hand over, or nobody to do it."""
    parties = scratch.session.parties
    return any(parties[name].is_gone or not parties[name].in_room for name in (CUSTOMER, AGENT))


def is_transferring_already(scratch: Scratch, _event: Event) -> bool:
    """Whether a transfer runs or waits for the conversion."""
    transfer = scratch.session.transfer
    return transfer is not None and transfer.runs


def waits_without_agent(scratch: Scratch, _event: Event) -> bool:
    """Whether the customer is to be handed over with nobody beside him."""
    return scratch.session.phase in _WITHOUT_AGENT


def is_left_in_silence(scratch: Scratch, event: Event) -> bool:
    """Whether the customer is to be handed over, and hears nothing meanwhile."""
    return waits_without_agent(scratch, event) and waits_in_silence(scratch, event)


def is_left_unheld(scratch: Scratch, event: EffectFailed) -> bool:
    """Whether the customer, who is to be handed over, can't be held because the conference has not started."""
    return waits_without_agent(scratch, event) and customer_is_not_held(scratch, event)


def arrives_alone(scratch: Scratch, event: Event) -> bool:
    """Whether the customer has come into the room as one who starts it, and nobody else is there to start it with."""
    customer = _customer(scratch)
    return customer_has_arrived(scratch, event) and not customer.waits and company(scratch.session) == (customer,)


def has_let_agent_go(scratch: Scratch, _event: Event) -> bool:
    """Whether the agent is gone or on the way out, so that there is nothing to complete or to go back to."""
    return scratch.session.phase in _WITHOUT_AGENT or _agent(scratch).is_leaving or _agent(scratch).is_gone


def names_agent_who_is_rung(scratch: Scratch, event: Remove) -> bool:
    """Whether whoever is rung to take up a parked call, or to take one back, is meant."""
    agent = _agent(scratch)
    is_rung = scratch.session.phase in RINGS_AGENT and not (agent.is_gone or agent.is_leaving)
    return is_rung and event.party in (agent.name, agent.call_sid)


def is_being_wound_up(scratch: Scratch, _event: Event) -> bool:
    """Whether the transfer is over but for what Twilio still has to confirm."""
    return _stage(scratch) in (Stage.PARTING, Stage.WITHDRAWING, Stage.RESTORING)


def is_completing(scratch: Scratch, _event: Event) -> bool:
    """Whether a `complete` is being carried out."""
    return _stage(scratch) is Stage.COMPLETING


def target_takes_part(scratch: Scratch, _event: Event) -> bool:
    """Whether agent and target are together."""
    return _stage(scratch) in _TOGETHER


def is_no_consult(scratch: Scratch, _event: Event) -> bool:
    """Whether all three talk, so that there is nobody to swap or merge."""
    return scratch.session.phase is not Phase.CONSULT or scratch.transfer.status is TransferStatus.MERGED


def is_before_answer(scratch: Scratch, _event: Event) -> bool:
    """Whether the target does not take part yet."""
    return _stage(scratch) in _BEFORE


def is_between_steps(scratch: Scratch, _event: Event) -> bool:
    """Whether another step of the consult is still being carried out."""
    return _stage(scratch) is not Stage.TALKING
