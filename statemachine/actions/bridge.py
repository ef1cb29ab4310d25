"""Start of a session: its bridge, its conversion, or a party that waits."""

from conferral.statemachine import events, guards
from conferral.statemachine.actions import dials, parties
from conferral.statemachine.actions.commands import begin_queued_commands
from conferral.statemachine.actions.conference import (
    add_unknown_participants,
    apply_presence,
    forget_conference,
    settle_conference,
)
from conferral.statemachine.actions.participants import unhold_all
from conferral.statemachine.actions.reports import conclude_transfer, fail_transfer, report_step
from conferral.statemachine.effects import HangUpCall, RedirectCall
from conferral.statemachine.events import Event
from conferral.statemachine.ids import call_of_visit
from conferral.statemachine.legs import note_facts, overtake_reads
from conferral.statemachine.parts import ConferenceAttributes, DialOptions
from conferral.statemachine.reasons import REDIRECTED_AWAY, EndReason, Reason, reported_reason
from conferral.statemachine.session import AGENT, CUSTOMER, OUTBOUND, Party, bridge_dial, first_label
from conferral.statemachine.states import (
    FINAL_CALL_STATUSES,
    UNREACHED_DIAL_STATUSES,
    CallStatus,
    Opening,
    PartyStatus,
    Phase,
    SessionMode,
    WaitAudio,
)
from conferral.statemachine.step import CommandStatus, DecisionKind, Draft, not_none


def open_session(draft: Draft, event: events.CallReceived) -> None:
    """Start the session; the inbound call rings the agent, or waits for them."""
    draft.change(options=event.options, direction=event.direction, was_handed_off=event.handed_off, ref=event.ref)
    agents = (event.agent_address, *event.other_agents)
    index = len(agents) - 1 if event.begins_in_queue else min(event.away, len(agents) - 1)
    _open_inbound(draft, event.call_sid, customer=event.customer_address, agent=agents[index])
    draft.change(
        former_calls=event.former_calls,
        has_caller_id=event.has_caller_id,
        call_token=event.call_token,
        called_number=event.called_number,
        number=event.called_number or draft.policy.own_number,
        agents=agents,
        agent_number=index,
        agent_order=event.agent_order,
        fallback=event.fallback,
        closed=event.closed,
        begins_in_queue=event.begins_in_queue,
        queue=event.queue,
        attributes=event.attributes,
    )
    parties.note_away(draft, 0, event.away)
    if event.away == len(agents):
        draft.change_party(draft.session.agent, status=PartyStatus.LEFT, left_reason=Reason.AWAY)
    elif event.begins_in_queue:
        draft.change_party(draft.session.agent, status=PartyStatus.LEFT, left_reason=Reason.BUSY)
    if event.mode == SessionMode.CONFERENCE:
        draft.change_party(draft.session.customer, status=PartyStatus.CONNECTED, wait_audio=WaitAudio.MUSIC)
    else:
        dials.note_child_rings(draft)


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
        parties={CUSTOMER: customer, AGENT: agent},
        attributes=event.attributes,
        number=draft.policy.own_number,
        signed_address=event.agent_address,
    )


def hang_up_second_call(draft: Draft, event: events.ClientCallReceived) -> None:
    """Hang up a second call that requests an existing session."""
    draft.emit(HangUpCall, call_sid=event.call_sid)
    draft.ignore(DecisionKind.UNEXPECTED, "another call requested an existing session")


def open_outbound(draft: Draft, event: events.Call) -> None:
    """Dial the agent to the gate, to ring the customer or to wait for them."""
    parties.accept_command(draft, event)
    options = event.options
    draft.change(
        direction=OUTBOUND,
        parties={CUSTOMER: Party(CUSTOMER, first_label(CUSTOMER), address=event.customer)},
        number=event.options.caller_id or draft.policy.own_number,
        by=event.by,
        ref=event.ref,
        options=options,
        attributes=ConferenceAttributes(record=draft.policy.record),
    )
    dials.dial(draft, AGENT, event.agent, options=options, gated=True)
    if event.mode == SessionMode.CONFERENCE:
        draft.change_party(draft.session.agent, wait_audio=WaitAudio.RINGBACK)


