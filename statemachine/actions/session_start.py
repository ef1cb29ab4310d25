"""Start of a session: by a call, a command, or a late callback."""

from conferral.statemachine import events
from conferral.statemachine.actions.bridge import note_answer, note_child_ringing, set_ring_timer
from conferral.statemachine.actions.dials import dial, dial_options
from conferral.statemachine.conference_attributes import ConferenceAttributes
from conferral.statemachine.draft import Draft
from conferral.statemachine.effects import HangUpCall
from conferral.statemachine.ids import call_of_visit
from conferral.statemachine.session import AGENT, CUSTOMER, OUTBOUND, Party, first_label
from conferral.statemachine.states import CallStatus, PartyStatus, SessionMode, WaitAudio
from conferral.statemachine.step import CommandStatus, Outcome


def open_session(draft: Draft, event: events.CallReceived) -> None:
    """Start the session; the inbound call rings the agent."""
    _open_for_caller(draft, event)
    set_ring_timer(draft)


def open_conference(draft: Draft, event: events.CallReceived) -> None:
    """Put the inbound caller into a conference to wait for the agent."""
    _open_for_caller(draft, event)
    draft.change_party(draft.session.customer, status=PartyStatus.CONNECTED, wait_audio=WaitAudio.MUSIC)
    draft.change(mode=SessionMode.CONFERENCE)


def _open_for_caller(draft: Draft, event: events.CallReceived) -> None:
    _open_inbound(draft, event.call_sid, customer=event.customer_address, agent=event.agent_address)
    draft.change(
        former_calls=event.former_calls,
        has_caller_id=event.has_caller_id,
        call_token=event.call_token,
        called_number=event.called_number,
        agents=(event.agent_address, *event.other_agents),
        attributes=event.attributes,
    )


def open_client_call(draft: Draft, event: events.ClientCallReceived) -> None:
    """Put the browser or app user into a conference to wait for the other."""
    agent = Party(
        AGENT,
        first_label(AGENT),
        call_sid=event.call_sid,
        address=event.agent_address,
        status=PartyStatus.CONNECTED,
        wait_audio=WaitAudio.RINGBACK,
    )
    customer = Party(CUSTOMER, first_label(CUSTOMER), address=event.customer_address)
    draft.change(
        direction=OUTBOUND,
        mode=SessionMode.CONFERENCE,
        created_at_ms=draft.now_ms,
        parties={CUSTOMER: customer, AGENT: agent},
        attributes=event.attributes,
        is_group=True,
        signed_address=event.agent_address,
        conference_name=event.conference_name or draft.session.id,
    )
    draft.set_timer(events.AgeOverdue, draft.policy.age_max_ms)


def hang_up_second_call(draft: Draft, event: events.ClientCallReceived) -> None:
    """Hang up a second call that requests an existing session."""
    draft.emit(HangUpCall, call_sid=event.call_sid)
    draft.ignore(Outcome.UNEXPECTED, "another call requested an existing session")


def open_outbound(draft: Draft, event: events.Call) -> None:
    """Dial the agent to the gate; its document then rings the customer."""
    draft.report(event.command_id, CommandStatus.ACCEPTED)
    options = dial_options(event)
    draft.change(
        direction=OUTBOUND,
        created_at_ms=draft.now_ms,
        parties={CUSTOMER: Party(CUSTOMER, first_label(CUSTOMER), address=event.customer)},
        call_command_id=event.command_id,
        by=event.by,
        options=options,
        attributes=ConferenceAttributes(record=draft.policy.record),
        conference_name=event.conference_name or draft.session.id,
    )
    dial(draft, AGENT, event.agent, label=first_label(AGENT), options=options, gated=True)
    draft.set_timer(events.AgeOverdue, draft.policy.age_max_ms)


def open_outbound_conference(draft: Draft, event: events.Call) -> None:
    """Dial the agent to the gate, then into a conference to wait."""
    open_outbound(draft, event)
    draft.change_party(draft.session.agent, wait_audio=WaitAudio.RINGBACK)
    draft.change(mode=SessionMode.CONFERENCE)


def rebuild_session(draft: Draft, event: events.CallProgressed) -> None:
    """Rebuild, from the agent's callback, a session that was never stored."""
    session_id = draft.session.id
    customer_call = call_of_visit(session_id) or session_id
    _open_inbound(draft, customer_call, customer=event.customer_address, agent=event.address)
    set_ring_timer(draft)
    note_progress = note_answer if event.status == CallStatus.IN_PROGRESS else note_child_ringing
    note_progress(draft, event)


def _open_inbound(draft: Draft, call_sid: str, *, customer: str, agent: str) -> None:
    parties = {
        CUSTOMER: Party(
            CUSTOMER, first_label(CUSTOMER), call_sid=call_sid, address=customer, status=PartyStatus.RINGING
        ),
        AGENT: Party(AGENT, first_label(AGENT), address=agent, status=PartyStatus.DIALING),
    }
    draft.change(created_at_ms=draft.now_ms, parties=parties, conference_name=draft.session.id)
    draft.set_timer(events.AgeOverdue, draft.policy.age_max_ms)
