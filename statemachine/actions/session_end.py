"""End of a session: its reason, the legs to hang up, and the cleanup."""

from collections.abc import Callable
from operator import attrgetter

from conferral.statemachine import events, guards
from conferral.statemachine.actions import parties
from conferral.statemachine.actions.conference import apply_presence
from conferral.statemachine.actions.dials import find_dialed_call
from conferral.statemachine.actions.recording import find_recordings
from conferral.statemachine.actions.reports import code_of_end, conclude_session
from conferral.statemachine.effects import EndConference, FindRecording, HangUpCall, RedirectToUrl, SayAndHangUp
from conferral.statemachine.events import Event
from conferral.statemachine.legs import note_facts, overtake_reads
from conferral.statemachine.other_apps import is_of_another_app, may_be_moved_by_us
from conferral.statemachine.places import return_url
from conferral.statemachine.reasons import (
    MOVED_OUT,
    NO_AGENT,
    NOT_OURS,
    REASONS,
    REDIRECTED_AWAY,
    RELEASED,
    REMOVED_BY_END,
    EndReason,
    Reason,
)
from conferral.statemachine.record import replace
from conferral.statemachine.session import AGENT, CUSTOMER, GUEST, Party
from conferral.statemachine.states import (
    ANSWERED_DIAL_STATUSES,
    FINAL_CALL_STATUSES,
    CallStatus,
    Opening,
    PartyStatus,
    Phase,
    Place,
    State,
    TransferMode,
)
from conferral.statemachine.step import CommandStatus, DecisionKind, Draft, not_none

#: The final status of a call or `<Dial>`, as a word about the called party.
_ENDS = {"completed": "left", "answered": "left", CallStatus.BUSY: "busy", CallStatus.NO_ANSWER: "no-answer"}
#: Why a child of a bridge that was not reached is gone; it is `canceled` if another app moves the parent.
_NOT_REACHED = frozenset({CallStatus.BUSY, CallStatus.NO_ANSWER, CallStatus.FAILED, "rejected"})
#: Why the gate turned a party away, as the end's reason says it.
_TURNED_AWAY = frozenset({
    events.GateDecision.REJECTED, events.GateDecision.NO_CONFIRMATION, events.GateDecision.ANSWERING_MACHINE,
})  # fmt: skip
#: Why a party that answered at the gate did not join.
_GATE_FAILURES = frozenset({*events.GateDecision, CallStatus.FAILED})
#: Why a call or a conference is ended: nothing of an ended session goes on.
_AFTER_END = "the session has ended"


def reason_by_call_status(party: Party, status: str) -> EndReason:
    """Return why a session ends by the called party's final call status."""
    if party.left_reason == EndReason.TIME_LIMIT:
        return EndReason.TIME_LIMIT
    is_gates = party.left_reason in _TURNED_AWAY
    return EndReason(f"{party.name}-{party.left_reason if is_gates else _ENDS.get(status, 'failed')}")


def end(reason: EndReason) -> Callable[[Draft, Event], None]:
    """Return the action that ends the session for this reason."""

    def end_for_reason(draft: Draft, _event: Event) -> None:
        end_session(draft, reason)

    end_for_reason.__name__ = end.__name__
    end_for_reason.__doc__ = f"End the session: `{reason}`."
    return end_for_reason


def end_with_sentence(draft: Draft, party: Party, reason: EndReason) -> None:
    """Tell the only party that no one was reached, and end the session."""
    draft.emit(SayAndHangUp, party=party.name, call_sid=party.call_sid)
    draft.change_party(party, status=PartyStatus.LEFT, in_conference=False, left_reason=RELEASED)
    end_session(draft, reason, end_conference=False)  # which would cut the sentence off


def end_bridge(draft: Draft, _event: Event) -> None:
    """End the session: the bridge is over."""
    parent, child, child_status = draft.session.parent, draft.session.child, draft.session.dial_call_status
    if not child_status:
        end_session(draft, _reason_without_action(draft))
        return
    reason = reason_by_call_status(child, child_status)
    parties.note_gone(draft, child.name, child_status)
    # The action's document hangs up the parent; another request would cut off the sentence that plays.
    was_answered = child_status in ANSWERED_DIAL_STATUSES
    continues = parent.name == CUSTOMER and was_answered and bool(draft.session.attributes.after_url)
    draft.change_party(parent, status=PartyStatus.LEFT, left_reason=REDIRECTED_AWAY if continues else RELEASED)
    end_session(draft, reason)


