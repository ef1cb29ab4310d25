"""How a session begins: with the inbound call, or with a callback that tells of one that was never stored."""

from statemachine.actions.bridge import note_answer, note_ringing
from statemachine.events import AgeOverdue, CallProgressed, CallReceived, RingOverdue
from statemachine.scratch import Scratch
from statemachine.session import AGENT, CUSTOMER, Party, first_label
from statemachine.states import CallStatus, PartyStatus


def open_session(scratch: Scratch, event: CallReceived) -> None:
    """The inbound call rings the agent."""
    _open(scratch, customer=event.customer_address, agent=event.agent_address)


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
