"""Asking Twilio when something is overdue."""

from statemachine.effects import ReadCalls
from statemachine.events import ConvertOverdue, Event, LeaveOverdue, RepairOverdue, RingOverdue
from statemachine.scratch import Scratch
from statemachine.session import AGENT, CUSTOMER
from statemachine.states import Phase, State


def look_at_calls(scratch: Scratch, _event: Event) -> None:
    """Something is overdue: Twilio is asked."""
    with_conference = scratch.state is State.CONVERTING
    scratch.order(
        ReadCalls,
        parent_call_sid=scratch.session.parties[CUSTOMER].call_sid,
        with_conference=with_conference,
        read_version=scratch.session.version + 1,
    )


def look_later(scratch: Scratch, _event: Event) -> None:
    """The look did not settle it; another one follows."""
    agent = scratch.session.parties[AGENT]
    timer = LeaveOverdue.timer if agent.is_gone or scratch.session.dial_call_status else RingOverdue.timer
    if scratch.session.phase is Phase.RINGING or timer == LeaveOverdue.timer:
        scratch.set_timer(timer, scratch.policy.look_again_ms)


def look_for_missing(scratch: Scratch, event: ConvertOverdue) -> None:
    """One waits for the other for too long: Twilio is asked where the other is; the repair has its time from now on."""
    look_at_calls(scratch, event)
    if RepairOverdue.timer not in scratch.session.timers:
        scratch.set_timer(RepairOverdue.timer, scratch.policy.repair_timeout_ms)
