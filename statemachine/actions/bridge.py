"""Bridge progress: ringing, answered, and ended on one side."""

from conferral.statemachine import events
from conferral.statemachine.actions.dials import find_dialed_call, note_gate_accepted, set_dial_timer
from conferral.statemachine.actions.parties import note_call_ended, note_gone
from conferral.statemachine.actions.reads import await_dial_read, read_calls, read_later
from conferral.statemachine.actions.reports import report_call
from conferral.statemachine.draft import Draft, not_none
from conferral.statemachine.events import Event
from conferral.statemachine.guards.calls import TALKED, dial_reached_no_one, party_of_call
from conferral.statemachine.guards.reads import child_in_read, next_agent_call
from conferral.statemachine.reasons import EndReason
from conferral.statemachine.session import AGENT, Party, first_label
from conferral.statemachine.states import CallStatus, Opening, PartyStatus, Phase, SessionMode, State, WaitAudio
from conferral.statemachine.step import CommandStatus


def note_child_ringing(draft: Draft, event: events.CallProgressed) -> None:
    """Record the child's call SID, and whether it rings."""
    child = draft.session.child
    status = PartyStatus.RINGING if event.status == CallStatus.RINGING else child.status
    draft.change_party(child, call_sid=event.call_sid, status=status)


def set_ring_timer(draft: Draft) -> None:
    """Set the timer to when the ringing agent should have answered or failed."""
    draft.set_timer(events.RingOverdue, draft.policy.ring_timeout_ms + draft.policy.ring_slack_ms)


def note_answer(draft: Draft, event: events.CallProgressed) -> None:
    """Record that the child answered: both parties talk."""
    _note_talking(draft, event.call_sid)


def note_answer_read(draft: Draft, event: events.CallsRead) -> None:
    """Record that a read shows both parties talking."""
    seen = child_in_read(draft, event)
    if seen is not None:
        _note_talking(draft, seen.call_sid)


def note_agent_accepted(draft: Draft, event: events.GateDecided) -> None:
    """Record that an outbound session's agent accepted; the customer rings."""
    note_gate_accepted(draft, event)
    parent = draft.session.parent
    draft.change_party(draft.session.parties[parent.name], status=PartyStatus.CONNECTED, dial_check_at_ms=0)
    draft.cancel_timers(events.DialOverdue)
    set_ring_timer(draft)


def _note_talking(draft: Draft, child_call_sid: str) -> None:
    draft.change_party(draft.session.child, call_sid=child_call_sid, status=PartyStatus.CONNECTED)
    parent = draft.session.parent
    # After a Redis rollback, the call of a dialed agent may be unknown; it is still searched for.
    due_ms = 0 if parent.call_sid else parent.dial_check_at_ms
    draft.change_party(parent, status=PartyStatus.CONNECTED, dial_check_at_ms=due_ms)
    draft.change(phase=Phase.CONNECTED)
    draft.cancel_timers(events.RingOverdue)
    set_dial_timer(draft)
    report_call(draft, CommandStatus.DONE)


def find_agent_call(draft: Draft, _event: events.DialOverdue) -> None:
    """Search the call list for the agent's call: the outcome is unknown."""
    find_dialed_call(draft, draft.session.agent)
    set_dial_timer(draft)


def find_agent_later(draft: Draft, _event: events.EffectOutcome) -> None:
    """Search again later: the agent talks, but the list lacks the call."""
    due_ms = draft.now_ms + draft.policy.reread_interval_ms
    draft.change_party(draft.session.agent, dial_check="unknown", dial_check_at_ms=due_ms)
    set_dial_timer(draft)


def read_agent_dial(draft: Draft, event: events.DialOverdue) -> None:
    """Read Twilio: callbacks about the agent's dial are missing."""
    if await_dial_read(draft, draft.session.agent):
        read_calls(draft, event)
    set_dial_timer(draft)


def note_child_ended(draft: Draft, event: events.CallProgressed) -> None:
    """Record the child's end; the `<Dial>` action will say who was first."""
    note_call_ended(draft, draft.session.child, event)
    if not draft.session.dial_call_status:
        _await_parent_of_bridge(draft)


