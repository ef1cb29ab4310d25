"""Leases with fencing: after a takeover, the old holder can't commit.

A lease of a partition, or of a task for one worker, has no TTL. Its holder may commit until a takeover, even late: the
commit compares the whole `holder`. The time only says when others may acquire the lease, and until when the holder may
send REST requests, which nothing else can fence.

While Redis has the connection over which the holder renews, the holder may only be slow or suspended, and the lease
lasts `LEASE_MS` without renewal. The kernel closes a killed process's connections at once: then it lasts only
`DISCONNECTED_MS`. The holder can't know which applies, so it sends REST requests only within the shorter time.

Holders, and workers that wait for a lease to expire (`LeaseMonitor`), use their own monotonic clocks. Redis's clock, in
which `until` is written, may be set forward or back at any moment.
"""

import asyncio
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from redis.exceptions import NoScriptError

from conferral.runtime.clock import Clock
from conferral.runtime.errors import StoreUnreachableError
from conferral.storage import scripts
from conferral.storage.connection.client import Client, grouped_by_node, run_all, store_errors, to_store_error

#: Lifetime of a lease without renewal, milliseconds: a killed worker's calls wait at most this long, plus a poll.
LEASE_MS = 5_000
#: Longest renewal interval, seconds: three attempts per lifetime; see `LeaseRenewer.every_s`.
RENEW_EVERY_S = 1.5
#: Lifetime once the holder's connection is gone: time to reconnect. For short leases, a fraction of theirs.
DISCONNECTED_MS = 1_000
DISCONNECTED_FRACTION = 1 / 3
#: Fraction of that lifetime that must be left when a REST request is started.
DISCONNECTED_MARGIN = 0.2
#: Minimum wait after a lease's first reading, as a fraction of its lifetime: above the renewal interval.
FIRST_READ_MIN_FRACTION = 0.4
#: How long effects are verified before they are sent after a rollback, or a suspected one, seconds.
VERIFY_AFTER_FAILOVER_S = 60.0
#: The same, from the rollback, for all later holders together: if workers keep dying, verification must end.
VERIFY_AT_MOST_S = 180.0
_CONNECTION_SEPARATOR = " "
#: What a lease names after a rollback instead of a server, so that the next holder verifies, too: `-`, or `=` if the
#: server lacks no commit; the rollback's time (Unix milliseconds of Redis's clock), the run id, and the last commit's
#: number, which an older version leaves out after `-`. It holds only for that server and commit.
_ROLLED_BACK = re.compile(r"(?:-|(?P<all>=))(?P<at_ms>[0-9]{1,15}):(?P<run_id>\w+)(?::(?P<commit>[0-9]{1,15}))?")


