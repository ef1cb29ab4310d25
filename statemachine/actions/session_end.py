"""How a session ends: whom to blame, whom to hang up, and what is still done afterwards."""

from conferral.statemachine.actions.conference import apply_conference, apply_presence, note_left
from conferral.statemachine.actions.dials import find_dialed_call, note_gate_rejected
from conferral.statemachine.actions.outcome_records import conclude_session
from conferral.statemachine.actions.parties import (
    REDIRECTED_AWAY,
    has_left_guests,
    is_somebody_elses,
    mark_released,
    note_call_ended,
    note_gone,
)
from conferral.statemachine.actions.pending_commands import fail_commands
from conferral.statemachine.actions.reports import report_call, report_converts
from conferral.statemachine.actions.transfer.handover import note_transfer_failed
from conferral.statemachine.draft import Draft
from conferral.statemachine.effects import EndConference, HangUpCall, SayAndHangUp, Sentence
from conferral.statemachine.end_reasons import EndReason
from conferral.statemachine.events import (
    AccountSwept,
    AgeOverdue,
    CallProgressed,
    CallsRead,
    ConferenceEnded,
    DialEnded,
    DialOverdue,
    EffectFailed,
    EffectOutcome,
    EffectUnknown,
    End,
    Event,
    GateDecided,
    LeaveOverdue,
    ParticipantJoined,
    ParticipantLeft,
    Remove,
    RepairOverdue,
)
from conferral.statemachine.guards.ended_session import may_have_called
from conferral.statemachine.guards.reads import child_in_read, shows_parent_ended
from conferral.statemachine.session import AGENT, CUSTOMER, OUTBOUND, Party
from conferral.statemachine.states import FINAL_CALL_STATUSES, CallStatus, Opening, PartyStatus, Phase
from conferral.statemachine.step import CommandStatus, Outcome

#: What a call's end, or a `<Dial>`'s, says of the party that was called.
_ENDS = {"completed": "left", "answered": "left", CallStatus.BUSY: "busy", CallStatus.NO_ANSWER: "no-answer"}
#: DialCallStatus of a bridge in which the two have talked.
_TALKED = frozenset({"completed", "answered"})
#: What our gate says of it.
_GATE_REJECTIONS = {"rejected": "rejected", "no-confirmation": "no-confirmation"}


def end_reason_of(party: Party, status: str) -> EndReason:
    """Why a session ends whose party was called and is gone.

    Args:
        party: Who.
        status: Of the call or of the `<Dial>`, in Twilio's words.
    """
    word = _GATE_REJECTIONS.get(party.left_reason) or _ENDS.get(status, "failed")
    return EndReason(f"{party.name}-{word}")


def end_parent_left(draft: Draft, event: CallProgressed | DialEnded) -> None:
    """The one whose `<Dial>` it is hung up first, or was never reached; whoever is still connected is let go."""
    if draft.session.dial_call_status:
        _end_with_child_reason(draft)  # the other side was not reached, which the parent has heard by now
        return
    parent = draft.session.parent
    if isinstance(event, CallProgressed):
        note_call_ended(draft, parent, event)
    _end_with_parent_reason(draft, _reported_status(event))


def _end_with_parent_reason(draft: Draft, status: str) -> None:
    parent = draft.session.parent
    note_gone(draft, parent.name, status)
    was_reached = parent.answered or not parent.dial_id
    reason = EndReason(f"{parent.name}-left") if was_reached else end_reason_of(draft.session.parent, status)
    end_session(draft, reason)


def end_gate_rejected(draft: Draft, event: GateDecided) -> None:
    """The agent of an outbound session did not take the call at our gate, whose document lets him go."""
    note_gate_rejected(draft, event)
    end_session(draft, end_reason_of(draft.session.parties[AGENT], "failed"))


def end_agent_not_dialed(draft: Draft, event: EffectOutcome) -> None:
    """The agent of an outbound session could not be dialled."""
    note_gone(draft, AGENT, "failed" if isinstance(event, EffectFailed) else "unknown")
    end_session(draft, EndReason.AGENT_FAILED)


