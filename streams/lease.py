"""Who owns a partition, or a task that only one may do: a lease without a TTL, by Redis's clock.

A holder commits as long as nobody else has taken over, even late: the commit compares the whole `holder`. The time only
says when others may take it, and until when a holder may still send REST requests, which nothing else can fence.
"""

from dataclasses import dataclass
from enum import Enum

from runtime.clock import Clock
from streams import scripts
from streams.connection import Client, store_errors

#: How long a lease lasts without renewal, milliseconds: a killed worker's calls wait no longer than this and a look.
LEASE_MS = 5_000
#: How often it is renewed, seconds: three tries before it runs out.
RENEW_EVERY_S = 1.5


@dataclass(slots=True)
class Lease:
    """A lease that we hold, as far as we know."""

    key: str
    #: Growing epoch and our random name: `7:4f1c…`.
    holder: str
    #: Number of the last commit under this lease.
    commit: int
    #: Until when REST requests may be sent, by our own monotonic clock in seconds, counted from before we asked.
    sure_until_s: float
    #: When it ran out for whoever had it before, Unix milliseconds by Redis's clock; 0 when it was given back.
    ran_out_ms: int
    #: Redis's time when it was taken, Unix milliseconds.
    taken_ms: int

    @property
    def was_clean(self) -> bool:
        """Whether it was given back by whoever had it before, not left behind."""
        return self.ran_out_ms == 0

    @property
    def sent_until_ms(self) -> int:
        """The last moment at which the holder before could have sent a REST request."""
        return self.ran_out_ms or self.taken_ms

    def is_sure(self, clock: Clock, margin_s: float = 0.0) -> bool:
        """Whether nobody else can hold it now, nor within a margin, so that a REST request may be sent."""
        return clock.monotonic_s() + margin_s < self.sure_until_s


@dataclass(frozen=True, slots=True)
class Taken:
    """Somebody else has the lease."""

    holder: str
    until_ms: int


class Renewal(Enum):
    """What came of a renewal."""

    RENEWED = 1
    LOST = 0
    #: Redis knows fewer commits than were made: its history was rewound, and what is in memory is worth nothing.
    REWOUND = 2


async def take(
    client: Client, key: str, name: str, clock: Clock, duration_ms: int = LEASE_MS
) -> tuple[Lease | Taken, int]:
    """Takes a free lease or one that ran out.

    Returns:
        The lease or who has it, and Redis's time, Unix milliseconds.

    Raises:
        StoreError: as of any command.
    """
    asked_at_s = clock.monotonic_s()
    with store_errors():
        answer = await scripts.take_lease(client, [key], [name, duration_ms])
    if int(answer[0]) == 0:
        return Taken(answer[1].decode(), int(answer[2])), int(answer[3])
    lease = Lease(
        key=key,
        holder=answer[1].decode(),
        commit=int(answer[2]),
        sure_until_s=asked_at_s + duration_ms / 1000,
        ran_out_ms=int(answer[4]),
        taken_ms=int(answer[3]),
    )
    return lease, int(answer[3])


async def renew(client: Client, lease: Lease, clock: Clock, duration_ms: int = LEASE_MS) -> tuple[Renewal, int]:
    """Makes a lease last longer; tells Redis's time too."""
    asked_at_s = clock.monotonic_s()
    commits_before = lease.commit
    with store_errors():
        answer = await scripts.renew_lease(client, [lease.key], [lease.holder, duration_ms])
    if int(answer[0]) == 0:
        lease.sure_until_s = 0.0
        return Renewal.LOST, int(answer[1])
    if int(answer[2]) < commits_before:
        lease.sure_until_s = 0.0
        return Renewal.REWOUND, int(answer[1])
    lease.sure_until_s = asked_at_s + duration_ms / 1000
    return Renewal.RENEWED, int(answer[1])


async def release(client: Client, lease: Lease) -> bool:
    """Gives a lease back; False when it was lost before."""
    lease.sure_until_s = 0.0
    with store_errors():
        return bool(int(await scripts.release_lease(client, [lease.key], [lease.holder])))
