"""Statistics: session counts and the last hour's transfers."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from conferral.operations.attention import Attention, is_lone
from conferral.operations.session_queries import Fields, SessionQueries
from conferral.operations.session_summary import held_call
from conferral.statemachine.session import Session
from conferral.statemachine.states import State
from conferral.storage.codecs.text_codec import parse_rows

HOUR_MS = 3_600_000
#: Results of transfers that didn't connect the customer. `cancelled` isn't one: a user wanted that.
FAILED = frozenset({"failed", "recalled"})


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
    #: 95th percentile of the time from the dial request to the answer, in seconds; None without answers.
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
    records: dict[str, Fields] = {}
    after = f"{max(0, now_ms - HOUR_MS)}-0"
    while found := await reader.outcomes(after):
        after = found[-1][0]
        # Outcomes are delivered at least once; deduplicate by id.
        records |= {fields.get("id", entry_id): fields for entry_id, fields in found}
    return transfer_stats_of(records.values())


def transfer_stats_of(outcomes: Iterable[Fields]) -> TransferStats:
    """Return statistics of transfers, from outcomes without duplicates."""
    transfers = [fields for fields in outcomes if fields.get("kind") == "transfer"]
    failed = sum(fields.get("result") in FAILED for fields in transfers)
    waited_s = sorted(one for fields in transfers for one in _answer_times_s(fields))
    return TransferStats(
        transfers=len(transfers),
        failed=failed,
        failed_percent=round(100 * failed / len(transfers), 1) if transfers else None,
        # Nearest-rank percentile: an answer time that really occurred.
        answer_p95_s=waited_s[-(-len(waited_s) * 19 // 20) - 1] if waited_s else None,
    )


def _answer_times_s(fields: Fields) -> list[float]:
    """Return the seconds from dial to answer, for each answered attempt."""
    attempts = parse_rows(fields.get("attempts", ""))
    try:
        return [float(one["rang_s"]) for one in attempts if one.get("result") == "answered"]
    except (KeyError, TypeError, ValueError):
        return []  # the entry can't be decoded
