"""Adoption: moves two members of another program's conference into ours.

The agent goes first. Until the customer is moved, a failure leaves both where they were.
"""

from conferral.statemachine import events
from conferral.statemachine.actions.bridge import begin_recovered_conversion, redirect_leg
from conferral.statemachine.actions.parties import accept_command
from conferral.statemachine.actions.session_end import end_session
from conferral.statemachine.effects import ClearEndOnExit, UpdateParticipant
from conferral.statemachine.events import Event
from conferral.statemachine.parts import ConferenceAttributes
from conferral.statemachine.reasons import REDIRECTED_AWAY, EndReason
from conferral.statemachine.session import AGENT, CUSTOMER, Party, first_label
from conferral.statemachine.states import Adoption, ParticipantUpdate, PartyStatus
from conferral.statemachine.step import Draft


def open_adoption(draft: Draft, event: events.Adopt) -> None:
    """Start the session; its parties may not end the other conference."""
    accept_command(draft, event)
    given = ((CUSTOMER, event.customer, event.customer_address), (AGENT, event.agent, event.agent_address))
    draft.change(
        direction=event.direction,
        was_handed_off=True,
        number=event.number,
        by=event.by,
        ref=event.ref,
        adopted_from=event.conference,
        adopted_ending=event.ending,
        adoption=Adoption.CLEARING,
        agents=(event.agent_address,),
        attributes=ConferenceAttributes(record=draft.policy.record),
        parties={
            name: Party(
                name,
                first_label(name),
                call_sid=call_sid,
                address=address,
                status=PartyStatus.CONNECTED,
                answered=True,
                answered_at_ms=draft.now_ms,
                has_desk=event.desk and name == AGENT,
            )
            for name, call_sid, address in given
        },
    )
    begin_recovered_conversion(draft, event)
    if event.conference:  # otherwise, a read shows who is to be moved
        draft.emit(ClearEndOnExit, conference_sid=event.conference, call_sids=(event.customer, event.agent))


def move_adopted_agent(draft: Draft, _event: Event) -> None:
    """Move the agent out of the other program's conference into ours."""
    draft.change(adoption=Adoption.MOVING_AGENT)
    redirect_leg(draft, draft.session.agent)


def move_adopted_customer(draft: Draft, _event: Event) -> None:
    """Move the customer after the agent."""
    draft.change(adoption=Adoption.MOVING_CUSTOMER)
    redirect_leg(draft, draft.session.customer)


def give_up_adoption(draft: Draft, _event: Event) -> None:
    """End the session; who is not in our conference stays elsewhere.

    There, they get back what the adoption has cleared.
    """
    for party in draft.session.parties.values():
        if not (party.is_gone or party.in_conference):
            if party.name in draft.session.adopted_ending:
                draft.emit(
                    UpdateParticipant,
                    party=party.name,
                    call_sid=party.call_sid,
                    conference_sid=draft.session.adopted_from,
                    update=ParticipantUpdate.SET_END_ON_EXIT.value,
                )
            draft.change_party(party, status=PartyStatus.LEFT, left_reason=REDIRECTED_AWAY)
    end_session(draft, EndReason.CONVERT_FAILED)
