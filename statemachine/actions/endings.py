"""How a session ends: whom to blame, whom to hang up, and what is still done afterwards."""

from conferral.statemachine.actions.commands import report_call, report_converts
from conferral.statemachine.actions.concluding import conclude_session
from conferral.statemachine.actions.dialling import find_dialled, note_turned_away
from conferral.statemachine.actions.handing_over import note_unreached
from conferral.statemachine.actions.order_book import fail_orders
from conferral.statemachine.actions.parties import (
    SENT_AWAY,
    has_left_guests,
    is_somebody_elses,
    let_go,
    note_gone,
    note_over,
)
from conferral.statemachine.actions.room import note_leaving, take_presence_from, take_room_from
from conferral.statemachine.effects import EndConference, HangUpCall, SayAndHangUp, Sentence
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
from conferral.statemachine.guards.ended import may_have_called
from conferral.statemachine.guards.reads import seen_child, shows_parent_over
from conferral.statemachine.reasons import EndReason
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.session import AGENT, CUSTOMER, OUTBOUND, Party
from conferral.statemachine.states import FINAL_CALL_STATUSES, CallStatus, Opening, PartyStatus, Phase
from conferral.statemachine.step import CommandStatus, Outcome

#: What a call's end, or a `<Dial>`'s, says of the party that was called.
_ENDS = {"completed": "left", "answered": "left", CallStatus.BUSY: "busy", CallStatus.NO_ANSWER: "no-answer"}
#: DialCallStatus of a bridge in which the two have talked.
_TALKED = frozenset({"completed", "answered"})
#: What our gate says of it.
_TURNED_AWAY = {"rejected": "rejected", "no-confirmation": "no-confirmation"}


def reason_of(party: Party, status: str) -> EndReason:
    """Why a session ends whose party was called and is gone.

    Args:
        party: Who.
        status: Of the call or of the `<Dial>`, in Twilio's words.
    """
    word = _TURNED_AWAY.get(party.left_reason) or _ENDS.get(status, "failed")
    return EndReason(f"{party.name}-{word}")


def end_parent_left(scratch: Scratch, event: CallProgressed | DialEnded) -> None:
    """The one whose `<Dial>` it is hung up first, or was never reached; whoever is still connected is let go."""
    if scratch.session.dial_call_status:
        _end_by_child(scratch)  # the other side was not reached, which the parent has heard by now
        return
    parent = scratch.session.parent
    if isinstance(event, CallProgressed):
        note_over(scratch, parent, event)
    _end_by_parent(scratch, _told_status(event))


def _end_by_parent(scratch: Scratch, status: str) -> None:
    parent = scratch.session.parent
    note_gone(scratch, parent.name, status)
    was_reached = parent.answered or not parent.dial_id
    reason = EndReason(f"{parent.name}-left") if was_reached else reason_of(scratch.session.parent, status)
    end_with(scratch, reason)


def end_turned_away(scratch: Scratch, event: GateDecided) -> None:
    """The agent of an outbound session did not take the call at our gate, whose document lets him go."""
    note_turned_away(scratch, event)
    end_with(scratch, reason_of(scratch.session.parties[AGENT], "failed"))


def end_not_dialled(scratch: Scratch, event: EffectOutcome) -> None:
    """The agent of an outbound session could not be dialled."""
    note_gone(scratch, AGENT, "failed" if isinstance(event, EffectFailed) else "unknown")
    end_with(scratch, EndReason.AGENT_FAILED)


def end_agent_overdue(scratch: Scratch, _event: DialOverdue) -> None:
    """Of the agent of an outbound session nothing was heard for too long."""
    end_with(scratch, EndReason.AGENT_NO_ANSWER)


def end_by_dial(scratch: Scratch, event: DialEnded) -> None:
    """The `<Dial>` is over and its action tells the parent, who is let go by its document: nothing is left to do."""
    scratch.change(dial_call_status=event.dial_call_status)
    _end_by_child(scratch)


def end_by_child_over(scratch: Scratch, event: CallProgressed) -> None:
    """The child's own callback completes what the `<Dial>`'s action told."""
    child = scratch.session.child
    note_over(scratch, child, event)
    _end_by_child(scratch)


def end_by_timeout(scratch: Scratch, _event: LeaveOverdue) -> None:
    """The child's own callback did not come; what the `<Dial>`'s action told has to do."""
    _end_by_child(scratch)


def _end_by_child(scratch: Scratch) -> None:
    parent, child = scratch.session.parent, scratch.session.child
    told = scratch.session.dial_call_status
    reason = reason_of(child, told)
    if not child.is_gone:
        note_gone(scratch, child.name, told)
    # The action's document hangs the parent up; another request would only race with the sentence that is heard.
    goes_on = parent.name == CUSTOMER and told in _TALKED and bool(scratch.session.attributes.after)
    scratch.change_party(parent, status=PartyStatus.LEFT, left_reason=SENT_AWAY if goes_on else "let-go")
    end_with(scratch, reason)