def end_agent_overdue(draft: Draft, _event: DialOverdue) -> None:
    """Of the agent of an outbound session nothing was heard for too long."""
    end_session(draft, EndReason.AGENT_NO_ANSWER)


def end_by_dial(draft: Draft, event: DialEnded) -> None:
    """The `<Dial>` is over and its action tells the parent, who is let go by its document: nothing is left to do."""
    draft.change(dial_call_status=event.dial_call_status)
    _end_with_child_reason(draft)


def end_by_child(draft: Draft, event: CallProgressed) -> None:
    """The child's own callback completes what the `<Dial>`'s action told."""
    child = draft.session.child
    note_call_ended(draft, child, event)
    _end_with_child_reason(draft)


def end_by_timeout(draft: Draft, _event: LeaveOverdue) -> None:
    """The child's own callback did not come; what the `<Dial>`'s action told has to do."""
    _end_with_child_reason(draft)


def _end_with_child_reason(draft: Draft) -> None:
    parent, child = draft.session.parent, draft.session.child
    told = draft.session.dial_call_status
    reason = end_reason_of(child, told)
    if not child.is_gone:
        note_gone(draft, child.name, told)
    # The action's document hangs the parent up; another request would only race with the sentence that is heard.
    goes_on = parent.name == CUSTOMER and told in _TALKED and bool(draft.session.attributes.after_url)
    draft.change_party(parent, status=PartyStatus.LEFT, left_reason=REDIRECTED_AWAY if goes_on else "released")
    end_session(draft, reason)


def end_by_read(draft: Draft, event: CallsRead) -> None:
    """A read shows that one of the two is gone: the other is let go."""
    apply_conference(draft, event)
    parent, child = draft.session.parent, draft.session.child
    parent_status = event.status_of(parent.call_sid)
    if shows_parent_ended(draft, event):
        note_gone(draft, parent.name, parent_status)
    seen = child_in_read(draft, event)
    if seen is not None and not child.call_sid:
        draft.change_party(draft.session.parties[child.name], call_sid=seen[0])
    if seen is not None and seen[1] in FINAL_CALL_STATUSES:
        note_gone(draft, child.name, seen[1])
    if draft.session.first_to_leave == parent.name:
        _end_with_parent_reason(draft, parent_status or parent.left_reason)
        return
    child = draft.session.parties[child.name]
    end_session(draft, end_reason_of(child, seen[1] if seen is not None else child.left_reason))


def end_customer_gone(draft: Draft, _event: Event) -> None:
    """The customer has left a transfer: everybody else is let go."""
    agent_hung_up_bridge = (
        draft.session.direction == OUTBOUND
        and draft.session.first_to_leave == AGENT
        and not draft.session.conference_sid
    )
    # The agent's `<Dial>` takes the customer along when he hangs up before anybody was moved out of it.
    end_session(draft, EndReason.AGENT_LEFT if agent_hung_up_bridge else EndReason.CUSTOMER_LEFT)


def end_agent_gone(draft: Draft, _event: Event) -> None:
    """The transfer was over, and the agent has hung up before all that was left to do of it was done."""
    end_session(draft, EndReason.AGENT_LEFT)


def hang_up_after_failed_sentence(draft: Draft, event: EffectFailed | EffectUnknown) -> None:
    """The sentence that should have ended somebody's call could not be said: it is hung up without."""
    party = draft.session.parties.get(event.party, draft.session.parties[CUSTOMER])
    draft.emit(HangUpCall, party=party.name, call_sid=party.call_sid)
    end_room_of_guests(draft, event)


def end_room_of_guests(draft: Draft, _event: EffectOutcome) -> None:
    """The customer has left the conference for the sentence that ends the call: no guest stays there alone."""
    if has_left_guests(draft.session):
        draft.emit(EndConference, conference_sid=draft.session.conference_sid)


