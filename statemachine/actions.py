"""What follows from an event: changed parties, effects and timers, worked out on the scratch.

Actions can't fail and do nothing to the world; the effects they order are carried out after the commit.
"""

from statemachine.effects import EndConference, HangUpCall, ReadCalls, RedirectCall
from statemachine.events import (
    AgeOverdue,
    CallProgressed,
    CallReceived,
    CallsRead,
    Command,
    ConferenceEnded,
    ConferenceEvent,
    Convert,
    ConvertOverdue,
    DialEnded,
    EffectFailed,
    EffectOutcome,
    End,
    Event,
    LeaveOverdue,
    LoneOverdue,
    ParticipantJoined,
    ParticipantLeft,
    RepairOverdue,
    RingOverdue,
)
from statemachine.guards import party_of_call, seen_agent, shows_customer_over
from statemachine.reasons import EndReason
from statemachine.scratch import Scratch
from statemachine.session import AGENT, CUSTOMER, Party, first_label
from statemachine.states import FINAL_CALL_STATUSES, CallStatus, PartyStatus, Phase, State
from statemachine.step import CommandStatus, Outcome

#: SIP answers that mean "I don't want to", not "I am busy". Source: RFC 3261, sections 21.6.2 and 21.6.4.
_REFUSALS = frozenset({603, 607})

_REASON_BY_DIAL_STATUS = {
    "completed": EndReason.AGENT_LEFT,
    "answered": EndReason.AGENT_LEFT,
    CallStatus.BUSY: EndReason.AGENT_BUSY,
    CallStatus.NO_ANSWER: EndReason.AGENT_NO_ANSWER,
}


# ---- opening -----------------------------------------------------------------------------------------------------


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


# ---- passing over ------------------------------------------------------------------------------------------------


def pass_over_late(scratch: Scratch, _event: Event) -> None:
    """More than this is known already."""
    scratch.pass_over(Outcome.STALE, "late: more than this is known already")


def pass_over_unknown_call(scratch: Scratch, _event: Event) -> None:
    """The call is none of the session's."""
    scratch.pass_over(Outcome.UNEXPECTED, "the call is none of the session's")


def note_dial_end(scratch: Scratch, event: DialEnded) -> None:
    """The customer's `<Dial>` is over because the agent was moved: he is on his way into the conference."""
    scratch.change(dial_call_status=event.dial_call_status)


def note_only(scratch: Scratch, _event: Event) -> None:
    """It is kept in the log and changes nothing."""


# ---- the bridge --------------------------------------------------------------------------------------------------


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
    agent = scratch.session.parties[AGENT]
    scratch.change_party(agent, call_sid=agent_call_sid, status=PartyStatus.CONNECTED)
    customer = scratch.session.parties[CUSTOMER]
    scratch.change_party(customer, status=PartyStatus.CONNECTED)
    scratch.change(phase=Phase.CONNECTED)
    scratch.cancel_timer(RingOverdue.timer)


def note_agent_over(scratch: Scratch, event: CallProgressed) -> None:
    """The agent's call is over; whether the customer hung up first is told by the `<Dial>`'s action."""
    _note_over(scratch, scratch.session.parties[AGENT], event)
    scratch.cancel_timer(RingOverdue.timer)
    scratch.set_timer(LeaveOverdue.timer, scratch.policy.leave_check_ms)


def note_dial_ended(scratch: Scratch, event: DialEnded) -> None:
    """Nobody talked; the agent's own callback may still tell a refusal from a busy line."""
    scratch.change(dial_call_status=event.dial_call_status)
    scratch.cancel_timer(RingOverdue.timer)
    scratch.set_timer(LeaveOverdue.timer, scratch.policy.leave_check_ms)


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


# ---- converting --------------------------------------------------------------------------------------------------


def redirect_agent(scratch: Scratch, event: Convert) -> None:
    """The agent's leg, the child, goes first: that ends the customer's `<Dial>`, whose action then joins him too.

    The other way round the child would be hung up. Source: Twilio docs, modifying calls in progress.
    """
    scratch.change(converting_for=(event.command_id,), phase=Phase.NONE, repaired=False)
    scratch.report(event.command_id, CommandStatus.ACCEPTED)
    _redirect(scratch, scratch.session.parties[AGENT])
    scratch.set_timer(ConvertOverdue.timer, scratch.policy.convert_timeout_ms)


