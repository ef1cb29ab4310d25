"""Whoever waits alone in a conference as is intended: from the start until somebody answers, or parked."""

from conferral.statemachine.actions.conference import leave_conference, note_join
from conferral.statemachine.actions.conversion import redirect_leg
from conferral.statemachine.actions.dials import dial, hang_up_leaving_parties, must_confirm, set_dial_timer
from conferral.statemachine.actions.participants import set_end_on_exit
from conferral.statemachine.actions.reads import read_calls
from conferral.statemachine.actions.recording import note_conference_recording
from conferral.statemachine.actions.reports import report_call
from conferral.statemachine.actions.session_end import end_reason_of, end_session
from conferral.statemachine.actions.transfer.start import apply_settled_read
from conferral.statemachine.draft import Draft
from conferral.statemachine.effects import SayAndHangUp, Sentence
from conferral.statemachine.end_reasons import EndReason
from conferral.statemachine.events import CallsRead, Event, GateDecision, OpeningOverdue, ParticipantJoined
from conferral.statemachine.guards.waiting_party import expected_party, has_reached_conference, waiting_party
from conferral.statemachine.session import AGENT, CUSTOMER, Party
from conferral.statemachine.states import CallStatus, Opening, PartyStatus, Phase, WaitAudio
from conferral.statemachine.step import CommandStatus
from conferral.statemachine.transfer import DialOptions

#: Why somebody who picked up at our gate did not come any further.
_GATE_REJECTIONS = frozenset({*GateDecision, CallStatus.FAILED})


def dial_expected_party(draft: Draft, _event: Event) -> None:
    """Whoever waits is in the conference: the other one is dialled into it, by its SID."""
    draft.change(opening=Opening.DIALING, first_to_leave="")
    party = expected_party(draft)
    if party.dial_id and not party.is_leaving:
        return  # rings already, at our gate, or has failed meanwhile
    _dial(draft, party, party.address)


def dial_next_agent(draft: Draft, _event: Event) -> None:
    """One agent could not be reached: the next one is dialled."""
    number = draft.session.agent_number + 1
    draft.change(agent_number=number)
    _dial(draft, draft.session.parties[AGENT], draft.session.agents[number])


def _dial(draft: Draft, party: Party, address: str) -> None:
    if party.call_sid:
        draft.change(former_calls=(*draft.session.former_calls, party.call_sid))
    dial(
        draft,
        party.name,
        address,
        label=f"{party.name}-{draft.session.dials + 1}",
        # The customer of a `call` sees what the command wants; nobody else waits for a command's options.
        options=DialOptions(caller_id=draft.session.options.caller_id if party.name == CUSTOMER else ""),
        gated=must_confirm(draft, address),
    )


def finish_opening(draft: Draft, _event: Event) -> None:
    """The two talk."""
    draft.change(opening=Opening.OVER, phase=Phase.NONE, first_to_leave="", repaired=False, open_redirects=())
    report_call(draft, CommandStatus.DONE)
    for party in tuple(draft.session.parties.values()):
        draft.change_party(party, wait_audio=WaitAudio.NONE)
    set_dial_timer(draft)
    note_conference_recording(draft)
    set_end_on_exit(draft)


# ---- the one who waits leaves, or is lost ------------------------------------------------------------------------


def end_waiting_party_gone(draft: Draft, _event: Event) -> None:
    """Whoever waited has hung up: the other one's phone stops ringing."""
    found = waiting_party(draft)
    assert found is not None  # the guard has found it
    was_reached = not found.dial_id or (found.answered and found.left_reason not in _GATE_REJECTIONS)
    end_session(draft, EndReason(f"{found.name}-left") if was_reached else end_reason_of(found, found.left_reason))


def end_no_one_reached(draft: Draft, _event: Event) -> None:
    """Nobody is left to be tried: whoever waits is told so, and let go."""
    found, missing = waiting_party(draft), expected_party(draft)
    assert found is not None  # the guard has found it
    draft.emit(SayAndHangUp, party=found.name, call_sid=found.call_sid, sentence=Sentence.NO_ONE_REACHED.value)
    # The sentence ends his call; ending the conference at the same time would cut him off before it.
    draft.change_party(found, status=PartyStatus.LEFT, in_conference=False, left_reason="released")
    end_session(draft, end_reason_of(missing, missing.left_reason), end_conference=False)


