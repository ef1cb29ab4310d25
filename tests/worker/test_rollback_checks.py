"""The check of live sessions after a rollback is paced, and each session is asked once; in virtual time."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from conferral.runtime.errors import StoreUnreachableError
from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import AccountSwept
from conferral.storage.partition.lease import VERIFY_AFTER_FAILOVER_S, Lease
from conferral.storage.partition.partition_store import append_events
from conferral.worker.assignment.rollback_checks import RollbackChecks
from conferral.worker.consumer.partition_consumer import PartitionConsumer
from tests.simulation.virtual_loop import VirtualLoop, in_virtual_time
from tests.support.memory_redis.server import MemoryServer
from tests.worker.virtual_setup import in_virtual_time_with
from tests.worker.worker_cluster import ClusterMember, WorkerCluster, cluster_of_one

#: How many sessions are checked at a time, and how long the pause is, seconds.
BATCH_MAX, PAUSE_S = 5, 1.0


class Access:
    """Partitions with live sessions; notes when which session was asked to check itself."""

    def __init__(self, loop: VirtualLoop, count: int) -> None:
        self.loop = loop
        self.count = count
        self.asked: list[tuple[float, str]] = []
        self.failures = 0

    async def live_sessions(self, partition: int) -> list[str]:
        return [f"{partition}-{number}" for number in range(self.count)]

    async def append(self, events: Sequence[AccountSwept]) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreUnreachableError("Redis is away")
        self.asked += [(self.loop.time(), event.session_id) for event in events]


@dataclass
class Holder:
    """What the checks use of a partition's consumer."""

    number: int
    lease: Lease
    asked: list[tuple[float, str]]
    #: The lease is lost after so many sessions (count).
    sessions_max: int = 1_000

    @property
    def is_active(self) -> bool:
        return len(self.asked) < self.sessions_max


def holder(access: Access, number: int = 0, sessions_max: int = 1_000) -> PartitionConsumer:
    lease = Lease(
        "key", "7:worker", 0, 0.0, 0, 0, 0.0, redis="server", rolled_back_at_ms=1_000, has_unchecked_sessions=True
    )
    return cast("PartitionConsumer", Holder(number, lease, access.asked, sessions_max))


@asynccontextmanager
async def partitions_to_check(loop: VirtualLoop) -> AsyncIterator[tuple[Access, RollbackChecks]]:
    checks = RollbackChecks(Metrics())
    yield Access(loop, 23), checks
    checks.stop()


with_checks = in_virtual_time_with("access, checks", partitions_to_check)


@pytest.mark.parametrize("failures", [0, 3])
@with_checks
async def test_each_session_is_checked_once_and_few_at_a_time(
    access: Access, checks: RollbackChecks, failures: int
) -> None:
    access.failures = failures
    for partition in range(3):
        checks.add(holder(access, partition), access)
    await asyncio.sleep(60.0)  # a delay: virtual time
    names = [name for _, name in access.asked]
    assert len(names) == len(set(names)) == 3 * 23
    assert max(Counter(at_s for at_s, _ in access.asked).values()) == BATCH_MAX
    times = sorted({at_s for at_s, _ in access.asked})
    assert all(later - earlier >= PAUSE_S for earlier, later in pairwise(times))


@pytest.mark.parametrize("count", [0, 1, BATCH_MAX, BATCH_MAX + 1, 2 * BATCH_MAX])
@in_virtual_time
async def test_finished_check_counts_its_sessions(count: int, loop: VirtualLoop) -> None:
    metrics = Metrics()
    checks, access = RollbackChecks(metrics), Access(loop, count)
    with capture_logs() as lines:
        checks.add(holder(access), access)
        await asyncio.sleep(30.0)  # a delay: virtual time
    checks.stop()
    assert [(line["event"], line["sessions"]) for line in lines] == [("rollback_checked", count)] * bool(count)
    assert f'conferral_sweep_findings_total{{kind="rolled-back"}} {count:.1f}' in metrics.exposition().decode()


@in_virtual_time
async def test_partitions_without_sessions_take_no_time(loop: VirtualLoop) -> None:
    """One after another, they would delay the others."""
    checks, access = RollbackChecks(Metrics()), Access(loop, 0)
    held = [holder(access, number) for number in range(64)]
    for one in held:
        checks.add(one, access)
    await asyncio.sleep(0.5)  # a delay: virtual time
    assert not any(one.lease.has_unchecked_sessions for one in held)


