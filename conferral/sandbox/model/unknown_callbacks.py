"""Undocumented callbacks, to test an application's forward compatibility."""

from conferral.sandbox.model import callback_parameters, calls
from conferral.sandbox.model.inputs import UnknownCallback
from conferral.sandbox.model.outputs import CallbackKind
from conferral.sandbox.model.state import State, Subscription
from conferral.sandbox.model.transaction import Transaction


class NoSubscriberError(LookupError):
    """The resource doesn't exist, or has no callback URL."""


def subscription_of(state: State, sid: str) -> Subscription:
    """Return a resource's subscription; raise NoSubscriberError without one."""
    resource = state.conferences.get(sid) or state.recordings.get(sid) or state.calls.get(sid)
    found = resource.subscription if resource is not None else None
    if found is None or not found.url:
        raise NoSubscriberError(f"no callback was subscribed for {sid}")
    return found


def send_unknown_callback(transaction: Transaction, callback: UnknownCallback) -> None:
    """Send it to its resource's subscriber, with the usual parameters."""
    state, sid, event, given = transaction.state, callback.sid, callback.event, callback.params
    if sid in state.conferences:
        kind: CallbackKind = "conference"
        conference = transaction.conference(sid)
        conference.sequence += 1
        participant = conference.participants.get(dict(given).get("CallSid", ""))
        now_s = transaction.now_s
        usual = callback_parameters.conference_event(conference, state.account_sid, event, now_s, participant)
    elif sid in state.recordings:
        kind, event = "recording", f"recording-{event}"
        usual = callback_parameters.recording_event(state.recordings[sid], state.account_sid)
        usual += (("RecordingStatus", callback.event),)
    else:
        kind, call = "call", transaction.call(sid)
        usual = transaction.voice_params(call)
        usual += callback_parameters.call_event(call, call.callbacks_sent, transaction.now_s)
        usual += (("CallStatus", event),)
        call.callbacks_sent += 1
    form = tuple(dict(usual + given).items())  # the given parameters override the usual ones
    calls.emit_callback(transaction, subscription_of(state, sid), kind, event, form)
