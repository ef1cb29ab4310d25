"""Recording of a session; it never contains a consult."""

from typing import Any

from conferral.statemachine import events, guards
from conferral.statemachine.actions.parties import accept_command, finish_command
from conferral.statemachine.effects import ChangeRecording, StartRecording
from conferral.statemachine.events import Event
from conferral.statemachine.parts import PendingCommand, Recording
from conferral.statemachine.record import replace
from conferral.statemachine.session import CUSTOMER
from conferral.statemachine.states import RecordAction, RecordingStatus
from conferral.statemachine.step import CommandStatus, Draft, Outcome, not_none

_DESIRED_STATUS = {
    RecordAction.START: RecordingStatus.IN_PROGRESS,
    RecordAction.PAUSE: RecordingStatus.PAUSED,
    RecordAction.RESUME: RecordingStatus.IN_PROGRESS,
    RecordAction.STOP: RecordingStatus.STOPPED,
}
_STATUSES = frozenset(RecordingStatus)
#: Consecutive failures after which a recording stays paused (count); each may take a request's longest time.
_RESUMES_MAX = 5


def _change_recording(draft: Draft, **changes: Any) -> None:
    draft.change(recording=replace(not_none(draft.session.recording), **changes))


def begin_recording_change(draft: Draft, event: events.Record) -> None:
    """Start, pause, resume, or stop the recording."""
    if event.action == RecordAction.START:
        start_recording(draft, event)
    else:
        _request_change(draft, RecordAction(event.action))
    accept_command(draft, event, effects=(guards.recording_of(draft.session).update_effect_id,))


def keep_recording_paused(draft: Draft, event: events.Record) -> None:
    """Keep the recording paused after the consult: a `pause` requests it."""
    _change_recording(draft, is_paused_for_consult=False)
    draft.report(event.command_id, CommandStatus.DONE)


def start_recording(draft: Draft, _event: Event) -> None:
    """Record the customer's call."""
    before = guards.recording_of(draft.session)
    effect_id = draft.emit(StartRecording, party=CUSTOMER, call_sid=draft.session.customer.call_sid)
    draft.change(
        recording=Recording(
            pending_update="start",
            update_effect_id=effect_id,
            # If Twilio has not confirmed the former recording, this is another attempt to start it.
            failures=0 if before.status else before.failures,
        )
    )


def note_conference_recording(draft: Draft) -> None:
    """Track the recording that Twilio starts with the conference."""
    # A recording of the customer's call must stop now: no command could stop it later.
    recording, runs = guards.recording_of(draft.session), guards.is_recorded(draft.session)
    if draft.session.attributes.record != "true" or recording.of_conference:
        return
    if runs:
        _request_change(draft, RecordAction.STOP)
    draft.change(recording=Recording(of_conference=True, status=RecordingStatus.IN_PROGRESS.value))
    if runs and _desired_status(recording) == RecordingStatus.PAUSED:
        _request_change(draft, RecordAction.PAUSE)


def _request_change(draft: Draft, action: RecordAction) -> None:
    recording = not_none(draft.session.recording)
    effect_id = draft.emit(
        ChangeRecording,
        recording_sid=recording.sid,
        call_sid="" if recording.of_conference else draft.session.customer.call_sid,
        conference_sid=draft.session.conference_sid if recording.of_conference else "",
        status=_DESIRED_STATUS[action].value,
    )
    _change_recording(draft, pending_update=action.value, update_effect_id=effect_id)


def _desired_status(recording: Recording) -> str:
    update = recording.pending_update
    return _DESIRED_STATUS[RecordAction(update)].value if update else recording.status


def pause_for_consult(draft: Draft, event: Event) -> None:
    """Pause the recording for a consult, unless nothing records it."""
    if guards.consult_is_unrecorded(draft, event):
        return
    recording = not_none(draft.session.recording)  # it records the consult
    # A pause or stop that a command requested outlasts the consult.
    if recording.pending_update not in (RecordAction.PAUSE, RecordAction.STOP):
        _change_recording(draft, is_paused_for_consult=True)
        _request_change(draft, RecordAction.PAUSE)


def resume_after_consult(draft: Draft, _event: Event) -> None:
    """Resume the recording: the customer takes part again."""
    _change_recording(draft, is_paused_for_consult=False)
    if guards.is_recorded(draft.session):
        _request_change(draft, RecordAction.RESUME)


def note_recording_done(draft: Draft, event: events.EffectSucceeded) -> None:
    """Record that Twilio made the change."""
    recording = guards.recording_of(draft.session)
    if recording.update_effect_id == event.effect_id:
        _change_recording(
            draft,
            sid=event.recording_sid or recording.sid,
            status=_desired_status(recording),
            pending_update="",
            update_effect_id="",
            failures=0,
        )
    for command in _commands_of(draft, event):
        finish_command(draft, command, CommandStatus.DONE)


def note_recording_failed(draft: Draft, event: events.EffectFailed | events.EffectUnknown) -> None:
    """Record that Twilio did not change the recording."""
    recording = guards.recording_of(draft.session)
    if recording.update_effect_id == event.effect_id:
        update, failures = recording.pending_update, recording.failures + 1
        is_over = isinstance(event, events.EffectFailed) and event.gone
        _change_recording(draft, pending_update="", update_effect_id="", failures=failures)
        if is_over and update != RecordAction.START:
            _change_recording(draft, status=RecordingStatus.COMPLETED.value)
        elif update == RecordAction.PAUSE and recording.is_paused_for_consult:
            _change_recording(draft, is_paused_for_consult=False)
            _request_change(draft, RecordAction.STOP)  # rather than record the consult
        elif update == RecordAction.RESUME and not _commands_of(draft, event):
            # Otherwise the rest of the call would not be recorded, and no one would know.
            _change_recording(draft, is_paused_for_consult=failures < _RESUMES_MAX)
    for command in _commands_of(draft, event):
        finish_command(draft, command, CommandStatus.FAILED, event.reason_text)


def _commands_of(draft: Draft, event: events.EffectOutcome) -> list[PendingCommand]:
    return [command for command in draft.session.pending_commands if event.effect_id in command.effects]


def note_recording_changed(draft: Draft, event: events.RecordingChanged) -> None:
    """Apply the recording status that Twilio reports."""
    if not guards.is_of_our_recording(draft, event):
        draft.ignore(Outcome.STALE, "not the session's recording")
        return
    running = RecordingStatus.IN_PROGRESS
    recording = draft.session.recording or Recording(of_conference=True)
    # The open request's own outcome decides; an earlier callback must not override it.
    has_changed = recording.status not in ("", running)
    is_late = event.status == running and (has_changed or bool(recording.pending_update))
    # A status word from a newer API does not say whether it is still recording.
    is_current = not is_late and event.status in _STATUSES
    draft.change(
        recording=replace(
            recording,
            sid=event.recording_sid,
            status=event.status if is_current else recording.status,
            url=event.url or recording.url,
            duration_s=event.duration_s or recording.duration_s,
        )
    )
