"""What tests add to the sandbox's account: other programs' calls, and callbacks that the model never sends."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from offhook import CallHandle, Sandbox
from offhook.model import callback_parameters, calls
from offhook.model.foreign_calls import add_calls, add_conference
from offhook.model.transaction import Transaction


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
