"""Guards on the recording of a session."""

from conferral.statemachine.draft import Draft
from conferral.statemachine.events import Event, Record, RecordingChanged
from conferral.statemachine.session import CUSTOMER, Session
from conferral.statemachine.states import Phase, RecordAction, RecordingStatus, TransferStatus

#: Refused start requests before Conferral stops trying (count).
_REFUSED_MAX = 2
_OVER = frozenset(RecordingStatus) - {RecordingStatus.IN_PROGRESS, RecordingStatus.PAUSED}


def is_recorded(session: Session) -> bool:
    """Whether a recording is running, paused, or about to start."""
    recording = session.recording
    if recording is None or recording.status in _OVER:
        return False
    return bool(recording.status or recording.pending_update)


def is_recorded_already(draft: Draft, event: Record) -> bool:
    """Whether the command starts a recording while one is running."""
    return event.action == RecordAction.START and is_recorded(draft.session)


def was_recorded_from_start(draft: Draft, event: Record) -> bool:
    """Whether it starts a recording after the conference's own was stopped."""
    recording = draft.session.recording
    return event.action == RecordAction.START and recording is not None and recording.of_conference


def is_not_recorded(draft: Draft, event: Record) -> bool:
    """Whether there is no recording to pause, resume, or stop."""
    return event.action != RecordAction.START and not is_recorded(draft.session)


def is_changing_recording(draft: Draft, _event: Record) -> bool:
    """Whether a recording request is still open."""
    recording = draft.session.recording
    return recording is not None and bool(recording.pending_update)


def recording_is_as_requested(draft: Draft, event: Record) -> bool:
    """Whether the recording is already as the command requests."""
    recording = draft.session.recording
    is_paused = recording is not None and recording.status == RecordingStatus.PAUSED
    return event.action == (RecordAction.PAUSE if is_paused else RecordAction.RESUME)


def would_record_consult(draft: Draft, event: Record) -> bool:
    """Whether the command would resume the recording of a private consult."""
    recording = draft.session.recording
    records_conference = recording is not None and recording.of_conference and is_recorded(draft.session)
    return event.action == RecordAction.RESUME and records_conference and consult_is_private(draft)


def is_paused_for_consult(draft: Draft, event: Record) -> bool:
    """Whether the command pauses a recording paused only for the consult."""
    recording = draft.session.recording
    paused = recording is not None and recording.is_paused_for_consult and recording.status == RecordingStatus.PAUSED
    return event.action == RecordAction.PAUSE and paused


def is_of_our_recording(draft: Draft, event: RecordingChanged) -> bool:
    """Whether the event is about the session's newest recording."""
    recording = draft.session.recording
    if event.of_conference and draft.session.is_former_conference(event.conference_sid):
        return False
    if recording is None:
        return event.of_conference
    if recording.pending_update == RecordAction.START and event.status in _OVER:
        return False  # the recording being started is not over, so this is an earlier one
    if recording.recording_sid:
        return recording.recording_sid == event.recording_sid
    return recording.of_conference == event.of_conference


def recording_is_due(draft: Draft, _event: Event) -> bool:
    """Whether the answered customer's call should be recorded, and is not yet."""
    session = draft.session
    if session.attributes.record != "customer" or session.phase is Phase.RINGING:
        return False
    customer, recording = session.parties.get(CUSTOMER), session.recording
    is_there = customer is not None and bool(customer.call_sid) and not (customer.is_gone or customer.is_leaving)
    if recording is None:
        return is_there
    is_open = recording.status == "" and not recording.pending_update
    # Twilio may be unable to record a call made by `<Dial>` before it is in a conference.
    return is_there and is_open and recording.failures < _REFUSED_MAX and bool(session.conference_sid)


def should_resume_recording(draft: Draft, _event: Event) -> bool:
    """Whether the recording was paused for a consult now over or merged."""
    recording = draft.session.recording
    is_paused = recording is not None and recording.is_paused_for_consult and not recording.pending_update
    return is_paused and not consult_is_private(draft)


def consult_is_private(draft: Draft) -> bool:
    """Whether agent and target talk, or may talk, without the customer."""
    if draft.session.phase is not Phase.CONSULT or draft.session.running_transfer is None:
        return False
    return draft.transfer.status is not TransferStatus.MERGED


def consult_is_unrecorded(draft: Draft, _event: Event) -> bool:
    """Whether nothing records the consult."""
    recording = draft.session.recording
    if recording is None or not recording.of_conference or not is_recorded(draft.session):
        return True
    return recording.status == RecordingStatus.PAUSED and not recording.pending_update