def _reason_without_action(draft: Draft) -> EndReason:
    """Return why a bridge ended whose action was not requested in time."""
    parent, child = draft.session.parent, draft.session.child
    if EndReason.TIME_LIMIT in (parent.left_reason, child.left_reason):
        return EndReason.TIME_LIMIT
    if guards.first_to_leave_bridge(draft.session) is child:
        return reason_by_call_status(child, child.left_reason)
    # Twilio may call a phone that stops ringing `no-answer`. A refusal is the agent's own.
    dial_id = draft.session.dial_of(child)
    for attempt in draft.session.attempts:
        if attempt.dial_id == dial_id and attempt.result not in ("answered", *_TURNED_AWAY):
            draft.change_attempt(dial_id, result=Reason.CANCELLED, ended_at_ms=attempt.ended_at_ms or draft.at_ms)
    return reason_if_left_or_unreached(parent)


def reason_if_left_or_unreached(party: Party) -> EndReason:
    """Return why a session ends that this party left first, or never joined."""
    was_reached = not party.dial_id or (party.answered and party.left_reason not in _GATE_FAILURES)
    return reason_if_left_first(party) if was_reached else reason_by_call_status(party, party.left_reason)


def end_child_moved(draft: Draft, event: events.CallsRead) -> None:
    """End the session: the bridge is over, and the child goes on."""
    parties.note_call_over(draft, draft.session.parent.name, event)
    child = draft.session.child
    # Another app moved it, unless a redirect of ours may have.
    is_ours = may_be_moved_by_us(draft.session, child, draft.now_ms)
    if not is_ours:
        draft.change_party(child, status=PartyStatus.LEFT, left_reason=REDIRECTED_AWAY)
    is_moved = child.name == CUSTOMER and not is_ours
    status = draft.session.dial_call_status
    end_session(draft, EndReason.MOVED if is_moved else reason_by_call_status(child, status))


def end_turned_away(draft: Draft, _event: Event) -> None:
    """End the session: the caller's document is a sentence, then a hang-up."""
    draft.change_party(draft.session.customer, status=PartyStatus.LEFT, left_reason=RELEASED)
    end_session(draft, EndReason.CLOSED if draft.session.closed else EndReason.AGENT_AWAY)


def end_moved(draft: Draft, event: events.CallsRead) -> None:
    """End the session: another app moved the parent, and maybe the child."""
    apply_presence(draft, event)
    seen = guards.child_in_read(draft, event)
    if seen is not None and seen.status in FINAL_CALL_STATUSES:
        note_facts(draft, draft.session.child, call_sid=seen.call_sid)
        parties.note_call_over(draft, draft.session.child.name, event)
    for party in (draft.session.parent, draft.session.child):
        if not (party.is_gone or may_be_moved_by_us(draft.session, party, draft.now_ms)):
            draft.change_party(party, status=PartyStatus.LEFT, in_conference=False, left_reason=REDIRECTED_AWAY)
    child = draft.session.child
    # A caller whom no one answered hears our message, as far as is known.
    was_reached = child.left_reason not in _NOT_REACHED
    reason = EndReason.MOVED if draft.session.parent.is_gone else reason_by_first_to_leave(draft)
    end_session(draft, reason if was_reached else reason_by_call_status(child, child.left_reason))


def end_customer_gone(draft: Draft, _event: Event) -> None:
    """End the session: the customer hung up, or left, during a transfer."""
    session = draft.session
    # An agent who hangs up before anyone is moved ends the customer's call as well: the agent's `<Dial>` carries it.
    ended_bridge = not session.customer_is_parent
    # An agent who hangs up just before being removed for a park ends the conference.
    ended_conference = draft.transfer.mode is TransferMode.PARK and bool(session.former_conferences)
    agent_left_first = session.first_to_leave == AGENT and not session.conference_sid
    agent_ended_call = agent_left_first and (ended_bridge or ended_conference)
    end_session(draft, EndReason.AGENT_LEFT if agent_ended_call else reason_if_left_first(session.customer))