def rebuild_session(draft: Draft, event: events.CallProgressed) -> None:
    """Rebuild, from the agent's callback, a session that was never stored."""
    session_id = draft.session.id
    customer_call = call_of_visit(session_id) or session_id
    _open_inbound(draft, customer_call, customer=event.customer_address, agent=event.address)
    dials.note_child_rings(draft)
    dials.note_call_progress(draft, event)


def _open_inbound(draft: Draft, call_sid: str, *, customer: str, agent: str) -> None:
    caller = Party(CUSTOMER, first_label(CUSTOMER), call_sid=call_sid, address=customer, status=PartyStatus.RINGING)
    draft.change(parties={CUSTOMER: caller, AGENT: _bridged_agent(draft, agent)})


# ---- bridge: its end, and the next agent ---------------------------------------------------------------------------


def note_parent_live(draft: Draft, event: events.CallsRead) -> None:
    """Record that a read shows the parent live, if the child's end was known."""
    goes_on = event.status_of(draft.session.parent.call_sid) not in ("", *FINAL_CALL_STATUSES)
    child = draft.session.child
    if child.is_gone and not child.overtakes(event) and goes_on:
        draft.change(child_left_first=True)


def note_dial_ended(draft: Draft, event: events.DialEnded) -> None:
    """Record that the bridge's `<Dial>` has ended, or that the parent hung up."""
    if event.party_is_gone:
        parties.note_dialing_party_gone(draft, draft.session.parent, event)
        return
    # Without a status, the fallback URL was requested for the action.
    draft.change(dial_call_status=event.dial_call_status, child_left_first=not event.dial_call_status)
    draft.change_party(draft.session.child, left_code=event.code_text)
    if event.reached_time_limit:  # the child's callback may be lost
        draft.change_party(draft.session.child, left_reason=EndReason.TIME_LIMIT.value)
    parties.await_parent(draft)
    if guards.dial_reached_no_one(draft, event):
        # Only the child's callback distinguishes busy from rejected.
        draft.set_timer(events.CallsOverdue, draft.policy.leave_timeout_ms)


def treat_as_bridge(draft: Draft, event: events.CallProgressed) -> None:
    """Treat the session as a bridge, as a webhook without Redis did."""
    draft.change(opening=Opening.OVER, phase=Phase.RINGING, agent_number=event.agent_number)
    unhold_all(draft, event)
    dials.note_child_rings(draft)
    dials.note_call_progress(draft, event)


def try_next_agent(draft: Draft, event: events.DialEnded) -> None:
    """Switch to the next agent, whom the action's document rings."""
    _switch_agent(draft, event.agent_number + 1 + event.away)


def note_next_agents(draft: Draft, event: events.DialEnded) -> None:
    """Record the order of the agents who are left, and who of them is away."""
    session, following = draft.session, event.agent_number + 1
    if event.reached_no_one and session.agent_number <= event.agent_number and event.next_agents:
        draft.change(agents=(*session.agents[:following], *event.next_agents))
        parties.note_away(draft, following, event.away)


def redial_agent(draft: Draft, event: events.DialEnded) -> None:
    """Ring the same agent again: Twilio refused the caller ID."""
    agents, following = draft.session.agents, event.agent_number + 1
    # The action's document treats them as the next agent.
    draft.change(agents=(*agents[:following], *agents[event.agent_number :]))
    draft.change_attempt(bridge_dial(event.agent_number), dial_id=bridge_dial(following))  # no one was rung yet
    _switch_agent(draft, following)


