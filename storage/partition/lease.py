"""Who owns a partition, or a task that only one may do: a lease without a TTL.

A holder commits as long as nobody else has taken over, even late: the commit compares the whole `holder`. The time only
says when others may take it, and until when a holder may still send REST requests, which nothing else can fence.

Holders go by their own monotonic clocks, and so do those who wait for a lease to run out (`Watch`): Redis's clock, in
which `until` is written, may be set forwards or back at any moment.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from conferral.runtime.clock import Clock
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.storage import scripts
from conferral.storage.connection.client import Client, store_errors

#: How long a lease lasts without renewal, milliseconds: a killed worker's calls wait no longer than this and a look.
LEASE_MS = 5_000
#: How often it is renewed, seconds: three tries before it runs out.
RENEW_EVERY_S = 1.5
#: How long who has never seen a lease before waits at least until he takes it for one that has run out, as a part of
#: its length: somewhat longer than until it is renewed.
FIRST_READ_MIN_FRACTION = 0.4
#: How long orders are looked up before they are sent after Redis's history was, or may have been, rewound, seconds.
VERIFY_AFTER_FAILOVER_S = 60.0
#: What a lease names as its server while that one may lack what holders did: no server is called so, so that the next
#: holder is careful too.
IN_DOUBT = "-"


@dataclass(slots=True)
class Lease:
    """A lease that we hold, as far as we know."""

    key: str
    #: Growing epoch and our random name: `7:4f1c…`.
    holder: str
    #: Number of the last commit under this lease.
    commit: int
    #: Until when REST requests may be sent, by our own monotonic clock in seconds, counted from before we asked.
    valid_until_s: float
    #: When it ran out for whoever had it before, Unix milliseconds by Redis's clock; 0 when it was given back.
    expired_at_ms: int
    #: Redis's time when it was taken, Unix milliseconds.
    acquired_at_ms: int
    #: When it was asked for, by our own monotonic clock in seconds.
    requested_at_s: float = 0.0
    #: Of a partition's: by how much its time is ahead of Redis's when it is taken, milliseconds.
    clock_offset_ms: int = 0
    #: Which server the holders before worked with, by its run id; empty where none of them noted it.
    redis_before: str = ""
    #: Which server it is, as far as we know, and for how long it had run when the lease was taken, seconds. Empty and
    #: None where it does not say.
    redis: str = ""
    redis_up_s: int | None = None
    #: Until when this server may lack what was done with another one, monotonic seconds.
    rewound_until_s: float = 0.0

    @property
    def was_released(self) -> bool:
        """Whether it was given back by whoever had it before, not left behind."""
        return self.expired_at_ms == 0

    @property
    def sent_until_ms(self) -> int:
        """The last moment at which the holder before could have sent a REST request, by the partition's time."""
        return (self.expired_at_ms or self.acquired_at_ms) + self.clock_offset_ms

    def note_redis(self, redis: str, now_s: float) -> None:
        """Notes which server it is now: another one may have forgotten what was done."""
        if redis and self.redis and redis != self.redis:
            self.rewound_until_s = now_s + VERIFY_AFTER_FAILOVER_S
        self.redis = redis or self.redis

    def is_valid(self, clock: Clock, margin_s: float = 0.0) -> bool:
        """Whether nobody else can hold it now, nor within a margin, so that a REST request may be sent."""
        return clock.monotonic_s() + margin_s < self.valid_until_s


@dataclass(frozen=True, slots=True)
class LeaseInfo:
    """Somebody else has the lease."""

    holder: str
    until_ms: int


class Renewal(Enum):
    """What came of a renewal."""

    RENEWED = 1
    #: Somebody else has it, or we gave it back.
    LOST = 0
    #: Redis knows fewer commits than were made: its history was rewound, and what is in memory is worth nothing.
    ROLLED_BACK = 2


class LeaseMonitor:
    """How a lease that somebody else has stands, by our own clock: one that was not renewed for so long has run out.

    Of no use to who holds it; to be asked anew when it was lost.
    """

    def __init__(self, duration_ms: int = LEASE_MS) -> None:
        """Has seen nothing yet.

        Args:
            duration_ms: How long a lease lasts without renewal, milliseconds.
        """
        self._duration_s = duration_ms / 1000
        #: Who has it, and until when by Redis's clock, as they were seen last; None when it was never looked at.
        self.last_info: LeaseInfo | None = None
        #: When it has run out unless it reads otherwise then, monotonic seconds.
        self.expires_at_s = 0.0

    def update(self, info: LeaseInfo, now_s: float, left_ms: int | None = None) -> None:
        """Takes a look at the lease.

        Args:
            info: What it read.
            now_s: When, monotonic seconds.
            left_ms: How long it still ran by Redis's clock, milliseconds. Of use for the first look alone: whoever has
                looked before knows better than by a clock that may have been set.
        """
        if info == self.last_info:
            return
        left_s = self._duration_s
        if self.last_info is None and left_ms is not None:
            # Should it have run out by Redis's clock alone, the holder shows within a renewal that it lives.
            left_s = min(max(self._duration_s * FIRST_READ_MIN_FRACTION, left_ms / 1000), left_s)
        self.last_info = info
        self.expires_at_s = now_s + left_s

    def is_expired(self, now_s: float) -> bool:
        """Whether it has run out, if it still reads as it did; also when somebody has given it back."""
        return self.last_info is not None and (not self.last_info.until_ms or self.expires_at_s <= now_s)

    def extend(self, until_s: float) -> None:
        """Gives the holder time: nobody could look, and perhaps nobody could renew."""
        self.expires_at_s = max(self.expires_at_s, until_s)