@dataclass(slots=True)
class Lease:
    """A lease that this worker holds, as far as it knows."""

    key: str
    #: Growing epoch and random worker name: `7:4f1c…`.
    holder: str
    commit: int
    #: Until when REST requests may be sent, monotonic seconds, counted from before the request.
    valid_until_s: float
    #: When the previous holder's lease expired, Unix milliseconds of Redis's clock; 0 if it was released.
    expired_at_ms: int
    #: Redis's time at acquisition, Unix milliseconds.
    acquired_at_ms: int
    requested_at_s: float
    #: How far a partition's time was ahead of Redis's at acquisition, milliseconds.
    clock_offset_ms: int = 0
    #: Run id of the previous holders' server; empty if none of them stored it.
    redis_before: str = ""
    #: Run id and uptime (at acquisition, seconds) of the current server; empty and None if unknown.
    redis: str = ""
    redis_up_s: int | None = None
    #: Until when this server may lack writes made on another one, monotonic seconds.
    may_lack_writes_until_s: float = 0.0
    #: When the first holder noticed the rollback, Unix milliseconds of Redis's clock.
    rolled_back_at_ms: int = 0
    #: Whether Redis has all commits from before the rollback, so that no decision is made again; False without one.
    has_all_commits: bool = False
    #: Whether live sessions may lack callbacks that the rollback lost, and must be compared with Twilio.
    has_unchecked_sessions: bool = False
    #: The connection that other workers find in the lease, or may find if an answer was lost; empty without one.
    connection: str = ""
    #: Until when the lease lasts even without that connection, monotonic seconds.
    disconnected_until_s: float = 0.0
    #: A partition's timers and stream, which each renewal reads; empty for a task's lease.
    partition_keys: Sequence[str] = ()
    #: As of the last renewal: due time of the next timer, Unix milliseconds, or None; unprocessed entries, count.
    next_due_ms: int | None = None
    waiting: int = 0

    @property
    def was_released(self) -> bool:
        """Whether the previous holder released the lease; else it expired."""
        return self.expired_at_ms == 0

    @property
    def is_on_same_server(self) -> bool:
        """Whether no other server followed the one that the lease names.

        A failover and its reverse while no worker runs look like no failover.
        """
        return bool(self.redis) and self.redis == self.redis_before

    @property
    def is_redis_complete(self) -> bool:
        """Whether Redis has all commits: it is the same server, or lost none."""
        return self.has_all_commits or self.is_on_same_server

    @property
    def rollback(self) -> str:
        """The name of the latest rollback, the same for all holders."""
        return f"{self.redis}:{self.rolled_back_at_ms}"

    @property
    def sent_until_ms(self) -> int:
        """When the previous holder could last send, Unix ms of partition time."""
        return (self.expired_at_ms or self.acquired_at_ms) + self.clock_offset_ms

    @property
    def lost_until_ms(self) -> int:
        """When a lost history could last send, Unix ms of partition time.

        It ends with the rollback, however many holders follow. A change of Redis's clock only makes this later, unless
        the clock was behind at the rollback and was set before the next takeover.
        """
        rolled_back_at_ms = (self.rolled_back_at_ms or self.acquired_at_ms) + max(0, self.clock_offset_ms)
        return min(self.sent_until_ms, rolled_back_at_ms)

    def note_redis(self, redis: str, now_s: float, now_ms: int, *, has_all_commits: bool) -> None:
        """Store the server's run id, if known; a new server may lack writes.

        `now_s` is monotonic, `now_ms` by Redis's clock. `has_all_commits` compares the server with the previous one.
        """
        if redis and self.redis and redis != self.redis:
            # What the previous server may have lacked, this one may lack, too.
            self.has_all_commits = has_all_commits and (self.has_all_commits or self.may_lack_writes_until_s <= now_s)
            self.may_lack_writes_until_s = now_s + VERIFY_AFTER_FAILOVER_S
            self.rolled_back_at_ms = now_ms
            self.has_unchecked_sessions = True
        self.redis = redis or self.redis

    def is_valid(self, clock: Clock, margin_s: float = 0.0) -> bool:
        """Whether no one else can hold it while Redis has our connection."""
        return clock.monotonic_s() + margin_s < self.valid_until_s

    def is_safe(self, clock: Clock, margin_s: float = 0.0) -> bool:
        """Whether no one else can hold it, even if our connection was cut."""
        return not self.connection or clock.monotonic_s() + margin_s < self.disconnected_until_s

    def extend(self, requested_at_s: float, duration_ms: int) -> None:
        """Extend the lease from when it was requested, monotonic seconds."""
        self.valid_until_s = requested_at_s + duration_ms / 1000
        self.disconnected_until_s = requested_at_s + disconnected_s(duration_ms)


def disconnected_s(duration_ms: int) -> float:
    """Return a lease's lifetime without its holder's connection, seconds."""
    return min(DISCONNECTED_MS, duration_ms * DISCONNECTED_FRACTION) / 1000


@dataclass(frozen=True, slots=True)
class LeaseInfo:
    """A lease that another worker holds."""

    holder: str
    until_ms: int
    #: The holder's, see `conferral.storage.partition.connections`; empty if unknown.
    connection: str = field(default="", compare=False)

    @property
    def worker_name(self) -> str:
        """The worker's name, which follows the epoch in `holder`."""
        return self.holder.partition(":")[2]


class Renewal(Enum):
    """Result of a renewal."""

    RENEWED = 1
    #: Another worker holds the lease, or this one released it.
    LOST = 0
    #: A Redis rollback: Redis knows fewer commits than were made, so what is in memory is invalid.
    ROLLED_BACK = 2


