"""The commit of a batch of decisions, and what they start from."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import msgspec
import structlog

from conferral.runtime.errors import LeaseLostError, StoreError
from conferral.runtime.metrics import Metrics
from conferral.statemachine.session import Session
from conferral.statemachine.step import CommandReport, CommandStatus
from conferral.storage import agent_calls, scripts
from conferral.storage.agent_calls import EndedCall
from conferral.storage.agents import identities_of
from conferral.storage.call_index import CallIndex
from conferral.storage.codecs import session_codec
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.codecs.session_codec import CorruptHashError
from conferral.storage.codecs.text_codec import decode_fields
from conferral.storage.command_reports import COMMAND_TTL_S
from conferral.storage.connection.client import Client, run_each
from conferral.storage.coordinator import Lease
from conferral.storage.keys import Keys

log = structlog.get_logger()

#: Entries kept in a session's log, count.
LOG_ENTRIES_MAX = 5_000


@dataclass(slots=True)
class SessionChange:
    """What a batch changes in one session."""

    #: As stored.
    before: Session
    after: Session = field(init=False)
    #: Entries for the session's log, oldest first.
    log: list[LogEntry] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.after = self.before


@dataclass(slots=True)
class Commit:
    """What one commit stores, and the entries that it removes."""

    entry_ids: list[str] = field(default_factory=list)
    sessions: list[SessionChange] = field(default_factory=list)
    outbox_set: dict[str, bytes] = field(default_factory=dict)
    outbox_remove: list[str] = field(default_factory=list)
    #: Due times in ms by `TIMER|SESSION`; None cancels.
    timers: dict[str, int | None] = field(default_factory=dict)
    #: Each with its command's session.
    reports: list[tuple[str, CommandReport]] = field(default_factory=list)
    #: Entries for the outcome stream, oldest first.
    outcomes: list[dict[str, str]] = field(default_factory=list, repr=False)
    #: Entries for agents' lists of calls, oldest first.
    agent_calls: list[EndedCall] = field(default_factory=list, repr=False)
    #: Calls of sessions that have ended, by session.
    calls_over: dict[str, tuple[str, ...]] = field(default_factory=dict)


class CommitResult(Enum):
    """Result of a commit, as the script returns it."""

    LOST = 0
    OK = 1
    #: Stored by an earlier request whose answer was lost.
    ALREADY = 2
    OUT_OF_ORDER = 3
    WRONG_TYPE = 4
    CONFLICT = 5


class CommitConflictError(StoreError):
    """Version conflict (optimistic lock): unwritten; reload `session_ids`."""

    def __init__(self, session_ids: tuple[str, ...]) -> None:
        super().__init__("sessions have another version")
        self.session_ids = session_ids


class CommitOutOfOrderError(StoreError):
    """A loss lowered the commit number; discard what is in memory."""


class CommitStore:
    """Commits decisions on partitions that this process holds."""

    def __init__(
        self,
        client: Client,
        keys: Keys,
        *,
        call_index: CallIndex,
        outcomes_kept: int,
        metrics: Metrics,
    ) -> None:
        self._client = client
        self._keys = keys
        self._call_index = call_index
        self._outcomes_kept = outcomes_kept
        self._metrics = metrics

    async def load(self, session_ids: Sequence[str]) -> dict[str, Session | CorruptHashError]:
        """Load sessions: new if missing, an error if corrupt."""
        records = await run_each(self._client, [("HGETALL", self._keys.session(one)) for one in session_ids])
        found: dict[str, Session | CorruptHashError] = {}
        for session_id, record in zip(session_ids, records, strict=True):
            try:
                found[session_id] = session_codec.load(session_id, record)
            except CorruptHashError as error:
                found[session_id] = error
        return found

    async def whole_logs(self, session_ids: Collection[str]) -> dict[str, list[LogEntry]]:
        """Return the logs from which the durations of outcomes follow.

        Oldest entry first; empty if missing.
        """
        reads = [("XRANGE", self._keys.log(one), "-", "+") for one in session_ids]
        answers = await run_each(self._client, reads)
        return {
            session_id: [
                LogEntry.of(entry_id.decode(), decode_fields(fields or {})) for entry_id, fields in entries or ()
            ]
            for session_id, entries in zip(session_ids, answers, strict=True)
        }

    async def commit(self, partition: int, lease: Lease, commit: Commit) -> CommitResult:
        """Store a commit under the lease's next number, or nothing of it.

        After StoreUnreachableError, store the same commit again: the number advances only when the result is known, and
        the script recognizes an earlier success. After any other error, nothing was written.
        """
        names, arguments = self.encode(partition, lease.holder, lease.commit_number + 1, commit)
        code, *found = await scripts.commit_batch.durably(self._client, names, arguments)
        match result := CommitResult(int(code)):
            case CommitResult.LOST:
                raise LeaseLostError("another worker owns the partition")
            case CommitResult.OUT_OF_ORDER:
                raise CommitOutOfOrderError("the lease's commit number went back or jumped")
            case CommitResult.WRONG_TYPE:
                raise StoreError(f"of the wrong type: {', '.join(_named(names, found))}; another program writes there")
            case CommitResult.CONFLICT:
                raise CommitConflictError(tuple(commit.sessions[int(number) - 1].after.id for number in found))
        if found:
            self._metrics.writes_refused.labels("commit").inc()
            log.error("writes_refused", partition=partition, names=_named(names, found))
        lease.commit_number += 1
        return result

    def encode(
        self, partition: int, holder: str, number: int, commit: Commit
    ) -> tuple[list[str], list[scripts.Argument]]:
        """Return a commit's keys and arguments for the script."""
        keys = self._keys
        names = [
            keys.events(partition),
            keys.lease(partition),
            keys.outbox(partition),
            keys.timers(partition),
            keys.live(partition),
            keys.ended(partition),
            keys.new_log(partition),
            keys.outcomes,
            *(key(change.after.id) for change in commit.sessions for key in (keys.session, keys.log)),
        ]
        lifetimes_s = (self._call_index.session_ttl_s, self._call_index.ended_ttl_s, COMMAND_TTL_S)
        shared, shared_keys = self._encode_shared(commit, len(names))
        records = [session_codec.encode(change.after) for change in commit.sessions]
        texts = [record.pop(session_codec.RECORD) for record in records]  # the script need not decode them
        batch = msgspec.json.encode(_encode_partition(commit, records) | shared)
        limits = (*lifetimes_s, LOG_ENTRIES_MAX, self._outcomes_kept)
        return [*names, *shared_keys], [holder, number, *limits, batch, *texts]

    def _encode_shared(self, commit: Commit, last_number: int) -> tuple[dict[str, Any], Collection[str]]:
        """Return what goes to keys of all partitions, and these keys.

        They are numbered from the one after `last_number`.
        """
        numbers: dict[str, int] = {}

        def number(key: str) -> int:
            return numbers.setdefault(key, last_number + len(numbers) + 1)

        # Any command's: only a `press` has such a key, and the report doesn't name the type.
        refused = (CommandStatus.REJECTED, CommandStatus.FAILED)
        unplayed = [number(self._keys.digits(one.command_id)) for _, one in commit.reports if one.status in refused]
        encoded = {
            "reports": [
                (number(self._keys.command(one.command_id)), one.status.value, one.reason, name, one.code)
                for name, one in commit.reports
            ],
            "outcomes": [_flat(fields) for fields in commit.outcomes],
            "agent_calls": [
                (
                    number(self._keys.agent_calls(one.identity)),
                    agent_calls.encode(one.call),
                    agent_calls.encode(one.corrected) if one.corrected is not None else "",
                    number(self._keys.agent_talked(one.identity)) if one.call.talk_s is not None else 0,
                )
                for one in commit.agent_calls
            ],
            "agent_calls_kept": (agent_calls.CALLS_MAX, agent_calls.KEPT_S, agent_calls.TALKED_S),
            **_encode_changed(commit, self._keys, number),
            "over": [
                (number(self._keys.call(call_sid)), name)
                for name, call_sids in commit.calls_over.items()
                for call_sid in call_sids
            ],
            "unplayed": unplayed,
        }
        return encoded, numbers


