"""Effect executor: changes in order per session; reads, endings at once."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import LeaseLostError
from conferral.runtime.metrics import Metrics
from conferral.statemachine.effects import Dial, FindCall, ReadCalls
from conferral.statemachine.events import EffectFailed, EffectUnknown
from conferral.statemachine.session import Session
from conferral.worker.executor.dial_queue import DialQueue, RequestPermit
from conferral.worker.executor.execution import Execution, ExecutionContext, ExecutionState, no_checkpoint
from conferral.worker.executor.job import Job, JobObsoleteError, JobOutcome, log_fields
from conferral.worker.executor.retry import ExecutorPolicy, RetryPolicy

__all__ = [
    "ExecutionContext", "Executor", "ExecutorPolicy", "Job", "JobOutcome", "RetryPolicy", "no_checkpoint",
]  # fmt: skip

log = structlog.get_logger()

_Task = asyncio.Task[None]


def is_dial_wanted(session: Session, dial_id: str) -> bool:
    """Whether a party still waits for this dial."""
    parties = session.parties.values()
    return any(party.dial_id == dial_id and not (party.is_gone or party.is_leaving) for party in parties)


@dataclass(slots=True)
class _SessionQueue:
    task: _Task
    waiting: deque[Job] = field(default_factory=deque)


class Executor:
    """Executes committed effects and reports their outcomes.

    Jobs without a recorded outcome stay in the outbox for the next lease holder, so dropping one here loses nothing.
    `limiter` must observe every answer from Twilio.
    """

    def __init__(self, context: ExecutionContext, request_dial_permit: RequestPermit | None = None) -> None:
        """Create it; without `request_dial_permit`, Twilio's queue sets the pace."""
        self._context = context
        self.limiter = context.limiter
        # The event loop holds only weak references to tasks.
        self._executions: dict[_Task, Execution] = {}
        self._queues: dict[str, _SessionQueue] = {}
        #: By session: tasks that become useless when it ends.
        self._out_of_band: dict[str, set[_Task]] = {}
        self._dials: DialQueue | None = None
        if request_dial_permit is not None:
            self._dials = DialQueue(
                request_dial_permit, self._enqueue, clock=context.clock, metrics=context.metrics, sleep=context.sleep
            )
        self._stopped = False

    @property
    def busy_partitions(self) -> set[int]:
        """Partitions with jobs, except for dials that wait for permits."""
        jobs = [execution.job for execution in self._executions.values()]
        jobs += [job for queue in self._queues.values() for job in queue.waiting]
        return {job.partition for job in jobs}

    @property
    def verifying_partitions(self) -> set[int]:
        """Partitions with effects whose requests may have taken effect."""
        return {
            execution.job.partition
            for execution in self._executions.values()
            if execution.state is ExecutionState.VERIFYING
        }

    def submit(self, job: Job) -> None:
        """Start or queue a job; once `drain` runs, leave it to the next holder."""
        effect = job.effect
        if self._stopped:
            return
        if effect.is_ending:
            self._start(job)
        elif isinstance(effect, ReadCalls):
            self._cancel_unsent_read(effect.session_id)
            self._run_out_of_band(job)
        elif isinstance(effect, FindCall):
            self._run_out_of_band(job)
        elif self._dials is not None and isinstance(effect, Dial) and not job.is_unknown:
            self._dials.add(job)
        else:
            self._enqueue(job)

    def cancel_session(self, session_id: str) -> None:
        """Drop an ending session's unsent jobs, except hang-ups; repeat none.

        Call it before the jobs of the end are submitted. A request in flight continues.
        """
        self._drop_waiting_dials(lambda job: job.effect.session_id == session_id)
        tasks = list(self._out_of_band.get(session_id, ()))
        if queue := self._queues.get(session_id):
            queue.waiting.clear()
            tasks.append(queue.task)
        for task in tasks:
            execution = self._executions[task]
            execution.is_cancelled = True
            if execution.state is ExecutionState.UNSENT:
                task.cancel()

    def cancel_unwanted_dials(self, sessions: Mapping[str, Session]) -> None:
        """Cancel waiting dials that their changed sessions no longer want.

        Each fails at once: a party may be on hold until the session knows that no one is dialed.
        """

        def is_unwanted(job: Job) -> bool:
            effect = job.effect
            session = sessions.get(effect.session_id) if isinstance(effect, Dial) else None
            return session is not None and not is_dial_wanted(session, effect.effect_id)

        unwanted = self._drop_waiting_dials(is_unwanted)
        for session_id in sessions:
            queue = self._queues.get(session_id)
            if queue is not None and queue.waiting:
                unwanted += filter(is_unwanted, queue.waiting)
                queue.waiting = deque(job for job in queue.waiting if not is_unwanted(job))
        for job in unwanted:
            self._run_out_of_band(replace(job, is_cancelled=True))

    def drop_partition(self, partition: int) -> None:
        """Drop the jobs of a lost partition, except for requests in flight."""
        self._drop_jobs(partition, lambda execution: execution.is_between_requests)

    def leave_partition(self, partition: int) -> None:
        """Drop the jobs of a partition that its next holder can execute at once."""
        self._drop_jobs(partition, lambda execution: execution.can_be_left)

    def _drop_jobs(self, partition: int, can_be_canceled: Callable[[Execution], bool]) -> None:
        self._drop_waiting_dials(lambda job: job.partition == partition)
        for queue in self._queues.values():
            queue.waiting = deque(job for job in queue.waiting if job.partition != partition)
        for task, execution in self._executions.items():
            if execution.job.partition == partition and can_be_canceled(execution):
                task.cancel()

    async def drain_partition(self, partition: int, timeout_s: float) -> None:
        """Finish a partition's running jobs; leave the rest. It gets no new jobs."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while True:
            # Also those that came back for a retry.
            self.leave_partition(partition)
            running = [task for task, execution in self._executions.items() if execution.job.partition == partition]
            remaining_s = deadline_s - loop.time()
            if not running or remaining_s <= 0:
                break
            await asyncio.wait(running, timeout=min(remaining_s, 0.05), return_when=asyncio.FIRST_COMPLETED)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    async def drain(self, timeout_s: float) -> None:
        """Finish running jobs within `timeout_s`; leave the rest to others."""
        self._stopped = True
        if self._dials is not None:
            self._dials.close()
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while self._executions and (remaining_s := deadline_s - loop.time()) > 0:
            await asyncio.wait(self._executions, timeout=remaining_s, return_when=asyncio.FIRST_COMPLETED)
        for queue in self._queues.values():
            queue.waiting.clear()
        rest = list(self._executions)
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest)
        self.limiter.close()

    def _start(self, job: Job) -> _Task:
        execution = Execution(job, self._context)
        task = asyncio.get_running_loop().create_task(self._execute(execution), name=f"effect-{job.effect.effect_id}")
        self._executions[task] = execution
        task.add_done_callback(self._on_done)
        return task

    def _run_out_of_band(self, job: Job) -> _Task:
        task = self._start(job)
        self._out_of_band.setdefault(job.effect.session_id, set()).add(task)
        return task

    def _enqueue(self, job: Job) -> None:
        session_id = job.effect.session_id
        if queue := self._queues.get(session_id):
            queue.waiting.append(job)
        else:
            self._queues[session_id] = _SessionQueue(self._start(job))

    def _drop_waiting_dials(self, matches: Callable[[Job], bool]) -> list[Job]:
        """Drop matching dials that wait for a permit, and return them."""
        return [] if self._dials is None else self._dials.remove(matches)

    def _cancel_unsent_read(self, session_id: str) -> None:
        """Cancel a session's unsent read: the next one shows as much, and more."""
        for task in self._out_of_band.get(session_id, ()):
            execution = self._executions[task]
            if isinstance(execution.job.effect, ReadCalls) and execution.state is ExecutionState.UNSENT:
                task.cancel()

    def _on_done(self, task: _Task) -> None:
        job = self._executions.pop(task).job
        if job.on_attempted is not None:
            job.on_attempted()
        if not task.cancelled() and (error := task.exception()):
            _report_task_error(task, error)
        session_id = job.effect.session_id
        if (out_of_band := self._out_of_band.get(session_id)) is not None:
            out_of_band.discard(task)
            if not out_of_band:
                del self._out_of_band[session_id]
        queue = self._queues.get(session_id)
        if queue is None or queue.task is not task:
            return
        if queue.waiting:
            queue.task = self._start(replace(queue.waiting.popleft(), was_queued=True))
        else:
            del self._queues[session_id]

    async def _execute(self, execution: Execution) -> None:
        with suppress(LeaseLostError, JobObsoleteError):
            follow_up = await _run_to_outcome(execution)
            if follow_up is not None:  # hangs up a call placed for an ended session
                self._start(follow_up)


