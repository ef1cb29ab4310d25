"""Recording of a session; it never contains a consult."""

from typing import Any

from conferral.statemachine import events, guards
from conferral.statemachine.actions.parties import accept_command, finish_command
from conferral.statemachine.actions.reports import add_conclusion, times_of_recording
from conferral.statemachine.effects import ChangeRecording, FindRecording, StartRecording
from conferral.statemachine.events import Event
from conferral.statemachine.parts import PendingCommand, Recording
from conferral.statemachine.record import replace
from conferral.statemachine.session import CUSTOMER
from conferral.statemachine.states import FINAL_RECORDING_STATUSES, OutcomeKind, RecordAction, RecordingStatus
from conferral.statemachine.step import CommandStatus, DecisionKind, Draft, not_none

_STATUSES = frozenset(RecordingStatus)
#: What a SID is of, by its beginning. Source: Twilio docs, "What is a String Identifier (SID)?"
_SID_FIELDS = {"RE": "recording_sid", "CF": "conference_sid", "": "call_sid"}


def _change_recording(draft: Draft, **changes: Any) -> None:
    draft.change(recording=replace(not_none(draft.session.recording), **changes))


def begin_recording_change(draft: Draft, event: events.Record) -> None:
    """Start, pause, resume, or stop the recording; it may be so already."""
    action = RecordAction(event.action)
    if action is RecordAction.START:
        start_recording(draft, event)
    elif guards.recording_of(draft.session).status == guards.STATUS_AFTER[action]:
        _change_recording(draft, wanted=guards.STATUS_AFTER[action].value)
        draft.report(event.command_id, CommandStatus.DONE)
        return
    else:
        _request_change(draft, action)
    accept_command(draft, event, effects=(guards.recording_of(draft.session).update_effect_id,))


def start_recording(draft: Draft, _event: Event) -> None:
    """Record the customer's call."""
    before, call_sid = guards.recording_of(draft.session), draft.session.customer.call_sid
    configuration = draft.session.attributes.recording_configuration
    effect_id = draft.emit(StartRecording, party=CUSTOMER, call_sid=call_sid, configuration=configuration)
    expect_recording(draft, call_sid)
    draft.change(
        recording=Recording(
            pending_update="start",
            update_effect_id=effect_id,
            # If Twilio has not confirmed the former recording, this is another attempt to start it.
            failures=0 if before.status else before.failures,
        )
    )


def expect_recording(draft: Draft, owner_sid: str) -> None:
    """Note that Twilio may record this call or conference."""
    draft.change(recordings={**draft.session.recordings, owner_sid: False})


def _note_recording(draft: Draft, event: events.RecordingChanged | events.EffectSucceeded, owner_sid: str) -> bool:
    """Note a recording by its SID, and report it once it is over.

    Return whether that was news.
    """
    sid, known = event.recording_sid, draft.session.recordings
    is_over = event.status in FINAL_RECORDING_STATUSES
    if known.get(sid) or (sid in known and not is_over):
        return False
    # The call's or conference's SID stands for a recording that is still unknown.
    kept = {one: done for one, done in known.items() if one != owner_sid or sid in known}
    draft.change(recordings={**kept, sid: is_over})
    if is_over:
        add_conclusion(
            draft,
            f"recording-{sid}",
            kind=OutcomeKind.RECORDING,
            result=event.status,
            code=str(event.code or ""),
            recording_sid=sid,
            duration_s=event.duration_s,
            source="conference" if event.of_conference else "call",
            channels=event.channels,
            url=event.url if event.status == RecordingStatus.COMPLETED else "",
            **times_of_recording(draft, event),
        )
    return True


def find_recordings(draft: Draft) -> None:
    """Search for what no callback has reported by the end: it may be lost."""
    for sid, is_reported in draft.session.recordings.items():
        field = next(field for prefix, field in _SID_FIELDS.items() if sid.startswith(prefix))
        if not is_reported:
            draft.emit(FindRecording, **{field: sid})


def note_recording_found(draft: Draft, event: events.EffectSucceeded) -> None:
    """Report a recording whose callbacks are lost; there may be none."""
    if event.recording_sid:
        _note_recording(draft, event, "")


