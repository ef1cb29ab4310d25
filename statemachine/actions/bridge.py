"""Bridge progress: ringing, answered, and ended on one side."""

from conferral.statemachine.actions.dials import find_dialed_call, note_gate_accepted, set_dial_timer
from conferral.statemachine.actions.parties import note_call_ended
from conferral.statemachine.actions.reads import read_calls
from conferral.statemachine.actions.reports import report_call
from conferral.statemachine.draft import Draft
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
from conferral.statemachine.guards.reads import child_in_read, next_agent_call
from conferral.statemachine.session import AGENT, Party, first_label
from conferral.statemachine.states import CallStatus, Opening, PartyStatus, Phase, SessionMode, WaitAudio
from conferral.statemachine.step import CommandStatus


def note_child_ringing(draft: Draft, event: CallProgressed) -> None:
    """Record the child's call, whose SID is now known."""
    child = draft.session.child
    status = PartyStatus.RINGING if event.status == CallStatus.RINGING else child.status
    draft.change_party(child, call_sid=event.call_sid, status=status)


def note_answer(draft: Draft, event: CallProgressed) -> None:
    """Record that the child answered: both parties talk."""
    _connect(draft, event.call_sid)


def note_answer_read(draft: Draft, event: CallsRead) -> None:
    """Record that a read shows both parties talking; the answer's callback was lost."""
    seen = child_in_read(draft, event)
    if seen is not None:
        _connect(draft, seen[0])


def note_agent_accepted(draft: Draft, event: GateDecided) -> None:
    """Record that the agent of an outbound session accepted the call; the gate's document rings the customer."""
    note_gate_accepted(draft, event)
    parent = draft.session.parent
    draft.change_party(draft.session.parties[parent.name], status=PartyStatus.CONNECTED, dial_check_at_ms=0)
    draft.cancel_timers(DialOverdue)
    draft.set_timer(RingOverdue, draft.policy.ring_timeout_ms + draft.policy.ring_slack_ms)


def _connect(draft: Draft, child_call_sid: str) -> None:
    """Record that both parties talk."""
    draft.change_party(draft.session.child, call_sid=child_call_sid, status=PartyStatus.CONNECTED)
    parent = draft.session.parent
    # After a Redis rollback, the call of a dialed agent may be unknown; it is still searched for.
    due_ms = 0 if parent.call_sid else parent.dial_check_at_ms
    draft.change_party(parent, status=PartyStatus.CONNECTED, dial_check_at_ms=due_ms)
    draft.change(phase=Phase.CONNECTED)
    draft.cancel_timers(RingOverdue)
    set_dial_timer(draft)
    report_call(draft, CommandStatus.DONE)


def find_agent_call(draft: Draft, _event: DialOverdue) -> None:
    """Search the call list for the agent's call: the dial's outcome is unknown."""
    find_dialed_call(draft, draft.session.parties[AGENT])
    set_dial_timer(draft)


def find_agent_later(draft: Draft, _event: EffectOutcome) -> None:
    """Search again later: the call list does not show the agent's call, although the agent talks."""
    due_ms = draft.now_ms + draft.policy.reread_interval_ms
    draft.change_party(draft.session.parties[AGENT], dial_check="unknown", dial_check_at_ms=due_ms)
    set_dial_timer(draft)


def read_agent_dial(draft: Draft, event: DialOverdue) -> None:
    """Read Twilio: no callback about the agent's dial came for too long. If the read has no result, give it up."""
    agent = draft.session.parties[AGENT]
    due_ms = draft.now_ms + draft.policy.dial_read_wait_ms
    draft.change_party(agent, dial_check="read", dial_check_at_ms=due_ms)
    set_dial_timer(draft)
    read_calls(draft, event)


def note_child_ended(draft: Draft, event: CallProgressed) -> None:
    """Record that the child's call ended; the `<Dial>` action will say whether the parent hung up first."""
    note_call_ended(draft, draft.session.child, event)
    draft.cancel_timers(RingOverdue)
    draft.set_timer(LeaveOverdue, draft.policy.leave_check_ms)


def note_parent_ended(draft: Draft, event: CallProgressed) -> None:
    """Record that both calls ended; the `<Dial>` action or a read will say who hung up first."""
    party = party_of_call(draft, event)
    assert party is not None  # the guard has found it
    note_call_ended(draft, party, event)


def note_dial_ended(draft: Draft, event: DialEnded) -> None:
    """Record that no one answered the `<Dial>`; the child's callback, still expected, tells busy from declined."""
    draft.change(dial_call_status=event.dial_call_status)
    draft.cancel_timers(RingOverdue)
    draft.set_timer(LeaveOverdue, draft.policy.leave_check_ms)


def treat_as_bridge(draft: Draft, event: CallProgressed) -> None:
    """Treat the session as a bridge: a plain `<Dial>` connects the two, not a conference."""
    draft.change(
        mode=SessionMode.BRIDGE,
        opening=Opening.OVER,
        phase=Phase.RINGING,
        is_group=False,
        agent_number=event.agent_number,
    )
    for party in tuple(draft.session.parties.values()):
        draft.change_party(party, wait_audio=WaitAudio.NONE)
    draft.cancel_timers(OpeningOverdue)
    draft.set_timer(RingOverdue, draft.policy.ring_timeout_ms + draft.policy.ring_slack_ms)
    _note_child(draft, event)


def _note_child(draft: Draft, event: CallProgressed) -> None:
    if event.status == CallStatus.IN_PROGRESS:
        note_answer(draft, event)
    elif event.is_final:
        note_child_ended(draft, event)
    else:
        note_child_ringing(draft, event)


# ---- several agents in turn --------------------------------------------------------------------------------------


def try_next_agent(draft: Draft, event: DialEnded) -> None:
    """Switch to the next agent: the action's document rings them because this one did not answer."""
    _switch_agent(draft, event.agent_number + 1)


def redial_agent(draft: Draft, event: DialEnded) -> None:
    """Ring the same agent again: Twilio refused the caller ID. The action's document treats them as the next agent."""
    agents, following = draft.session.agents, event.agent_number + 1
    draft.change(agents=(*agents[:following], *agents[event.agent_number :]))
    _switch_agent(draft, following)


def follow_later_agent(draft: Draft, event: CallProgressed) -> None:
    """Switch to a later agent who is already ringing; the callback of the earlier one's failure is still on its way."""
    _switch_agent(draft, event.agent_number)
    _note_child(draft, event)


def follow_agent_in_read(draft: Draft, event: CallsRead) -> None:
    """Switch to a later agent who is already ringing, as a read shows."""
    seen = next_agent_call(draft, event)
    assert seen is not None  # the guard has found it
    _switch_agent(draft, draft.session.agent_number + 1)
    if seen.status == CallStatus.IN_PROGRESS:
        _connect(draft, seen.call_sid)
    else:
        draft.change_party(draft.session.child, call_sid=seen.call_sid)


def _switch_agent(draft: Draft, number: int) -> None:
    agent = draft.session.parties[AGENT]
    if agent.call_sid:
        draft.change(former_calls=(*draft.session.former_calls, agent.call_sid))
    address = draft.session.agents[number]
    draft.change(
        agent_number=number,
        parties={**draft.session.parties, AGENT: Party(AGENT, first_label(AGENT), address=address)},
        first_to_leave="",
        dial_call_status="",
    )
    draft.cancel_timers(LeaveOverdue)
    draft.set_timer(RingOverdue, draft.policy.ring_timeout_ms + draft.policy.ring_slack_ms)
