"""What counts as unknown after an error, and which outages are logged; without Redis and Twilio."""

from typing import Any

import pytest

from conferral.statemachine.events import EffectFailed, EffectUnknown
from conferral.storage.keys import Keys
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
