"""How many sessions there are and how the last hour's transfers went: the one place that counts, for every surface."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from conferral.operations.attention import Attention, attention_of, is_lone
from conferral.operations.held_calls import held_call
from conferral.operations.session_queries import Fields, SessionQueries
from conferral.statemachine.states import State

#: What counts as the last hour, milliseconds.
HOUR_MS = 3_600_000
#: Results of transfers by which the customer did not get where he was sent. `cancelled` was somebody's wish.
FAILED = frozenset({"failed", "recalled"})


@dataclass(frozen=True, slots=True)
class SessionCounts:
    """Sessions, counted."""

    #: Those that have not ended.
    live: int
    #: Live ones that need attention; a failure that is over does not count.
    troubled: int
    #: Live ones in which one party is alone though nobody meant it so.
    lone: int
    #: Live ones by state; every state is there.
    by_state: dict[str, int]
    #: Live ones whose customer waits, is on hold, or is parked.
    held: int = 0
    #: Since when the one that has waited longest does, ISO 8601; empty where no one waits.
    held_since: str = ""


@dataclass(frozen=True, slots=True)
class TransferStats:
    """The transfers that were finished within the last hour."""

    transfers: int
    failed: int
    #: Part of them that failed, percent; None where there were none.
    failed_percent: float | None
    #: Within how long 95 of 100 who answered did so, seconds from the order to dial; None where nobody answered.
    answer_p95_s: float | None


def count_sessions(rows: Iterable[Fields], now_ms: int) -> SessionCounts:
    """Counts sessions.

    Args:
        rows: Their hashes; those that have ended are not counted.
        now_ms: Unix milliseconds, by Redis's clock.
    """
    return count_judged((fields, attention_of(fields, now_ms)) for fields in rows)


def count_judged(judged: Iterable[tuple[Fields, Attention | None]]) -> SessionCounts:
    """The same where what is wrong with each is known."""
    by_state = Counter({state.value: 0 for state in State if state is not State.ENDED})
    troubled = lone = 0
    held: list[str] = []
    for fields, trouble in judged:
        state = fields.get("state", "")
        if state not in by_state:
            continue  # it has ended, or is no session of ours
        by_state[state] += 1
        troubled += trouble is not None and trouble.needs_attention
        lone += is_lone(fields)
        if call := held_call(fields):
            held.append(call.since)
    longest = min(filter(None, held), default="")
    return SessionCounts(by_state.total(), troubled, lone, dict(by_state), len(held), longest)


async def read_last_hour(reader: SessionQueries, now_ms: int) -> TransferStats:
    """How the transfers went that were finished within the last hour, as far as the stream of outcomes goes back.

    Args:
        reader: Of Redis.
        now_ms: Unix milliseconds, by Redis's clock.
    """
    records: dict[str, Fields] = {}
    after = f"{max(0, now_ms - HOUR_MS)}-0"
    while found := await reader.outcomes(after):
        after = found[-1][0]
        # Outcomes are told at least once; what is told again has the same id.
        records |= {fields.get("id", entry_id): fields for entry_id, fields in found}
    return transfer_stats_of(records.values())


def transfer_stats_of(outcomes: Iterable[Fields]) -> TransferStats:
    """How transfers went.

    Args:
        outcomes: Entries of the stream of outcomes, each once.
    """
    transfers = [fields for fields in outcomes if fields.get("kind") == "transfer"]
    failed = sum(fields.get("result") in FAILED for fields in transfers)
    waited_s = sorted(one for fields in transfers for one in _answer_times_s(fields))
    return TransferStats(
        transfers=len(transfers),
        failed=failed,
        failed_percent=round(100 * failed / len(transfers), 1) if transfers else None,
        # The nearest rank: a time that somebody has really waited.
        answer_p95_s=waited_s[-(-len(waited_s) * 19 // 20) - 1] if waited_s else None,
    )


def _answer_times_s(fields: Fields) -> list[float]:
    """How long each of those who answered was waited for, seconds."""
    try:
        attempts = orjson.loads(fields.get("attempts") or "[]")
        return [float(one["waited_s"]) for one in attempts if one.get("answered_at")]
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
        return []  # an entry that can't be understood: nothing is known of it