def end_by_read(scratch: Scratch, event: CallsRead) -> None:
    """A read shows that one of the two is gone: the other is let go."""
    take_room_from(scratch, event)
    parent, child = scratch.session.parent, scratch.session.child
    parent_status = event.status_of(parent.call_sid)
    if shows_parent_over(scratch, event):
        note_gone(scratch, parent.name, parent_status)
    seen = seen_child(scratch, event)
    if seen is not None and not child.call_sid:
        scratch.change_party(scratch.session.parties[child.name], call_sid=seen[0])
    if seen is not None and seen[1] in FINAL_CALL_STATUSES:
        note_gone(scratch, child.name, seen[1])
    if scratch.session.first_left == parent.name:
        _end_by_parent(scratch, parent_status or parent.left_reason)
        return
    child = scratch.session.parties[child.name]
    end_with(scratch, reason_of(child, seen[1] if seen is not None else child.left_reason))


def end_customer_gone(scratch: Scratch, _event: Event) -> None:
    """The customer has left a transfer: everybody else is let go."""
    agent_hung_up_bridge = (
        scratch.session.direction == OUTBOUND
        and scratch.session.first_left == AGENT
        and not scratch.session.conference_sid
    )
    # The agent's `<Dial>` takes the customer along when he hangs up before anybody was moved out of it.
    end_with(scratch, EndReason.AGENT_LEFT if agent_hung_up_bridge else EndReason.CUSTOMER_LEFT)


def end_agent_gone(scratch: Scratch, _event: Event) -> None:
    """The transfer was over, and the agent has hung up before all that was left to do of it was done."""
    end_with(scratch, EndReason.AGENT_LEFT)


def hang_up_unspoken(scratch: Scratch, event: EffectFailed | EffectUnknown) -> None:
    """The sentence that should have ended somebody's call could not be said: it is hung up without."""
    party = scratch.session.parties.get(event.party, scratch.session.parties[CUSTOMER])
    scratch.order(HangUpCall, party=party.name, call_sid=party.call_sid)
    end_room_of_guests(scratch, event)


def end_room_of_guests(scratch: Scratch, _event: EffectOutcome) -> None:
    """The customer has left the conference for the sentence that ends the call: no guest stays there alone."""
    if has_left_guests(scratch.session):
        scratch.order(EndConference, conference_sid=scratch.session.conference_sid)


def end_room_of_unsent(scratch: Scratch, _event: EffectFailed | EffectUnknown) -> None:
    """The customer could not be sent on: he waits for nobody in a conference, which is ended."""
    scratch.order(EndConference, conference_sid=scratch.session.conference_sid)


def end_astray(scratch: Scratch, event: CallsRead) -> None:
    """The customer of a transfer could not be brought into a room: nobody is left in silence."""
    take_presence_from(scratch, event)
    end_with(scratch, EndReason.CONVERT_FAILED)


def end_unreached(scratch: Scratch, _event: Event) -> None:
    """A transfer has failed, the agent is gone, and nobody is left to be tried: the customer is told so."""
    if scratch.session.phase is Phase.RECALL:
        reason = EndReason.RECALL_FAILED
    else:
        reason = EndReason.FALLBACK_FAILED if scratch.transfer.fell_back else EndReason.TRANSFER_FAILED
    note_unreached(scratch, _event)
    customer = scratch.session.parties[CUSTOMER]
    scratch.order(SayAndHangUp, party=CUSTOMER, call_sid=customer.call_sid, sentence=Sentence.TRANSFER_FAILED.value)
    # The sentence ends his call; ending the conference at the same time would cut him off before it.
    scratch.change_party(customer, status=PartyStatus.LEFT, in_room=False, left_reason="let-go")
    end_with(scratch, reason, ends_room=False)


def end_party_left(scratch: Scratch, event: ParticipantLeft | CallProgressed | DialEnded) -> None:
    """One has hung up and nobody is to be left alone: the rest is let go at once."""
    note_leaving(scratch, event)
    end_with(scratch, reason_by_first_left(scratch))


def end_room_ended(scratch: Scratch, event: ConferenceEnded) -> None:
    """The conference is over. Whoever is not known to have hung up is hung up: nobody waits in a dead line."""
    for party in scratch.session.in_room:
        scratch.change_party(party, in_room=False)
    ending = scratch.session.party_of(call_sid=event.call_sid_ending) if event.call_sid_ending else None
    first = scratch.session.parties.get(scratch.session.first_left)
    # Had somebody whose leaving ends it left before, it would have been that one's.
    if ending is not None and (first is None or first.ends_conference):
        scratch.change(first_left=ending.name)
    _end_without_room(scratch)


def end_room_over(scratch: Scratch, event: CallsRead) -> None:
    """A look shows that the conference is over, and nothing has told so."""
    for party in scratch.session.in_room:
        scratch.change_party(party, in_room=False)
        if event.status_of(party.call_sid) in FINAL_CALL_STATUSES:
            note_gone(scratch, party.name, event.status_of(party.call_sid))
    _end_without_room(scratch)


