"""Undocumented callbacks: events and parameters that no application can know, to test forward compatibility."""

from __future__ import annotations

from conferral.sandbox.model import callback_parameters, calls
from conferral.sandbox.model.inputs import Params, UnknownCallback
from conferral.sandbox.model.state import State, Subscription
from conferral.sandbox.model.transaction import Transaction


class NoSubscriberError(LookupError):
    """The resource doesn't exist or has no callback URL. The test or person who sent the callback made a mistake."""


def subscription_of(state: State, sid: str) -> Subscription:
    """Return the subscription of a call, a conference, or a recording; raise NoSubscriberError if it has none."""
    found: Subscription | None = None
    if sid in state.conferences:
        found = state.conferences[sid].events
    elif sid in state.recordings:
        found = state.recordings[sid].subscription
    elif sid in state.calls:
        found = state.calls[sid].subscription
    if found is None or not found.url:
        raise NoSubscriberError(f"no callback was subscribed for {sid}")
    return found


def send_unknown_callback(transaction: Transaction, callback: UnknownCallback) -> None:
    """Send the callback to the subscriber of its call, conference, or recording."""
    if callback.sid in transaction.state.conferences:
        _of_conference(transaction, callback)
    elif callback.sid in transaction.state.recordings:
        _of_recording(transaction, callback)
    else:
        _of_call(transaction, callback)


def _of_conference(transaction: Transaction, callback: UnknownCallback) -> None:
    conference = transaction.conference(callback.sid)
    participant = conference.participants.get(dict(callback.params).get("CallSid", ""))
    conference.sequence += 1
    usual = callback_parameters.conference_event(
        conference, transaction.state.account_sid, callback.event, transaction.now_s, participant
    )
    form = _merged(usual, callback.params)
    to = subscription_of(transaction.state, callback.sid)
    calls.emit_callback(
        transaction, to, "conference", callback.event, form, dict(form).get("CallSid", ""), callback.sid
    )


def _of_call(transaction: Transaction, callback: UnknownCallback) -> None:
    call = transaction.call(callback.sid)
    usual = transaction.voice_params(call) + callback_parameters.call_event(
        call, call.callbacks_sent, transaction.now_s
    )
    call.callbacks_sent += 1
    form = _merged(usual, (("CallStatus", callback.event), *callback.params))
    calls.emit_callback(
        transaction, subscription_of(transaction.state, callback.sid), "call", callback.event, form, callback.sid
    )


def _of_recording(transaction: Transaction, callback: UnknownCallback) -> None:
    recording = transaction.state.recordings[callback.sid]
    usual = callback_parameters.recording_event(recording, transaction.state.account_sid)
    form = _merged(usual, (("RecordingStatus", callback.event), *callback.params))
    event, to = f"recording-{callback.event}", subscription_of(transaction.state, callback.sid)
    calls.emit_callback(transaction, to, "recording", event, form, recording.call_sid, recording.conference_sid)


def _merged(usual: Params, given: Params) -> Params:
    """Return the usual parameters, extended and overridden by the given ones."""
    return tuple((dict(usual) | dict(given)).items())