def join_conversion(scratch: Scratch, event: Convert) -> None:
    """It converts already; this command is done when both are in, too."""
    scratch.change(converting_for=(*scratch.session.converting_for, event.command_id))
    scratch.report(event.command_id, CommandStatus.ACCEPTED)


def adopt_conversion(scratch: Scratch, event: ParticipantJoined) -> None:
    """A leg is in a conference though no conversion is known: a history that was rewound, or somebody else's hand."""
    scratch.change(phase=Phase.NONE)
    scratch.cancel_timer(RingOverdue.timer)
    scratch.cancel_timer(LeaveOverdue.timer)
    scratch.set_timer(ConvertOverdue.timer, scratch.policy.convert_timeout_ms)
    note_join(scratch, event)


def note_join(scratch: Scratch, event: ParticipantJoined) -> None:
    """One is in."""
    _note_room(scratch, event)
    party = scratch.session.party_of(call_sid=event.call_sid, label=event.label)
    if party is None:
        return
    scratch.change_party(
        party,
        call_sid=event.call_sid,
        status=PartyStatus.CONNECTED,
        in_room=True,
        room_sequence=event.sequence if event.sequence is not None else party.room_sequence,
    )
    if len(scratch.session.in_room) > 1:
        scratch.cancel_timer(LoneOverdue.timer)


def note_guest(scratch: Scratch, event: ParticipantJoined) -> None:
    """A call that is none of ours was brought in by somebody else. It counts as company."""
    taken = sum(name.startswith("guest-") for name in scratch.session.parties)
    guest = Party(
        f"guest-{taken + 1}", event.label, call_sid=event.call_sid, status=PartyStatus.CONNECTED, in_room=True,
        room_sequence=event.sequence if event.sequence is not None else -1,
    )  # fmt: skip
    scratch.change(parties={**scratch.session.parties, guest.name: guest})
    scratch.cancel_timer(LoneOverdue.timer)


def note_customer_over(scratch: Scratch, event: CallProgressed) -> None:
    """Both calls are over; who hung up first is told by the `<Dial>`'s action, or by a look."""
    _note_over(scratch, scratch.session.parties[CUSTOMER], event)


def settle(scratch: Scratch, event: ParticipantJoined) -> None:
    """Both are in: converted."""
    note_join(scratch, event)
    _settled(scratch)


def settle_by_read(scratch: Scratch, event: CallsRead) -> None:
    """A read shows both in the conference; the callbacks that should have said so were lost."""
    scratch.change(conference_sid=event.conference_sid)
    for party in tuple(scratch.session.parties.values()):
        scratch.change_party(party, in_room=True, status=PartyStatus.CONNECTED)
    _settled(scratch)


def _settled(scratch: Scratch) -> None:
    scratch.cancel_timer(ConvertOverdue.timer)
    scratch.cancel_timer(RepairOverdue.timer)
    _report_converts(scratch, CommandStatus.DONE)


def look_for_missing(scratch: Scratch, event: ConvertOverdue) -> None:
    """One waits for the other for too long: Twilio is asked where the other is; the repair has its time from now on."""
    look_at_calls(scratch, event)
    scratch.set_timer(RepairOverdue.timer, scratch.policy.repair_timeout_ms)


def redirect_missing(scratch: Scratch, event: CallsRead) -> None:
    """The leg that is missing is moved once. With nobody in the room it is the agent's: the customer's follows it."""
    _take_room_from(scratch, event)
    inside = {participant.call_sid for participant in event.participants}
    missing = [party for party in scratch.session.parties.values() if party.call_sid not in inside]
    agent_is_missing = any(party.name == AGENT for party in missing)
    scratch.change(repaired=True)
    _redirect(scratch, scratch.session.parties[AGENT if agent_is_missing else CUSTOMER])


def _take_room_from(scratch: Scratch, event: CallsRead) -> None:
    if event.conference_sid:
        scratch.change(conference_sid=event.conference_sid)
    inside = {participant.call_sid for participant in event.participants}
    for party in tuple(scratch.session.parties.values()):
        if party.in_room != (party.call_sid in inside):
            scratch.change_party(party, in_room=party.call_sid in inside)


