"""Redis side of the sweep: sessions and findings, in bounded pipelines."""

from collections.abc import Iterable, Sequence

import structlog

from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import AccountSwept, ConferenceFound, Event
from conferral.statemachine.ids import next_visit_id
from conferral.statemachine.session import Session
from conferral.storage import scripts
from conferral.storage.connection.client import Client, run_or_raise, store_errors
from conferral.storage.keys import Keys
from conferral.storage.partition.partition_store import CALL_INDEX_TTL_S, append_events
from conferral.storage.queries.session_reader import SessionReader
from conferral.worker.sweep.diff import Difference, Finding
from conferral.worker.sweep.orphans import UnknownBridge

log = structlog.get_logger()

#: Age of a partition's oldest entry from which it is behind, and its sessions are left out.
BEHIND_MS = 10_000


class SweepStore:
    """Reads the state to compare, and publishes the differences."""

    def __init__(self, client: Client, keys: Keys, metrics: Metrics) -> None:
        self._client = client
        self._keys = keys
        self._metrics = metrics
        self._reader = SessionReader(client, keys)

    async def lag_ms(self, partition: int, now_ms: int) -> float:
        """Return the oldest entry's age by Redis's time; 0 without entries."""
        with store_errors():
            oldest = await self._client.xrange(self._keys.events(partition), count=1)
        return now_ms - int(oldest[0][0].split(b"-")[0]) if oldest else 0

    async def live_ids(self, partition: int) -> list[str]:
        """Return a partition's live sessions, sorted for repeatable sweeps."""
        with store_errors():
            names = await self._client.smembers(self._keys.live(partition))
        return sorted(name.decode(errors="replace") for name in names)

    async def live_sessions(self, session_ids: Sequence[str]) -> list[Session]:
        """Return those sessions that are live and readable; report damaged ones."""
        sessions = await self._reader.read_sessions(session_ids)
        for name, session in sessions.items():
            if field := session.damaged:
                partition = self._keys.partition_of(name)
                self._metrics.damaged_sessions.labels("sweep").inc()
                log.error("session_hash_corrupt", session_id=name, partition=partition, reason=field)
        return [session for session in sessions.values() if session.is_live and session.updated_at_ms]

    async def session_ids_of_calls(self, call_sids: Sequence[str]) -> dict[str, str]:
        """Return the known sessions by call SID."""
        return await self._reader.session_ids_of_calls(call_sids)

    async def ended_sessions(self, session_ids: Sequence[str]) -> dict[str, Session]:
        """Return the sessions that have ended, by id."""
        found = await self._reader.read_sessions(session_ids)
        return {name: one for name, one in found.items() if not one.is_live and one.ended_at_ms}

    async def find_unknown(self, session_ids: Sequence[str]) -> set[str]:
        """Return the ids without a session in Redis, live or ended."""
        return set(session_ids) - (await self._reader.read_sessions(session_ids)).keys()

    async def adopt(self, found: ConferenceFound) -> None:
        """Publish a lost session's conference."""
        await self._open([found], [participant.call_sid for participant in found.participants])
        self._metrics.sweep_findings.labels(Difference.CONFERENCE_UNKNOWN.value).inc()
        log.warning(
            "conference_recovered",
            session_id=found.session_id,
            conference_sid=found.conference_sid,
            count=len(found.participants),
        )

    async def open_bridge(self, bridge: UnknownBridge, ended: str) -> None:
        """Publish an unknown bridge, unless a request has opened its session.

        `ended` is the call's last session, empty if it is the first.
        """
        session_id = bridge.call_sid
        if ended:
            session_id = wanted = next_visit_id(bridge.call_sid, ended)
            with store_errors():
                arguments: list[scripts.Argument] = [ended, wanted, CALL_INDEX_TTL_S]
                claimed = await scripts.claim_visit(self._client, [self._keys.call(bridge.call_sid)], arguments)
            if claimed.decode(errors="replace") != wanted:
                return
        await self._open(bridge.events(session_id), [bridge.call_sid, bridge.child.call_sid])
        self._metrics.sweep_findings.labels(Difference.BRIDGE_UNKNOWN.value).inc()
        log.warning("bridge_recovered", session_id=session_id, call_sid=bridge.child.call_sid)

    async def _open(self, events: Sequence[Event], call_sids: Iterable[str]) -> None:
        """Index a session's calls, and publish the events that open it."""
        session_id = events[0].session_id
        index = [("SET", self._keys.call(sid), session_id, "NX", "EX", CALL_INDEX_TTL_S) for sid in call_sids]
        await run_or_raise(self._client, *index)
        await append_events(self._client, self._keys, events)

    async def publish(self, findings: Iterable[Finding], interval_number: int) -> None:
        """Append findings to their partitions; deduplicate within a sweep."""
        events = [
            AccountSwept(
                session_id=finding.session_id,
                token=f"sweep:{interval_number}:{finding.difference}:{finding.sid}",
                finding=finding.difference.value,
                call_sid="" if finding.is_of_conference else finding.sid,
                conference_sid=finding.sid if finding.is_of_conference else "",
            )
            for finding in findings
        ]
        await append_events(self._client, self._keys, events)