class LeaseMonitor:
    """Times a lease while others hold it, by our own clock."""

    def __init__(self, duration_ms: int = LEASE_MS) -> None:
        self._duration_ms = duration_ms
        #: As last read, `until_ms` by Redis's clock; None before the first reading.
        self.last_info: LeaseInfo | None = None
        #: When the lease expires unless it changes before, monotonic seconds.
        self.expires_at_s = 0.0
        #: Since when this worker saw no change, monotonic seconds.
        self.unchanged_since_s = 0.0

    def update(self, info: LeaseInfo, now_s: float, left_ms: int | None = None) -> None:
        """Store a reading; if the lease has changed, its lifetime starts again.

        Only the first reading uses `left_ms`, what is left by Redis's clock: no one sets our own clock.
        """
        before, self.last_info = self.last_info, info  # an equal one may have another connection
        if info == before:
            return
        left_s = self._duration_ms / 1000
        if before is None and left_ms is not None:
            # If the lease has expired only by Redis's clock, a live holder renews it within one renewal interval.
            left_s = min(max(left_s * FIRST_READ_MIN_FRACTION, left_ms / 1000), left_s)
        self.expires_at_s = now_s + left_s
        self.unchanged_since_s = now_s

    def is_expired(self, now_s: float) -> bool:
        """Whether the lease, as last read, has expired or was released."""
        return self.last_info is not None and (not self.last_info.until_ms or self.expires_at_s <= now_s)

    def extend(self, now_s: float, until_s: float) -> None:
        """Postpone the expiry: when we can't read, the holder may not renew."""
        self.expires_at_s = max(self.expires_at_s, until_s)
        self.unchanged_since_s = now_s

    def disconnected_at_s(self) -> float:
        """Return when it expires without its connection, monotonic seconds."""
        return self.unchanged_since_s + disconnected_s(self._duration_ms)

    def expire(self, now_s: float) -> None:
        """Expire a dead holder's lease, until a reading shows a change."""
        self.expires_at_s = min(self.expires_at_s, now_s)


async def acquire(
    client: Client,
    key: str,
    worker_name: str,
    clock: Clock,
    duration_ms: int = LEASE_MS,
    monitor: LeaseMonitor | None = None,
    connection: str = "",
    partition_keys: Sequence[str] = (),
) -> tuple[Lease | LeaseInfo, int]:
    """Acquire a free lease, or take over an expired one of a dead worker.

    The monitor decides whether it has expired, and stores this reading; without a monitor, Redis's clock decides.
    Return the lease, or another holder's, and Redis's time, Unix milliseconds.
    """
    requested_at_s = clock.monotonic_s()
    last_until_ms = monitor.last_info.until_ms if monitor and monitor.last_info else ""
    has_expired = monitor is not None and monitor.is_expired(requested_at_s)
    arguments: list[scripts.Argument] = [worker_name, duration_ms, last_until_ms, int(has_expired), connection]
    with store_errors():
        is_acquired, holder, *answer = await scripts.acquire_lease(client, [key], arguments)
    if not int(is_acquired):
        until_ms, now_ms = map(int, answer)
        info = LeaseInfo(holder.decode(), until_ms)
        if monitor is not None:
            monitor.update(info, requested_at_s, until_ms - now_ms)
        return info, now_ms
    commit, now_ms, expired_at_ms, clock_offset_ms = map(int, answer[:4])
    redis_before, redis, redis_up_s = (one.decode(errors="replace") for one in answer[4:])
    if expired_at_ms and monitor is not None and has_expired:
        expired_at_ms = now_ms - max(0, round((requested_at_s - monitor.expires_at_s) * 1000))
    lease = Lease(
        key=key,
        holder=holder.decode(),
        commit=commit,
        valid_until_s=requested_at_s,
        expired_at_ms=expired_at_ms,
        acquired_at_ms=now_ms,
        requested_at_s=requested_at_s,
        clock_offset_ms=clock_offset_ms,
        redis_before=redis_before,
        redis=redis,
        redis_up_s=int(redis_up_s) if redis_up_s else None,
        connection=connection,
        partition_keys=partition_keys,
    )
    lease.extend(requested_at_s, duration_ms)
    continue_verification(lease)
    return lease, now_ms