async def acquire(
    client: Client,
    key: str,
    worker_name: str,
    clock: Clock,
    duration_ms: int = LEASE_MS,
    monitor: LeaseMonitor | None = None,
) -> tuple[Lease | LeaseInfo, int]:
    """Takes a free lease or one that ran out.

    Args:
        client: Of Redis.
        key: Of the lease.
        worker_name: Who asks: a random name, never used by anybody else.
        clock: Of this machine.
        duration_ms: How long it lasts without renewal, milliseconds.
        monitor: What the asker knows of it from earlier looks; notes what is found. Without one Redis's clock decides.

    Returns:
        The lease or who has it, and Redis's time, Unix milliseconds.

    Raises:
        StoreError: as of any command.
    """
    requested_at_s = clock.monotonic_s()
    last_info = monitor.last_info if monitor is not None else None
    has_expired = monitor is not None and monitor.is_expired(requested_at_s)
    arguments: list[scripts.Argument] = [
        worker_name,
        duration_ms,
        last_info.until_ms if last_info is not None else "",
        int(has_expired),
    ]
    with store_errors():
        answer = await scripts.acquire_lease(client, [key], arguments)
    if int(answer[0]) == 0:
        info, now_ms = LeaseInfo(answer[1].decode(), int(answer[2])), int(answer[3])
        if monitor is not None:
            monitor.update(info, requested_at_s, info.until_ms - now_ms)
        return info, now_ms
    now_ms, expired_at_ms = int(answer[3]), int(answer[4])
    if expired_at_ms and monitor is not None and has_expired:
        expired_at_ms = now_ms - max(0, round((requested_at_s - monitor.expires_at_s) * 1000))
    lease = Lease(
        key=key,
        holder=answer[1].decode(),
        commit=int(answer[2]),
        valid_until_s=requested_at_s + duration_ms / 1000,
        expired_at_ms=expired_at_ms,
        acquired_at_ms=now_ms,
        requested_at_s=requested_at_s,
        clock_offset_ms=int(answer[5]),
        redis_before=answer[6].decode(errors="replace"),
        redis=answer[7].decode(errors="replace"),
        redis_up_s=int(answer[8]) if answer[8] else None,
    )
    lease.rewound_until_s = _rewound_until_s(lease)
    return lease, now_ms


def _rewound_until_s(lease: Lease) -> float:
    """Until when Redis may lack what the holders before did, monotonic seconds; 0 when it lacks nothing."""
    if lease.redis_before and lease.redis:
        return lease.requested_at_s + VERIFY_AFTER_FAILOVER_S if lease.redis != lease.redis_before else 0.0
    # Of holders that noted nothing, only a death counts: a new Redis starts with its first workers.
    if lease.was_released or lease.redis_up_s is None:
        return 0.0
    return lease.requested_at_s + max(0.0, VERIFY_AFTER_FAILOVER_S - lease.redis_up_s)


async def read_leases(client: Client, keys: Sequence[str]) -> list[LeaseInfo | None]:
    """Who has leases and until when, in one round trip.

    Returns:
        For each key its standing: of a lease that nobody ever had, an empty name and 0; None of one that makes no
        sense, as `take` will say.
    """
    with store_errors():
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.hmget(key, "holder", "until")
        answers = await pipeline.execute(raise_on_error=False)
    return [_parse_info(answer) for answer in answers]


def _parse_info(answer: object) -> LeaseInfo | None:
    try:
        with store_errors():
            if isinstance(answer, Exception):
                raise answer
    except StoreUnreachableError:
        raise
    except StoreError:
        return None
    assert isinstance(answer, list)
    holder, until = answer
    try:
        return LeaseInfo((holder or b"").decode(errors="replace"), int(until or 0))
    except ValueError:
        return None


async def renew(
    client: Client, lease: Lease, clock: Clock, duration_ms: int = LEASE_MS, own_now_ms: int | None = None
) -> tuple[Renewal, int]:
    """Makes a lease last longer; tells Redis's time too.

    Args:
        client: Of Redis.
        lease: Ours.
        clock: Of this machine.
        duration_ms: How long it lasts from now on, milliseconds.
        own_now_ms: Of a partition's lease its time, Unix milliseconds: the next holder goes on with it, and compares
            the server that is noted with it.
    """
    requested_at_s = clock.monotonic_s()
    commits_before = lease.commit
    own_ms = own_now_ms if own_now_ms is not None else ""
    arguments: list[scripts.Argument] = [lease.holder, duration_ms, own_ms, _server_to_note(lease, requested_at_s)]
    with store_errors():
        answer = await scripts.renew_lease(client, [lease.key], arguments)
    if int(answer[0]) == 0:
        lease.valid_until_s = 0.0
        return Renewal.LOST, int(answer[1])
    lease.note_redis(answer[3].decode(errors="replace"), clock.monotonic_s())
    if int(answer[2]) < commits_before:
        lease.valid_until_s = 0.0
        return Renewal.ROLLED_BACK, int(answer[1])
    lease.valid_until_s = requested_at_s + duration_ms / 1000
    return Renewal.RENEWED, int(answer[1])


def _server_to_note(lease: Lease, now_s: float) -> str:
    if not lease.redis:
        return ""
    return lease.redis if lease.rewound_until_s <= now_s else IN_DOUBT


async def release(client: Client, lease: Lease, own_now_ms: int | None = None) -> bool:
    """Gives a lease back, a partition's with its time; False when it was lost before."""
    lease.valid_until_s = 0.0
    arguments: list[scripts.Argument] = [lease.holder, own_now_ms if own_now_ms is not None else ""]
    with store_errors():
        return bool(int(await scripts.release_lease(client, [lease.key], arguments)))
