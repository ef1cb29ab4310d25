"""Outcome stream: finished transfers, ended sessions; trims old entries."""

from typing import Any

import orjson

from conferral.statemachine.parts import Attempt
from conferral.statemachine.step import OutcomeRecord
from conferral.storage.codecs.text_codec import to_iso
from conferral.storage.connection.client import Client, run_or_raise
from conferral.storage.keys import Keys

#: Approximate number of outcomes kept; `CONFERRAL_OUTCOMES_KEPT`.
OUTCOMES_KEPT = 100_000
TRIM_EVERY_S = 60.0


def encode_outcome(record: OutcomeRecord) -> dict[str, str]:
    """Return the fields of an outcome's entry, empty where they don't apply.

    A new field is also one of `step.OutcomeRecord`, `actions.reports`, and `client.models`.
    """
    return {
        "id": record.id,
        "kind": record.kind,
        "session": record.session_id,
        "by": record.by,
        "ref": record.ref,
        "result": record.result,
        "reason": record.reason,
        "mode": record.mode,
        "to": record.to,
        "recording_sid": record.recording_sid,
        "duration_s": str(record.duration_s) if record.kind == "voicemail" else "",
        "attempts": orjson.dumps([_encode_attempt(one, record.ended_at_ms) for one in record.attempts]).decode(),
        "started_at": to_iso(record.started_at_ms),
        "ended_at": to_iso(record.ended_at_ms),
    }


def _encode_attempt(attempt: Attempt, transfer_ended_at_ms: int) -> dict[str, Any]:
    """Return an attempt's public fields; a time that was not reached is null."""
    # A party may still ring or talk when the transfer finishes; its times in seconds count until then.
    end_ms = attempt.ended_at_ms or transfer_ended_at_ms
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
    """Return seconds, never negative, even across different clocks."""
    return max(0, end_ms - start_ms) / 1000


async def trim(
    client: Client, keys: Keys, store_now_ms: int, wall_now_ms: int, *, outcomes_ttl_s: int, session_ttl_s: int
) -> None:
    """Remove what is older than its lifetime; of streams, whole nodes only.

    Both Redis's clock and this machine's must say so: one clock that is years ahead must not empty the streams.
    """
    now_ms = min(store_now_ms, wall_now_ms)
    oldest_id, oldest_ms = max(0, now_ms - 1000 * outcomes_ttl_s), now_ms - 1000 * session_ttl_s
    ended = map(keys.ended, range(keys.partitions))  # where no session ends: a commit does this, too
    await run_or_raise(
        client,
        *(("XTRIM", stream, "MINID", "~", oldest_id) for stream in (keys.outcomes, keys.dead)),
        *(("ZREMRANGEBYSCORE", key, "-inf", oldest_ms) for key in ended),
    )
