"""Runs a job until its outcome is recorded, then counts and logs it."""

import asyncio
from typing import Any

import structlog

from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import LeaseLostError
from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import EffectFailed, EffectUnknown
from conferral.worker.executor.execution import Execution
from conferral.worker.executor.job import Job, JobObsoleteError, JobOutcome

log = structlog.get_logger()


async def run_to_outcome(execution: Execution) -> Job | None:
    """Run a job and record its outcome; return a job that hangs up its call if the session has ended meanwhile.

    Raises:
        LeaseLostError: Another worker owns the partition.
        JobObsoleteError: The effect must not be sent, and has no outcome here.
    """
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
        now_ms = context.now_ms(job.partition)
        return Job(effect=follow_up, partition=job.partition, committed_at_ms=now_ms)
    # Record a minimal outcome when the real one can't be written. Failing that, leave the effect in the outbox.
    assert boundary.unexpected is not None
    reason = boundary.unexpected.reason
    with job_boundary(job, context.metrics, *passing):
        await context.outbox.finish(job.effect, execution.fail_internally(reason))
    return None


def job_boundary(job: Job, metrics: Metrics, *passing: type[BaseException]) -> contain:
    """Return a context manager that contains an unexpected error in one job; `passing` errors leave it."""
    effect = job.effect
    return contain(
        ItemKind.EFFECT,
        metrics,
        passing=passing,
        effect=effect.kind,
        effect_id=effect.effect_id,
        session_id=effect.session_id,
        partition=job.partition,
    )


def report_task_error(task: asyncio.Task[Any], error: BaseException) -> None:
    """Report an error that ended a job's task to the loop's exception handler. The effect stays in the outbox."""
    context = {"message": "carrying out an effect failed", "exception": error, "task": task}
    task.get_loop().call_exception_handler(context)


def _log_outcome(execution: Execution, outcome: JobOutcome) -> None:
    """Count and log an outcome: as an error, unless the effect succeeded or its target is gone anyway."""
    effect = execution.job.effect
    result = "unknown" if isinstance(outcome, EffectUnknown) else "succeeded"
    status = code = 0
    if isinstance(outcome, EffectFailed):
        result, status, code = "failed", outcome.http_status, outcome.code
    done = result == "succeeded" or (isinstance(outcome, EffectFailed) and outcome.gone)
    execution.context.metrics.effects.labels(effect.kind, result).inc()
    fields = {
        "effect": effect.kind,
        "effect_id": effect.effect_id,
        "session_id": effect.session_id,
        "party": effect.party,
        "attempt": execution.attempts,
        # Measured from the commit, as a waiting caller experiences it.
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
        log.error("effect_given_up", **fields)
