"""Callbacks that Twilio has not documented yet: events and parameters that nobody can know."""

from __future__ import annotations

from conferral.sandbox.exchange import calls, params
from conferral.sandbox.exchange.inputs import OddCallback, Params
from conferral.sandbox.exchange.model import State, Subscription
from conferral.sandbox.exchange.work import Work


class NobodyToTellError(LookupError):
    """There is no such resource, or nobody asked to be told of it. The one who asked for the callback is at fault."""


def recipient(state: State, sid: str) -> Subscription:
    """Where events of a call, a conference or a recording go.

    Raises:
        NobodyToTellError: They go nowhere.
    """
    found: Subscription | None = None
    if sid in state.conferences:
        found = state.conferences[sid].events
    elif sid in state.recordings:
        found = state.recordings[sid].subscription
    elif sid in state.calls:
        found = state.calls[sid].subscription
    if found is None or not found.url:
        raise NobodyToTellError(f"nobody asked to be told of {sid}")
    return found


def tell(work: Work, wanted: OddCallback) -> None:
    """Send it where the events of its call, conference or recording go."""
    if wanted.sid in work.state.conferences:
        _of_conference(work, wanted)
    elif wanted.sid in work.state.recordings:
        _of_recording(work, wanted)
    else:
        _of_call(work, wanted)


def _of_conference(work: Work, wanted: OddCallback) -> None:
    conference = work.conference(wanted.sid)
    participant = conference.participants.get(dict(wanted.params).get("CallSid", ""))
    conference.sequence += 1
    usual = params.conference_event(conference, work.state.account_sid, wanted.event, work.now_s, participant)
    form = _mixed(usual, wanted.params)
    to = recipient(work.state, wanted.sid)
    calls.emit_callback(work, to, "conference", wanted.event, form, dict(form).get("CallSid", ""), wanted.sid)


def _of_call(work: Work, wanted: OddCallback) -> None:
    call = work.call(wanted.sid)
    usual = work.voice_params(call) + params.call_event(call, call.callbacks_sent, work.now_s)
    call.callbacks_sent += 1
    form = _mixed(usual, (("CallStatus", wanted.event), *wanted.params))
    calls.emit_callback(work, recipient(work.state, wanted.sid), "call", wanted.event, form, wanted.sid)


def _of_recording(work: Work, wanted: OddCallback) -> None:
    recording = work.state.recordings[wanted.sid]
    usual = params.recording_event(recording, work.state.account_sid)
    form = _mixed(usual, (("RecordingStatus", wanted.event), *wanted.params))
    event, to = f"recording-{wanted.event}", recipient(work.state, wanted.sid)
    calls.emit_callback(work, to, "recording", event, form, recording.call_sid, recording.conference_sid)


def _mixed(usual: Params, given: Params) -> Params:
    """The usual parameters, with those that were given beside them or in their place."""
    return tuple((dict(usual) | dict(given)).items())