def follow_later_agent(draft: Draft, event: events.CallProgressed) -> None:
    """Switch to a later agent, who is already ringing or was read before."""
    session = draft.session
    if session.agent.call_sid == event.call_sid:
        address = session.agents[event.agent_number]
        draft.change_attempt(session.dial_of(session.agent), dial_id=bridge_dial(event.agent_number), to=address)
        draft.change(agent_number=event.agent_number)
        draft.change_party(session.agent, address=address)
    else:
        _switch_agent(draft, event.agent_number)
    dials.note_call_progress(draft, event)


def switch_to_next_agent(draft: Draft, event: events.CallsRead) -> None:
    """Switch to the next agent, whose call a read shows ringing or answered."""
    seen = not_none(guards.next_agent_call(draft, event))
    _switch_agent(draft, draft.session.agent_number + 1)
    if seen.status == CallStatus.IN_PROGRESS:
        dials.note_talking(draft, seen.call_sid)
    else:
        note_facts(draft, draft.session.child, call_sid=seen.call_sid)


def _bridged_agent(draft: Draft, address: str) -> Party:
    """Return the agent whom a bridge rings."""
    return Party(AGENT, first_label(AGENT), address=address, options=dials.agent_options(draft, address))


def fail_waiting_commands(draft: Draft, reason: str, code: str) -> None:
    """Fail what waited for an agent who did not take the call."""
    if draft.session.running_transfer is not None:
        fail_transfer(draft, reason, code)
        conclude_transfer(draft, "failed")
    parties.fail_queued_commands(draft, reason, code)


def fail_expired_commands(draft: Draft) -> None:
    """Fail commands whose deadline passed while they waited to begin."""

    def is_over(deadline_ms: int) -> bool:
        return 0 < deadline_ms <= draft.now_ms

    queued = [one for one in draft.session.pending_commands if one.is_queued and is_over(one.due_ms)]
    parties.fail_commands(draft, Reason.EXPIRED, only=queued)
    transfer_deadline_ms, step_deadline_ms = guards.transfer_deadlines_ms(draft.session)
    if is_over(transfer_deadline_ms):
        fail_transfer(draft, Reason.EXPIRED)
        conclude_transfer(draft, "failed")
    elif is_over(step_deadline_ms):  # of `complete`: the transfer begins as it was asked for
        report_step(draft, CommandStatus.FAILED, Reason.EXPIRED)


def _switch_agent(draft: Draft, agent_number: int) -> None:
    agent = draft.session.agent
    unanswered = events.GateDecision.NO_CONFIRMATION if agent.status is PartyStatus.CONFIRMING else CallStatus.NO_ANSWER
    fail_waiting_commands(
        draft, reported_reason(agent.left_reason or unanswered), getattr(draft.event, "code_text", "")
    )
    status = getattr(draft.event, "dial_call_status", "")
    result = status if status in UNREACHED_DIAL_STATUSES else unanswered
    parties.close_attempt(draft, agent, agent.left_reason or result)
    if agent.call_sid:
        draft.change(former_calls=(*draft.session.former_calls, agent.call_sid))
    address = draft.session.agents[agent_number]
    draft.change(
        agent_number=agent_number,
        parties={**draft.session.parties, AGENT: _bridged_agent(draft, address)},
        phase=Phase.RINGING,
        first_to_leave="",
        child_left_first=False,
        dial_call_status="",
    )
    overtake_reads(draft, draft.session.agent)
    dials.note_child_rings(draft)


# ---- conversion: moves both legs of a bridge into the conference ---------------------------------------------------


def begin_conversion(draft: Draft, event: Event) -> None:
    """Redirect the child's leg; the parent follows by its `<Dial>` action."""
    # Twilio hangs up the child if the parent is moved first. Source: Twilio docs, modifying calls in progress.
    begin_recovered_conversion(draft, event)
    redirect_leg(draft, draft.session.child)


