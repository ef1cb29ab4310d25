"""What is learnt of the bridge: ringing, answered, and over on one side."""

from statemachine.actions.parties import note_over
from statemachine.events import CallProgressed, CallsRead, DialEnded, LeaveOverdue, RingOverdue
from statemachine.guards import seen_agent
from statemachine.scratch import Scratch
from statemachine.session import AGENT, CUSTOMER
from statemachine.states import CallStatus, PartyStatus, Phase


def note_ringing(scratch: Scratch, event: CallProgressed) -> None:
    """The agent's call exists; its SID is known from here on."""
    agent = scratch.session.parties[AGENT]
    status = PartyStatus.RINGING if event.status == CallStatus.RINGING else agent.status
    scratch.change_party(agent, call_sid=event.call_sid, status=status)


def note_answer(scratch: Scratch, event: CallProgressed) -> None:
    """The agent picked up: the two talk."""
    _connect(scratch, event.call_sid)


def note_answer_seen(scratch: Scratch, event: CallsRead) -> None:
    """A read shows that the two talk; the callback that should have said so was lost."""
    agent = seen_agent(scratch, event)
    if agent is not None:
        _connect(scratch, agent[0])


def _connect(scratch: Scratch, agent_call_sid: str) -> None:
    """The two talk."""
    agent = scratch.session.parties[AGENT]
    scratch.change_party(agent, call_sid=agent_call_sid, status=PartyStatus.CONNECTED)
    customer = scratch.session.parties[CUSTOMER]
    scratch.change_party(customer, status=PartyStatus.CONNECTED)
    scratch.change(phase=Phase.CONNECTED)
    scratch.cancel_timer(RingOverdue.timer)


def note_agent_over(scratch: Scratch, event: CallProgressed) -> None:
    """The agent's call is over; whether the customer hung up first is told by the `<Dial>`'s action."""
    note_over(scratch, scratch.session.parties[AGENT], event)
    scratch.cancel_timer(RingOverdue.timer)
    scratch.set_timer(LeaveOverdue.timer, scratch.policy.leave_check_ms)


def note_customer_over(scratch: Scratch, event: CallProgressed) -> None:
    """Both calls are over; who hung up first is told by the `<Dial>`'s action, or by a look."""
    note_over(scratch, scratch.session.parties[CUSTOMER], event)


def note_dial_ended(scratch: Scratch, event: DialEnded) -> None:
    """Nobody talked; the agent's own callback may still tell a refusal from a busy line."""
    scratch.change(dial_call_status=event.dial_call_status)
    scratch.cancel_timer(RingOverdue.timer)
    scratch.set_timer(LeaveOverdue.timer, scratch.policy.leave_check_ms)
