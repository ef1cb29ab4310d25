"""Runs a job until its outcome is recorded, then counts and logs it."""

import asyncio
from dataclasses import dataclass
from typing import Any

import structlog

from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import LeaseLostError
from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import EffectFailed, EffectUnknown
from conferral.worker.executor.execution import Execution
from conferral.worker.executor.job import Job, JobObsoleteError, JobOutcome

log = structlog.get_logger()


@dataclass(slots=True)
class JobCounts:
    """What became of a worker's jobs (counts)."""

    #: Done, or the target is gone.
    performed: int = 0
    #: Twilio refused, time ran out, or the outcome is unknown.
    given_up: int = 0
    #: Requests beyond a job's first.
    retried: int = 0
    #: Left without an outcome.
    dropped: int = 0


async def run_to_outcome(execution: Execution, counts: JobCounts) -> Job | None:
    """Run a job and record its outcome; return the follow-up job, if there is one.

    Raises:
        LeaseLostError: Another worker owns the partition.
        JobObsoleteError: The job has no outcome here.
    """
    job, context = execution.job, execution.context
    control = (LeaseLostError, JobObsoleteError)
    try:
        with job_boundary(job, context.metrics, *control) as boundary:
            outcome = await execution.run()
        if boundary.unexpected is not None:
            outcome = execution.fail_internally(boundary.unexpected.reason)
        _report(execution, outcome, counts)
        with job_boundary(job, context.metrics, *control) as boundary:
            follow_up = await context.outbox.finish(job.effect, outcome)
            if follow_up is None:
                return None
            now_ms = context.now_ms(job.partition)
            return Job(effect=follow_up, partition=job.partition, committed_at_ms=now_ms)
        # Record a minimal outcome when the real one can't be written. Failing that, leave the effect in the outbox.
        assert boundary.unexpected is not None
        reason = boundary.unexpected.reason
        with job_boundary(job, context.metrics, *control) as boundary:
            await context.outbox.finish(job.effect, execution.fail_internally(reason))
        counts.dropped += boundary.unexpected is not None
        return None
    finally:
        counts.retried += max(0, execution.attempts - 1)


def job_boundary(job: Job, metrics: Metrics, *passing: type[BaseException]) -> contain:
    """Contain an unexpected error in one job."""
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


def report_task_error(task: asyncio.Task[Any], error: BaseException, counts: JobCounts) -> None:
    """Report a fatal error to the loop's exception handler. The effect stays in the outbox."""
    counts.dropped += 1
    context = {"message": "carrying out an effect failed", "exception": error, "task": task}
    task.get_loop().call_exception_handler(context)


def _report(execution: Execution, outcome: JobOutcome, counts: JobCounts) -> None:
    effect = execution.job.effect
    result = "unknown" if isinstance(outcome, EffectUnknown) else "succeeded"
    status = code = 0
    if isinstance(outcome, EffectFailed):
        result, status, code = "failed", outcome.http_status, outcome.code
    done = result == "succeeded" or (isinstance(outcome, EffectFailed) and outcome.gone)
    if done:
        counts.performed += 1
    else:
        counts.given_up += 1
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
