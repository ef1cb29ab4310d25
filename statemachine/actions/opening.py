"""How a session begins: with a call that came in, by command, or with a callback that tells of a lost one."""

from conferral.statemachine.actions.bridge import note_answer, note_ringing
from conferral.statemachine.actions.dialling import dial, options_of
from conferral.statemachine.attributes import Attributes
from conferral.statemachine.effects import HangUpCall
from conferral.statemachine.events import (
    AgeOverdue,
    Call,
    CallProgressed,
    CallReceived,
    ClientCallReceived,
    OpeningOverdue,
    RingOverdue,
)
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.session import AGENT, CUSTOMER, OUTBOUND, Party, first_label
from conferral.statemachine.states import CallStatus, Opening, PartyStatus, Phase, SessionMode, Tune
from conferral.statemachine.step import CommandStatus, Outcome


def open_session(scratch: Scratch, event: CallReceived) -> None:
    """The inbound call rings the agent."""
    _open(scratch, customer=event.customer_address, agent=event.agent_address)
    scratch.set_timer(RingOverdue.timer, scratch.policy.ring_timeout_ms + scratch.policy.ring_slack_ms)
    _take_directory(scratch, event)


def open_conference(scratch: Scratch, event: CallReceived) -> None:
    """The inbound caller waits in a conference; the agent is dialled when he is in it."""
    _open(scratch, customer=event.customer_address, agent=event.agent_address)
    _take_directory(scratch, event)
    customer = scratch.session.parties[CUSTOMER]
    scratch.change_party(customer, status=PartyStatus.CONNECTED, tune=Tune.MUSIC)
    _wait(scratch, Opening.ARRIVING)


def _take_directory(scratch: Scratch, event: CallReceived) -> None:
    agents = (event.agent_address, *event.other_agents)
    scratch.change(
        call_token=event.call_token, called_number=event.called_number, agents=agents, attributes=event.attributes
    )


def open_client_call(scratch: Scratch, event: ClientCallReceived) -> None:
    """A browser or app user waits in a conference; whom he calls is dialled when he is in it."""
    agent = Party(
        AGENT,
        first_label(AGENT),
        call_sid=event.call_sid,
        address=event.agent_address,
        status=PartyStatus.CONNECTED,
        tune=Tune.RINGBACK,
    )
    customer = Party(CUSTOMER, first_label(CUSTOMER), address=event.customer_address)
    scratch.change(
        direction=OUTBOUND,
        created_at_ms=scratch.now_ms,
        parties={CUSTOMER: customer, AGENT: agent},
        attributes=event.attributes,
        is_group=True,
        conference_name=event.conference_name,
    )
    scratch.set_timer(AgeOverdue.timer, scratch.policy.age_max_ms)
    _wait(scratch, Opening.ARRIVING)


def _wait(scratch: Scratch, opening: Opening) -> None:
    scratch.change(mode=SessionMode.CONFERENCE, opening=opening, phase=Phase.RINGING)
    if opening is Opening.ARRIVING:
        scratch.set_timer(OpeningOverdue.timer, scratch.policy.arrive_timeout_ms)


def let_second_call_go(scratch: Scratch, event: ClientCallReceived) -> None:
    """Another call asks for a session that exists: it is hung up."""
    scratch.order(HangUpCall, call_sid=event.call_sid)
    scratch.pass_over(Outcome.UNEXPECTED, "another call asks for a session that exists")


def open_outbound(scratch: Scratch, event: Call) -> None:
    """The agent is called first, to our gate, whose document then rings the customer."""
    scratch.report(event.command_id, CommandStatus.ACCEPTED)
    options = options_of(event)
    customer = Party(CUSTOMER, first_label(CUSTOMER), address=event.customer)
    scratch.change(
        direction=OUTBOUND,
        created_at_ms=scratch.now_ms,
        parties={CUSTOMER: customer},
        calling_for=event.command_id,
        options=options,
        attributes=Attributes(record=scratch.policy.record),
        conference_name=event.conference_name,
    )
    dial(scratch, AGENT, event.agent, label=first_label(AGENT), options=options, gated=True, is_urgent=False)
    scratch.set_timer(AgeOverdue.timer, scratch.policy.age_max_ms)


def open_outbound_conference(scratch: Scratch, event: Call) -> None:
    """The agent is called first, to our gate, which lets him into a conference; then the customer is dialled."""
    open_outbound(scratch, event)
    scratch.change_party(scratch.session.parties[AGENT], tune=Tune.RINGBACK)
    _wait(scratch, Opening.CALLING)


def adopt_session(scratch: Scratch, event: CallProgressed) -> None:
    """A session that could not be stored when the call came in is rebuilt from the agent's callback."""
    _open(scratch, customer=event.customer_address, agent=event.address)
    scratch.set_timer(RingOverdue.timer, scratch.policy.ring_timeout_ms + scratch.policy.ring_slack_ms)
    if event.status == CallStatus.IN_PROGRESS:
        note_answer(scratch, event)
    else:
        note_ringing(scratch, event)


def _open(scratch: Scratch, *, customer: str, agent: str) -> None:
    session_id = scratch.session.id
    parties = {
        CUSTOMER: Party(
            CUSTOMER, first_label(CUSTOMER), call_sid=session_id, address=customer, status=PartyStatus.RINGING
        ),
        AGENT: Party(AGENT, first_label(AGENT), address=agent, status=PartyStatus.DIALING),
    }
    scratch.change(created_at_ms=scratch.now_ms, parties=parties)
    scratch.set_timer(AgeOverdue.timer, scratch.policy.age_max_ms)