def continue_verification(lease: Lease) -> None:
    """Continue what an earlier holder began after a rollback."""
    stored = _ROLLED_BACK.fullmatch(lease.redis_before)
    if stored is None or stored["run_id"] != lease.redis or lease.commit < int(stored["commit"] or 0):
        lease.rolled_back_at_ms = lease.acquired_at_ms  # no rollback is stored, or another one has followed
    else:
        lease.has_all_commits = stored["all"] is not None
        lease.rolled_back_at_ms = int(stored["at_ms"])
    lease.may_lack_writes_until_s = _may_lack_writes_until_s(lease)
    lease.has_unchecked_sessions = stored is not None or lease.may_lack_writes_until_s > lease.requested_at_s


def _may_lack_writes_until_s(lease: Lease) -> float:
    """Return until when Redis may lack writes, monotonic seconds, or 0."""
    if lease.is_on_same_server:
        return 0.0
    if lease.redis_before and lease.redis:
        passed_s = max(0, lease.acquired_at_ms - lease.rolled_back_at_ms) / 1000
        return lease.requested_at_s + min(VERIFY_AFTER_FAILOVER_S, max(0.0, VERIFY_AT_MOST_S - passed_s))
    # If the previous holders stored no server, only an unclean end counts: a new Redis starts with its first workers.
    if lease.was_released or lease.redis_up_s is None:
        return 0.0
    return lease.requested_at_s + max(0.0, VERIFY_AFTER_FAILOVER_S - lease.redis_up_s)


async def read_leases(client: Client, keys: Sequence[str]) -> list[LeaseInfo | StoreUnreachableError | None]:
    """Read leases, in one round trip to each node.

    A lease that was never held has an empty name and 0. None stands for a lease that is invalid or that Redis refuses
    for good, which `acquire` reports; an error for one on a silent node. If no node answers, raise its error.
    """
    groups = grouped_by_node(client, keys)
    if len(groups) > 1:
        parts = await asyncio.gather(*(_read_from_node(client, own) for own in groups))
    else:
        parts = [await _read_from_node(client, own) for own in groups]
    found = dict(pair for part in parts for pair in part)
    infos = [found[key] for key in keys]
    errors = [info for info in infos if isinstance(info, StoreUnreachableError)]
    if errors and len(errors) == len(infos):
        raise errors[0]
    return infos


async def _read_from_node(
    client: Client, keys: Sequence[str]
) -> list[tuple[str, LeaseInfo | StoreUnreachableError | None]]:
    try:
        with store_errors():
            answers = await run_all(client, [("HMGET", key, "holder", "until", "connection") for key in keys])
    except StoreUnreachableError as error:
        return [(key, error) for key in keys]
    return [(key, _parse_lease(answer)) for key, answer in zip(keys, answers, strict=True)]


def _parse_lease(answer: list[bytes | None] | Exception) -> LeaseInfo | StoreUnreachableError | None:
    if isinstance(answer, Exception):
        error = to_store_error(answer)
        return error if isinstance(error, StoreUnreachableError) else None
    holder, until, connection = ((one or b"").decode(errors="replace") for one in answer)
    # The field is `HOLDER CONNECTION`: a holder of an older version leaves its predecessor's connection in the hash.
    owner, _, current = connection.rpartition(_CONNECTION_SEPARATOR)
    try:
        return LeaseInfo(holder, int(until or 0), current if owner == holder else "")
    except ValueError:
        return None


async def renew(
    client: Client, lease: Lease, clock: Clock, duration_ms: int = LEASE_MS, partition_now_ms: int | None = None
) -> tuple[Renewal, int]:
    """Renew a lease; return the result, and Redis's time, Unix milliseconds."""
    request = RenewalRequest([(lease, partition_now_ms)], clock, duration_ms)
    with store_errors():
        answer = await scripts.renew_leases(client, request.keys, request.arguments)
    results, now_ms = request.apply(answer)
    return results[0], now_ms