def watch_waiting_party(draft: Draft, _event: Event) -> None:
    """Whoever waits is on the way into the conference: should he not arrive, Twilio is asked."""
    draft.set_timer(OpeningOverdue.timer, draft.policy.arrive_timeout_ms)


def stop_watching_waiting_party(draft: Draft, _event: Event) -> None:
    """He is in."""
    draft.cancel_timer(OpeningOverdue.timer)
    draft.change(repaired=False)


def read_waiting_party(draft: Draft, event: OpeningOverdue) -> None:
    """He has not come: Twilio is asked, again and again.

    More seldom where nothing was ever heard of him there: he may have been bridged without Redis, and talk for an hour.
    """
    found = waiting_party(draft)
    is_missed = found is not None and has_reached_conference(draft, found)
    read_calls(draft, event)
    draft.set_timer(
        OpeningOverdue.timer, draft.policy.confirm_interval_ms if is_missed else draft.policy.reread_interval_ms
    )


def redirect_waiting_party(draft: Draft, _event: Event) -> None:
    """He is alive and not in the conference: he is redirected there, once."""
    found = waiting_party(draft)
    assert found is not None  # the guard has found it
    draft.change(repaired=True)
    redirect_leg(draft, found, found.wait_audio)
    draft.set_timer(OpeningOverdue.timer, draft.policy.repair_timeout_ms)


def end_waiting_party_missing(draft: Draft, _event: Event) -> None:
    """He could not be brought into the conference: nobody is left in silence."""
    end_session(draft, EndReason.CONVERT_FAILED)


def await_waiting_party_rejoin(draft: Draft, event: Event) -> None:
    """What he should hear could not be had, so Twilio has put him out: the action of his `<Dial>` leads him on.

    Whoever was dialled straight into the old conference can't reach him there, and is dialled anew.
    """
    leave_conference(draft)
    # He is on his way from now on; in the other one he waits without being held for it, and ends nothing.
    draft.change(moved_at_ms=draft.now_ms)
    found = waiting_party(draft)
    assert found is not None  # the guard has found it
    draft.change_party(found, desired_hold=False, desired_end_on_exit=False)
    if draft.session.opening is not Opening.DIALING:
        return
    party = expected_party(draft)
    draft.change(opening=Opening.ARRIVING)
    if party.dial_id and not party.is_gated and not party.is_gone:
        draft.change_party(party, is_leaving=True)
        hang_up_leaving_parties(draft, event)  # before he is dialled anew


def move_waiting_party_to_new_conference(draft: Draft, event: Event) -> None:
    """Move a customer who can't be held, as the conference has not started, to one whose wait document plays a tune."""
    await_waiting_party_rejoin(draft, event)
    redirect_waiting_party(draft, event)


def follow_waiting_party(draft: Draft, event: ParticipantJoined) -> None:
    """The same, told by his arrival in another one."""
    await_waiting_party_rejoin(draft, event)
    note_join(draft, event)


def follow_waiting_party_by_read(draft: Draft, event: CallsRead) -> None:
    """The same, told by a look, which may show him in another one already."""
    await_waiting_party_rejoin(draft, event)
    apply_settled_read(draft, event)


def end_park_timeout(draft: Draft, _event: Event) -> None:
    """A call was parked for too long, and nobody is to be tried: the customer is told so, and let go."""
    found = waiting_party(draft)
    assert found is not None  # the guard has found it
    draft.emit(SayAndHangUp, party=found.name, call_sid=found.call_sid, sentence=Sentence.TRANSFER_FAILED.value)
    draft.change_party(found, status=PartyStatus.LEFT, in_conference=False, left_reason="released")
    end_session(draft, EndReason.PARK_TIMEOUT, end_conference=False)