def _redirect(scratch: Scratch, party: Party) -> None:
    room = scratch.session.conference_sid or scratch.session.id
    scratch.order(RedirectCall, party=party.name, call_sid=party.call_sid, room=room, label=party.label)


def return_to_bridge(scratch: Scratch, event: EffectFailed) -> None:
    """Twilio refused to move the agent's leg, so nothing has happened: the two talk on as before."""
    scratch.change(phase=Phase.CONNECTED)
    scratch.cancel_timer(ConvertOverdue.timer)
    scratch.cancel_timer(RepairOverdue.timer)
    _report_converts(scratch, CommandStatus.FAILED, f"Twilio refused (HTTP {event.http_status}, code {event.code})")


def note_room(scratch: Scratch, event: ConferenceEvent) -> None:
    """The conference's SID is known."""
    _note_room(scratch, event)


def _note_room(scratch: Scratch, event: ConferenceEvent) -> None:
    if not scratch.session.in_room:
        scratch.change(conference_sid=event.conference_sid)


def note_room_gone(scratch: Scratch, _event: ConferenceEnded) -> None:
    """The room closed before both were in; a leg that still comes opens another one, which is then ours."""
    scratch.change(conference_sid="")
    for party in scratch.session.in_room:
        scratch.change_party(party, in_room=False)


def note_left_room(scratch: Scratch, event: ParticipantLeft) -> None:
    """One is out of the room; its call goes on."""
    party = scratch.session.party_of(call_sid=event.call_sid, label=event.label)
    if party is not None:
        sequence = event.sequence if event.sequence is not None else party.room_sequence
        scratch.change_party(party, in_room=False, room_sequence=sequence, left_reason=event.left_reason)


# ---- the conference ----------------------------------------------------------------------------------------------


def note_leaving(scratch: Scratch, event: ParticipantLeft | CallProgressed | DialEnded) -> None:
    """One has left."""
    _note_leaver(scratch, event)


def start_lone_grace(scratch: Scratch, event: ParticipantLeft | CallProgressed | DialEnded) -> None:
    """One has left and another is alone now: he has `CONFERRAL_LONE_GRACE` to get company."""
    _note_leaver(scratch, event)
    if LoneOverdue.timer not in scratch.session.timers:
        scratch.set_timer(LoneOverdue.timer, scratch.policy.lone_grace_ms)


def _note_leaver(scratch: Scratch, event: ParticipantLeft | CallProgressed | DialEnded) -> None:
    if isinstance(event, CallProgressed):
        party = party_of_call(scratch, event)
        if party is not None:
            _note_over(scratch, party, event)
        return
    label = event.label if isinstance(event, ParticipantLeft) else ""
    party = scratch.session.party_of(call_sid=event.call_sid, label=label)
    if party is None:
        return
    if isinstance(event, ParticipantLeft):
        note_left_room(scratch, event)
        # A leg that somebody else gave other TwiML is no longer ours: it counts as gone and is not hung up.
        moved_away = scratch.state is State.CONFERENCED and event.left_reason == "participant_updated_via_api"
        if event.hung_up or moved_away:
            _note_gone(scratch, party.name, event.left_reason or event.call_status)
    else:
        scratch.change_party(party, in_room=False)
        if event.party_is_gone:
            _note_gone(scratch, party.name, event.call_status)


def _note_over(scratch: Scratch, party: Party, event: CallProgressed) -> None:
    refused = event.sip_response_code in _REFUSALS
    if not party.call_sid:
        scratch.change_party(party, call_sid=event.call_sid)
    _note_gone(scratch, party.name, "rejected" if refused else event.status)


def _note_gone(scratch: Scratch, name: str, reason: str) -> None:
    party = scratch.session.parties[name]
    if party.is_gone:
        return
    scratch.change_party(party, status=PartyStatus.LEFT, in_room=False, left_reason=reason)
    if not scratch.session.first_left:
        scratch.change(first_left=name)


# ---- endings -----------------------------------------------------------------------------------------------------


