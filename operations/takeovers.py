"""Takeovers for display: dead workers, and who acquires their leases."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from conferral.operations.health import lease_holder
from conferral.operations.session_queries import SessionQueries
from conferral.storage.connection.client import server_time_ms, store_errors
from conferral.storage.queries.live_workers import heartbeat_window

#: How long a finished takeover is shown, in milliseconds.
DISPLAY_MS = 60_000


@dataclass(frozen=True, slots=True)
class LeaseSnapshot:
    """The lease holders at one moment."""

    at_ms: int
    #: Each partition's worker; empty without a holder.
    holders: Mapping[int, str]
    running: Collection[str]


async def read_lease_snapshot(reader: SessionQueries) -> LeaseSnapshot:
    """Read the lease holders and the live workers; may raise StoreError."""
    client, keys = reader.client, reader.keys
    at_ms = await server_time_ms(client, keys.workers)
    with store_errors():
        pipeline = client.pipeline()
        pipeline.zrangebyscore(keys.workers, *heartbeat_window(at_ms))
        for number in range(keys.partitions):
            pipeline.hmget(keys.lease(number), "holder", "until")
        running, *leases = await pipeline.execute()
    holders = {number: lease_holder(holder, until, at_ms).name for number, (holder, until) in enumerate(leases)}
    return LeaseSnapshot(at_ms, holders, {name.decode(errors="replace") for name in running})


@dataclass(frozen=True, slots=True)
class Takeover:
    """The newest takeover."""

    #: When it was detected, in Unix milliseconds by Redis's clock.
    at_ms: int
    lost_workers: tuple[str, ...]
    #: The partitions that they held.
    partitions: tuple[int, ...]
    #: The partitions still without a holder.
    waiting: tuple[int, ...]
    #: The workers that hold the others.
    successors: tuple[str, ...]


class TakeoverDetector:
    """Detects takeovers by comparing consecutive snapshots."""

    def __init__(self) -> None:
        self._last: dict[int, str] = {}
        self._newest: Takeover | None = None

    def observe(self, snapshot: LeaseSnapshot) -> Takeover | None:
        """Return the takeover that is running, or finished within a minute."""
        holders, now_ms = snapshot.holders, snapshot.at_ms
        alive = {*holders.values(), *snapshot.running}
        lost = {number: name for number, name in self._last.items() if name and name not in alive}
        # Keep a partition's last holder: that worker may only be late to renew.
        kept = {number: name for number, name in self._last.items() if number not in lost}
        self._last = {number: name or kept.get(number, "") for number, name in holders.items()}
        if lost:
            self._newest = Takeover(now_ms, tuple(sorted(set(lost.values()))), tuple(sorted(lost)), (), ())
        newest = self._newest
        if newest is None:
            return None
        waiting = tuple(number for number in newest.partitions if not holders.get(number))
        if not waiting and now_ms - newest.at_ms > DISPLAY_MS:
            self._newest = None
            return None
        successors = tuple(sorted({holders[number] for number in newest.partitions if holders.get(number)}))
        self._newest = replace(newest, waiting=waiting, successors=successors)
        return self._newest
