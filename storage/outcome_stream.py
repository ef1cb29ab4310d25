"""What other systems are told: an entry of the stream of outcomes for each finished transfer and each ended session."""

from typing import Any

import orjson

from conferral.statemachine.step import OutcomeRecord
from conferral.statemachine.transfer import Attempt
from conferral.storage.codecs.timestamps import to_iso
from conferral.storage.connection.client import Client, store_errors
from conferral.storage.keys import Keys

#: Outcomes kept, about (count); `CONFERRAL_OUTCOMES_KEPT`.
OUTCOMES_KEPT = 100_000


async def publish_outcome(
    client: Client, keys: Keys, record: OutcomeRecord, *, max_entries: int = OUTCOMES_KEPT
) -> None:
    """Append an outcome. One that is appended again has the same id, by which readers tell repetitions.

    Args:
        client: For commands.
        keys: Names.
        record: The outcome.
        max_entries: Outcomes kept, about (count).

    Raises:
        StoreUnreachableError: nobody knows whether it was appended.
        StoreError: Redis refused.
    """
    with store_errors():
        await client.xadd(keys.outcomes, encode_outcome(record), maxlen=max_entries, approximate=True)


def encode_outcome(record: OutcomeRecord) -> dict[str, str]:
    """The fields of the entry; all are there, empty where they tell nothing."""
    return {
        "id": record.id,
        "kind": record.kind,
        "session": record.session_id,
        "result": record.result,
        "reason": record.reason,
        "mode": record.mode,
        "to": record.to,
        "attempts": orjson.dumps([_encode_attempt(one, record.ended_at_ms) for one in record.attempts]).decode(),
        "started_at": to_iso(record.started_at_ms),
        "ended_at": to_iso(record.ended_at_ms),
    }


def _encode_attempt(attempt: Attempt, until_ms: int) -> dict[str, Any]:
    """One attempt in public words: times are null while it has not come to that.

    `waited_s` counts from the order to dial until the answer, or until the end where nobody answered; `talked_s` from
    the answer until the end, null where nobody answered. Both are seconds; for whoever is still on the line, or still
    rings, they count until the transfer was finished.
    """
    end_ms = attempt.ended_at_ms or until_ms
    return {
        "to": attempt.to,
        "party": attempt.party,
        "result": attempt.result,
        "started_at": to_iso(attempt.started_at_ms) or None,
        "answered_at": to_iso(attempt.answered_at_ms) or None,
        "ended_at": to_iso(attempt.ended_at_ms) or None,
        "waited_s": _seconds_between(attempt.started_at_ms, attempt.answered_at_ms or end_ms),
        "talked_s": _seconds_between(attempt.answered_at_ms, end_ms) if attempt.answered_at_ms else None,
    }


def _seconds_between(start_ms: int, end_ms: int) -> float:
    """Seconds, to the millisecond; clocks of different origin never make it less than none."""
    return max(0, end_ms - start_ms) / 1000