async def renew_many(
    client: Client, held: Sequence[tuple[Lease, int]], clock: Clock, duration_ms: int, connection: str
) -> tuple[list[Renewal], int, str]:
    """Renew partitions' leases in one round trip, over one connection.

    Each has its partition's time, Unix milliseconds, from which the next holder continues. Return the results, Redis's
    time, and the connection's CLIENT ID, empty if refused. After a StoreError, any of the leases may be renewed.
    """
    request = RenewalRequest(held, clock, duration_ms, connection)
    with store_errors():
        pipeline = client.pipeline()
        pipeline.execute_command("CLIENT ID")
        scripts.renew_leases.append_to(pipeline, request.keys, request.arguments)
        client_id, answer = await pipeline.execute(raise_on_error=False)
        if isinstance(answer, NoScriptError):
            answer = await scripts.renew_leases(client, request.keys, request.arguments)
        elif isinstance(answer, Exception):
            raise answer
    return *request.apply(answer), "" if isinstance(client_id, Exception) else str(client_id)


class RenewalRequest:
    """A renewal of leases on one server, from its arguments to its answer."""

    def __init__(
        self, held: Sequence[tuple[Lease, int | None]], clock: Clock, duration_ms: int, connection: str = ""
    ) -> None:
        self._held = [lease for lease, _ in held]
        self._clock = clock
        self._duration_ms = duration_ms
        self._requested_at_s = clock.monotonic_s()
        self._commits_before = [lease.commit for lease in self._held]
        self.keys = [key for lease in self._held for key in (lease.key, *lease.partition_keys)]
        self.arguments: list[scripts.Argument] = [duration_ms, connection]
        for lease, partition_now_ms in held:
            lease.connection = connection or lease.connection
            server = _server_to_store(lease, self._requested_at_s)
            self.arguments += [lease.holder, partition_now_ms if partition_now_ms is not None else "", server]

    def apply(self, answer: Sequence[Any]) -> tuple[list[Renewal], int]:
        """Update the leases; return the results, and Redis's time, Unix ms."""
        now_ms, redis = int(answer[0]), answer[1].decode(errors="replace")
        return [
            self._apply_one(*found, now_ms, redis)
            for found in zip(self._held, self._commits_before, answer[2:], strict=True)
        ], now_ms

    def _apply_one(self, lease: Lease, commits_before: int, found: Sequence[Any], now_ms: int, redis: str) -> Renewal:
        """Update a lease; no answer means lost, fewer commits a rollback."""
        if not found:
            lease.valid_until_s = -math.inf
            return Renewal.LOST
        commit, next_due_ms, lease.waiting = found
        lease.next_due_ms = parse_due_ms(next_due_ms)
        # A server that was replaced may still have accepted a commit since the request.
        lease.note_redis(redis, self._clock.monotonic_s(), now_ms, has_all_commits=int(commit) >= lease.commit)
        if int(commit) < commits_before:
            lease.valid_until_s = -math.inf
            return Renewal.ROLLED_BACK
        lease.extend(self._requested_at_s, self._duration_ms)
        return Renewal.RENEWED


def parse_due_ms(score: bytes) -> int | None:
    """Return when a timer is due, Unix milliseconds; None if never."""
    due_ms = float(score or "inf")
    return None if due_ms == math.inf else int(max(due_ms, 0))


def _server_to_store(lease: Lease, now_s: float) -> str:
    """Return a run id, or the form `_ROLLED_BACK`, for the next holder."""
    if not lease.redis:
        return ""
    if lease.may_lack_writes_until_s <= now_s and not lease.has_unchecked_sessions:
        return lease.redis
    kind = "=" if lease.has_all_commits else "-"  # for `-`, entries from before the rollback may still wait
    return f"{kind}{lease.rolled_back_at_ms}:{lease.redis}:{lease.commit}"


async def release(client: Client, lease: Lease, partition_now_ms: int | None = None) -> bool:
    """Release a lease with its time for the next holder; False if lost."""
    lease.valid_until_s = -math.inf
    arguments: list[scripts.Argument] = [lease.holder, partition_now_ms if partition_now_ms is not None else ""]
    with store_errors():
        return bool(int(await scripts.release_lease(client, [lease.key], arguments)))