async def _run_to_outcome(execution: Execution) -> Job | None:
    """Run a job, record its outcome, and return a stray call's hang-up."""
    job, context = execution.job, execution.context
    passing = (LeaseLostError, JobObsoleteError)
    with _job_boundary(job, context.metrics, *passing) as boundary:
        outcome = await execution.run()
    if boundary.unexpected is not None:
        outcome = execution.fail_internally(boundary.unexpected.reason)
    log_outcome(execution, outcome)
    with _job_boundary(job, context.metrics, *passing) as boundary:
        follow_up = await context.outbox.finish(job.effect, outcome)
        if follow_up is None:
            return None
        return Job(effect=follow_up, partition=job.partition, committed_at_ms=context.now_ms(job.partition))
    # If the real outcome can't be written, record a minimal one. Failing that, leave the effect in the outbox.
    assert boundary.unexpected is not None
    reason = boundary.unexpected.reason
    with _job_boundary(job, context.metrics, *passing):
        await context.outbox.finish(job.effect, execution.fail_internally(reason))
    return None


def _job_boundary(job: Job, metrics: Metrics, *passing: type[BaseException]) -> contain:
    """Contain unexpected errors of one job; `passing` errors leave it."""
    return contain(ItemKind.EFFECT, metrics, passing=passing, **log_fields(job.effect), partition=job.partition)


def _report_task_error(task: asyncio.Task[Any], error: BaseException) -> None:
    """Report a task's error to the loop; the effect stays in the outbox."""
    context = {"message": "carrying out an effect failed", "exception": error, "task": task}
    task.get_loop().call_exception_handler(context)


def log_outcome(execution: Execution, outcome: JobOutcome) -> None:
    """Count and log an outcome once."""
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
