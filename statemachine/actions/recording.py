"""The recording of a session: begun with the conversation or by command, and never with a consult on it."""

from dataclasses import replace
from typing import Any

from conferral.statemachine.actions.order_book import end_order, take
from conferral.statemachine.effects import ChangeRecording, StartRecording
from conferral.statemachine.events import (
    EffectFailed,
    EffectOutcome,
    EffectSucceeded,
    Event,
    Record,
    RecordingChanged,
)
from conferral.statemachine.guards.recording import is_of_our_recording, is_recorded
from conferral.statemachine.order import Recording
from conferral.statemachine.scratch import Scratch
from conferral.statemachine.session import CUSTOMER
from conferral.statemachine.states import RecordAction, RecordingStatus
from conferral.statemachine.step import CommandStatus, Outcome

_WANTED = {
    RecordAction.START: RecordingStatus.IN_PROGRESS,
    RecordAction.PAUSE: RecordingStatus.PAUSED,
    RecordAction.RESUME: RecordingStatus.IN_PROGRESS,
    RecordAction.STOP: RecordingStatus.STOPPED,
}
_STATUSES = frozenset(RecordingStatus)


def _change(scratch: Scratch, **changes: Any) -> None:
    recording = scratch.session.recording
    assert recording is not None
    scratch.change(recording=replace(recording, **changes))


# ---- asking ------------------------------------------------------------------------------------------------------


def record(scratch: Scratch, event: Record) -> None:
    """Somebody wants it to be started, paused, resumed or stopped."""
    effect_id = _start(scratch) if event.action == RecordAction.START else _ask(scratch, RecordAction(event.action))
    take(scratch, event, action=event.action, effects=(effect_id,))


def keep_paused(scratch: Scratch, event: Record) -> None:
    """It stands still for a consult, and shall do so when that is over."""
    _change(scratch, is_paused_for_consult=False)
    scratch.report(event.command_id, CommandStatus.DONE)


def record_customer(scratch: Scratch, _event: Event) -> None:
    """The customer's call is recorded from its answer."""
    _start(scratch)


def _start(scratch: Scratch) -> str:
    customer = scratch.session.parties[CUSTOMER]
    before = scratch.session.recording
    failures = before.failures if before is not None and not before.status else 0
    effect_id = scratch.order(StartRecording, party=CUSTOMER, call_sid=customer.call_sid)
    scratch.change(
        recording=Recording(
            wanted=RecordingStatus.IN_PROGRESS.value, asked="start", updating=effect_id, failures=failures
        )
    )
    return effect_id


def note_conference_recording(scratch: Scratch) -> None:
    """The conference has begun, and is recorded from its start: that recording is meant from here on.

    One of the customer's call, which was begun over the bridge, makes room for it: nobody could stop it any more. Where
    that one stands still, the conference's is to stand still too.
    """
    recording = scratch.session.recording
    if scratch.session.attributes.record != "true" or (recording is not None and recording.of_conference):
        return
    runs = recording is not None and is_recorded(scratch.session)
    is_paused = recording is not None and recording.wanted == RecordingStatus.PAUSED
    if runs:
        _ask(scratch, RecordAction.STOP)
    status = RecordingStatus.IN_PROGRESS.value
    scratch.change(recording=Recording(of_conference=True, status=status, wanted=status))
    if runs and is_paused:
        _ask(scratch, RecordAction.PAUSE)


def _ask(scratch: Scratch, action: RecordAction) -> str:
    recording = scratch.session.recording
    assert recording is not None
    wanted = _WANTED[action].value
    effect_id = scratch.order(
        ChangeRecording,
        recording_sid=recording.recording_sid,
        call_sid="" if recording.of_conference else scratch.session.parties[CUSTOMER].call_sid,
        conference_sid=scratch.session.conference_sid if recording.of_conference else "",
        status=wanted,
    )
    _change(scratch, wanted=wanted, asked=action.value, updating=effect_id)
    return effect_id


def pause_for_consult(scratch: Scratch) -> bool:
    """The conference's recording stands still while agent and target talk.

    Returns:
        Whether something has to be confirmed first.
    """
    recording = scratch.session.recording
    if recording is None or not recording.of_conference or not is_recorded(scratch.session):
        return False
    if recording.status == RecordingStatus.PAUSED and not recording.asked:
        return False
    if recording.asked != RecordAction.PAUSE:  # else a command has asked for it, and it stands still beyond the consult
        _change(scratch, is_paused_for_consult=True)
        _ask(scratch, RecordAction.PAUSE)
    return True


def resume_after_consult(scratch: Scratch, _event: Event) -> None:
    """The customer is part of it again."""
    _change(scratch, is_paused_for_consult=False)
    if is_recorded(scratch.session):
        _ask(scratch, RecordAction.RESUME)


# ---- what came of it ---------------------------------------------------------------------------------------------


def note_recorded(scratch: Scratch, event: EffectSucceeded) -> None:
    """Twilio has done it."""
    recording = scratch.session.recording
    if recording is not None and recording.updating == event.effect_id:
        _change(
            scratch,
            recording_sid=event.recording_sid or recording.recording_sid,
            status=recording.wanted,
            asked="",
            updating="",
            failures=0,
        )
    _tell(scratch, event, CommandStatus.DONE, "")


def note_not_recorded(scratch: Scratch, event: EffectOutcome) -> None:
    """Twilio refused, or nobody knows. A recording that could not be paused for a consult is stopped."""
    recording = scratch.session.recording
    reason = event.in_words if isinstance(event, EffectFailed) else "unknown: Twilio gave no answer"
    if recording is not None and recording.updating == event.effect_id:
        asked = recording.asked
        is_over = isinstance(event, EffectFailed) and event.gone
        _change(scratch, asked="", updating="", wanted=recording.status, failures=recording.failures + 1)
        if is_over and asked != RecordAction.START:
            _change(scratch, status=RecordingStatus.COMPLETED.value)
        elif asked == RecordAction.PAUSE and recording.is_paused_for_consult:
            _change(scratch, is_paused_for_consult=False)
            _ask(scratch, RecordAction.STOP)
    _tell(scratch, event, CommandStatus.FAILED, reason)


def _tell(scratch: Scratch, event: EffectOutcome, status: CommandStatus, reason: str) -> None:
    for order in scratch.session.orders:
        if event.effect_id in order.effects:
            end_order(scratch, order, status, reason)


def note_recording(scratch: Scratch, event: RecordingChanged) -> None:
    """Twilio tells how a recording is."""
    if not is_of_our_recording(scratch, event):
        scratch.pass_over(Outcome.STALE, "another recording than the session's")
        return
    recording = scratch.session.recording or Recording(of_conference=True, wanted=RecordingStatus.IN_PROGRESS.value)
    # What was asked for lately is answered by its own request; an earlier callback does not overtake it.
    known = recording.status not in ("", RecordingStatus.IN_PROGRESS)
    is_late = event.status == RecordingStatus.IN_PROGRESS and (known or bool(recording.asked))
    # A word of a later day does not tell whether it still runs.
    is_told = not is_late and event.status in _STATUSES
    scratch.change(
        recording=replace(
            recording,
            recording_sid=event.recording_sid,
            status=event.status if is_told else recording.status,
            url=event.url or recording.url,
            duration_s=event.duration_s or recording.duration_s,
        )
    )
