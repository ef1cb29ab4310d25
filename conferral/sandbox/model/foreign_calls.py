"""Another application's calls and conferences: listed, but inactive."""

from conferral.sandbox.model import calls, conferences
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
