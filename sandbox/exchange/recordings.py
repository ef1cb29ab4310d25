"""Recordings of calls and conferences: started, paused, stopped, with their callbacks. No sound is kept.

Source: Twilio docs: Recordings resource; Call Recordings subresource.
"""

from __future__ import annotations

from sandbox.exchange import calls, params
from sandbox.exchange.model import Call, Conference, JoinOrder, Recording, Subscription
from sandbox.exchange.work import Work


def start_for_conference(work: Work, conference: Conference, order: JoinOrder) -> Recording:
    """A conference that asked for it is recorded from its start, on one channel."""
    source = "Conference"
    recording = Recording(
        work.new_sid("RE"),
        "",
        conference.sid,
        source,
        1,
        "both",
        "in-progress",
        work.now_s,
        work.now_s,
        order.recording,
    )
    work.state.recordings[recording.sid] = recording
    _tell(work, recording)
    return recording


def start_for_call(
    work: Work, call: Call, channels: int, track: str, source: str, subscription: Subscription | None
) -> Recording:
    """A call is recorded from now on."""
    recording = Recording(
        work.new_sid("RE"), call.sid, "", source, channels, track, "in-progress", work.now_s, work.now_s, subscription
    )
    work.state.recordings[recording.sid] = recording
    _tell(work, recording)
    return recording


def set_status(work: Work, recording: Recording, status: str) -> None:
    """Pause, resume or stop; a stopped one is completed at once."""
    recording.status = status
    recording.updated_at_s = work.now_s
    if status == "stopped":
        recording.status = "completed"
        recording.ended_at_s = work.now_s
        _tell(work, recording)


def stop_for_conference(work: Work, conference: Conference) -> None:
    """The conference has ended, and what was recorded of it is complete."""
    for recording in work.state.recordings.values():
        if recording.conference_sid == conference.sid and recording.ended_at_s is None:
            set_status(work, recording, "stopped")


def stop_for_call(work: Work, call: Call) -> None:
    """The call has ended, and what was recorded of it is complete."""
    for recording in work.state.recordings.values():
        if recording.call_sid == call.sid and recording.ended_at_s is None:
            set_status(work, recording, "stopped")


def _tell(work: Work, recording: Recording) -> None:
    subscription = recording.subscription
    if subscription is None or recording.status not in subscription.events:
        return
    form = params.recording_event(recording, work.state.account_sid, work.now_s)
    event = f"recording-{recording.status}"
    calls.emit_callback(work, subscription, "recording", event, form, recording.call_sid, recording.conference_sid)
