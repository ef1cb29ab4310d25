"""Calls of other applications in the account: no phone plays them."""

from offhook.model import calls, conferences
from offhook.model.state import Call, JoinSettings
from offhook.model.transaction import Transaction

CALLER, CALLED = "+12025550190", "+12025550191"


def add_calls(transaction: Transaction, count: int, age_s: float) -> list[str]:
    """Add calls in progress, begun `age_s` seconds ago; return their SIDs."""
    return [_add_call(transaction, age_s).sid for _ in range(count)]


def add_conference(transaction: Transaction, name: str, participant_count: int, age_s: float) -> str:
    """Add a conference of such calls; ValueError if one of its name is live."""
    if transaction.live_conference(name) is not None:
        raise ValueError(f"a conference {name} is live")
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
