"""Sessions in Redis: loading them, and the single commit of a batch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from enum import Enum
from itertools import chain, islice

import msgspec

from conferral.runtime.errors import LeaseLostError, StoreError
from conferral.statemachine.session import Session
from conferral.storage import scripts
from conferral.storage.codecs import session_codec, session_hash
from conferral.storage.codecs.hash_codec import CorruptHashError
from conferral.storage.codecs.session_hash import LOADED
from conferral.storage.connection.client import Client, raise_refusals, run_all, store_errors
from conferral.storage.keys import Keys
from conferral.storage.partition.lease import Lease
from conferral.storage.scripts import Argument

LOG_ENTRIES_MAX = 5_000
#: The first fields of every log entry, in this order: a commit passes only their values.
LOG_FIELDS = ("at", "event", "from", "to", "outcome", "version", "reason", "effects")
_NAMED = len(LOG_FIELDS)
#: What a packed list holds. Texts only: Redis's MessagePack has no bytes.
Value = str | int | Sequence[str | int]
_ENCODER = msgspec.msgpack.Encoder()


@dataclass(slots=True)
class SessionChange:
    """What a batch changed in one session."""

    before: Session
    after: Session
    #: Entries for the session's log, oldest first. Each begins with `LOG_FIELDS`; its time is the batch's.
    log: list[dict[str, str]] = field(default_factory=list)
    changed: InitVar[Mapping[str, str | None] | None] = None
    #: The other fields to write; None for a field to remove.
    readable: Mapping[str, str | None] = field(init=False, repr=False)
    packed: bytes = field(init=False, repr=False)

    def __post_init__(self, changed: Mapping[str, str | None] | None) -> None:
        self.readable = session_codec.changes(self.after, self.before).readable if changed is None else changed
        self.packed, packed_parties = session_hash.pack_changes(self.after, self.before)
        self.readable = {**self.readable, **packed_parties} if packed_parties else self.readable


@dataclass(slots=True)
class Batch:
    """What a commit stores, and the entries that it removes."""

    entry_ids: list[str] = field(default_factory=list)
    #: Whether the stream held no older entries when these were read; the ids are then in its order.
    has_oldest: bool = False
    #: The time of all log entries, as in their field `at`.
    logged_at: str = ""
    sessions: list[SessionChange] = field(default_factory=list)
    outbox_put: dict[str, bytes] = field(default_factory=dict)
    outbox_del: list[str] = field(default_factory=list)
    #: Due times in ms by `TIMER|SESSION`; None cancels.
    timers: dict[str, int | None] = field(default_factory=dict)


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
    """A Redis rollback lowered the commit number; discard what is in memory."""


class WrongTypeError(StoreError):
    """A partition's key has the wrong type: another program writes here."""


class SessionStore:
    """Loads and commits the sessions of partitions that this process holds."""

    def __init__(self, client: Client, keys: Keys, *, session_ttl_s: int) -> None:
        self._client = client
        self._keys = keys
        self._session_ttl_s = session_ttl_s

    async def load(self, session_ids: Sequence[str]) -> dict[str, Session | CorruptHashError]:
        """Load sessions in one round trip: new if missing, an error if corrupt."""
        commands = [("HMGET", self._keys.session(name), *LOADED) for name in session_ids]
        with store_errors():
            records = raise_refusals(await run_all(self._client, commands))
        return {name: _load(name, record) for name, record in zip(session_ids, records, strict=True)}

    async def commit(self, partition: int, lease: Lease, batch: Batch) -> CommitResult:
        """Store a batch under the lease's next commit number, or nothing of it.

        After StoreUnreachableError, commit the same batch again: the number advances only when the result is known, and
        the script recognizes an earlier success. After any other error, nothing was written.
        """
        keys, arguments = self.script_call(partition, lease, batch)
        with store_errors():
            code, *conflicting = map(int, await scripts.commit_batch(self._client, keys, arguments))
        match result := CommitResult(code):
            case CommitResult.LOST:
                lease.valid_until_s = 0.0
                raise LeaseLostError("another worker owns the partition")
            case CommitResult.OUT_OF_ORDER:
                raise CommitOutOfOrderError("the lease's commit number went back or jumped")
            case CommitResult.WRONG_TYPE:
                raise WrongTypeError("a key of the partition is of the wrong type")
            case CommitResult.CONFLICT:
                raise CommitConflictError(tuple(batch.sessions[place - 1].after.id for place in conflicting))
            case CommitResult.OK | CommitResult.ALREADY:
                lease.commit += 1
                return result

    def script_call(self, partition: int, lease: Lease, batch: Batch) -> tuple[list[str], list[Argument]]:
        """Return the keys and arguments of `commit_batch`, in its order."""
        keys = self._keys
        names = [
            keys.events(partition),
            keys.lease(partition),
            keys.outbox(partition),
            keys.timers(partition),
            keys.live(partition),
            keys.ended(partition),
            keys.suspects(partition),
            keys.new_log(partition),
        ]
        timers = batch.timers.items()
        values: list[Value] = [
            batch.entry_ids,
            [part for name, body in batch.outbox_put.items() for part in (name, body.decode())],
            batch.outbox_del,
            [part for member, due in timers if due is not None for part in (str(due), member)],
            [member for member, due in timers if due is None],
            *_indexed(batch.sessions),
        ]
        for change in batch.sessions:
            names += (keys.session(change.after.id), keys.log(change.after.id))
            _add_session(values, change)
        numbers = (lease.commit + 1, self._session_ttl_s, LOG_ENTRIES_MAX)
        packed = (change.packed for change in batch.sessions)
        # Few arguments instead of thousands: both sides handle them in a fraction of the time.
        return names, [lease.holder, *numbers, batch.logged_at, _ENCODER.encode(values), int(batch.has_oldest), *packed]


def _indexed(changes: Sequence[SessionChange]) -> Iterator[Sequence[str | int]]:
    """Yield what `commit_batch` checks and indexes, in its order."""
    ended = [(n, one.after) for n, one in enumerate(changes, 1) if one.after.ended_at_ms and not one.before.ended_at_ms]
    yield [change.after.id for change in changes if not (change.before.version or change.after.ended_at_ms)]
    yield [part for _, session in ended for part in (str(session.ended_at_ms), session.id)]
    yield [place for place, _ in ended]
    yield [str(change.before.version) for change in changes]


def _add_session(values: list[Value], change: SessionChange) -> None:
    """Append a session's fields and log, after their numbers."""
    written: list[str] = []
    removed = []
    for name, value in change.readable.items():
        if value is None:
            removed.append(name)
        else:
            written += (name, value)
    values += (len(written), len(removed), len(change.log))
    values += written
    values += removed
    for entry in change.log:
        # `LOG_FIELDS` without names, and without `at`, which is the batch's; the other fields with their names.
        others = chain.from_iterable(islice(entry.items(), _NAMED, None))
        fields = [*islice(entry.values(), 1, _NAMED), *others]
        values.append(len(fields))
        values += fields


def _load(session_id: str, record: Sequence[bytes | None] | None) -> Session | CorruptHashError:
    if record is None:  # the key is not a hash
        return CorruptHashError(session_hash.WRONG_TYPE)
    try:
        return session_hash.load(session_id, record)
    except CorruptHashError as error:
        return error