def hang_up_after_failed_sentence(draft: Draft, event: events.EffectFailed | events.EffectUnknown) -> None:
    """Hang up the party: the sentence before its hangup was not played."""
    party = draft.session.parties.get(event.party, draft.session.customer)
    draft.emit(HangUpCall, party=party.name, call_sid=party.call_sid)
    if guards.guests_may_remain(draft, event):
        end_conference(draft, event)


def end_conference(draft: Draft, event: Event) -> None:
    """End an ended session's conference, or the one that an event found."""
    draft.emit(EndConference, conference_sid=getattr(event, "conference_sid", draft.session.conference_sid))
    draft.reason = _AFTER_END


def end_transfer_failed(draft: Draft, _event: Event) -> None:
    """Tell the customer that the transfer failed, then hang up."""
    place = draft.transfer.place
    reason = EndReason.RECALL_FAILED if place == Place.RECALL else EndReason.FALLBACK_FAILED
    if not place:
        reason = _reason_without_place(draft)
    end_with_sentence(draft, draft.session.customer, reason)


def _reason_without_place(draft: Draft) -> EndReason:
    """Return why a customer is hung up for whom there was no place to try."""
    agent, transfer = draft.session.agent, draft.transfer
    if transfer.mode is not TransferMode.INBOUND:
        timed_out = transfer.reason == EndReason.PARK_TIMEOUT
        return EndReason.PARK_TIMEOUT if timed_out else EndReason.TRANSFER_FAILED
    if transfer.unreached == EndReason.QUEUE_LIMIT:
        return EndReason.QUEUE_LIMIT
    if transfer.unreached == Reason.AWAY:
        return EndReason.AGENT_AWAY
    return reason_by_call_status(agent, agent.left_reason)


def end_conference_ended(draft: Draft, event: events.ConferenceEnded) -> None:
    """End the session: the conference is over."""
    ending = draft.session.find_party(call_sid=event.call_sid_ending) if event.call_sid_ending else None
    if ending is not None and ending.name in (CUSTOMER, AGENT):
        _note_ending_party(draft, ending, is_last=event.conference_reason.startswith("last-participant"))
    _end_without_conference(draft)


def _note_ending_party(draft: Draft, ending: Party, *, is_last: bool) -> None:
    """Record who left first, by the party whose leaving ended the conference."""
    first = draft.session.parties.get(draft.session.first_to_leave)
    # If a party whose leaving ends the conference had left before, that would have ended it.
    if not is_last and (first is None or first.end_on_exit):
        draft.change(first_to_leave=ending.name)
    elif is_last and first is None:
        # The last one ended it: the other had left before, though no callback has said so.
        other = draft.session.parties[AGENT if ending.name == CUSTOMER else CUSTOMER]
        took_part = other.in_conference and not other.is_leaving
        draft.change(first_to_leave=other.name if took_part else ending.name)


def end_conference_over(draft: Draft, event: events.CallsRead) -> None:
    """End the session: a read shows that the conference is over."""
    # Those known to be outside may be there because one inside ended it, unless Twilio's clock contradicts that.
    for party in sorted(draft.session.present.values(), key=attrgetter("in_conference"), reverse=True):
        if event.status_of(party.call_sid) in FINAL_CALL_STATUSES:
            parties.note_call_over(draft, party.name, event)
    _end_without_conference(draft)


def _end_without_conference(draft: Draft) -> None:
    reason = reason_by_first_to_leave(draft)
    customer = draft.session.customer
    others_left = reason in (EndReason.AGENT_LEFT, EndReason.ALONE)
    if draft.session.attributes.after_url and others_left and not customer.is_gone:
        # The customer's `<Dial>` action redirects the call to the `after` URL.
        draft.change_party(customer, status=PartyStatus.LEFT, in_conference=False, left_reason=REDIRECTED_AWAY)
    # The answer to a member's `<Dial>` action ends the call, unless another app moved it.
    members = [party for party in draft.session.parties.values() if party.in_conference or guards.may_be_back(party)]
    for party in members:
        draft.change_party(party, status=PartyStatus.LEFT, in_conference=False, left_reason=REMOVED_BY_END)
    end_session(draft, reason, end_conference=False)  # it is over already


