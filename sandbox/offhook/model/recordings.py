"""Recordings: whose voices, but no audio (Twilio docs: Recordings)."""

from collections.abc import Set

from offhook.model import callback_parameters, calls
from offhook.model.audibility import add_interval, sound_heard_by
from offhook.model.state import Call, Conference, JoinSettings, Recording, RecordSettings, Sound, State
from offhook.model.transaction import Transaction

TOO_SHORT_ERROR = 16101
SILENT_ERROR = 16102
"""Twilio's error codes for absent recordings (Twilio support, Getting Started with Recording Status Callbacks)."""


def start_for_conference(transaction: Transaction, conference: Conference, settings: JoinSettings) -> Recording:
    """Start recording a conference from its start, as its settings request.

    Source: Twilio changelog, 2025-09-15, "Dual-Channel Conference Recordings as default is now GA".
    """
    channels = transaction.behavior.conference_recording_channels
    asked = RecordSettings(
        "Conference",
        channels,
        "both",
        settings.recording_subscription,
        settings.trim,
        settings.recording_configuration,
    )
    return _start(transaction, asked, call_sid="", leg_sid="", conference_sid=conference.sid)


def start_for_call(transaction: Transaction, call: Call, settings: RecordSettings) -> Recording:
    """Start recording a call; its parent may own a bridged child's recording."""
    is_child = call.parent_sid and call.activity == "bridged" and transaction.behavior.recording_of_a_child == "parents"
    return _start(transaction, settings, call_sid=call.parent_sid if is_child else call.sid, leg_sid=call.sid)


def _start(
    transaction: Transaction, settings: RecordSettings, call_sid: str, leg_sid: str, conference_sid: str = ""
) -> Recording:
    now_s = transaction.now_s
    recording = Recording(
        transaction.new_sid("RE"), call_sid, leg_sid, conference_sid, settings, "in-progress", now_s, now_s
    )
    transaction.state.recordings[recording.sid] = recording
    transaction.state.unfinished_recordings[recording.sid] = None
    transaction.changed_sids.add(recording.owner_sid)
    _report_status(transaction, recording)
    return recording


def set_status(transaction: Transaction, recording: Recording, status: str, pause_behavior: str = "silence") -> None:
    """Pause, resume, or stop a recording; `skip` leaves a pause out."""
    recording.updated_at_s = transaction.now_s
    transaction.changed_sids.add(recording.owner_sid)
    if status == "paused":
        if recording.status == "in-progress":
            recording.status = "paused"
            recording.paused_at_s = transaction.now_s
            recording.skips_pause = pause_behavior == "skip"
        return
    if recording.paused_at_s is not None and recording.skips_pause:
        recording.skipped_s += transaction.now_s - recording.paused_at_s
    recording.paused_at_s = None
    recording.status = "in-progress"
    if status == "stopped":
        _stop(transaction, recording)


def _stop(transaction: Transaction, recording: Recording) -> None:
    recording.ended_at_s = transaction.now_s
    transaction.state.unfinished_recordings.pop(recording.sid, None)
    add_interval(recording.spans, None, transaction.now_s)
    if transaction.behavior.recording_processing_s > 0:
        recording.status = "processing"
        transaction.set_timer(recording.sid, "processed", transaction.behavior.recording_processing_s)
    else:
        finish_processing(transaction, recording.sid)


def finish_processing(transaction: Transaction, sid: str) -> None:
    """End a recording's processing: it is complete, silent, or too short."""
    recording = transaction.state.recordings[sid]
    is_absent = is_empty(transaction, recording)
    recording.status = "absent" if is_absent else "completed"
    recording.error_code = (SILENT_ERROR if recording.is_silent else TOO_SHORT_ERROR) if is_absent else 0
    recording.updated_at_s = transaction.now_s
    _report_status(transaction, recording)


def is_empty(transaction: Transaction, recording: Recording) -> bool:
    """Whether Twilio keeps no file of an ended recording."""
    return recording.is_silent or recording.length_s(transaction.now_s) <= transaction.behavior.recording_min_s


def delete(transaction: Transaction, recording: Recording) -> None:
    """Delete a recording; no callback follows."""
    del transaction.state.recordings[recording.sid]
    transaction.state.unfinished_recordings.pop(recording.sid, None)
    transaction.stop_timer(recording.sid, "processed")


def running_of(state: State, leg_sid: str) -> Recording | None:
    """Return a leg's recording that hasn't ended; None without any."""
    return next((it for it in _unfinished(state) if it.leg_sid == leg_sid), None)


def _unfinished(state: State) -> list[Recording]:
    return [state.recordings[sid] for sid in state.unfinished_recordings]


def stop_all_of(transaction: Transaction, owner_sid: str) -> None:
    """Stop all recordings of a leg or conference that has ended."""
    for recording in _unfinished(transaction.state):
        if recording.owner_sid == owner_sid:
            set_status(transaction, recording, "stopped")


def update_voices(state: State, owners: Set[str], now_s: float) -> None:
    """Update the recordings of the legs and conferences that were touched."""
    for recording in _unfinished(state):
        if recording.owner_sid in owners:
            sound = None if recording.status == "paused" else Sound("parties", _voices(state, recording))
            add_interval(recording.spans, sound, now_s)


def _voices(state: State, recording: Recording) -> frozenset[str]:
    if recording.conference_sid:
        joined = state.conferences[recording.conference_sid].joined()
        return frozenset(it.call_sid for it in joined if not (it.muted or it.is_held or it.coaching))
    # Twilio's track `inbound` is what comes from the leg, `outbound` what it hears.
    own = frozenset({recording.leg_sid}) if recording.settings.track != "outbound" else frozenset()
    heard = sound_heard_by(state, recording.leg_sid) if recording.settings.track != "inbound" else None
    return own | (heard.parties if heard is not None else frozenset())


def _report_status(transaction: Transaction, recording: Recording) -> None:
    subscription = recording.subscription
    if subscription is None or recording.status not in subscription.events:
        return
    form = callback_parameters.recording_event(recording, transaction.state)
    calls.emit_callback(transaction, subscription, "recording", f"recording-{recording.status}", form)
