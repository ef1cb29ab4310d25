"""What is learnt of the bridge: ringing, answered, and over on one side."""

from conferral.statemachine.actions.commands import report_call
from conferral.statemachine.actions.dialling import find_dialled, note_let_in, watch_dials
from conferral.statemachine.actions.looking import look_at_calls
from conferral.statemachine.actions.parties import note_over
from conferral.statemachine.events import (
    CallProgressed,
    CallsRead,
    DialEnded,
    DialOverdue,
    EffectOutcome,
    GateDecided,
    LeaveOverdue,
    OpeningOverdue,
    RingOverdue,
)
from conferral.statemachine.guards.calls import party_of_call
from conferral.statemachine.guards.reads import next_child, seen_child
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.session import AGENT, Party, first_label
from conferral.statemachine.states import CallStatus, Opening, PartyStatus, Phase, SessionMode, Tune
from conferral.statemachine.step import CommandStatus


def note_ringing(scratch: Scratch, event: CallProgressed) -> None:
    """The child's call exists; its SID is known from here on."""
    child = scratch.session.child
    status = PartyStatus.RINGING if event.status == CallStatus.RINGING else child.status
    scratch.change_party(child, call_sid=event.call_sid, status=status)


def note_answer(scratch: Scratch, event: CallProgressed) -> None:
    """The child picked up: the two talk."""
    _connect(scratch, event.call_sid)


def note_answer_seen(scratch: Scratch, event: CallsRead) -> None:
    """A read shows that the two talk; the callback that should have said so was lost."""
    seen = seen_child(scratch, event)
    if seen is not None:
        _connect(scratch, seen[0])


def let_agent_in(scratch: Scratch, event: GateDecided) -> None:
    """The agent of an outbound session took the call: the document that our gate gives rings the customer."""
    note_let_in(scratch, event)
    parent = scratch.session.parent
    scratch.change_party(scratch.session.parties[parent.name], status=PartyStatus.CONNECTED, dial_due_ms=0)
    scratch.cancel_timer(DialOverdue.timer)
    scratch.set_timer(RingOverdue.timer, scratch.policy.ring_timeout_ms + scratch.policy.ring_slack_ms)


def _connect(scratch: Scratch, child_call_sid: str) -> None:
    """The two talk."""
    scratch.change_party(scratch.session.child, call_sid=child_call_sid, status=PartyStatus.CONNECTED)
    parent = scratch.session.parent
    # After a rollback of Redis, the call of an agent whom we dialled may be unknown: it is still searched for.
    due_ms = 0 if parent.call_sid else parent.dial_due_ms
    scratch.change_party(parent, status=PartyStatus.CONNECTED, dial_due_ms=due_ms)
    scratch.change(phase=Phase.CONNECTED)
    scratch.cancel_timer(RingOverdue.timer)
    watch_dials(scratch)
    report_call(scratch, CommandStatus.DONE)


def find_agent(scratch: Scratch, _event: DialOverdue) -> None:
    """Nobody knows whether the agent of an outbound session was dialled: the list of calls is asked."""
    find_dialled(scratch, scratch.session.parties[AGENT])
    watch_dials(scratch)


def find_agent_later(scratch: Scratch, _event: EffectOutcome) -> None:
    """The search has not shown the call of an agent who talks: another one follows."""
    due_ms = scratch.now_ms + scratch.policy.look_again_ms
    scratch.change_party(scratch.session.parties[AGENT], doubt="unknown", dial_due_ms=due_ms)
    watch_dials(scratch)


def look_at_dialled(scratch: Scratch, event: DialOverdue) -> None:
    """Of the agent of an outbound session nothing was heard for too long: Twilio is asked, then he is given up."""
    agent = scratch.session.parties[AGENT]
    due_ms = scratch.now_ms + scratch.policy.dial_look_ms
    scratch.change_party(agent, doubt="looked", dial_due_ms=due_ms)
    watch_dials(scratch)
    look_at_calls(scratch, event)