def note_conference_recording(draft: Draft) -> None:
    """Track the recording that Twilio starts with the conference."""
    # A recording of the customer's call must stop now: no command could stop it later.
    before, runs = guards.recording_of(draft.session), guards.is_recorded(draft.session)
    if draft.session.attributes.record != "true" or before.of_conference:
        return
    if runs:
        _request_change(draft, RecordAction.STOP)
    started = Recording(of_conference=True, status=RecordingStatus.IN_PROGRESS.value)
    draft.change(recording=replace(started, wanted=before.wanted) if runs else started)


def change_recording(draft: Draft, event: Event) -> None:
    """Pause, resume, or stop the recording as wanted; a consult pauses it."""
    _request_change(draft, not_none(guards.next_recording_action(draft, event)))


def forget_recording_failures(draft: Draft, _event: Event) -> None:
    """Let a consult pause the recording, however often a change has failed."""
    if draft.session.recording is not None:
        _change_recording(draft, failures=0, update_code="")


def _request_change(draft: Draft, action: RecordAction) -> None:
    recording = not_none(draft.session.recording)
    effect_id = draft.emit(
        ChangeRecording,
        recording_sid=recording.sid,
        call_sid="" if recording.of_conference else draft.session.customer.call_sid,
        conference_sid=draft.session.conference_sid if recording.of_conference else "",
        status=guards.STATUS_AFTER[action].value,
    )
    _change_recording(draft, pending_update=action.value, update_effect_id=effect_id)


def note_recording_done(draft: Draft, event: events.EffectSucceeded) -> None:
    """Record that Twilio made the change."""
    recording, commands = guards.recording_of(draft.session), _commands_of(draft, event)
    if event.recording_sid:
        _note_recording(draft, event, draft.session.customer.call_sid)
    if recording.update_effect_id == event.effect_id:
        status = guards.STATUS_AFTER[RecordAction(recording.pending_update)].value
        _change_recording(
            draft,
            sid=event.recording_sid or recording.sid,
            status=status,
            wanted=status if commands else recording.wanted,
            pending_update="",
            update_effect_id="",
            failures=0,
        )
    for command in commands:
        finish_command(draft, command, CommandStatus.DONE)


def note_recording_failed(draft: Draft, event: events.EffectFailed | events.EffectUnknown) -> None:
    """Record that Twilio did not change the recording."""
    recording, commands = guards.recording_of(draft.session), _commands_of(draft, event)
    if recording.update_effect_id == event.effect_id:
        update, failures = recording.pending_update, recording.failures + 1
        is_over = isinstance(event, events.EffectFailed) and event.gone
        _change_recording(draft, pending_update="", update_effect_id="", failures=failures, update_code=event.code_text)
        if update == RecordAction.START and isinstance(event, events.EffectFailed):
            known, call_sid = draft.session.recordings, draft.session.customer.call_sid
            draft.change(recordings={sid: done for sid, done in known.items() if sid != call_sid})
        if is_over and update != RecordAction.START:
            _change_recording(draft, status=RecordingStatus.COMPLETED.value)
        elif not commands and update == RecordAction.PAUSE and recording.wanted == RecordingStatus.IN_PROGRESS:
            _change_recording(draft, wanted=RecordingStatus.STOPPED.value)  # rather than record the consult
        elif not commands and update == RecordAction.STOP:
            _change_recording(draft, wanted=RecordingStatus.IN_PROGRESS.value)  # a consult may try a pause again
    for command in commands:
        finish_command(draft, command, CommandStatus.FAILED, event.reason_text, event.code_text)


def _commands_of(draft: Draft, event: events.EffectResult) -> list[PendingCommand]:
    return [command for command in draft.session.pending_commands if event.effect_id in command.effects]


def note_recording_changed(draft: Draft, event: events.RecordingChanged) -> None:
    """Apply the recording status that Twilio reports."""
    is_news = _note_recording(draft, event, event.conference_sid if event.of_conference else event.call_sid)
    if not guards.is_of_newest_recording(draft, event):
        if not is_news:
            draft.ignore(DecisionKind.STALE, "not the session's recording")
        return
    running = RecordingStatus.IN_PROGRESS
    recording = draft.session.recording or Recording(of_conference=True)
    # The open request's own result decides; an earlier callback must not override it.
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
