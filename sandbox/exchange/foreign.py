"""Calls and conferences of somebody else who uses the same account: the API shows them, and nothing happens in them."""

from __future__ import annotations

from conferral.sandbox.exchange import calls, conferences
from conferral.sandbox.exchange.model import FINAL, Call, JoinOrder
from conferral.sandbox.exchange.work import Work

CALLER, CALLED = "+12025550190", "+12025550191"


def add_calls(work: Work, count: int, status: str, age_s: float) -> list[str]:
    """So many calls of this status that began so long ago; their SIDs."""
    return [_make(work, status, age_s).sid for _ in range(count)]


def add_conference(work: Work, name: str, members: int, age_s: float) -> str:
    """A conference with so many members that began so long ago, of which nobody is told; its SID.

    Raises:
        ValueError: A conference of this name is live, or there is nobody to be in it.
    """
    if work.live_conference(name) is not None or members < 1:
        raise ValueError("a foreign conference needs members and a name that no live one has")
    order = JoinOrder(name, wait_url="")
    for _ in range(members):
        call = _make(work, "in-progress", age_s)
        conference, _participant = conferences.reserve(work, call, order, by_rest=False)
        conferences.enter(work, call)
    conference.created_at_s = conference.updated_at_s = work.now_s - age_s
    return conference.sid


def _make(work: Work, status: str, age_s: float) -> Call:
    call = calls.make(work, CALLER, CALLED, "inbound")
    call.is_foreign = True
    call.status = status
    call.created_at_s = call.updated_at_s = work.now_s - age_s
    if status in {"in-progress", "completed"}:
        call.answered_at_s = call.created_at_s
    if status in FINAL:
        call.ended_at_s = work.now_s
        work.state.live.pop(call.sid)
    return call
