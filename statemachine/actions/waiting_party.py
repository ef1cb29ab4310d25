"""Waiting parties, alone in a conference on purpose; and lone parties."""

from conferral.statemachine import guards
from conferral.statemachine.actions import dials, session_end
from conferral.statemachine.actions.bridge import redirect_leg
from conferral.statemachine.actions.conference import leave_conference, settle_conference
from conferral.statemachine.actions.parties import note_gone
from conferral.statemachine.actions.reads import read_calls
from conferral.statemachine.actions.reports import report_call
from conferral.statemachine.actions.session_end import end_reason_of, end_session, end_with_sentence, reason_of_end
from conferral.statemachine.effects import RedirectToUrl, Sentence
from conferral.statemachine.events import DialEnded, Event, LoneOverdue, OpeningOverdue, StageOverdue
from conferral.statemachine.parts import DialOptions
from conferral.statemachine.reasons import MOVED_OUT, REDIRECTED_AWAY, EndReason
from conferral.statemachine.session import CUSTOMER, Party
from conferral.statemachine.states import Opening, PartyStatus, State, WaitAudio
from conferral.statemachine.step import CommandStatus, Draft, not_none


def dial_expected_party(draft: Draft, _event: Event) -> None:
    """Dial the expected party: the waiting party has joined."""
    draft.change(first_to_leave="")
    party = draft.session.child
    if party.dial_id and not party.is_leaving:
        return  # already ringing at the gate, or failed meanwhile
    if party.is_removed:
        if not party.dial_id:
            note_gone(draft, party.name, "cancelled")
        return  # if it was dialed, its phone is being hung up
    _dial_for_waiting_party(draft, party, party.address)


def dial_next_agent(draft: Draft, _event: Event) -> None:
    """Dial the next agent: the previous one could not be reached."""
    number = draft.session.agent_number + 1
    draft.change(agent_number=number)
    _dial_for_waiting_party(draft, draft.session.agent, draft.session.agents[number])


def _dial_for_waiting_party(draft: Draft, party: Party, address: str) -> None:
    dials.dial(
        draft,
        party.name,
        address,
        # Not `next_label`: after a rollback, the same label shows that the lost dial already placed this call.
        label=f"{party.name}-{draft.session.dials + 1}",
        # Only a `call` has options, and here it dials its customer.
        options=DialOptions(caller_id=draft.session.options.caller_id),
    )


def finish_opening(draft: Draft, _event: Event) -> None:
    """Complete the opening: both parties talk."""
    report_call(draft, CommandStatus.DONE)
    for party in draft.session.parties.values():
        draft.change_party(party, wait_audio=WaitAudio.NONE)
    settle_conference(draft)


def end_waiting_party_gone(draft: Draft, _event: Event) -> None:
    """End the session: the waiting party hung up, and no phone rings on."""
    end_session(draft, reason_of_end(not_none(guards.waiting_party(draft))))


def end_no_one_reached(draft: Draft, _event: Event) -> None:
    """Tell the waiting party that no one was reached, then hang up."""
    found, missing = not_none(guards.waiting_party(draft)), draft.session.child
    end_with_sentence(draft, found, Sentence.NO_ONE_REACHED, end_reason_of(missing, missing.left_reason))


def read_waiting_party(draft: Draft, event: OpeningOverdue) -> None:
    """Read Twilio until the waiting party joins."""
    found = guards.waiting_party(draft)
    is_missed = found is not None and guards.has_reached_conference(draft, found)
    read_calls(draft, event)
    # Less often if never seen there: without Redis, a webhook may have bridged the call, and the two talk for an hour.
    draft.set_timer(OpeningOverdue, draft.policy.confirm_interval_ms if is_missed else draft.policy.reread_interval_ms)


def redirect_waiting_party(draft: Draft, _event: Event, left_conference: str = "") -> None:
    """Redirect the waiting party, once: the call is live but not joined."""
    found = not_none(guards.waiting_party(draft))
    draft.change(repair_attempted=True)
    redirect_leg(draft, found, found.wait_audio, left_conference)
    timer = StageOverdue if draft.state is State.TRANSFERRING else OpeningOverdue
    draft.set_timer(timer, draft.policy.repair_timeout_ms)


def move_to_new_conference(draft: Draft, event: Event) -> None:
    """Move the waiting party to a conference whose wait document plays."""
    # Twilio can't hold anyone in a conference that has not started.
    left_conference = draft.session.conference_sid
    await_rejoin(draft, event)
    redirect_waiting_party(draft, event, left_conference)


def await_rejoin(draft: Draft, event: Event) -> None:
    """Wait for a `<Dial>` action to join the party to another conference.

    Twilio removed the party because its wait audio failed. Who was dialed into the old conference is dialed again.
    """
    leave_conference(draft, event)
    draft.change(moved_at_ms=draft.now_ms)  # gives the party time to arrive
    # In the new conference, the party waits without a hold, and its leaving ends nothing.
    draft.change_party(not_none(guards.waiting_party(draft)), desired_hold=False, desired_end_on_exit=False)
    if draft.session.opening is Opening.DIALING:
        draft.change(opening=Opening.ARRIVING)
    for party in draft.session.parties.values():
        if party.dial_id and not (party.is_gated or party.is_gone):
            dials.mark_leaving(draft, party)
            if party.dial_check == "refused":
                note_gone(draft, party.name, "failed")  # no call will ever come that could be hung up
    dials.hang_up_leaving_parties(draft, event)  # before it is dialed again
    if draft.state is State.TRANSFERRING and StageOverdue.timer not in draft.session.timers:
        draft.set_timer(StageOverdue, draft.policy.arrive_timeout_ms)


def end_park_timeout(draft: Draft, _event: Event) -> None:
    """Tell the customer that the parked call timed out, then hang up."""
    end_with_sentence(draft, not_none(guards.waiting_party(draft)), Sentence.TRANSFER_FAILED, EndReason.PARK_TIMEOUT)


def end_lone_party(draft: Draft, _event: LoneOverdue) -> None:
    """Hang up the lone party, which ends its billing."""
    draft.ended_lone_conference = True
    for party in draft.session.parties.values():
        # No callback has reported it, but another app has moved the call, if it goes on.
        if guards.may_be_back(party):
            note_gone(draft, party.name, MOVED_OUT)
    end_session(draft, session_end.reason_by_first_to_leave(draft))


def end_by_first_to_leave(draft: Draft, _event: Event) -> None:
    """End the session: a party has left, and no one may be left alone."""
    end_session(draft, session_end.reason_by_first_to_leave(draft))


def note_redirected_away(draft: Draft, _event: DialEnded) -> None:
    """Record that the customer continues at the directory's `after` URL."""
    note_gone(draft, CUSTOMER, REDIRECTED_AWAY)


def redirect_to_after_url(draft: Draft, _event: LoneOverdue) -> None:
    """Redirect the customer to the `after` URL: the others have left."""
    customer = guards.present_parties(draft.session)[0]
    draft.emit(RedirectToUrl, party=CUSTOMER, call_sid=customer.call_sid, url=draft.session.attributes.after_url)
    draft.change_party(customer, status=PartyStatus.LEFT, in_conference=False, left_reason=REDIRECTED_AWAY)
    end_session(draft, EndReason.AGENT_LEFT, end_conference=False)
