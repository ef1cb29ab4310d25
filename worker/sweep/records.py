"""What the sweep reads and writes in Redis: sessions, whose a call is, findings. In pipelines of bounded size."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from conferral.runtime.errors import StoreUnreachableError
from conferral.statemachine.events import AccountSwept, ConferenceFound
from conferral.statemachine.session import AGENT, CUSTOMER, OUTBOUND
from conferral.statemachine.states import PartyStatus, State
from conferral.storage.append import append_events
from conferral.storage.connection import Client, store_errors
from conferral.storage.keys import Keys
from conferral.storage.limits import grouped_by_node, node_of
from conferral.storage.publisher import CALL_INDEX_TTL_S
from conferral.storage.reading import SessionReader
from conferral.storage.times import from_iso
from conferral.worker.sweep.comparing import EndedSession, Finding, LiveSession

_T = TypeVar("_T")

#: How old the oldest undecided entry of a partition may be before its sessions count as behind, milliseconds.
BEHIND_MS = 1_000
#: Unknown conferences that are noted for the next holder, count: about 25 KB.
UNKNOWN_NOTED_MAX = 500
#: Fields of the sweep's lease.
_SWEPT, _UNKNOWN = "swept", "unknown"
#: Of parties whose phone rings, or is about to.
_UNANSWERED = frozenset({PartyStatus.DIALING.value, PartyStatus.RINGING.value})


class SweepRecords:
    """Reads what is compared, and publishes what differs."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._reader = SessionReader(client, keys)
        #: By how much the times of a partition's sessions are ahead of Redis's clock, milliseconds.
        self._ahead_ms: dict[int, int] = {}
        #: Nodes of a cluster that did not answer in this sweep.
        self._silent: set[str] = set()

    # ---- silent nodes --------------------------------------------------------------------------------------------

    def is_silent(self, partition: int) -> bool:
        """Whether the node of a partition did not answer in this sweep."""
        return bool(self._silent) and node_of(self._client, self._keys.live(partition)) in self._silent

    def note_silent(self, partition: int, error: StoreUnreachableError) -> None:
        """Note that the node of a partition did not answer.

        Raises:
            StoreUnreachableError: there is no other node.
        """
        node = node_of(self._client, self._keys.live(partition))
        if not node:
            raise error
        self._silent.add(node)

    def forget_silence(self) -> None:
        """Ask all nodes again: the next sweep begins."""
        self._silent.clear()

    # ---- what is read and written --------------------------------------------------------------------------------

    async def swept_ms(self) -> int | None:
        """When the last sweep began that has looked at everybody, Unix milliseconds by Redis's clock; None: never."""
        with store_errors():
            swept = await self._client.hget(self._keys.sweep_lease, _SWEPT)
        try:
            return None if swept is None else int(swept)
        except ValueError:  # somebody writes under our prefix
            return None

    async def note_swept(self, at_ms: int) -> None:
        """Writes that down, for whoever sweeps next."""
        with store_errors():
            await self._client.hset(self._keys.sweep_lease, _SWEPT, at_ms)

    async def unknown_since_ms(self) -> dict[str, int]:
        """Since when conferences are unknown, by SID, as the last holder has noted; see `UnknownRooms`."""
        with store_errors():
            noted = await self._client.hget(self._keys.sweep_lease, _UNKNOWN)
        pairs = (pair.split(":") for pair in (noted or b"").decode(errors="replace").split())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}

    async def note_unknown(self, since_ms: Mapping[str, int]) -> None:
        """Writes that down; of many only so many, since each is looked at again soon."""
        noted = " ".join(f"{sid}:{since}" for sid, since in islice(since_ms.items(), UNKNOWN_NOTED_MAX))
        with store_errors():
            await self._client.hset(self._keys.sweep_lease, _UNKNOWN, noted)

    async def keeps_up(self, partition: int, now_ms: int) -> bool:
        """Whether somebody decides for a partition, and is not behind: else its sessions say what was, not what is.

        Args:
            partition: Which.
            now_ms: What Redis's clock shows, Unix milliseconds.
        """
        with store_errors():
            pipeline = self._client.pipeline(transaction=False)
            pipeline.hmget(self._keys.lease(partition), "until", "ahead")
            pipeline.xrange(self._keys.events(partition), count=1)
            (until, ahead), oldest = await pipeline.execute()
        self._ahead_ms[partition] = int(ahead or 0)
        if until is None or int(until) < now_ms:
            return False
        return not oldest or now_ms - int(oldest[0][0].split(b"-")[0]) < BEHIND_MS

    async def live_ids(self, partition: int) -> list[str]:
        """Ids of the live sessions of a partition, in order: the same sweep of the same account is always the same."""
        with store_errors():
            names = await self._client.smembers(self._keys.live(partition))
        return sorted(name.decode(errors="replace") for name in names)

    async def live_sessions(self, session_ids: Sequence[str]) -> list[LiveSession]:
        """Live sessions; those that have ended meanwhile, or make no sense, are left out."""
        records = await self._reader.records(session_ids)
        found = (_live_session(name, record, self._ahead_of(name)) for name, record in records.items())
        return [session for session in found if session is not None]

    async def owners(self, call_sids: Sequence[str]) -> dict[str, str]:
        """Sessions by call; calls that are none of ours, or that a silent node knows, are left out."""
        sid_of = {self._keys.call(call_sid): call_sid for call_sid in call_sids}
        found: dict[str, str] = {}
        for keys in grouped_by_node(self._client, sid_of):
            node = node_of(self._client, keys[0])
            if node in self._silent:
                continue
            try:
                found |= await self._reader.sessions_of_calls(sid_of[key] for key in keys)
            except StoreUnreachableError:
                if not node:
                    raise
                self._silent.add(node)
        return found

    async def ended(self, session_ids: Sequence[str]) -> dict[str, EndedSession]:
        """Sessions that have ended; those that live or don't exist are left out."""
        records = await self._reader.records(session_ids)
        found = {
            name: EndedSession(_time_of(record, "ended_at", self._ahead_of(name)), _rooms_of(record))
            for name, record in records.items()
            if not _lives(record)
        }
        return {name: session for name, session in found.items() if session.ended_at_ms}

    def _ahead_of(self, session_id: str) -> int:
        return self._ahead_ms.get(self._keys.partition_of(session_id), 0)

    async def unknown(self, session_ids: Sequence[str]) -> set[str]:
        """Those of whom there is no record at all, neither live nor ended."""
        return set(session_ids) - (await self._reader.records(session_ids)).keys()

    async def adopt(self, found: ConferenceFound) -> bool:
        """Publish what was found of a lost session; its calls lead to it from now on.

        Returns:
            False where a silent node has to know one of the calls: then nothing is published.
        """
        calls = [self._keys.call(participant.call_sid) for participant in found.participants]
        if any(node_of(self._client, key) in self._silent for key in calls):
            return False
        with store_errors():
            pipeline = self._client.pipeline(transaction=False)
            for key in calls:
                pipeline.set(key, found.session_id, nx=True, ex=CALL_INDEX_TTL_S)
            await pipeline.execute()
        await append_events(self._client, self._keys, [found])
        return True

    async def publish(self, findings: Iterable[Finding], interval_number: int) -> None:
        """Appends findings to their sessions' partitions.

        Args:
            findings: What differs.
            interval_number: Which sweep: the same finding is taken once in each.
        """
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