def end_conference_after_failed_redirect(draft: Draft, _event: EffectFailed | EffectUnknown) -> None:
    """The customer could not be sent on: he waits for nobody in a conference, which is ended."""
    draft.emit(EndConference, conference_sid=draft.session.conference_sid)


def end_customer_missing(draft: Draft, event: CallsRead) -> None:
    """The customer of a transfer could not be brought into a room: nobody is left in silence."""
    apply_presence(draft, event)
    end_session(draft, EndReason.CONVERT_FAILED)


def end_transfer_failed(draft: Draft, _event: Event) -> None:
    """A transfer has failed, the agent is gone, and nobody is left to be tried: the customer is told so."""
    if draft.session.phase is Phase.RECALL:
        reason = EndReason.RECALL_FAILED
    else:
        reason = EndReason.FALLBACK_FAILED if draft.transfer.fell_back else EndReason.TRANSFER_FAILED
    note_transfer_failed(draft, _event)
    customer = draft.session.parties[CUSTOMER]
    draft.emit(SayAndHangUp, party=CUSTOMER, call_sid=customer.call_sid, sentence=Sentence.TRANSFER_FAILED.value)
    # The sentence ends his call; ending the conference at the same time would cut him off before it.
    draft.change_party(customer, status=PartyStatus.LEFT, in_conference=False, left_reason="released")
    end_session(draft, reason, end_conference=False)


def end_party_left(draft: Draft, event: ParticipantLeft | CallProgressed | DialEnded) -> None:
    """One has hung up and nobody is to be left alone: the rest is let go at once."""
    note_left(draft, event)
    end_session(draft, reason_by_first_to_leave(draft))


def end_conference_ended(draft: Draft, event: ConferenceEnded) -> None:
    """The conference is over. Whoever is not known to have hung up is hung up: nobody waits in a dead line."""
    for party in draft.session.participants:
        draft.change_party(party, in_conference=False)
    ending = draft.session.find_party(call_sid=event.call_sid_ending) if event.call_sid_ending else None
    first = draft.session.parties.get(draft.session.first_to_leave)
    # Had somebody whose leaving ends it left before, it would have been that one's.
    if ending is not None and (first is None or first.end_on_exit):
        draft.change(first_to_leave=ending.name)
    _end_without_conference(draft)


def end_conference_over(draft: Draft, event: CallsRead) -> None:
    """A look shows that the conference is over, and nothing has told so."""
    for party in draft.session.participants:
        draft.change_party(party, in_conference=False)
        if event.status_of(party.call_sid) in FINAL_CALL_STATUSES:
            note_gone(draft, party.name, event.status_of(party.call_sid))
    _end_without_conference(draft)


def _end_without_conference(draft: Draft) -> None:
    reason = reason_by_first_to_leave(draft)
    customer = draft.session.parties[CUSTOMER]
    if (
        draft.session.attributes.after_url
        and reason in (EndReason.AGENT_LEFT, EndReason.ALONE)
        and not customer.is_gone
    ):
        # The action of his `<Dial>` leads him on.
        draft.change_party(customer, status=PartyStatus.LEFT, in_conference=False, left_reason=REDIRECTED_AWAY)
    end_session(draft, reason, end_conference=False)  # it is over


def end_convert_failed(draft: Draft, _event: RepairOverdue) -> None:
    """The repair did not help: nobody is left in silence."""
    end_session(draft, EndReason.CONVERT_FAILED)


def end_too_old(draft: Draft, _event: AgeOverdue) -> None:
    """A day is more than a call lasts."""
    end_session(draft, EndReason.TOO_OLD)


def end_by_command(draft: Draft, event: End | Remove) -> None:
    """An operator ends it, or removes the customer; it is done when Twilio has confirmed every hang-up."""
    draft.report(event.command_id, CommandStatus.ACCEPTED)
    draft.change(end_command_id=event.command_id)
    end_session(draft, EndReason.COMMAND)
    if not draft.effects:
        draft.change(end_command_id="")
        draft.report(event.command_id, CommandStatus.DONE)