def begin_recovered_conversion(draft: Draft, _event: Event) -> None:
    """Continue a conversion that Redis lost or that another app began."""
    draft.change(phase=Phase.NONE, repair_attempted=False, open_redirects=(), moved_at_ms=0)
    for party in draft.session.parties.values():
        draft.change_party(party, repair_moved_at_ms=0)
    overtake_reads(draft, *draft.session.parties.values())
    draft.cancel_timers(events.CallsOverdue)
    draft.set_timer(events.ConvertOverdue, draft.policy.convert_timeout_ms + draft.policy.repair_timeout_ms)
    if isinstance(draft.event, events.CallsRead):  # who else is there: a target, say, whose transfer Redis lost
        add_unknown_participants(draft, draft.event)


def note_parent_dial_ended(draft: Draft, event: events.DialEnded) -> None:
    """Record that the child's move ended the parent's `<Dial>`."""
    draft.change(dial_call_status=event.dial_call_status or draft.session.dial_call_status, moved_at_ms=draft.now_ms)
    overtake_reads(draft, draft.session.parent)


def finish_conversion(draft: Draft, event: Event) -> None:
    """Complete the conversion: both parties are in the conference."""
    draft.cancel_timers(events.CallsOverdue)
    parties.finish_call(draft, event)
    settle_conference(draft, event)
    begin_queued_commands(draft)


def redirect_missing_leg(draft: Draft, event: events.CallsRead) -> None:
    """Redirect a missing leg, once each; the child's first."""
    missing = not_none(guards.leg_to_repair(draft, event))
    apply_presence(draft, event)
    draft.change(repair_attempted=True)
    redirect_leg(draft, draft.session.parties[missing.name])
    draft.change_party(draft.session.parties[missing.name], repair_moved_at_ms=draft.now_ms)


def redirect_leg(draft: Draft, party: Party, wait_audio: WaitAudio = WaitAudio.NONE, left_conference: str = "") -> None:
    """Redirect a leg into the conference.

    It leaves `left_conference`, if given.
    """
    effect_id = draft.emit(
        RedirectCall,
        party=party.name,
        call_sid=party.call_sid,
        conference=draft.session.conference_sid or draft.session.conference_name,
        conference_name=draft.session.conference_name,
        label=party.label,
        attempt=2 if draft.session.repair_attempted else 1,
        wait_audio=wait_audio.value,
        left_conference=left_conference,
        attributes=draft.session.attributes,
    )
    draft.change(open_redirects=(*draft.session.open_redirects, effect_id))
    overtake_reads(draft, party)


def note_redirect_ended(draft: Draft, event: events.EffectResult) -> None:
    """Record that a redirect has its result; if it worked, the leg is moving."""
    if isinstance(event, events.EffectSucceeded):
        draft.change(moved_at_ms=draft.now_ms)
    draft.change(open_redirects=tuple(one for one in draft.session.open_redirects if one != event.effect_id))
    party = draft.session.parties.get(event.party)
    if party is not None:
        overtake_reads(draft, party)
        is_unknown = isinstance(event, events.EffectUnknown) and not party.in_conference
        if is_unknown or (event.attempts or 0) > 1:
            draft.change_party(party, unproven_redirect_at_ms=draft.now_ms)
    # The result does not say when it moved a party for a repair: now, at the latest.
    for party in draft.session.parties.values():
        if party.repair_moved_at_ms:
            draft.change_party(party, repair_moved_at_ms=draft.now_ms)


def return_to_bridge(draft: Draft, event: events.EffectFailed | events.ConvertOverdue | events.CallsRead) -> None:
    """Return to the bridge: Twilio refused to move anyone, or did not in time."""
    refusal, code = (event.reason_text, event.code_text) if isinstance(event, events.EffectFailed) else ("", "")
    fail_waiting_commands(draft, refusal or "Twilio did not move the parties in time", code)
    draft.change(
        phase=Phase.CONNECTED,
        open_redirects=(),
        repair_attempted=False,
        moved_at_ms=0 if refusal else draft.now_ms,  # someone may have been moved all the same
    )
    draft.change_party(draft.session.customer, wait_audio=WaitAudio.NONE)
    draft.change_party(draft.session.agent, is_leaving=False, hang_up_requested=False)
    if draft.session.child.is_gone:
        parties.await_parent(draft)
    elif not refusal:
        draft.set_timer(events.CallsOverdue, draft.policy.reread_interval_ms)


