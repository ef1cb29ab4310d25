"""What counts as unknown after an error, and which outages are logged; without Redis and Twilio."""

from typing import Any
from unittest.mock import AsyncMock

import pytest

from conferral.runtime.errors import StoreUnreachableError
from conferral.statemachine.events import EffectFailed, EffectUnknown
from conferral.storage.keys import Keys
from conferral.worker.assignment import renewal
from conferral.worker.assignment.renewal import LeaseRenewer
from conferral.worker.executor.execution import Execution
from conferral.worker.executor.job import Job
from tests.worker.executor_harness import START_MS, ExecutorHarness, gated, update

KEYS = Keys("test", 4)
NOTHING: Any = None


@pytest.mark.parametrize("flag", ["", "_has_been_sent", "_may_have_happened", "_sent_at_ms", "mark_may_be_lost"])
async def test_job_that_may_have_been_sent_is_unknown_after_an_internal_error(flag: str) -> None:
    effect = gated("e") if flag == "_sent_at_ms" else update("e")
    job = Job(effect=effect, partition=0, committed_at_ms=START_MS, mark_may_be_lost=flag == "mark_may_be_lost")
    execution = Execution(job, ExecutorHarness().executor._context)
    if flag.startswith("_"):
        setattr(execution, flag, True)
    outcome = execution.fail_internally("odd")
    assert type(outcome) is (EffectUnknown if flag else EffectFailed)
    assert (outcome.attempts, outcome.failed_attempts) == (0, ("odd",))


async def test_worker_that_can_not_learn_its_connection_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    renewer = LeaseRenewer(NOTHING, NOTHING, NOTHING, 5_000)
    await renewer.connect()
    assert renewer.connection == "", "a cluster"
    renewer = LeaseRenewer(NOTHING, object(), NOTHING, 5_000)
    for found, connection in (
        (("run:1", True), "run:1"),
        (StoreUnreachableError("away"), "run:1"),
        (("run:2", False), ""),
    ):
        answer = {"side_effect": found} if isinstance(found, Exception) else {"return_value": found}
        monkeypatch.setattr(renewal, "own_connection_name", AsyncMock(**answer))
        await renewer.connect()
        assert renewer.connection == connection