def in_parts(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """The items in lists of at most this size."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


def _live_session(session_id: str, record: Mapping[str, str], ahead_ms: int) -> LiveSession | None:
    """Taken from the bare fields: a sweep reads every session there is, and needs little of each."""
    updated_at_ms = _time_of(record, "updated_at", ahead_ms)
    if not _lives(record) or not updated_at_ms:
        return None
    parties = {
        name.removesuffix("call_sid"): call_sid
        for name, call_sid in record.items()
        if call_sid and name.startswith("party.") and name.endswith(".call_sid")
    }
    there = {party: sid for party, sid in parties.items() if record.get(f"{party}status") != PartyStatus.LEFT}
    calls = tuple(there.values())
    ringing = tuple(sid for party, sid in there.items() if _is_called(party, record))
    return LiveSession(session_id, updated_at_ms, record.get("conference_sid", ""), calls, ringing)


def _is_called(party: str, record: Mapping[str, str]) -> bool:
    """Whether somebody has been called and has not answered, as far as is known. Whoever calls hears ringing too."""
    if record.get(f"{party}status") not in _UNANSWERED:
        return False
    child = CUSTOMER if record.get("direction") == OUTBOUND else AGENT
    return bool(record.get(f"{party}dial_id")) or party == f"party.{child}."


def _rooms_of(record: Mapping[str, str]) -> frozenset[str]:
    return frozenset((record.get("conference_sid", ""), *record.get("former_rooms", "").split())) - {""}


def _lives(record: Mapping[str, str]) -> bool:
    return record.get("state", State.ENDED) != State.ENDED


def _time_of(record: Mapping[str, str], name: str, ahead_ms: int) -> int:
    """Unix milliseconds by Redis's clock as it stands now; 0 when the record tells none."""
    try:
        at_ms = from_iso(record.get(name, ""))
        return at_ms and at_ms - ahead_ms
    except ValueError:
        return 0