def _end_without_room(scratch: Scratch) -> None:
    reason = reason_by_first_left(scratch)
    customer = scratch.session.parties[CUSTOMER]
    if scratch.session.attributes.after and reason in (EndReason.AGENT_LEFT, EndReason.ALONE) and not customer.is_gone:
        # The action of his `<Dial>` leads him on.
        scratch.change_party(customer, status=PartyStatus.LEFT, in_room=False, left_reason=SENT_AWAY)
    end_with(scratch, reason, ends_room=False)  # it is over


def end_convert_failed(scratch: Scratch, _event: RepairOverdue) -> None:
    """The repair did not help: nobody is left in silence."""
    end_with(scratch, EndReason.CONVERT_FAILED)


def end_too_old(scratch: Scratch, _event: AgeOverdue) -> None:
    """A day is more than a call lasts."""
    end_with(scratch, EndReason.TOO_OLD)


def end_by_command(scratch: Scratch, event: End | Remove) -> None:
    """An operator ends it, or removes the customer; it is done when Twilio has confirmed every hang-up."""
    scratch.report(event.command_id, CommandStatus.ACCEPTED)
    scratch.change(ending_for=event.command_id)
    end_with(scratch, EndReason.COMMAND)
    if not scratch.effects:
        scratch.change(ending_for="")
        scratch.report(event.command_id, CommandStatus.DONE)


def end_with(scratch: Scratch, reason: EndReason, *, ends_room: bool = True) -> None:
    """End the session, for that reason: hang up every live leg by its own request, and end the conference too.

    Twilio refuses to end a conference that has not started, and the end of one does not reach those who still ring.
    Ending it as well takes out those of whom nothing is known, and guests: their calls are not ours, so nothing else is
    asked of them.

    Source: Twilio docs, Errors, 16001.
    """
    session = scratch.session
    # A read can be under way for a session without a room; what was ordered before stays in front.
    if session.conference_sid and ends_room:
        scratch.order(EndConference, conference_sid=session.conference_sid)
    for party in session.parties.values():
        if party.is_gone:
            continue
        if party.call_sid and not is_somebody_elses(session, party):
            scratch.order(HangUpCall, party=party.name, call_sid=party.call_sid)
        elif may_have_called(party):
            find_dialled(scratch, party)
        let_go(scratch, party)
    scratch.reason = reason.value
    report_converts(scratch, CommandStatus.FAILED, reason.value)
    report_call(scratch, CommandStatus.FAILED, reason.value)
    fail_orders(scratch, reason.value)
    conclude_session(scratch, reason.value)
    scratch.change(
        opening=Opening.OVER,
        parked_by="",
        parked_until_ms=0,
        phase=Phase.NONE,
        end_reason=reason.value,
        call_token="",
        redirecting=(),
        ended_at_ms=scratch.now_ms,
        timers={},
        ending_effects=tuple(effect.effect_id for effect in scratch.effects) if scratch.session.ending_for else (),
    )


def reason_by_first_left(scratch: Scratch) -> EndReason:
    """Why a session ends in which somebody has hung up: by who was first."""
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


def let_live_call_go(scratch: Scratch, event: AccountSwept) -> None:
    """The account shows a call of the session, which has ended: it is hung up."""
    scratch.order(HangUpCall, call_sid=event.call_sid)
    scratch.reason = "live after the end"


def end_live_conference(scratch: Scratch, event: AccountSwept) -> None:
    """The account shows the session's conference, which has ended: it is completed."""
    scratch.order(EndConference, conference_sid=event.conference_sid)
    scratch.reason = "live after the end"


def let_stray_leg_go(scratch: Scratch, event: ParticipantJoined) -> None:
    """A leg of ours opened a second room while the first is in use: it is hung up. A guest goes where they please."""
    party = scratch.session.party_of(call_sid=event.call_sid, label=event.label)
    if party is None or not is_somebody_elses(scratch.session, party):
        scratch.order(HangUpCall, call_sid=event.call_sid)
    scratch.pass_over(Outcome.UNEXPECTED, "joined another conference")


def note_ending(scratch: Scratch, event: EffectOutcome) -> None:
    """One of the hang-ups that an `end` waits for is settled."""
    rest = tuple(name for name in scratch.session.ending_effects if name != event.effect_id)
    scratch.change(ending_effects=rest)
    if isinstance(event, EffectFailed | EffectUnknown):
        reason = "unknown: Twilio gave no answer"
        if isinstance(event, EffectFailed):
            reason = event.in_words
        scratch.report(scratch.session.ending_for, CommandStatus.FAILED, reason)
        scratch.change(ending_for="", ending_effects=())
    elif not rest:
        scratch.report(scratch.session.ending_for, CommandStatus.DONE)
        scratch.change(ending_for="")
