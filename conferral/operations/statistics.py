"""Statistics: session counts and the last hour's transfers."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from conferral.operations.attention import Attention, is_lone
from conferral.operations.outcome_report import read_report
from conferral.operations.session_queries import SessionQueries
from conferral.operations.session_summary import held_call
from conferral.statemachine.session import Session
from conferral.statemachine.states import State

HOUR_MS = 3_600_000


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


@dataclass(frozen=True, slots=True)
class TransferStats:
    """Transfers that finished within the last hour."""

    transfers: int
    failed: int
    #: Percentage that failed; None without transfers.
    failed_percent: float | None
    #: 95th percentile of the time until someone took the call, in seconds; None without answers.
    answer_p95_s: float | None


def count_sessions(judged: Iterable[tuple[Session, Attention | None]]) -> SessionCounts:
    """Count live sessions, each given with its problem (None without one)."""
    by_state = Counter({state.value: 0 for state in State if state is not State.ENDED})
    live = troubled = lone = 0
    held: list[str] = []
    for session, trouble in judged:
        if not session.is_live:
            continue
        live += 1
        if session.state in by_state:  # otherwise, the record is damaged, and needs attention
            by_state[session.state] += 1
        troubled += trouble is not None and trouble.needs_attention
        lone += is_lone(session)
        if call := held_call(session):
            held.append(call.since)
    longest = min(filter(None, held), default="")
    return SessionCounts(live, troubled, lone, dict(by_state), len(held), longest)


async def read_last_hour(reader: SessionQueries, now_ms: int) -> TransferStats:
    """Return statistics of the last hour's transfers, if still stored."""
    report = await read_report(reader, now_ms - HOUR_MS, now_ms + HOUR_MS)  # a worker's clock may be ahead
    transfers = sum(counts.total() for counts in report.transfers.values())
    failed = report.failure_reasons.total()
    failed_percent = round(100 * failed / transfers, 1) if transfers else None
    answers = report.data(full=True)["durations"]["transfer_answer"]
    return TransferStats(transfers, failed, failed_percent, answers["p95_s"])
