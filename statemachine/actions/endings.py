"""How a session ends: whom to blame, whom to hang up, and what is still done afterwards."""

from statemachine.actions.commands import report_converts
from statemachine.actions.parties import note_gone, note_over
from statemachine.actions.room import note_leaving, take_room_from
from statemachine.effects import EndConference, HangUpCall
from statemachine.events import (
    AgeOverdue,
    CallProgressed,
    CallsRead,
    ConferenceEnded,
    DialEnded,
    EffectFailed,
    EffectOutcome,
    EffectUnknown,
    End,
    Event,
    LeaveOverdue,
    LoneOverdue,
    ParticipantJoined,
    ParticipantLeft,
    RepairOverdue,
)
from statemachine.guards import seen_agent, shows_customer_over
from statemachine.reasons import EndReason
from statemachine.scratch import Scratch
from statemachine.session import AGENT, CUSTOMER
from statemachine.states import FINAL_CALL_STATUSES, CallStatus, PartyStatus, Phase
from statemachine.step import CommandStatus, Outcome

_REASON_BY_DIAL_STATUS = {
    "completed": EndReason.AGENT_LEFT,
    "answered": EndReason.AGENT_LEFT,
    CallStatus.BUSY: EndReason.AGENT_BUSY,
    CallStatus.NO_ANSWER: EndReason.AGENT_NO_ANSWER,
}


def end_customer_left(scratch: Scratch, event: Event) -> None:
    """The customer hung up first; whoever is still connected is let go."""
    note_gone(scratch, CUSTOMER, _told_status(event))
    _end(scratch, EndReason.CUSTOMER_LEFT)


def end_by_dial(scratch: Scratch, event: DialEnded) -> None:
    """The `<Dial>` is over and its action tells the customer, who is let go by its document: nothing is left to do."""
    scratch.change(dial_call_status=event.dial_call_status)
    _end_by_agent(scratch)


def end_by_agent_over(scratch: Scratch, event: CallProgressed) -> None:
    """The agent's own callback completes what the `<Dial>`'s action told."""
    note_over(scratch, scratch.session.parties[AGENT], event)
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
        note_gone(scratch, AGENT, told)
    customer = scratch.session.parties[CUSTOMER]
    # The action's document hangs him up; another request would only race with the sentence he hears.
    scratch.change_party(customer, status=PartyStatus.LEFT, left_reason="let-go")
    _end(scratch, reason)


def end_by_read(scratch: Scratch, event: CallsRead) -> None:
    """A read shows that one of the two is gone: the other is let go."""
    take_room_from(scratch, event)
    if shows_customer_over(scratch, event):
        note_gone(scratch, CUSTOMER, "completed")
    agent = seen_agent(scratch, event)
    if agent is not None and not scratch.session.parties[AGENT].call_sid:
        scratch.change_party(scratch.session.parties[AGENT], call_sid=agent[0])
    if agent is not None and agent[1] in FINAL_CALL_STATUSES:
        note_gone(scratch, AGENT, agent[1])
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
    note_leaving(scratch, event)
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
    report_converts(scratch, CommandStatus.FAILED, reason.value)
    scratch.change(
        phase=Phase.NONE,
        end_reason=reason.value,
        ended_at_ms=scratch.now_ms,
        timers={},
        ending_effects=tuple(effect.effect_id for effect in scratch.effects) if scratch.session.ending_for else (),
    )


def _reason_by_first_left(scratch: Scratch) -> EndReason:
    return {CUSTOMER: EndReason.CUSTOMER_LEFT, AGENT: EndReason.AGENT_LEFT}.get(
        scratch.session.first_left, EndReason.ALONE
    )


def _told_status(event: Event) -> str:
    if isinstance(event, CallProgressed):
        return event.status
    return event.call_status if isinstance(event, DialEnded) else "completed"


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
    if isinstance(event, EffectFailed | EffectUnknown):
        reason = "unknown: Twilio gave no answer"
        if isinstance(event, EffectFailed):
            reason = f"Twilio refused (HTTP {event.http_status}, code {event.code})"
        scratch.report(scratch.session.ending_for, CommandStatus.FAILED, reason)
        scratch.change(ending_for="", ending_effects=())
    elif not rest:
        scratch.report(scratch.session.ending_for, CommandStatus.DONE)
        scratch.change(ending_for="")
