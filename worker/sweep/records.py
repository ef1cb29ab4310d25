"""What the sweep reads and writes in Redis: sessions, whose a call is, findings. In pipelines of bounded size."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from statemachine.events import AccountSwept
from statemachine.states import PartyStatus, State
from streams import event_codec
from streams.connection import Client, store_errors
from streams.keys import Keys
from streams.times import from_iso
from worker.sweep.comparing import Finding, LiveSession

_T = TypeVar("_T")

#: Sessions read in one round trip, count: about a megabyte.
SESSIONS_AT_ONCE = 200
#: Small values read, or findings published, in one round trip, count.
VALUES_AT_ONCE = 500
#: How old the oldest undecided entry of a partition may be before its sessions count as behind, milliseconds.
BEHIND_MS = 1_000


class SweepRecords:
    """Reads what is compared, and publishes what differs."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def keeps_up(self, partition: int, now_ms: int) -> bool:
        """Whether somebody decides for a partition, and is not behind: else its sessions say what was, not what is.

        Args:
            partition: Which.
            now_ms: Redis's time, Unix milliseconds.
        """
        with store_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.hget(self._keys.lease(partition), "until")
            pipeline.xrange(self._keys.events(partition), count=1)
            until, oldest = await pipeline.execute()
        if until is None or int(until) < now_ms:
            return False
        return not oldest or now_ms - int(oldest[0][0].split(b"-")[0]) < BEHIND_MS

    async def live_ids(self, partition: int) -> list[str]:
        """Ids of the live sessions of a partition."""
        with store_errors():
            return [name.decode() for name in await self._client.smembers(self._keys.live(partition))]

    async def live_sessions(self, session_ids: Sequence[str]) -> list[LiveSession]:
        """Live sessions, in one round trip; those that have ended meanwhile, or make no sense, are left out."""
        with store_errors():
            pipeline = self._client.pipeline(transaction=False)
            for session_id in session_ids:
                pipeline.hgetall(self._keys.session(session_id))
            records = await pipeline.execute(raise_on_error=False)
        found = (_live_session(name, record) for name, record in zip(session_ids, records, strict=True))
        return [session for session in found if session is not None]

    async def owners(self, call_sids: Sequence[str]) -> dict[str, str]:
        """Sessions by call, in one round trip; calls that are none of ours are left out."""
        with store_errors():
            pipeline = self._client.pipeline(transaction=False)
            for call_sid in call_sids:
                pipeline.get(self._keys.call(call_sid))
            owners = await pipeline.execute(raise_on_error=False)
        pairs = zip(call_sids, owners, strict=True)
        return {call_sid: owner.decode() for call_sid, owner in pairs if isinstance(owner, bytes)}

    async def ended(self, session_ids: Sequence[str]) -> dict[str, int]:
        """When sessions ended, Unix milliseconds, in one round trip; those that live or don't exist are left out."""
        with store_errors():
            pipeline = self._client.pipeline(transaction=False)
            for session_id in session_ids:
                pipeline.hmget(self._keys.session(session_id), "state", "ended_at")
            records = await pipeline.execute(raise_on_error=False)
        found = {}
        for session_id, record in zip(session_ids, records, strict=True):
            if isinstance(record, list) and record[0] == State.ENDED.value.encode() and record[1]:
                found[session_id] = _time_of(record[1])
        return {session_id: ended_at_ms for session_id, ended_at_ms in found.items() if ended_at_ms is not None}

    async def publish(self, findings: Sequence[Finding], interval_number: int) -> None:
        """Appends findings to their sessions' partitions.

        Args:
            findings: What differs.
            interval_number: Which sweep: the same finding is taken once in each.
        """
        with store_errors():
            pipeline = self._client.pipeline(transaction=False)
            for finding in findings:
                event = AccountSwept(
                    session_id=finding.session_id,
                    token=f"sweep:{interval_number}:{finding.difference}:{finding.sid}",
                    finding=finding.difference.value,
                    call_sid="" if finding.is_of_conference else finding.sid,
                    conference_sid=finding.sid if finding.is_of_conference else "",
                )
                stream = self._keys.events(self._keys.partition_of(finding.session_id))
                pipeline.xadd(stream, event_codec.encode(event))
            await pipeline.execute()


def in_parts(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """The items in lists of at most this size."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


def _live_session(session_id: str, record: object) -> LiveSession | None:
    """Taken from the bare fields: a sweep reads every session there is, and needs little of each."""
    if not isinstance(record, dict) or record.get(b"state", State.ENDED.value.encode()) == State.ENDED.value.encode():
        return None
    updated_at_ms = _time_of(record.get(b"updated_at", b""))
    if updated_at_ms is None:
        return None
    calls = []
    for name, value in record.items():
        if name.startswith(b"party.") and name.endswith(b".call_sid") and value:
            status = record.get(name.removesuffix(b"call_sid") + b"status")
            if status != PartyStatus.LEFT.value.encode():
                calls.append(value.decode(errors="replace"))
    room = record.get(b"conference_sid", b"").decode(errors="replace")
    return LiveSession(session_id, updated_at_ms, room, tuple(calls))


def _time_of(text: bytes) -> int | None:
    try:
        return from_iso(text.decode()) or None
    except ValueError:
        return None