def note_child_over(scratch: Scratch, event: CallProgressed) -> None:
    """The child's call is over; whether the parent hung up first is told by the `<Dial>`'s action."""
    note_over(scratch, scratch.session.child, event)
    scratch.cancel_timer(RingOverdue.timer)
    scratch.set_timer(LeaveOverdue.timer, scratch.policy.leave_check_ms)


def note_parent_over(scratch: Scratch, event: CallProgressed) -> None:
    """Both calls are over; who hung up first is told by the `<Dial>`'s action, or by a look."""
    party = party_of_call(scratch, event)
    assert party is not None  # the guard has found it
    note_over(scratch, party, event)


def note_dial_ended(scratch: Scratch, event: DialEnded) -> None:
    """Nobody talked; the child's own callback may still tell a refusal from a busy line."""
    scratch.change(dial_call_status=event.dial_call_status)
    scratch.cancel_timer(RingOverdue.timer)
    scratch.set_timer(LeaveOverdue.timer, scratch.policy.leave_check_ms)


def take_as_bridge(scratch: Scratch, event: CallProgressed) -> None:
    """The two are, or will be, connected by an ordinary `<Dial>`, and not in a conference."""
    scratch.change(
        mode=SessionMode.BRIDGE,
        opening=Opening.OVER,
        phase=Phase.RINGING,
        is_group=False,
        agent_number=event.agent_number,
        repaired=False,
    )
    for party in tuple(scratch.session.parties.values()):
        scratch.change_party(party, tune=Tune.NONE)
    scratch.cancel_timer(OpeningOverdue.timer)
    scratch.set_timer(RingOverdue.timer, scratch.policy.ring_timeout_ms + scratch.policy.ring_slack_ms)
    _note_child(scratch, event)


def _note_child(scratch: Scratch, event: CallProgressed) -> None:
    if event.status == CallStatus.IN_PROGRESS:
        note_answer(scratch, event)
    elif event.is_final:
        note_child_over(scratch, event)
    else:
        note_ringing(scratch, event)


# ---- several agents, one after the other -------------------------------------------------------------------------


def try_next_agent(scratch: Scratch, event: DialEnded) -> None:
    """One agent did not answer: the action's document rings the next one."""
    _follow_to(scratch, event.agent_number + 1)


def ring_agent_again(scratch: Scratch, event: DialEnded) -> None:
    """Twilio refused the caller ID: the action's document rings the same agent as if they were the next one."""
    agents, following = scratch.session.agents, event.agent_number + 1
    scratch.change(agents=(*agents[:following], *agents[event.agent_number :]))
    _follow_to(scratch, following)


def follow_to_agent(scratch: Scratch, event: CallProgressed) -> None:
    """A later agent is being rung already: what tells of the earlier one's failure is still on its way."""
    _follow_to(scratch, event.agent_number)
    _note_child(scratch, event)


def follow_to_seen(scratch: Scratch, event: CallsRead) -> None:
    """The same, told by a look."""
    seen = next_child(scratch, event)
    assert seen is not None  # the guard has found it
    _follow_to(scratch, scratch.session.agent_number + 1)
    if seen.status == CallStatus.IN_PROGRESS:
        _connect(scratch, seen.call_sid)
    else:
        scratch.change_party(scratch.session.child, call_sid=seen.call_sid)


def _follow_to(scratch: Scratch, number: int) -> None:
    agent = scratch.session.parties[AGENT]
    if agent.call_sid:
        scratch.change(former_calls=(*scratch.session.former_calls, agent.call_sid))
    address = scratch.session.agents[number]
    scratch.change(
        agent_number=number,
        parties={**scratch.session.parties, AGENT: Party(AGENT, first_label(AGENT), address=address)},
        first_left="",
        dial_call_status="",
    )
    scratch.cancel_timer(LeaveOverdue.timer)
    scratch.set_timer(RingOverdue.timer, scratch.policy.ring_timeout_ms + scratch.policy.ring_slack_ms)