def end_session(draft: Draft, reason: EndReason, *, end_conference: bool = True) -> None:
    """End the session, for that reason: hang up every live leg by its own request, and end the conference too.

    Twilio refuses to end a conference that has not started, and the end of one does not reach those who still ring.
    Ending it as well takes out those of whom nothing is known, and guests: their calls are not ours, so nothing else is
    asked of them.

    Source: Twilio docs, Errors, 16001.
    """
    session = draft.session
    # A read can be under way for a session without a room; what was ordered before stays in front.
    if session.conference_sid and end_conference:
        draft.emit(EndConference, conference_sid=session.conference_sid)
    for party in session.parties.values():
        if party.is_gone:
            continue
        if party.call_sid and not is_somebody_elses(session, party):
            draft.emit(HangUpCall, party=party.name, call_sid=party.call_sid)
        elif may_have_called(party):
            find_dialed_call(draft, party)
        mark_released(draft, party)
    draft.reason = reason.value
    report_converts(draft, CommandStatus.FAILED, reason.value)
    report_call(draft, CommandStatus.FAILED, reason.value)
    fail_commands(draft, reason.value)
    conclude_session(draft, reason.value)
    draft.change(
        opening=Opening.OVER,
        parked_by="",
        parked_until_ms=0,
        phase=Phase.NONE,
        end_reason=reason.value,
        call_token="",
        open_redirects=(),
        ended_at_ms=draft.now_ms,
        timers={},
        end_effect_ids=tuple(effect.effect_id for effect in draft.effects) if draft.session.end_command_id else (),
    )


def reason_by_first_to_leave(draft: Draft) -> EndReason:
    """Why a session ends in which somebody has hung up: by who was first."""
    return {CUSTOMER: EndReason.CUSTOMER_LEFT, AGENT: EndReason.AGENT_LEFT}.get(
        draft.session.first_to_leave, EndReason.ALONE
    )


def _reported_status(event: Event) -> str:
    if isinstance(event, CallProgressed):
        return event.status
    return event.call_status if isinstance(event, DialEnded) else "completed"


def hang_up_late_leg(draft: Draft, event: ParticipantJoined) -> None:
    """A leg that was on its way when the session ended has reached a room: it is let go, not left alone there."""
    draft.emit(HangUpCall, call_sid=event.call_sid)
    draft.reason = "joined after the end"


def hang_up_live_call(draft: Draft, event: AccountSwept) -> None:
    """The account shows a call of the session, which has ended: it is hung up."""
    draft.emit(HangUpCall, call_sid=event.call_sid)
    draft.reason = "live after the end"


def end_live_conference(draft: Draft, event: AccountSwept) -> None:
    """The account shows the session's conference, which has ended: it is completed."""
    draft.emit(EndConference, conference_sid=event.conference_sid)
    draft.reason = "live after the end"


def hang_up_stray_leg(draft: Draft, event: ParticipantJoined) -> None:
    """A leg of ours opened a second room while the first is in use: it is hung up. A guest goes where they please."""
    party = draft.session.find_party(call_sid=event.call_sid, label=event.label)
    if party is None or not is_somebody_elses(draft.session, party):
        draft.emit(HangUpCall, call_sid=event.call_sid)
    draft.ignore(Outcome.UNEXPECTED, "joined another conference")


def note_hang_up_result(draft: Draft, event: EffectOutcome) -> None:
    """One of the hang-ups that an `end` waits for is settled."""
    rest = tuple(name for name in draft.session.end_effect_ids if name != event.effect_id)
    draft.change(end_effect_ids=rest)
    if isinstance(event, EffectFailed | EffectUnknown):
        reason = "unknown: Twilio gave no answer"
        if isinstance(event, EffectFailed):
            reason = event.reason_text
        draft.report(draft.session.end_command_id, CommandStatus.FAILED, reason)
        draft.change(end_command_id="", end_effect_ids=())
    elif not rest:
        draft.report(draft.session.end_command_id, CommandStatus.DONE)
        draft.change(end_command_id="")
