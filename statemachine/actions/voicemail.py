"""An inbound call's fallback, and the voicemail: in, message, and out."""

from typing import Any

from conferral.statemachine import events
from conferral.statemachine.actions.bridge import fail_waiting_commands, redirect_leg
from conferral.statemachine.actions.dials import hang_up_party
from conferral.statemachine.actions.parties import note_gone
from conferral.statemachine.actions.reads import read_calls
from conferral.statemachine.actions.reports import add_record, fail_transfer, record_transfer
from conferral.statemachine.actions.session_end import end_session, reason_of_leaving
from conferral.statemachine.actions.transfer import begin_place, unreached_reason
from conferral.statemachine.effects import FindMessage, RedirectToVoicemail
from conferral.statemachine.events import Event
from conferral.statemachine.parts import Voicemail
from conferral.statemachine.reasons import EndReason, reported_reason
from conferral.statemachine.record import replace
from conferral.statemachine.session import AGENT, CUSTOMER
from conferral.statemachine.states import (
    CallStatus,
    Opening,
    PartyStatus,
    Phase,
    Place,
    RecordingStatus,
    TransferMode,
    TransferStatus,
    WaitAudio,
)
from conferral.statemachine.step import Draft, Outcome, not_none

#: Why no one took a call for which there is no agent.
NOT_CONFIGURED = "not-configured"


def begin_inbound_fallback(draft: Draft, event: Event) -> None:
    """Begin the fallback of a caller whom no agent took, who waits with music."""
    status = event.dial_call_status if isinstance(event, events.DialEnded) else CallStatus.NO_ANSWER
    note_gone(draft, AGENT, status if draft.session.agent.address else NOT_CONFIGURED)
    session = draft.session
    fail_waiting_commands(draft, reported_reason(session.agent.left_reason))
    draft.change(phase=Phase.FALLBACK, opening=Opening.OVER, first_to_leave="")
    draft.begin_transfer(
        TransferMode.INBOUND,
        to="",
        status=TransferStatus.FAILED,
        reason=reported_reason(session.agent.left_reason),
        unreached=reported_reason(session.agent.left_reason),
        fallback=session.fallback,
    )
    draft.change_party(session.customer, status=PartyStatus.CONNECTED, wait_audio=WaitAudio.MUSIC)
    draft.cancel_timers(events.CallsOverdue)


def move_to_voicemail(draft: Draft, _event: Event) -> None:
    """Move the customer to the voicemail; supervisors are hung up."""
    begin_place(draft, Phase.VOICEMAIL)
    record_transfer(draft, "failed", Place.VOICEMAIL)
    for party in draft.session.present.values():
        if party.name != CUSTOMER:
            hang_up_party(draft, party)
    effect_id = draft.emit(RedirectToVoicemail, party=CUSTOMER, call_sid=draft.session.customer.call_sid)
    _begin_voicemail(draft, move_effect_id=effect_id, conference_sid=draft.session.conference_sid)


def _begin_voicemail(draft: Draft, **fields: Any) -> None:
    """Begin a visit, or what follows it; earlier messages don't end it."""
    before = draft.session.voicemail or Voicemail()
    earlier_sids = (*before.earlier_sids, *filter(None, (before.begun_sid,)))
    draft.change(voicemail=Voicemail(earlier_sids=earlier_sids, **fields))


def _change_voicemail(draft: Draft, **changes: Any) -> None:
    draft.change(voicemail=replace(not_none(draft.session.voicemail), **changes))


def note_moved_to_voicemail(draft: Draft, _event: events.EffectSucceeded) -> None:
    """Record that the customer hears the greeting."""
    _change_voicemail(draft, move_effect_id="")
    draft.change_party(draft.session.customer, in_conference=False)


def verify_voicemail(draft: Draft, event: events.EffectUnknown | events.EffectFailed) -> None:
    """Read Twilio: the customer may be in the conference, or gone."""
    _change_voicemail(draft, move_effect_id="", may_not_have_moved=True)
    draft.set_timer(events.StageOverdue, draft.policy.arrive_timeout_ms)
    read_calls(draft, event)


