"""Bridge progress: ringing, answered, and ended on one side."""

from conferral.statemachine import events
from conferral.statemachine.actions.dials import find_dialed_call, note_gate_accepted, set_dial_timer
from conferral.statemachine.actions.parties import note_call_ended
from conferral.statemachine.actions.reads import read_calls
from conferral.statemachine.actions.reports import report_call
from conferral.statemachine.draft import Draft, not_none
from conferral.statemachine.guards.calls import party_of_call
from conferral.statemachine.guards.reads import child_in_read, next_agent_call
from conferral.statemachine.session import AGENT, Party, first_label
from conferral.statemachine.states import CallStatus, Opening, PartyStatus, Phase, SessionMode, WaitAudio
from conferral.statemachine.step import CommandStatus


def note_child_ringing(draft: Draft, event: events.CallProgressed) -> None:
    """Record the child's call SID and, if the callback says so, that it rings."""
    child = draft.session.child
    status = PartyStatus.RINGING if event.status == CallStatus.RINGING else child.status
    draft.change_party(child, call_sid=event.call_sid, status=status)


def note_answer(draft: Draft, event: events.CallProgressed) -> None:
    """Record that the child answered: both parties talk."""
    _note_talking(draft, event.call_sid)


def note_answer_read(draft: Draft, event: events.CallsRead) -> None:
    """Record that a read shows both parties talking; the answer's callback was lost."""
    seen = child_in_read(draft, event)
    if seen is not None:
        _note_talking(draft, seen.call_sid)


def note_agent_accepted(draft: Draft, event: events.GateDecided) -> None:
    """Record that the agent of an outbound session accepted the call; the gate's document rings the customer."""
    note_gate_accepted(draft, event)
    parent = draft.session.parent
    draft.change_party(draft.session.parties[parent.name], status=PartyStatus.CONNECTED, dial_check_at_ms=0)
    draft.cancel_timers(events.DialOverdue)
    draft.set_timer(events.RingOverdue, draft.policy.ring_timeout_ms + draft.policy.ring_slack_ms)


def _note_talking(draft: Draft, child_call_sid: str) -> None:
    """Record that both parties talk: the child answered, and its call SID is now known."""
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
    """Search the call list for the agent's call: the dial's outcome is unknown."""
    find_dialed_call(draft, draft.session.agent)
    set_dial_timer(draft)


def find_agent_later(draft: Draft, _event: events.EffectOutcome) -> None:
    """Search again later: the call list does not show the agent's call, although the agent talks."""
    due_ms = draft.now_ms + draft.policy.reread_interval_ms
    draft.change_party(draft.session.agent, dial_check="unknown", dial_check_at_ms=due_ms)
    set_dial_timer(draft)


def read_agent_dial(draft: Draft, event: events.DialOverdue) -> None:
    """Read Twilio: no callback about the agent's dial came for too long. If that shows nothing, the dial has failed."""
    agent = draft.session.agent
    due_ms = draft.now_ms + draft.policy.dial_read_wait_ms
    draft.change_party(agent, dial_check="read", dial_check_at_ms=due_ms)
    set_dial_timer(draft)
    read_calls(draft, event)


def note_child_ended(draft: Draft, event: events.CallProgressed) -> None:
    """Record that the child's call ended; the `<Dial>` action will say whether the parent hung up first."""
    note_call_ended(draft, draft.session.child, event)
    draft.cancel_timers(events.RingOverdue)
    draft.set_timer(events.LeaveOverdue, draft.policy.leave_check_ms)


def note_parent_ended(draft: Draft, event: events.CallProgressed) -> None:
    """Record that both calls ended; the `<Dial>` action or a read will say who hung up first."""
    note_call_ended(draft, not_none(party_of_call(draft, event)), event)


def note_dial_ended(draft: Draft, event: events.DialEnded) -> None:
    """Record that no one answered the `<Dial>`; the child's callback, still expected, tells busy from declined."""
    draft.change(dial_call_status=event.dial_call_status)
    draft.cancel_timers(events.RingOverdue)
    draft.set_timer(events.LeaveOverdue, draft.policy.leave_check_ms)


def treat_as_bridge(draft: Draft, event: events.CallProgressed) -> None:
    """Treat the session as a bridge: the webhook, without Redis, used a plain `<Dial>` instead of a conference."""
    draft.change(
        mode=SessionMode.BRIDGE,
        opening=Opening.OVER,
        phase=Phase.RINGING,
        is_group=False,
        agent_number=event.agent_number,
    )
    for party in tuple(draft.session.parties.values()):
        draft.change_party(party, wait_audio=WaitAudio.NONE)
    draft.cancel_timers(events.OpeningOverdue)
    draft.set_timer(events.RingOverdue, draft.policy.ring_timeout_ms + draft.policy.ring_slack_ms)
    _note_child_progress(draft, event)


def _note_child_progress(draft: Draft, event: events.CallProgressed) -> None:
    """Record the child's status: answered, over, or ringing."""
    if event.status == CallStatus.IN_PROGRESS:
        note_answer(draft, event)
    elif event.is_final:
        note_child_ended(draft, event)
    else:
        note_child_ringing(draft, event)


# ---- several agents in turn --------------------------------------------------------------------------------------


def try_next_agent(draft: Draft, event: events.DialEnded) -> None:
    """Switch to the next agent: the action's document rings them because this one did not answer."""
    _switch_agent(draft, event.agent_number + 1)


def redial_agent(draft: Draft, event: events.DialEnded) -> None:
    """Ring the same agent again: Twilio refused the caller ID. The action's document treats them as the next agent."""
    agents, following = draft.session.agents, event.agent_number + 1
    draft.change(agents=(*agents[:following], *agents[event.agent_number :]))
    _switch_agent(draft, following)


def follow_later_agent(draft: Draft, event: events.CallProgressed) -> None:
    """Switch to a later agent who is already ringing; the callback of the earlier one's failure is still on its way."""
    _switch_agent(draft, event.agent_number)
    _note_child_progress(draft, event)


def follow_agent_in_read(draft: Draft, event: events.CallsRead) -> None:
    """Switch to a later agent who is already ringing, as a read shows."""
    seen = not_none(next_agent_call(draft, event))
    _switch_agent(draft, draft.session.agent_number + 1)
    if seen.status == CallStatus.IN_PROGRESS:
        _note_talking(draft, seen.call_sid)
    else:
        draft.change_party(draft.session.child, call_sid=seen.call_sid)


def _switch_agent(draft: Draft, agent_number: int) -> None:
    """Make another of the session's `agents`, by index, the agent. The call of the one before counts as former."""
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
    draft.set_timer(events.RingOverdue, draft.policy.ring_timeout_ms + draft.policy.ring_slack_ms)
