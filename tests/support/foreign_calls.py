"""What tests add to the sandbox's account: other programs' calls, and callbacks that the model never sends."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from conferral.sandbox import CallHandle, Sandbox
from conferral.sandbox.model import callback_parameters, calls, conferences
from conferral.sandbox.model.state import Call, JoinSettings
from conferral.sandbox.model.transaction import Transaction

CALLER, CALLED = "+12025550190", "+12025550191"


def add_calls(transaction: Transaction, count: int, age_s: float) -> list[str]:
    """Add calls in progress and return their SIDs."""
    return [_add_call(transaction, age_s).sid for _ in range(count)]


def add_conference(transaction: Transaction, name: str, participant_count: int, age_s: float) -> str:
    """Add a conference of calls, under a name that no live one has."""
    assert transaction.live_conference(name) is None
    settings = JoinSettings(name, wait_url="")
    for _ in range(participant_count):
        call = _add_call(transaction, age_s)
        conference, _participant = conferences.reserve(transaction, call, settings)
        conferences.enter(transaction, call)
    conference.created_at_s = conference.updated_at_s = transaction.now_s - age_s
    return conference.sid


def _add_call(transaction: Transaction, age_s: float) -> Call:
    call = calls.new_call(transaction, CALLER, CALLED, "inbound")
    call.is_foreign = True
    call.status = "in-progress"
    call.created_at_s = call.updated_at_s = call.answered_at_s = transaction.now_s - age_s
    return call


def add_foreign_calls(sandbox: Sandbox, count: int, *, age_s: float = 0.0) -> list[CallHandle]:
    """Add another application's calls, begun `age_s` seconds ago."""
    with _changing(sandbox) as transaction:
        sids = add_calls(transaction, count, age_s)
    return [sandbox.call(sid) for sid in sids]


def add_foreign_conference(sandbox: Sandbox, name: str, *, participant_count: int = 2, age_s: float = 0.0) -> str:
    """Add another application's conference."""
    with _changing(sandbox) as transaction:
        return add_conference(transaction, name, participant_count, age_s)


def send_odd_callback(sandbox: Sandbox, conference_sid: str, event: str, params: Mapping[str, str]) -> None:
    """Send a callback of a conference that the model never would, such as an unknown event.

    `params` are added to the usual parameters, or replace them; `CallSid` adds that participant's.
    """
    with _changing(sandbox) as transaction:
        conference = transaction.conference(conference_sid)
        conference.sequence += 1
        participant = conference.participants.get(params.get("CallSid", ""))
        account_sid = transaction.state.account_sid
        usual = callback_parameters.conference_event(conference, account_sid, event, transaction.now_s, participant)
        form = tuple((dict(usual) | dict(params)).items())
        assert conference.subscription is not None
        calls.emit_callback(transaction, conference.subscription, "conference", event, form)


@contextmanager
def _changing(sandbox: Sandbox) -> Iterator[Transaction]:
    with sandbox.model.changing(sandbox.now_s) as transaction:
        yield transaction
    for output in transaction.outputs:
        sandbox.perform(output)
    sandbox.notify()