def wait_for_move(draft: Draft, _event: events.ConvertOverdue) -> None:
    """Give Twilio more time: it has not answered the redirect."""
    draft.set_timer(events.ConvertOverdue, draft.policy.settle_ms)


# ---- a conference in which a party waits alone on purpose -----------------------------------------------------------


def dial_expected_party(draft: Draft, _event: Event) -> None:
    """Dial the expected party: the waiting party has joined."""
    draft.change(first_to_leave="")
    party = draft.session.child
    is_skipped = party.left_reason == Reason.AWAY or draft.session.begins_in_queue
    if is_skipped or (party.dial_id and not party.is_leaving):
        return  # already ringing at the gate, or failed meanwhile
    if party.is_removed:
        if not party.dial_id:
            parties.note_gone(draft, party.name, Reason.CANCELLED)
        return  # if it was dialed, its phone is being hung up
    # The options are the agent's. The customer of a `call` sees the same number.
    of_customer = DialOptions(caller_id=draft.session.options.caller_id)
    options = of_customer if party.name == CUSTOMER else dials.agent_options(draft, party.address)
    dials.dial(draft, party.name, party.address, options=options)


def dial_next_agent(draft: Draft, _event: Event) -> None:
    """Dial the next agent: the previous one could not be reached."""
    session, index = draft.session, draft.session.agent_number + 1
    rest, skipped_count = draft.presence.in_ringing_order(session.agents[index:], session.agent_order)
    draft.change(agents=(*session.agents[:index], *rest))
    parties.note_away(draft, index, skipped_count)
    index += skipped_count
    if index == len(session.agents):
        draft.change(agent_number=index - 1)  # the last one tried stays the agent
        return
    draft.change(agent_number=index)
    address = draft.session.agents[index]
    dials.dial(draft, AGENT, address, options=dials.agent_options(draft, address))


def redirect_waiting_party(draft: Draft, _event: Event, left_conference: str = "") -> None:
    """Redirect the waiting party, once: the call is live but not joined."""
    found = not_none(guards.waiting_party(draft))
    draft.change(repair_attempted=True)
    redirect_leg(draft, found, found.wait_audio, left_conference)


def move_to_new_conference(draft: Draft, event: Event) -> None:
    """Move the waiting party to a conference whose wait document plays."""
    # Twilio can't hold anyone in a conference that has not started.
    left_conference = draft.session.conference_sid
    await_in_another_conference(draft, event)
    redirect_waiting_party(draft, event, left_conference)


def await_in_another_conference(draft: Draft, event: Event) -> None:
    """Leave this conference; the waiting party comes, or has come, to another.

    Its wait audio failed here. Who was dialed into this conference is dialed again.
    """
    forget_conference(draft, event)
    draft.change(moved_at_ms=draft.now_ms)  # gives the party time to arrive
    # In the new conference, the party waits without a hold, and its leaving ends nothing.
    draft.change_party(not_none(guards.waiting_party(draft)), desired_hold=False, desired_end_on_exit=False)
    if draft.session.opening is Opening.DIALING:
        draft.change(opening=Opening.ARRIVING)
    for party in draft.session.parties.values():
        if party.dial_id and not (party.is_gated or party.is_gone):
            dials.mark_leaving(draft, party)
    dials.hang_up_leaving_parties(draft, event)  # before it is dialed again


def note_redirected_away(draft: Draft, _event: events.DialEnded) -> None:
    """Record that the customer continues at the directory's `after` URL."""
    parties.note_gone(draft, CUSTOMER, REDIRECTED_AWAY)