def note_child_gone_by_read(draft: Draft, event: events.CallsRead) -> None:
    """Record the child's end; a later read shows what became of the parent."""
    seen, is_bridged = child_in_read(draft, event), draft.state is State.BRIDGED
    if seen is not None and not draft.session.child.is_gone:
        draft.change_party(draft.session.child, call_sid=seen.call_sid)
        note_gone(draft, draft.session.child.name, seen.status)
        if is_bridged:
            _await_parent_of_bridge(draft)
    elif is_bridged:
        read_later(draft, event)
    if not (is_bridged or events.ConvertOverdue.timer in draft.session.timers):
        await_parent(draft, event)


def _await_parent_of_bridge(draft: Draft) -> None:
    """Wait for the parent's end by the action's answer, or after a message."""
    session = draft.session
    has_talked = session.phase is Phase.CONNECTED and session.dial_call_status in ("", *TALKED)
    draft.cancel_timers(events.RingOverdue)
    wait_ms = draft.policy.leave_check_ms if has_talked else draft.policy.reread_interval_ms
    draft.set_timer(events.LeaveOverdue, wait_ms)


def await_parent(draft: Draft, _event: Event) -> None:
    """Wait for the parent to join or hang up; then a read shows where it is."""
    draft.set_timer(events.ConvertOverdue, draft.policy.leave_check_ms)


def note_parent_ended(draft: Draft, event: events.CallProgressed) -> None:
    """Record the end; the `<Dial>` action or a read shows the rest."""
    note_call_ended(draft, not_none(party_of_call(draft, event)), event)


def note_dial_ended(draft: Draft, event: events.DialEnded) -> None:
    """Record that the `<Dial>` has ended; the action's answer ends its call."""
    draft.change(dial_call_status=event.dial_call_status)
    if event.reached_time_limit:  # the child's callback may be lost
        draft.change_party(draft.session.child, left_reason=EndReason.TIME_LIMIT.value)
    _await_parent_of_bridge(draft)
    if dial_reached_no_one(draft, event):
        # Only the child's callback distinguishes busy from declined.
        draft.set_timer(events.LeaveOverdue, draft.policy.leave_check_ms)


def treat_as_bridge(draft: Draft, event: events.CallProgressed) -> None:
    """Treat the session as a bridge, as a webhook without Redis did."""
    draft.change(mode=SessionMode.BRIDGE, opening=Opening.OVER, phase=Phase.RINGING)
    draft.change(is_group=False, agent_number=event.agent_number)
    for party in tuple(draft.session.parties.values()):
        draft.change_party(party, wait_audio=WaitAudio.NONE)
    draft.cancel_timers(events.OpeningOverdue)
    set_ring_timer(draft)
    _note_child_progress(draft, event)


def _note_child_progress(draft: Draft, event: events.CallProgressed) -> None:
    if event.status == CallStatus.IN_PROGRESS:
        note_answer(draft, event)
    elif event.is_final:
        note_child_ended(draft, event)
    else:
        note_child_ringing(draft, event)


def try_next_agent(draft: Draft, event: events.DialEnded) -> None:
    """Switch to the next agent, whom the action's document rings."""
    _switch_agent(draft, event.agent_number + 1)


def redial_agent(draft: Draft, event: events.DialEnded) -> None:
    """Ring the same agent again: Twilio refused the caller ID."""
    agents, following = draft.session.agents, event.agent_number + 1
    # The action's document treats them as the next agent.
    draft.change(agents=(*agents[:following], *agents[event.agent_number :]))
    _switch_agent(draft, following)


def follow_later_agent(draft: Draft, event: events.CallProgressed) -> None:
    """Switch to a later agent, who is already ringing."""
    _switch_agent(draft, event.agent_number)
    _note_child_progress(draft, event)


def follow_agent_in_read(draft: Draft, event: events.CallsRead) -> None:
    """Switch to a later agent, who is ringing, as a read shows."""
    seen = not_none(next_agent_call(draft, event))
    _switch_agent(draft, draft.session.agent_number + 1)
    if seen.status == CallStatus.IN_PROGRESS:
        _note_talking(draft, seen.call_sid)
    else:
        draft.change_party(draft.session.child, call_sid=seen.call_sid)


def _switch_agent(draft: Draft, agent_number: int) -> None:
    agent = draft.session.agent
    if agent.call_sid:
        draft.change(former_calls=(*draft.session.former_calls, agent.call_sid))
    address = draft.session.agents[agent_number]
    draft.change(
        agent_number=agent_number,
        parties={**draft.session.parties, AGENT: Party(AGENT, first_label(AGENT), address=address)},
        first_to_leave="",
        dial_call_status="",
    )
    draft.cancel_timers(events.LeaveOverdue)
    set_ring_timer(draft)
