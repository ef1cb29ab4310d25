"""Recording of a session: starts with the conversation or by command, and never contains a consult."""

from typing import Any

from conferral.statemachine.actions.pending_commands import accept_command, finish_command
from conferral.statemachine.draft import Draft
from conferral.statemachine.effects import ChangeRecording, StartRecording
from conferral.statemachine.events import (
    EffectFailed,
    EffectOutcome,
    EffectSucceeded,
    EffectUnknown,
    Event,
    Record,
    RecordingChanged,
)
from conferral.statemachine.guards.recording import consult_is_unrecorded, is_of_our_recording, is_recorded
from conferral.statemachine.pending_command import Recording
from conferral.statemachine.record import replace
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


# ---- requests ----------------------------------------------------------------------------------------------------


def begin_recording_change(draft: Draft, event: Record) -> None:
    """Start, pause, resume, or stop the recording."""
    effect_id = (
        _start(draft) if event.action == RecordAction.START else _request_change(draft, RecordAction(event.action))
    )
    accept_command(draft, event, action=event.action, effects=(effect_id,))


def keep_recording_paused(draft: Draft, event: Record) -> None:
    """Keep the recording paused after the consult."""
    _change(draft, is_paused_for_consult=False)
    draft.report(event.command_id, CommandStatus.DONE)


def record_customer(draft: Draft, _event: Event) -> None:
    """Record the customer's call from its answer."""
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
    """Track the conference's own recording, which Twilio starts with the conference.

    If the customer's call is being recorded from the bridge, stop that recording: no command could stop it later. If it
    is paused, pause the conference's too.
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


def pause_for_consult(draft: Draft, event: Event) -> bool:
    """Pause the conference's recording while agent and target talk; return whether Twilio must confirm it first."""
    if consult_is_unrecorded(draft, event):
        return False
    recording = draft.session.recording
    assert recording is not None  # it records the consult
    # A pause that a command requested outlasts the consult.
    if recording.pending_update != RecordAction.PAUSE:
        _change(draft, is_paused_for_consult=True)
        _request_change(draft, RecordAction.PAUSE)
    return True


def resume_after_consult(draft: Draft, _event: Event) -> None:
    """Resume the recording: the customer takes part again."""
    _change(draft, is_paused_for_consult=False)
    if is_recorded(draft.session):
        _request_change(draft, RecordAction.RESUME)


# ---- results -----------------------------------------------------------------------------------------------------


def note_recording_done(draft: Draft, event: EffectSucceeded) -> None:
    """Record that Twilio made the change."""
    recording = draft.session.recording
    if recording is not None and recording.update_effect_id == event.effect_id:
        _change(
            draft,
            recording_sid=event.recording_sid or recording.recording_sid,
            status=recording.desired_status,
            pending_update="",
            update_effect_id="",
        )
    _finish_command(draft, event, CommandStatus.DONE, "")


def note_recording_failed(draft: Draft, event: EffectFailed | EffectUnknown) -> None:
    """Record that Twilio refused the change or did not answer; stop a recording it could not pause for a consult."""
    recording = draft.session.recording
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
    _finish_command(draft, event, CommandStatus.FAILED, event.reason_text)


def _finish_command(draft: Draft, event: EffectOutcome, status: CommandStatus, reason: str) -> None:
    for command in draft.session.pending_commands:
        if event.effect_id in command.effects:
            finish_command(draft, command, status, reason)


def note_recording_changed(draft: Draft, event: RecordingChanged) -> None:
    """Apply the recording status that Twilio reports."""
    if not is_of_our_recording(draft, event):
        draft.ignore(Outcome.STALE, "not the session's recording")
        return
    recording = draft.session.recording or Recording(
        of_conference=True, desired_status=RecordingStatus.IN_PROGRESS.value
    )
    # The open request's own outcome decides; an earlier callback must not override it.
    known = recording.status not in ("", RecordingStatus.IN_PROGRESS)
    is_late = event.status == RecordingStatus.IN_PROGRESS and (known or bool(recording.pending_update))
    # A status word from a newer API does not say whether it is still recording.
    is_current = not is_late and event.status in _STATUSES
    draft.change(
        recording=replace(
            recording,
            recording_sid=event.recording_sid,
            status=event.status if is_current else recording.status,
            url=event.url or recording.url,
            duration_s=event.duration_s or recording.duration_s,
        )
    )