def end_customer_left(scratch: Scratch, event: Event) -> None:
    """The customer hung up first; whoever is still connected is let go."""
    _note_gone(scratch, CUSTOMER, _told_status(event))
    _end(scratch, EndReason.CUSTOMER_LEFT)


def end_by_dial(scratch: Scratch, event: DialEnded) -> None:
    """The `<Dial>` is over and its action tells the customer, who is let go by its document: nothing is left to do."""
    scratch.change(dial_call_status=event.dial_call_status)
    _end_by_agent(scratch)


def end_by_agent_over(scratch: Scratch, event: CallProgressed) -> None:
    """The agent's own callback completes what the `<Dial>`'s action told."""
    _note_over(scratch, scratch.session.parties[AGENT], event)
    _end_by_agent(scratch)


def end_by_timeout(scratch: Scratch, _event: LeaveOverdue) -> None:
    """The agent's own callback did not come; what the `<Dial>`'s action told has to do."""
    _end_by_agent(scratch)


def _end_by_agent(scratch: Scratch) -> None:
    agent = scratch.session.parties[AGENT]
    told = scratch.session.dial_call_status
    if agent.left_reason == "rejected":
        reason = EndReason.AGENT_REJECTED
    else:
        reason = _REASON_BY_DIAL_STATUS.get(told, EndReason.AGENT_FAILED)
    if not agent.is_gone:
        _note_gone(scratch, AGENT, told)
    customer = scratch.session.parties[CUSTOMER]
    # The action's document hangs him up; another request would only race with the sentence he hears.
    scratch.change_party(customer, status=PartyStatus.LEFT, left_reason="let-go")
    _end(scratch, reason)


def end_by_read(scratch: Scratch, event: CallsRead) -> None:
    """A read shows that one of the two is gone: the other is let go."""
    _take_room_from(scratch, event)
    if shows_customer_over(scratch, event):
        _note_gone(scratch, CUSTOMER, "completed")
    agent = seen_agent(scratch, event)
    if agent is not None and not scratch.session.parties[AGENT].call_sid:
        scratch.change_party(scratch.session.parties[AGENT], call_sid=agent[0])
    if agent is not None and agent[1] in FINAL_CALL_STATUSES:
        _note_gone(scratch, AGENT, agent[1])
    if scratch.session.first_left == CUSTOMER:
        _end(scratch, EndReason.CUSTOMER_LEFT)
        return
    status = agent[1] if agent is not None else scratch.session.parties[AGENT].left_reason
    if scratch.session.parties[AGENT].left_reason == "rejected":
        _end(scratch, EndReason.AGENT_REJECTED)
    else:
        _end(scratch, _REASON_BY_DIAL_STATUS.get(status, EndReason.AGENT_FAILED))


def end_party_left(scratch: Scratch, event: ParticipantLeft | CallProgressed | DialEnded) -> None:
    """One has hung up and nobody is to be left alone: the rest is let go at once."""
    _note_leaver(scratch, event)
    _end(scratch, _reason_by_first_left(scratch))


def end_room_ended(scratch: Scratch, event: ConferenceEnded) -> None:
    """The conference is over. Whoever is not known to have hung up is hung up: nobody waits in a dead line."""
    for party in scratch.session.in_room:
        scratch.change_party(party, in_room=False)
    ending = scratch.session.party_of(call_sid=event.call_sid_ending) if event.call_sid_ending else None
    if ending is not None and not scratch.session.first_left:
        scratch.change(first_left=ending.name)
    scratch.change(conference_sid="")
    _end(scratch, _reason_by_first_left(scratch))


def end_lone(scratch: Scratch, _event: LoneOverdue) -> None:
    """Nobody came: the one who is alone is let go, and no longer billed."""
    scratch.let_lone_go = True
    _end(scratch, _reason_by_first_left(scratch))


def end_convert_failed(scratch: Scratch, _event: RepairOverdue) -> None:
    """The repair did not help: nobody is left in silence."""
    _end(scratch, EndReason.CONVERT_FAILED)


def end_too_old(scratch: Scratch, _event: AgeOverdue) -> None:
    """A day is more than a call lasts."""
    _end(scratch, EndReason.TOO_OLD)


