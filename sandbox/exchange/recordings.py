"""Recordings of calls and conferences: started, paused, stopped, with their callbacks, and whose voices are on them.

No sound is kept.

Source: Twilio docs: Recordings resource; Call Recordings subresource; TwiML <Conference> (record).
"""

from __future__ import annotations

from collections.abc import Iterable

from conferral.sandbox.exchange import calls, params
from conferral.sandbox.exchange.hearing import heard_by
from conferral.sandbox.exchange.model import Call, Conference, JoinOrder, RecordedSpan, Recording, RecordOrder, State
from conferral.sandbox.exchange.work import Work

TOO_SHORT = 16101
"""Twilio's error code of a recording that is absent because it was too short."""


def start_for_conference(work: Work, conference: Conference, order: JoinOrder) -> Recording:
    """A conference that asked for it is recorded from its start.

    Source: Twilio changelog, 2025-09-15, "Dual-Channel Conference Recordings as default is now GA".
    """
    asked = RecordOrder("Conference", 2, "both", order.recording, order.trim)
    return _start(work, asked, conference_sid=conference.sid)


def start_for_call(work: Work, call: Call, order: RecordOrder) -> Recording:
    """A call is recorded from now on. That of a bridged child may be shown as its parent's."""
    is_child = call.activity == "bridged" and work.rules.recording_of_a_child == "parents"
    return _start(work, order, call_sid=call.parent_sid if is_child else call.sid, leg_sid=call.sid)


def _start(
    work: Work, order: RecordOrder, *, call_sid: str = "", leg_sid: str = "", conference_sid: str = ""
) -> Recording:
    recording = Recording(
        work.new_sid("RE"), call_sid, leg_sid, conference_sid, order, "in-progress", work.now_s, work.now_s
    )
    work.state.recordings[recording.sid] = recording
    owner = leg_sid or conference_sid
    work.state.recorders.setdefault(owner, []).append(recording.sid)
    work.touched.add(owner)
    _tell(work, recording)
    return recording


def set_status(work: Work, recording: Recording, status: str, pause_behavior: str = "silence") -> None:
    """Pause, resume or stop; what is so already stays as it is."""
    recording.updated_at_s = work.now_s
    work.touched.add(recording.leg_sid or recording.conference_sid)
    if status == "paused":
        if recording.status == "in-progress":
            recording.status = "paused"
            recording.paused_at_s = work.now_s
            recording.skips_pause = pause_behavior == "skip"
        return
    if recording.paused_at_s is not None and recording.skips_pause:
        recording.skipped_s += work.now_s - recording.paused_at_s
    recording.paused_at_s = None
    recording.status = "in-progress"
    if status == "stopped":
        _stop(work, recording)


def _stop(work: Work, recording: Recording) -> None:
    recording.ended_at_s = work.now_s
    _note(recording, None, work.now_s)
    _forget_live(work.state, recording)
    if work.rules.recording_processing_s > 0:
        recording.status = "processing"
        work.set_timer(recording.sid, "processed", work.rules.recording_processing_s)
    else:
        processed(work, recording.sid)


def processed(work: Work, sid: str) -> None:
    """The file of a recording is there, or it was too short to make one."""
    recording = work.state.recordings[sid]
    is_absent = recording.length_s(work.now_s) <= work.rules.recording_least_s
    recording.status = "absent" if is_absent else "completed"
    recording.error_code = TOO_SHORT if is_absent else 0
    recording.updated_at_s = work.now_s
    _tell(work, recording)


def delete(work: Work, recording: Recording) -> None:
    """The recording is gone; nobody is told."""
    del work.state.recordings[recording.sid]
    work.stop_timer(recording.sid, "processed")
    _forget_live(work.state, recording)


def _forget_live(state: State, recording: Recording) -> None:
    owner = recording.leg_sid or recording.conference_sid
    left = [sid for sid in state.recorders.get(owner, ()) if sid != recording.sid]
    if left:
        state.recorders[owner] = left
    else:
        state.recorders.pop(owner, None)


def stop_all_of(work: Work, owner_sid: str) -> None:
    """A leg or a conference has ended, and what was recorded of it is complete."""
    for sid in list(work.state.recorders.get(owner_sid, ())):
        set_status(work, work.state.recordings[sid], "stopped")


def note(state: State, owners: Iterable[str], now_s: float) -> None:
    """Compare with the state after an input, for the legs and conferences that it touched."""
    for owner in owners:
        for sid in state.recorders.get(owner, ()):
            recording = state.recordings[sid]
            _note(recording, None if recording.status == "paused" else _voices(state, recording), now_s)


def _voices(state: State, recording: Recording) -> frozenset[str]:
    """The legs whose voices go onto a recording at this moment."""
    if recording.conference_sid:
        joined = state.conferences[recording.conference_sid].joined()
        return frozenset(it.call_sid for it in joined if not (it.muted or it.hold or it.coaching))
    own = frozenset({recording.leg_sid}) if recording.order.track != "outbound" else frozenset()
    heard = heard_by(state, recording.leg_sid) if recording.order.track != "inbound" else None
    return own | (heard.parties if heard is not None else frozenset())


def _note(recording: Recording, voices: frozenset[str] | None, now_s: float) -> None:
    spans = recording.spans
    last = spans[-1] if spans and spans[-1].until_s is None else None
    if last is not None:
        if last.voices == voices:
            return
        spans.pop()
        if now_s > last.since_s:  # what lasted no time is not on it
            spans.append(RecordedSpan(last.since_s, now_s, last.voices))
    if voices is not None:
        spans.append(RecordedSpan(now_s, None, voices))


def _tell(work: Work, recording: Recording) -> None:
    subscription = recording.subscription
    if subscription is None or recording.status not in subscription.events:
        return
    form = params.recording_event(recording, work.state.account_sid)
    event = f"recording-{recording.status}"
    calls.emit_callback(work, subscription, "recording", event, form, recording.call_sid, recording.conference_sid)
