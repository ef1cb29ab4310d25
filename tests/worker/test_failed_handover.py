"""An unforeseen error while a partition is handed over."""

import asyncio
from functools import partial
from typing import Any

import pytest

from conferral.runtime.containment import run_with_restarts
from conferral.worker.assignment import assignment
from conferral.worker.assignment.assignment import PartitionAssigner
from conferral.worker.consumer.worker_context import WorkerContext
from conferral.worker.executor.executor import Executor
from tests.worker.virtual_setup import in_virtual_time_with
from tests.worker.worker_cluster import WorkerCluster, running_cluster


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="R10: one unforeseen error in the hand-over task makes the lease task fail at every restart",
)
@in_virtual_time_with("team", partial(running_cluster, partitions=4))
async def test_error_in_a_handover_costs_one_handover(team: WorkerCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease task is restarted, as in a worker, and the next handover succeeds."""
    run, pick = PartitionAssigner.run, assignment.pick_partition
    errors = [RuntimeError("unforeseen")]

    async def run_as_a_worker_does(
        self: PartitionAssigner, stop: asyncio.Event, context: WorkerContext, executor: Executor
    ) -> None:
        await run_with_restarts(stop, "leases", lambda: run(self, stop, context, executor), self._core.metrics)

    async def fail_once(*given: Any) -> Any:
        if errors:
            raise errors.pop()
        return await pick(*given)

    monkeypatch.setattr(PartitionAssigner, "run", run_as_a_worker_does)
    monkeypatch.setattr(assignment, "pick_partition", fail_once)
    team.join()
    await team.until_fair(3.0)
    team.join()

    await team.until_fair(60.0)

    assert not errors, "the handover met the error"
