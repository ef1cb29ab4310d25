"""Data of the health page: partitions, leases, processes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from conferral.operations.explain.attention import OVERDUE_AFTER_MS
from conferral.storage import coordinator
from conferral.storage.codecs.text_codec import int_of
from conferral.storage.connection.client import Client, Command, run_each
from conferral.storage.coordinator import Owner
from conferral.storage.keys import GROUP, Keys
from conferral.storage.outcome_queue import OutcomeQueue, SendingState
from conferral.storage.queries import process_registry
from conferral.storage.queries.process_registry import FAILURES_MAX, STOPPED_AFTER_MS, Process, ProcessStats
from conferral.storage.queries.session_reader import SessionReader


@dataclass(frozen=True, slots=True)
class PartitionHealth:
    """One partition and its backlog."""

    number: int
    owner: Owner
    #: Unprocessed entries in its stream (count).
    undecided: int
    #: Consumer group lag as Redis reports it (count); None before Redis 7.
    lag: int | None
    #: Number of the last commit.
    commit: int
    live: int
    #: Effects not yet executed (count).
    outbox: int
    overdue_timers: int


@dataclass(frozen=True, slots=True)
class Health:
    """A snapshot of the system's health."""

    at_ms: int
    partitions: tuple[PartitionHealth, ...]
    router: Owner
    sweep: Owner
    processes: tuple[Process, ...]
    dead: int
    #: Unrouted commands (count).
    commands: int
    #: Processes that died in the last hour: they neither stopped nor registered again.
    died: tuple[Process, ...]
    outcomes: SendingState
    #: Why they don't arrive at the receiver; empty if they do, or none are sent.
    outcomes_problem: str = ""

    @property
    def unassigned(self) -> tuple[int, ...]:
        """The partitions without an owner."""
        return tuple(one.number for one in self.partitions if not one.owner.name)


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates per second between two snapshots, of processes that ran at both."""

    seconds: float
    events: float
    commits: float
    callbacks: float
    requests: float
    #: Failed requests per second by Twilio's error code or HTTP status; only those that occurred.
    failures: dict[str, float] = field(default_factory=dict)


async def read_health(reader: SessionReader, now_ms: int = 0) -> Health:
    """Read the system's health at a time of Redis's clock; 0 for now."""
    client, keys = reader.client, reader.keys
    now_ms = now_ms or await reader.now_ms()
    listed = await process_registry.read_processes(client, keys, now_ms)
    owners = await coordinator.read_owners(client, keys)
    # Another program's key must not hide the rest.
    dead, commands = await run_each(client, [("XLEN", keys.dead), ("XLEN", keys.commands)])
    outcomes = await OutcomeQueue(client, keys).read_state()
    return Health(
        at_ms=now_ms,
        partitions=tuple(await _read_partitions(client, keys, now_ms, owners)),
        router=owners[coordinator.ROUTER].at(now_ms),
        sweep=owners[coordinator.SWEEP].at(now_ms),
        processes=tuple(one for one in listed if one.is_running),
        dead=int(dead or 0),
        commands=int(commands or 0),
        died=tuple(one for one in listed if one.seen_ms_ago > STOPPED_AFTER_MS),
        outcomes=outcomes,
        outcomes_problem=outcomes.problem if owners[coordinator.OUTCOMES].at(now_ms).name else "",
    )


def rates(before: Health, after: Health) -> Rates | None:
    """Return the rates between two snapshots; None if no time passed."""
    seconds = (after.at_ms - before.at_ms) / 1000
    if seconds <= 0:
        return None
    then = {one.name: one.stats for one in before.processes if one.stats is not None}
    pairs = [(then[one.name], one.stats) for one in after.processes if one.stats is not None and one.name in then]

    def per_second(name: str) -> float:
        # The counters of a process that restarted with the same name begin at 0 again.
        more = (int(getattr(new, name)) - int(getattr(old, name)) for old, new in pairs)
        return sum(max(0, one) for one in more) / seconds

    failures: dict[str, float] = {}
    for old, new in pairs:
        # A process reports only its most frequent codes. If one was not reported before, count what is certain.
        for code, number in new.failures.items():
            if (more := number - old.failures.get(code, _unlisted_failures(old))) > 0:
                failures[code] = failures.get(code, 0) + more / seconds
    callbacks = sum(per_second(name) for name in ("callbacks_accepted", "callbacks_refused"))
    return Rates(seconds, per_second("events"), per_second("commits"), callbacks, per_second("requests"), failures)


def _unlisted_failures(stats: ProcessStats) -> int:
    """Return an upper bound for the count of a code that isn't reported."""
    return min(stats.failures.values()) if len(stats.failures) >= FAILURES_MAX else 0


def _reads_of(keys: Keys, number: int, now_ms: int) -> tuple[Command, ...]:
    return (
        ("HGET", keys.lease(number), "commit"),
        ("XLEN", keys.events(number)),
        ("XINFO GROUPS", keys.events(number)),
        ("SCARD", keys.live(number)),
        ("HLEN", keys.outbox(number)),
        ("ZCOUNT", keys.timers(number), "-inf", now_ms - OVERDUE_AFTER_MS),
    )


async def _read_partitions(
    client: Client, keys: Keys, now_ms: int, owners: Mapping[str, Owner]
) -> list[PartitionHealth]:
    found, numbers = [], range(keys.partitions)
    reads = [read for number in numbers for read in _reads_of(keys, number, now_ms)]
    answers = iter(await run_each(client, reads))
    for number in numbers:
        commit, undecided, groups, live, outbox, overdue = islice(answers, 6)
        found.append(
            PartitionHealth(
                number=number,
                owner=owners[str(number)].at(now_ms),
                undecided=undecided or 0,
                lag=_lag_of_our_group(groups or []),
                commit=int_of(commit),
                live=live or 0,
                outbox=outbox or 0,
                overdue_timers=overdue or 0,
            )
        )
    return found


def _lag_of_our_group(groups: list[dict[str, Any]]) -> int | None:
    lags = (group.get("lag") for group in groups if group.get("name") == GROUP.encode())
    return next((lag for lag in lags if isinstance(lag, int)), None)
