"""Runs a job until its outcome is recorded, then counts and logs it."""

import asyncio
from typing import Any

import structlog

from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import LeaseLostError
from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import EffectFailed, EffectUnknown
from conferral.worker.executor.execution import Execution
from conferral.worker.executor.job import Job, JobObsoleteError, JobOutcome, log_fields

log = structlog.get_logger()


async def run_to_outcome(execution: Execution) -> Job | None:
    """Run a job, record its outcome, and return a stray call's hang-up."""
    job, context = execution.job, execution.context
    passing = (LeaseLostError, JobObsoleteError)
    with job_boundary(job, context.metrics, *passing) as boundary:
        outcome = await execution.run()
    if boundary.unexpected is not None:
        outcome = execution.fail_internally(boundary.unexpected.reason)
    _log_outcome(execution, outcome)
    with job_boundary(job, context.metrics, *passing) as boundary:
        follow_up = await context.outbox.finish(job.effect, outcome)
        if follow_up is None:
            return None
        return Job(effect=follow_up, partition=job.partition, committed_at_ms=context.now_ms(job.partition))
    # If the real outcome can't be written, record a minimal one. Failing that, leave the effect in the outbox.
    assert boundary.unexpected is not None
    reason = boundary.unexpected.reason
    with job_boundary(job, context.metrics, *passing):
        await context.outbox.finish(job.effect, execution.fail_internally(reason))
    return None


def job_boundary(job: Job, metrics: Metrics, *passing: type[BaseException]) -> contain:
    """Contain unexpected errors of one job; `passing` errors leave it."""
    return contain(ItemKind.EFFECT, metrics, passing=passing, **log_fields(job.effect), partition=job.partition)


def report_task_error(task: asyncio.Task[Any], error: BaseException) -> None:
    """Report a task's error to the loop; the effect stays in the outbox."""
    context = {"message": "carrying out an effect failed", "exception": error, "task": task}
    task.get_loop().call_exception_handler(context)


def _log_outcome(execution: Execution, outcome: JobOutcome) -> None:
    effect = execution.job.effect
    result = "unknown" if isinstance(outcome, EffectUnknown) else "succeeded"
    status = code = 0
    if isinstance(outcome, EffectFailed):
        result, status, code = "failed", outcome.http_status, outcome.code
    done = result == "succeeded" or (isinstance(outcome, EffectFailed) and outcome.gone)
    execution.context.metrics.effects.labels(effect.kind, result).inc()
    fields = {
        **log_fields(effect),
        "party": effect.party,
        "attempt": execution.attempts,
        # From the commit, as a waiting caller experiences it.
        "duration_ms": max(0, execution.context.now_ms(execution.job.partition) - execution.job.committed_at_ms),
        "outcome": result,
        "status": status,
        "code": code,
    }
    if execution.internal_error:
        fields["reason"] = execution.internal_error
    if done:
        log.info("effect_performed", **fields)
    else:
        log.error("effect_abandoned", **fields)