@with_checks
async def test_check_ends_with_the_lease_and_the_next_partition_has_its_turn(
    access: Access, checks: RollbackChecks
) -> None:
    cut_short, whole = holder(access, 0, 10), holder(access, 1)
    checks.add(cut_short, access)
    checks.add(whole, access)
    checks.add(whole, access)  # pending already
    with capture_logs() as lines:
        await asyncio.sleep(30.0)  # a delay: virtual time
    assert Counter(name[0] for _, name in access.asked) == {"0": 10, "1": 23}
    assert [(line["event"], line["partition"]) for line in lines] == [("rollback_checked", 1)]
    assert (cut_short.lease.has_unchecked_sessions, whole.lease.has_unchecked_sessions) == (True, False)


@with_checks
async def test_same_rollback_is_reported_under_the_same_token(access: Access, checks: RollbackChecks) -> None:
    access.count = 1
    reported: list[AccountSwept] = []

    async def append(events: Sequence[AccountSwept]) -> None:
        reported.extend(events)

    access.append = append  # type: ignore[method-assign]
    checks.add(holder(access), access)
    await asyncio.sleep(5.0)  # a delay: virtual time
    assert [(one.finding, one.token) for one in reported] == [("rolled-back", "rolled-back:server:1000")]


SESSIONS = 1_000


async def rolled_back(loop: VirtualLoop) -> tuple[WorkerCluster, ClusterMember]:
    """One worker, a minute after a rollback: it has checked a third of the sessions."""
    team = WorkerCluster(loop)
    first = team.join()
    await team.until_fair(10.0)
    names = [f"s{number}" for number in range(SESSIONS)]
    for name in names:
        await team.client.sadd(team.keys.live(team.keys.partition_of(name)), name)
    copy = team.server.snapshot()
    await append_events(
        team.client, team.keys, [AccountSwept(session_id=name, token="lost", finding="lost") for name in names]
    )
    await team.passes(2 * VERIFY_AFTER_FAILOVER_S)
    team.server.db.roll_back(copy)
    team.server.restart()
    await team.passes(VERIFY_AFTER_FAILOVER_S + 5.0)
    return team, first


def checked(lines: Sequence[Mapping[str, Any]]) -> int:
    """How many sessions the finished checks had."""
    return sum(line["sessions"] for line in lines if line["event"] == "rollback_checked")


@in_virtual_time
async def test_new_worker_gets_its_share_at_once_and_continues_the_checks(loop: VirtualLoop) -> None:
    with capture_logs() as lines:
        team, first = await rolled_back(loop)
        assert checked(lines) < SESSIONS / 2
        second = team.join()
        await team.until_fair(10.0)
        assert checked(lines) < SESSIONS / 2
        await team.passes(SESSIONS / 2 / BATCH_MAX * PAUSE_S + 30.0)
    assert checked(lines) == SESSIONS
    for member in (first, second):
        await team.leave(member)


@in_virtual_time
async def test_holder_checks_all_sessions_if_redis_does_not_say_which_server_it_is(
    monkeypatch: pytest.MonkeyPatch, loop: VirtualLoop
) -> None:
    """Then a lease can't carry the open check."""
    monkeypatch.setattr(MemoryServer, "run_id", "")
    with capture_logs() as lines:
        team, first = await rolled_back(loop)
        second = team.join()
        await team.passes(SESSIONS / BATCH_MAX * PAUSE_S)
    assert checked(lines) == SESSIONS
    await team.until_fair(10.0)
    for member in (first, second):
        await team.leave(member)


@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped", "killed"])
@pytest.mark.parametrize("later_s", [0.0, 2 * VERIFY_AFTER_FAILOVER_S], ids=["soon", "late"])
@in_virtual_time
async def test_next_holder_checks_the_sessions_that_are_left(
    is_killed: bool, later_s: float, loop: VirtualLoop
) -> None:
    with capture_logs() as lines:
        team, first = await rolled_back(loop)
        await team.passes(later_s)
        assert checked(lines) < SESSIONS
        if is_killed:
            team.kill(first)
        else:
            await team.leave(first)
        second = team.join()
        await team.passes(SESSIONS / BATCH_MAX * PAUSE_S + 30.0)
    assert checked(lines) == SESSIONS
    await team.leave(second)


@in_virtual_time_with("team, member", cluster_of_one)
async def test_holder_on_both_servers_checks_its_sessions(team: WorkerCluster) -> None:
    """No commit is missing, but callbacks that came after the last one may be."""
    for number in range(20):
        await team.client.sadd(team.keys.live(team.keys.partition_of(f"s{number}")), f"s{number}")
    await team.passes(10.0)
    team.server.restart()
    with capture_logs() as lines:
        await team.passes(60.0)
    assert checked(lines) == 20
