"""The check of live sessions after a rollback is paced, and each session is asked once; in virtual time."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from itertools import pairwise
from typing import Any

import pytest
from structlog.testing import capture_logs

from conferral.runtime.errors import StoreUnreachableError
from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import AccountSwept
from conferral.storage.partition.lease import VERIFY_AFTER_FAILOVER_S
from conferral.storage.partition.partition_store import append_events
from conferral.worker.assignment.rollback_checks import RollbackChecks
from tests.simulation.virtual_loop import VirtualLoop, run
from tests.worker.worker_cluster import WorkerCluster

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


def story(scenario: Callable[[Access, RollbackChecks], Coroutine[Any, Any, None]], count: int = 23) -> None:
    """Play it in virtual time."""

    async def main(loop: VirtualLoop) -> None:
        checks = RollbackChecks(Metrics())
        await scenario(Access(loop, count), checks)
        checks.stop()

    run(main)


@pytest.mark.parametrize("failures", [0, 3])
def test_each_session_is_checked_once_and_few_at_a_time(failures: int) -> None:
    async def scenario(access: Access, checks: RollbackChecks) -> None:
        access.failures = failures
        for partition in range(3):
            checks.add(partition, "7:worker", access, lambda: True)
        await asyncio.sleep(60.0)  # a delay: virtual time
        names = [name for _, name in access.asked]
        assert len(names) == len(set(names)) == 3 * 23
        assert max(Counter(at_s for at_s, _ in access.asked).values()) == BATCH_MAX
        times = sorted({at_s for at_s, _ in access.asked})
        assert all(later - earlier >= PAUSE_S for earlier, later in pairwise(times))

    story(scenario)


@pytest.mark.parametrize("count", [0, 1, BATCH_MAX, BATCH_MAX + 1, 2 * BATCH_MAX])
def test_finished_check_counts_its_sessions(count: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        metrics = Metrics()
        checks, access = RollbackChecks(metrics), Access(loop, count)
        with capture_logs() as lines:
            checks.add(0, "7:worker", access, lambda: True)
            await asyncio.sleep(30.0)  # a delay: virtual time
        checks.stop()
        assert [(line["event"], line["sessions"]) for line in lines] == [("rollback_checked", count)] * bool(count)
        assert f'conferral_sweep_findings_total{{kind="rolled-back"}} {count:.1f}' in metrics.exposition().decode()

    run(main)


def test_check_ends_with_the_lease_and_the_next_partition_has_its_turn() -> None:
    async def scenario(access: Access, checks: RollbackChecks) -> None:
        checks.add(0, "7:worker", access, lambda: len(access.asked) < 10)
        checks.add(1, "3:worker", access, lambda: True)
        with capture_logs() as lines:
            await asyncio.sleep(30.0)  # a delay: virtual time
        assert Counter(name[0] for _, name in access.asked) == {"0": 10, "1": 23}
        assert [(line["event"], line["partition"]) for line in lines] == [("rollback_checked", 1)]

    story(scenario)


def test_same_rollback_is_reported_under_the_same_token() -> None:
    async def scenario(access: Access, checks: RollbackChecks) -> None:
        reported: list[AccountSwept] = []

        async def append(events: Sequence[AccountSwept]) -> None:
            reported.extend(events)

        access.append = append  # type: ignore[method-assign]
        checks.add(0, "7:worker", access, lambda: True)
        await asyncio.sleep(5.0)  # a delay: virtual time
        assert [(one.finding, one.token) for one in reported] == [("rolled-back", "rolled-back:7:worker")]

    story(scenario, count=1)


def test_partition_is_not_handed_over_before_its_sessions_are_checked() -> None:
    """The next holder finds the server that its lease names, and would check none of them."""

    async def scenario(loop: VirtualLoop) -> None:
        team = WorkerCluster(loop)
        first = team.join()
        await team.until_fair(10.0)
        names = [f"s{number}" for number in range(1_000)]
        for name in names:
            await team.client.sadd(team.keys.live(team.keys.partition_of(name)), name)
        copy = team.server.snapshot()
        await append_events(
            team.client, team.keys, [AccountSwept(session_id=name, token="lost", finding="lost") for name in names]
        )
        await team.passes(2 * VERIFY_AFTER_FAILOVER_S)
        team.server.db.roll_back(copy)
        team.server.restart()
        with capture_logs() as lines:
            await team.passes(VERIFY_AFTER_FAILOVER_S + 5.0)
            second = team.join()
            await team.passes(5.0)
            shares_meanwhile = await team.shares()
            await team.passes(1_000 / BATCH_MAX * PAUSE_S)
        assert sum(line["sessions"] for line in lines if line["event"] == "rollback_checked") == 1_000
        assert shares_meanwhile[0] > 0, "partitions whose check is over are handed over"
        await team.until_fair(10.0)
        for member in (first, second):
            await team.leave(member)

    run(scenario)
