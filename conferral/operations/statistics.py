"""Counts of the live sessions."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from conferral.operations.explain.attention import Attention, is_lone
from conferral.operations.explain.people import held_call
from conferral.statemachine.session import Session
from conferral.statemachine.states import Phase, State
from conferral.storage.codecs.text_codec import to_iso


@dataclass(frozen=True, slots=True)
class SessionCounts:
    """Session counts."""

    live: int
    #: Live sessions that need attention, without recovered ones.
    troubled: int
    lone: int
    #: Live sessions by state, including states without any.
    by_state: dict[str, int]
    #: Live sessions whose customer waits or is parked, or in which a party is on hold.
    held: int = 0
    #: Start of the longest current wait, ISO 8601; empty without one.
    held_since: str = ""
    #: Since when the newest of those in a queue has waited, ISO 8601; empty without one.
    newest_queued_since: str = ""


def count_sessions(judged: Iterable[tuple[Session, Attention | None]]) -> SessionCounts:
    """Count live sessions, each given with its problem (None without one)."""
    by_state = Counter({state.value: 0 for state in State if state is not State.ENDED})
    live = troubled = lone = 0
    held: list[str] = []
    queued_ms: list[int] = []
    for session, trouble in judged:
        if not session.is_live:
            continue
        live += 1
        by_state[session.state] += 1
        troubled += trouble is not None and trouble.needs_attention
        lone += is_lone(session)
        if call := held_call(session):
            held.append(call.since)
        if session.phase is Phase.QUEUED:
            queued_ms.append(session.queued_since_ms)
    longest = min(filter(None, held), default="")
    newest = to_iso(max(queued_ms, default=0))
    return SessionCounts(live, troubled, lone, dict(by_state), len(held), longest, newest)
