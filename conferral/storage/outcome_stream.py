"""Outcome stream: finished transfers, ended sessions, messages."""

from typing import Any

import orjson

from conferral.statemachine.durations import DURATIONS
from conferral.statemachine.parts import AgentShare, Attempt
from conferral.statemachine.step import OutcomeRecord
from conferral.storage.codecs.text_codec import to_iso
from conferral.storage.connection.client import Client, run_or_raise
from conferral.storage.keys import Keys

TRIM_EVERY_S = 60.0


def encode_outcome(record: OutcomeRecord) -> dict[str, str]:
    """Return the fields of an outcome's entry, empty where they don't apply."""
    return {
        "id": record.id,
        "kind": record.kind,
        "session": record.session_id,
        "by": record.by,
        "ref": record.ref,
        "customer": record.customer,
        "number": record.our_number,
        "direction": record.direction,
        "result": record.result,
        "reason": record.reason,
        "code": record.code,
        "mode": record.mode,
        "to": record.to,
        "landed_on": record.landed_on,
        **{f"{name}_s": _seconds(record.durations.get(name)) for name in DURATIONS},
        "attempts": ""
        if record.kind == "voicemail"
        else _to_json([_encode_attempt(one, record.ended_at_ms) for one in record.attempts]),
        "recordings": _to_json(record.recordings) if record.kind == "session" else "",
        "agents": _to_json([_encode_agent(one) for one in record.agents]) if record.kind == "session" else "",
        "recording_sid": record.recording_sid,
        "duration_s": str(record.duration_s) if record.kind == "voicemail" else "",
        "started_at": to_iso(record.started_at_ms),
        "ended_at": to_iso(record.ended_at_ms),
    }


def _encode_attempt(attempt: Attempt, until_ms: int) -> dict[str, Any]:
    """Return an attempt's public fields; who still rings did until then."""
    end_ms = attempt.answered_at_ms or attempt.ended_at_ms or until_ms
    return {
        "to": attempt.to,
        "label": attempt.label,
        "result": attempt.result,
        "rang_s": max(0, end_ms - attempt.started_at_ms) / 1000,
        "at": to_iso(attempt.started_at_ms),
    }


def _encode_agent(agent: AgentShare) -> dict[str, Any]:
    return {"address": agent.address, "talk_s": agent.talk_ms / 1000, "holds": agent.holds}


def _seconds(duration_ms: int | None) -> str:
    return "" if duration_ms is None else str(duration_ms / 1000)


def _to_json(value: Any) -> str:
    return orjson.dumps(value).decode()


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