def end_by_command(draft: Draft, event: events.End | events.Remove) -> None:
    """End the session by a command, done when Twilio confirms each hangup."""
    end_session(draft, EndReason.COMMAND)
    awaited = tuple(effect.effect_id for effect in draft.effects if not isinstance(effect, FindRecording))
    command = parties.accept_command(draft, event, effects=awaited)
    if not command.effects:
        parties.finish_command(draft, command, CommandStatus.DONE)


def end_session(draft: Draft, reason: EndReason, *, end_conference: bool = True) -> None:
    """End the session: hang up every live leg, and end the conference.

    Each leg has its own request: Twilio can't end a conference that has not started, and its end does not reach ringing
    parties. The end removes unknown participants and guests, whose calls Conferral does not own. Source: Twilio docs,
    Errors, 16001.
    """
    session = draft.session
    if reason in NO_AGENT:  # each agent's attempt counts
        word = parties.reason_of_agents(session, reason.partition("-")[2])
        reason = next((one for one in NO_AGENT if one == f"{AGENT}-{word}"), EndReason.AGENT_FAILED)
    # A read may be open for a session without a conference; effects emitted earlier stay in front.
    if session.conference_sid and end_conference:
        draft.emit(EndConference, conference_sid=session.conference_sid)
    # Twilio ends the child of a bridge with its parent; the action's answer ends the parent.
    bridge_is_over = draft.state is State.BRIDGED and (
        session.dial_call_status or session.parent.is_gone or session.child.is_gone
    )
    for party in session.parties.values():
        if party.is_gone:
            is_searched = guards.is_unknown_dial(party) and party.dial_check == "searched"
            if is_searched and draft.now_ms < party.dial_check_at_ms:
                find_dialed_call(draft, party)  # effects emitted before the end are dropped
            continue
        is_moved = party.in_conference or may_be_moved_by_us(session, party, draft.now_ms)
        if bridge_is_over and party.call_sid and not is_moved:
            draft.change_party(party, status=PartyStatus.LEFT, left_reason=RELEASED)
            continue
        is_released = not is_of_another_app(session, party)
        if party.call_sid and is_released:
            draft.emit(HangUpCall, party=party.name, call_sid=party.call_sid)
            draft.change_party(party, hang_up_requested=True)
        elif guards.is_unknown_dial(party) and party.dial_check in guards.UNKNOWN_DIAL:
            find_dialed_call(draft, party)
        parties.close_attempt(draft, party, Reason.CANCELLED)
        left_reason = RELEASED if is_released else NOT_OURS
        draft.change_party(party, status=PartyStatus.LEFT, in_conference=False, held=False, left_reason=left_reason)
    draft.reason = end_reason = reason.value
    overtake_reads(draft, *draft.session.parties.values())
    parties.fail_commands(draft, end_reason, code_of_end(draft.session, end_reason))
    conclude_session(draft, end_reason)
    find_recordings(draft)
    draft.change(
        opening=Opening.OVER,
        parked_by="",
        parked_until_ms=0,
        phase=Phase.NONE,
        end_reason=end_reason,
        call_token="",
        open_redirects=(),
        ended_at_ms=draft.now_ms,
        timers={},
        unsettled_since_ms={},
    )


def end_waiting_party_gone(draft: Draft, _event: Event) -> None:
    """End the session: the waiting party hung up, and no phone rings on."""
    end_session(draft, reason_if_left_or_unreached(not_none(guards.waiting_party(draft))))


def end_no_one_reached(draft: Draft, _event: Event) -> None:
    """Tell the waiting party that no one was reached, then hang up."""
    found, missing = not_none(guards.waiting_party(draft)), draft.session.child
    end_with_sentence(draft, found, reason_by_call_status(missing, missing.left_reason))


def end_lone_party(draft: Draft, _event: Event) -> None:
    """Hang up the lone party, which ends its billing."""
    for party in draft.session.parties.values():
        # No callback has reported it, but another app has moved the call, if it goes on.
        if guards.may_be_back(party):
            parties.note_gone(draft, party.name, MOVED_OUT)
    end_session(draft, reason_by_first_to_leave(draft))


def end_by_first_to_leave(draft: Draft, _event: Event) -> None:
    """End the session: a party has left, and no one may be left alone."""
    end_session(draft, reason_by_first_to_leave(draft))


