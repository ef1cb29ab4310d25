"""The recording of a session: begun with the conversation or by command, and never with a consult on it."""

from dataclasses import replace
from typing import Any

from conferral.statemachine.actions.pending_commands import accept_command, finish_command
from conferral.statemachine.draft import Draft
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
from conferral.statemachine.pending_command import Recording
from conferral.statemachine.session import CUSTOMER
from conferral.statemachine.states import RecordAction, RecordingStatus
from conferral.statemachine.step import CommandStatus, Outcome

_DESIRED_STATUS = {
    RecordAction.START: RecordingStatus.IN_PROGRESS,
    RecordAction.PAUSE: RecordingStatus.PAUSED,
    RecordAction.RESUME: RecordingStatus.IN_PROGRESS,
    RecordAction.STOP: RecordingStatus.STOPPED,
}
_STATUSES = frozenset(RecordingStatus)


def _change(draft: Draft, **changes: Any) -> None:
    recording = draft.session.recording
    assert recording is not None
    draft.change(recording=replace(recording, **changes))


# ---- asking ------------------------------------------------------------------------------------------------------


def begin_recording_change(draft: Draft, event: Record) -> None:
    """Somebody wants it to be started, paused, resumed or stopped."""
    effect_id = (
        _start(draft) if event.action == RecordAction.START else _request_change(draft, RecordAction(event.action))
    )
    accept_command(draft, event, action=event.action, effects=(effect_id,))


def keep_recording_paused(draft: Draft, event: Record) -> None:
    """It stands still for a consult, and shall do so when that is over."""
    _change(draft, is_paused_for_consult=False)
    draft.report(event.command_id, CommandStatus.DONE)


def record_customer(draft: Draft, _event: Event) -> None:
    """The customer's call is recorded from its answer."""
    _start(draft)


def _start(draft: Draft) -> str:
    customer = draft.session.parties[CUSTOMER]
    before = draft.session.recording
    failures = before.failures if before is not None and not before.status else 0
    effect_id = draft.emit(StartRecording, party=CUSTOMER, call_sid=customer.call_sid)
    draft.change(
        recording=Recording(
            desired_status=RecordingStatus.IN_PROGRESS.value,
            pending_update="start",
            update_effect_id=effect_id,
            failures=failures,
        )
    )
    return effect_id


def note_conference_recording(draft: Draft) -> None:
    """The conference has begun, and is recorded from its start: that recording is meant from here on.

    One of the customer's call, which was begun over the bridge, makes room for it: nobody could stop it any more. Where
    that one stands still, the conference's is to stand still too.
    """
    recording = draft.session.recording
    if draft.session.attributes.record != "true" or (recording is not None and recording.of_conference):
        return
    runs = recording is not None and is_recorded(draft.session)
    is_paused = recording is not None and recording.desired_status == RecordingStatus.PAUSED
    if runs:
        _request_change(draft, RecordAction.STOP)
    status = RecordingStatus.IN_PROGRESS.value
    draft.change(recording=Recording(of_conference=True, status=status, desired_status=status))
    if runs and is_paused:
        _request_change(draft, RecordAction.PAUSE)


def _request_change(draft: Draft, action: RecordAction) -> str:
    recording = draft.session.recording
    assert recording is not None
    desired_status = _DESIRED_STATUS[action].value
    effect_id = draft.emit(
        ChangeRecording,
        recording_sid=recording.recording_sid,
        call_sid="" if recording.of_conference else draft.session.parties[CUSTOMER].call_sid,
        conference_sid=draft.session.conference_sid if recording.of_conference else "",
        status=desired_status,
    )
    _change(draft, desired_status=desired_status, pending_update=action.value, update_effect_id=effect_id)
    return effect_id


def pause_for_consult(draft: Draft) -> bool:
    """The conference's recording stands still while agent and target talk.

    Returns:
        Whether something has to be confirmed first.
    """
    recording = draft.session.recording
    if recording is None or not recording.of_conference or not is_recorded(draft.session):
        return False
    if recording.status == RecordingStatus.PAUSED and not recording.pending_update:
        return False
    if (
        recording.pending_update != RecordAction.PAUSE
    ):  # else a command has asked for it, and it stands still beyond the consult
        _change(draft, is_paused_for_consult=True)
        _request_change(draft, RecordAction.PAUSE)
    return True


def resume_after_consult(draft: Draft, _event: Event) -> None:
    """The customer is part of it again."""
    _change(draft, is_paused_for_consult=False)
    if is_recorded(draft.session):
        _request_change(draft, RecordAction.RESUME)


# ---- what came of it ---------------------------------------------------------------------------------------------


def note_recording_done(draft: Draft, event: EffectSucceeded) -> None:
    """Twilio has done it."""
    recording = draft.session.recording
    if recording is not None and recording.update_effect_id == event.effect_id:
        _change(
            draft,
            recording_sid=event.recording_sid or recording.recording_sid,
            status=recording.desired_status,
            pending_update="",
            update_effect_id="",
            failures=0,
        )
    _finish_command(draft, event, CommandStatus.DONE, "")


def note_recording_failed(draft: Draft, event: EffectOutcome) -> None:
    """Twilio refused, or nobody knows. A recording that could not be paused for a consult is stopped."""
    recording = draft.session.recording
    reason = event.reason_text if isinstance(event, EffectFailed) else "unknown: Twilio gave no answer"
    if recording is not None and recording.update_effect_id == event.effect_id:
        pending_update = recording.pending_update
        is_over = isinstance(event, EffectFailed) and event.gone
        _change(
            draft,
            pending_update="",
            update_effect_id="",
            desired_status=recording.status,
            failures=recording.failures + 1,
        )
        if is_over and pending_update != RecordAction.START:
            _change(draft, status=RecordingStatus.COMPLETED.value)
        elif pending_update == RecordAction.PAUSE and recording.is_paused_for_consult:
            _change(draft, is_paused_for_consult=False)
            _request_change(draft, RecordAction.STOP)
    _finish_command(draft, event, CommandStatus.FAILED, reason)


def _finish_command(draft: Draft, event: EffectOutcome, status: CommandStatus, reason: str) -> None:
    for command in draft.session.pending_commands:
        if event.effect_id in command.effects:
            finish_command(draft, command, status, reason)


def note_recording_changed(draft: Draft, event: RecordingChanged) -> None:
    """Twilio tells how a recording is."""
    if not is_of_our_recording(draft, event):
        draft.ignore(Outcome.STALE, "another recording than the session's")
        return
    recording = draft.session.recording or Recording(
        of_conference=True, desired_status=RecordingStatus.IN_PROGRESS.value
    )
    # What was asked for lately is answered by its own request; an earlier callback does not overtake it.
    known = recording.status not in ("", RecordingStatus.IN_PROGRESS)
    is_late = event.status == RecordingStatus.IN_PROGRESS and (known or bool(recording.pending_update))
    # A word of a later day does not tell whether it still runs.
    is_told = not is_late and event.status in _STATUSES
    draft.change(
        recording=replace(
            recording,
            recording_sid=event.recording_sid,
            status=event.status if is_told else recording.status,
            url=event.url or recording.url,
            duration_s=event.duration_s or recording.duration_s,
        )
    )