def _encode_changed(commit: Commit, keys: Keys, number: Callable[[str], int]) -> dict[str, Any]:
    """Return who enters or leaves a queue, and whose browsers are in calls."""
    queued, unqueued, entered, left = [], [], [], []
    for before, after in ((change.before, change.after) for change in commit.sessions):
        if (waits := waits_in_queue(after)) and not waits_in_queue(before):
            queued.append((number(keys.queued), after.id, after.called_number))
        elif waits_in_queue(before) and not waits:
            unqueued.append((number(keys.queued), after.id))
        was, now = (identities_of(session) if session.version else frozenset() for session in (before, after))
        entered += [(number(keys.agent_sessions(one)), after.id) for one in sorted(now - was)]
        left += [(number(keys.agent_sessions(one)), after.id) for one in sorted(was - now)]
    found = {"queued": queued, "unqueued": unqueued, "entered": entered, "left": left}
    return {name: values for name, values in found.items() if values}


def waits_in_queue(session: Session) -> bool:
    """Whether the index of queues has the session."""
    return bool(session.queued_since_ms) and not session.is_ended


def _named(names: Sequence[str], numbers: Iterable[bytes | int]) -> list[str]:
    """Return keys by their numbers in the script, without repetitions."""
    return sorted({names[int(number) - 1] for number in numbers})


def _encode_partition(commit: Commit, records: Iterable[dict[str, str]]) -> dict[str, Any]:
    """Return what goes to the partition's own keys."""
    timers = commit.timers.items()
    return {
        "entries": commit.entry_ids,
        "outbox_set": [text for name, body in commit.outbox_set.items() for text in (name, body.decode())],
        "outbox_remove": commit.outbox_remove,
        "timers_set": [text for member, due in timers if due is not None for text in (str(due), member)],
        "timers_remove": [member for member, due in timers if due is None],
        "sessions": [_encode_change(*one) for one in zip(commit.sessions, records, strict=True)],
    }


def _encode_change(change: SessionChange, record: dict[str, str]) -> dict[str, Any]:
    before, after = change.before, change.after
    encoded: dict[str, Any] = {
        "id": after.id,
        "expected": str(before.version),
        "set": _flat(record),
        "log": [_flat(entry.stored()) for entry in change.log],
    }
    if after.ended_at_ms and not before.ended_at_ms:
        encoded["ended_at"] = str(after.ended_at_ms)
    elif not before.version:
        encoded["is_opened"] = True
    return encoded


def _flat(fields: dict[str, str]) -> list[str]:
    """Return fields as a command takes them: name, value, name, ..."""
    return [text for pair in fields.items() for text in pair]