def end_by_command(scratch: Scratch, event: End) -> None:
    """An operator ends it; it is done when Twilio has confirmed every hang-up."""
    scratch.report(event.command_id, CommandStatus.ACCEPTED)
    scratch.change(ending_for=event.command_id)
    _end(scratch, EndReason.COMMAND)
    if not scratch.effects:
        scratch.change(ending_for="")
        scratch.report(event.command_id, CommandStatus.DONE)


def _end(scratch: Scratch, reason: EndReason) -> None:
    """Ends the conference, and by its own request every leg that the conference's end does not reach."""
    session = scratch.session
    # A read can be under way for a session without a room; what was ordered before stays in front.
    if session.conference_sid:
        scratch.order(EndConference, conference_sid=session.conference_sid)
    for party in session.parties.values():
        if party.is_gone:
            continue
        if party.call_sid and not (party.in_room and session.conference_sid):
            scratch.order(HangUpCall, party=party.name, call_sid=party.call_sid)
        scratch.change_party(party, status=PartyStatus.LEFT, in_room=False, left_reason="let-go")
    scratch.reason = reason.value
    _report_converts(scratch, CommandStatus.FAILED, reason.value)
    scratch.change(
        phase=Phase.NONE,
        end_reason=reason.value,
        ended_at_ms=scratch.now_ms,
        timers={},
        ending_effects=tuple(effect.effect_id for effect in scratch.effects) if scratch.session.ending_for else (),
    )


def _report_converts(scratch: Scratch, status: CommandStatus, reason: str = "") -> None:
    for command_id in scratch.session.converting_for:
        scratch.report(command_id, status, reason)
    scratch.change(converting_for=())


def _reason_by_first_left(scratch: Scratch) -> EndReason:
    return {CUSTOMER: EndReason.CUSTOMER_LEFT, AGENT: EndReason.AGENT_LEFT}.get(
        scratch.session.first_left, EndReason.ALONE
    )


def _told_status(event: Event) -> str:
    if isinstance(event, CallProgressed):
        return event.status
    return event.call_status if isinstance(event, DialEnded) else "completed"


# ---- after the end -----------------------------------------------------------------------------------------------


def let_late_leg_go(scratch: Scratch, event: ParticipantJoined) -> None:
    """A leg that was on its way when the session ended has reached a room: it is let go, not left alone there."""
    scratch.order(HangUpCall, call_sid=event.call_sid)
    scratch.reason = "joined after the end"


def let_stray_leg_go(scratch: Scratch, event: ParticipantJoined) -> None:
    """A leg of ours opened a second room while the first is in use: it is hung up."""
    scratch.order(HangUpCall, call_sid=event.call_sid)
    scratch.pass_over(Outcome.UNEXPECTED, "joined another conference")


def note_ending(scratch: Scratch, event: EffectOutcome) -> None:
    """One of the hang-ups that an `end` waits for is settled."""
    rest = tuple(name for name in scratch.session.ending_effects if name != event.effect_id)
    scratch.change(ending_effects=rest)
    if isinstance(event, EffectFailed):
        scratch.report(
            scratch.session.ending_for,
            CommandStatus.FAILED,
            f"Twilio refused (HTTP {event.http_status}, code {event.code})",
        )
        scratch.change(ending_for="", ending_effects=())
    elif not rest:
        scratch.report(scratch.session.ending_for, CommandStatus.DONE)
        scratch.change(ending_for="")


# ---- commands ----------------------------------------------------------------------------------------------------


def refuse_ringing(scratch: Scratch, _event: Command) -> None:
    """Until somebody answers, the caller's leg can't be moved."""
    scratch.refusal = "nobody has answered yet"


def refuse_leaving(scratch: Scratch, _event: Command) -> None:
    """One of the two has hung up already."""
    scratch.refusal = "one of the two has hung up"


def refuse_ended(scratch: Scratch, _event: Command) -> None:
    """The session is over."""
    scratch.refusal = f"the session has ended ({scratch.session.end_reason})"


def refuse_unknown(scratch: Scratch, _event: Command) -> None:
    """Nobody knows the session."""
    scratch.refusal = "no such session"


def report_done(scratch: Scratch, event: Convert) -> None:
    """It is in a conference already: what was asked for has happened."""
    scratch.report(event.command_id, CommandStatus.DONE)