def repeat_voicemail(draft: Draft, _event: events.CallsRead) -> None:
    """Move the customer once more: a worker may have died before its request."""
    effect_id = draft.emit(RedirectToVoicemail, party=CUSTOMER, call_sid=draft.session.customer.call_sid)
    _change_voicemail(draft, move_effect_id=effect_id, may_not_have_moved=False, was_repeated=True)


def give_up_voicemail(draft: Draft, event: Event) -> None:
    """Note that Twilio did not move the customer, or can't run our document."""
    _begin_voicemail(draft, is_left=True)
    fail_transfer(draft, f"{draft.transfer.reason}, voicemail failed")
    if isinstance(event, events.EffectFailed):
        read_calls(draft, event)


def note_message(draft: Draft, event: events.RecordingChanged | events.EffectSucceeded) -> None:
    """Record that the message begins or is over; report one that Twilio keeps."""
    before = draft.session.voicemail or Voicemail(is_left=True)
    status = event.status if isinstance(event, events.RecordingChanged) else RecordingStatus.COMPLETED
    is_earlier = event.recording_sid in before.earlier_sids
    if status == RecordingStatus.COMPLETED and event.recording_sid not in ("", before.recording_sid):
        add_record(
            draft,
            f"voicemail-{event.recording_sid}",
            kind="voicemail",
            result="recorded",
            recording_sid=event.recording_sid,
            duration_s=event.duration_s,
            started_at_ms=max(0, draft.now_ms - 1000 * event.duration_s),
        )
        after = replace(before, is_recording=True, is_over=True, recording_sid=event.recording_sid)
        draft.change(voicemail=before if is_earlier else after)
    elif is_earlier:
        draft.ignore(Outcome.STALE, "of an earlier message")
    elif status == RecordingStatus.IN_PROGRESS:
        sid = event.recording_sid
        draft.change(voicemail=replace(before, is_recording=True, may_not_have_moved=False, begun_sid=sid))
    elif status == RecordingStatus.ABSENT:
        draft.change(voicemail=replace(before, is_recording=True, is_over=True))
    else:
        draft.ignore(Outcome.STALE, "the message is known, or there is none")


def end_voicemail(draft: Draft, _event: Event) -> None:
    """End the session: the customer has left a message, or hung up."""
    voicemail, customer = not_none(draft.session.voicemail), draft.session.customer
    end_session(draft, EndReason.VOICEMAIL if voicemail.is_recording else reason_of_leaving(customer))
    if not voicemail.is_over:  # its callbacks may be lost
        draft.emit(FindMessage, party=CUSTOMER, call_sid=customer.call_sid)


# ---- out of the voicemail: someone retrieves the call ----------------------------------------------------------------


def take_out_of_voicemail(draft: Draft, _event: Event) -> None:
    """Bring the customer to the party that retrieves the call."""
    _begin_voicemail(draft, is_left=True)
    draft.change(repair_attempted=False)
    customer = draft.session.customer
    draft.change_party(customer, held=False, desired_hold=False, wait_audio=WaitAudio.NONE)
    redirect_leg(draft, draft.session.customer)


def await_customer(draft: Draft, _event: Event) -> None:
    """Wait for the customer to arrive: the party that took the call hung up."""
    draft.change_transfer(unreached=unreached_reason(draft))
    fail_transfer(draft, draft.transfer.unreached)
    draft.change(phase=Phase.FALLBACK)
    draft.change_party(draft.session.customer, wait_audio=WaitAudio.MUSIC)


def stay_in_voicemail(draft: Draft, _event: Event) -> None:
    """Let the customer stay in the voicemail: no one took the call."""
    fail_transfer(draft, unreached_reason(draft))
    record_transfer(draft, "failed", Place.VOICEMAIL)
    draft.change(phase=Phase.VOICEMAIL)
