"""What tests add to the sandbox's account: other programs' calls, and callbacks that the model never sends."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from conferral.sandbox import CallHandle, Sandbox
from conferral.sandbox.model import callback_parameters, calls, conferences
from conferral.sandbox.model.messages import CallbackKind, Params
from conferral.sandbox.model.state import FINAL, STATUSES, Call, JoinSettings
from conferral.sandbox.model.transaction import Transaction

CALLER, CALLED = "+12025550190", "+12025550191"


def add_calls(transaction: Transaction, count: int, status: str, age_s: float) -> list[str]:
    """Add calls and return their SIDs; raise ValueError for no call's status."""
    if status not in STATUSES:
        raise ValueError(f"status must be one of {', '.join(sorted(STATUSES))}")
    return [_add_call(transaction, status, age_s).sid for _ in range(count)]


def add_conference(transaction: Transaction, name: str, participant_count: int, age_s: float) -> str:
    """Add a conference; raise ValueError if it is empty, or its name is live."""
    if transaction.live_conference(name) is not None or participant_count < 1:
        raise ValueError("a foreign conference needs members and a name that no live one has")
    settings = JoinSettings(name, wait_url="")
    for _ in range(participant_count):
        call = _add_call(transaction, "in-progress", age_s)
        conference, _participant = conferences.reserve(transaction, call, settings)
        conferences.enter(transaction, call)
    conference.created_at_s = conference.updated_at_s = transaction.now_s - age_s
    return conference.sid


def _add_call(transaction: Transaction, status: str, age_s: float) -> Call:
    call = calls.new_call(transaction, CALLER, CALLED, "inbound")
    call.is_foreign = True
    call.status = status
    call.created_at_s = call.updated_at_s = transaction.now_s - age_s
    if status in {"in-progress", "completed"}:
        call.answered_at_s = call.created_at_s
    if status in FINAL:
        call.ended_at_s = transaction.now_s
        transaction.state.live_calls.pop(call.sid)
    return call


class NoSubscriberError(LookupError):
    """The resource doesn't exist, or has no callback URL."""


def send_callback(transaction: Transaction, sid: str, event: str, given: Params) -> None:
    """Send a callback that the model never would, such as an unknown event.

    It goes to the URL for events of this call, conference, or recording, whatever its subscription; NoSubscriberError
    without one. `given` is added to the usual parameters, or replaces them; a conference's `CallSid` adds that
    participant's.
    """
    state = transaction.state
    resource = state.conferences.get(sid) or state.recordings.get(sid) or state.calls.get(sid)
    subscription = resource.subscription if resource is not None else None
    if subscription is None or not subscription.url:
        raise NoSubscriberError(f"no callback was subscribed for {sid}")
    if sid in state.conferences:
        kind: CallbackKind = "conference"
        conference = transaction.conference(sid)
        conference.sequence += 1
        participant = conference.participants.get(dict(given).get("CallSid", ""))
        now_s = transaction.now_s
        usual = callback_parameters.conference_event(conference, state.account_sid, event, now_s, participant)
    elif sid in state.recordings:
        usual = callback_parameters.recording_event(state.recordings[sid], state.account_sid)
        usual += (("RecordingStatus", event),)
        kind, event = "recording", f"recording-{event}"
    else:
        kind, call = "call", transaction.call(sid)
        usual = transaction.voice_params(call)
        usual += callback_parameters.call_event(call, call.callbacks_sent, transaction.now_s)
        usual += (("CallStatus", event),)
        call.callbacks_sent += 1
    form = tuple(dict(usual + given).items())  # the given parameters override the usual ones
    calls.emit_callback(transaction, subscription, kind, event, form)


def add_foreign_calls(
    sandbox: Sandbox, count: int, *, status: str = "in-progress", age_s: float = 0.0
) -> list[CallHandle]:
    """Add another application's calls, begun `age_s` seconds ago."""
    with _changing(sandbox) as transaction:
        sids = add_calls(transaction, count, status, age_s)
    return [sandbox.call(sid) for sid in sids]


def add_foreign_conference(sandbox: Sandbox, name: str, *, participant_count: int = 2, age_s: float = 0.0) -> str:
    """Add another application's conference."""
    with _changing(sandbox) as transaction:
        return add_conference(transaction, name, participant_count, age_s)


def send_odd_callback(sandbox: Sandbox, sid: str, event: str, params: Mapping[str, str]) -> None:
    """Send a callback as `send_callback` does."""
    with _changing(sandbox) as transaction:
        send_callback(transaction, sid, event, tuple(params.items()))


@contextmanager
def _changing(sandbox: Sandbox) -> Iterator[Transaction]:
    with sandbox.model.changing(sandbox.now_s) as transaction:
        yield transaction
    for output in transaction.outputs:
        sandbox.perform(output)
    sandbox.notify()