def return_to_url(draft: Draft, _event: Event) -> None:
    """Redirect the customer to the fallback's URL: your app's TwiML goes on."""
    session, why = draft.session, REASONS.get(draft.transfer.unreached, Reason.FAILED)
    url = return_url(guards.next_place(draft), session.id, why, session.ref)
    # If Twilio refuses, the end of the conference moves the customer on, as with the directory's `after`.
    draft.change(attributes=replace(draft.session.attributes, after_url=url))
    draft.change_transfer(places_tried=draft.transfer.places_tried + 1)  # where the customer landed
    _redirect_customer(draft, EndReason.RETURNED)


def redirect_to_after_url(draft: Draft, _event: Event) -> None:
    """Redirect the customer to the `after` URL: the others have left."""
    _redirect_customer(draft, EndReason.AGENT_LEFT)


def _redirect_customer(draft: Draft, reason: EndReason) -> None:
    customer, url = draft.session.customer, draft.session.attributes.after_url
    draft.emit(RedirectToUrl, party=CUSTOMER, call_sid=customer.call_sid, url=url)
    draft.change_party(customer, status=PartyStatus.LEFT, in_conference=False, left_reason=REDIRECTED_AWAY)
    end_session(draft, reason, end_conference=False)


def reason_by_first_to_leave(draft: Draft) -> EndReason:
    """Return why a session ends by the party noted as first to leave."""
    first = draft.session.parties.get(draft.session.first_to_leave)
    return EndReason.ALONE if first is None else reason_if_left_first(first)


def reason_if_left_first(party: Party) -> EndReason:
    """Return why a session ends that this customer or agent left first.

    The caller of this function has decided that it did.
    """
    if party.left_reason == EndReason.TIME_LIMIT:
        return EndReason.TIME_LIMIT
    if party.name == CUSTOMER and party.left_reason == MOVED_OUT:
        return EndReason.MOVED
    return EndReason(f"{party.name}-left")


def hang_up_after_end(
    draft: Draft,
    event: events.AccountSwept | events.DialedCallEvent | events.EffectSucceeded | events.ParticipantJoined,
) -> None:
    """Hang up a call of a session that has ended."""
    effect_id = draft.emit(HangUpCall, call_sid=event.call_sid)
    if isinstance(event, events.EffectSucceeded):  # of a search, whose result an `end` may await
        for command in draft.session.pending_commands:
            awaited = tuple(effect_id if one == event.effect_id else one for one in command.effects)
            parties.change_command(draft, command, effects=awaited)
    draft.reason = _AFTER_END


def end_conference_of_late_guest(draft: Draft, event: events.ParticipantJoined) -> None:
    """End the conference that a guest (a call of another app) joined late.

    Remember the guest.
    """
    if draft.session.subject_of(event) is None:
        name = parties.next_name(draft.session, GUEST)
        guest = Party(name, event.label, event.call_sid, status=PartyStatus.LEFT, left_reason=NOT_OURS)
        draft.change(parties={**draft.session.parties, name: guest})
    end_conference(draft, event)


def end_what_is_live(draft: Draft, event: events.AccountSwept) -> None:
    """End what the sweep found; after a loss, search for calls."""
    if event.call_sid:
        hang_up_after_end(draft, event)
    elif event.conference_sid:
        end_conference(draft, event)
    else:
        for party in draft.session.parties.values():
            if guards.is_unknown_dial(party):
                find_dialed_call(draft, party)


def hang_up_stray_leg(draft: Draft, event: events.ParticipantJoined) -> None:
    """Hang up a leg that joined a second conference, unless it is a guest."""
    party = draft.session.subject_of(event)
    if party is None or not is_of_another_app(draft.session, party):
        draft.emit(HangUpCall, call_sid=event.call_sid)
    draft.ignore(DecisionKind.UNEXPECTED, "joined another conference")


def note_end_result(draft: Draft, event: events.EffectResult) -> None:
    """Record the result of a hangup that the `end` command waits for."""
    (command,) = draft.session.pending_commands
    rest = tuple(one for one in command.effects if one != event.effect_id)
    if isinstance(event, events.EffectFailed | events.EffectUnknown):
        parties.finish_command(draft, command, CommandStatus.FAILED, event.reason_text, event.code_text)
    elif rest:
        parties.change_command(draft, command, effects=rest)
    else:
        parties.finish_command(draft, command, CommandStatus.DONE)
