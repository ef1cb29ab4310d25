"""How a session begins: with the inbound call, with a callback that tells of one that was never stored, by command."""

from statemachine.actions.bridge import note_answer, note_ringing
from statemachine.actions.dialling import dial
from statemachine.events import AgeOverdue, Call, CallProgressed, CallReceived, RingOverdue
from statemachine.scratch import Scratch
from statemachine.session import AGENT, CUSTOMER, OUTBOUND, Party, first_label
from statemachine.states import CallStatus, PartyStatus
from statemachine.step import CommandStatus
from statemachine.transfer import DialOptions


def open_session(scratch: Scratch, event: CallReceived) -> None:
    """The inbound call rings the agent."""
    _open(scratch, customer=event.customer_address, agent=event.agent_address)
    scratch.change(call_token=event.call_token)


def open_outbound(scratch: Scratch, event: Call) -> None:
    """The agent is called first, to our gate, whose document then rings the customer."""
    scratch.report(event.command_id, CommandStatus.ACCEPTED)
    options = DialOptions(event.brief, event.confirm, event.timeout_s, event.digits)
    customer = Party(CUSTOMER, first_label(CUSTOMER), address=event.customer)
    scratch.change(
        direction=OUTBOUND,
        created_at_ms=scratch.now_ms,
        parties={CUSTOMER: customer},
        calling_for=event.command_id,
        options=options,
    )
    dial(scratch, AGENT, event.agent, label=first_label(AGENT), options=options, gated=True, is_urgent=False)
    scratch.set_timer(AgeOverdue.timer, scratch.policy.age_max_ms)


def adopt_session(scratch: Scratch, event: CallProgressed) -> None:
    """A session that could not be stored when the call came in is rebuilt from the agent's callback."""
    _open(scratch, customer=event.customer_address, agent=event.address)
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
    scratch.set_timer(RingOverdue.timer, scratch.policy.ring_timeout_ms + scratch.policy.ring_slack_ms)
    scratch.set_timer(AgeOverdue.timer, scratch.policy.age_max_ms)
