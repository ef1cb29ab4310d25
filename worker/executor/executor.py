"""Effect executor: in order within a session, concurrent across sessions, endings first.

Reads change nothing and may finish in any order, so they bypass the session queues.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from conferral.runtime.clock import Clock
from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.error_boundary import Unexpected
from conferral.runtime.errors import LeaseLostError
from conferral.runtime.metrics import Metrics
from conferral.statemachine.effects import Dial, Effect, FindCall, ReadCalls
from conferral.statemachine.events import EffectFailed, EffectUnknown
from conferral.statemachine.session import Session
from conferral.worker.executor.adaptive_limit import AdaptiveLimit
from conferral.worker.executor.execution import Execution, ExecutionContext, ExecutionState
from conferral.worker.executor.job import Job, JobObsoleteError, JobOutcome, OutboxPort, TwilioPort
from conferral.worker.executor.priority_limiter import PriorityLimiter
from conferral.worker.executor.read_queue import ReadQueue
from conferral.worker.executor.request_shares import Share
from conferral.worker.executor.retry import ExecutorPolicy, RetryPolicy

__all__ = ["Executor", "ExecutorPolicy", "Job", "JobOutcome", "OutboxPort", "RetryPolicy", "TwilioPort"]

log = structlog.get_logger()

_Task = asyncio.Task[None]


def is_dial_wanted(session: Session, dial_id: str) -> bool:
    """Whether a party still waits for this dial: it has not left and is not leaving."""
    parties = session.parties.values()
    return any(party.dial_id == dial_id and not (party.is_gone or party.is_leaving) for party in parties)


async def no_checkpoint(_point: str, _detail: object) -> None:
    """Do nothing; the default checkpoint."""


@dataclass(slots=True)
class _SessionQueue:
    """A session's jobs that run one after another."""

    task: _Task
    waiting: deque[Job] = field(default_factory=deque)


class Executor:
    """Executes committed effects and reports their outcomes.

    Jobs without a recorded outcome stay in the outbox for the next lease holder. So dropping one here, after a lost
    lease or at a stop, loses nothing.

    Attributes:
        performed: Jobs done, or whose target is gone (count).
        given_up: Jobs that Twilio refused, that ran out of time, or whose outcome is unknown (count).
        retried: Requests beyond a job's first (count).
        dropped: Jobs left without an outcome (count).
        adaptive_limit: Limits concurrent requests; must observe every answer from Twilio.
    """

    def __init__(
        self,
        *,
        twilio: TwilioPort,
        outbox: OutboxPort,
        may_send: Callable[[int], Awaitable[bool]],
        clock: Clock,
        now_ms: Callable[[int], int],
        metrics: Metrics,
        policy: ExecutorPolicy,
        rng: random.Random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        checkpoint: Callable[[str, Effect], Awaitable[None]] = no_checkpoint,
        acquire_dial_permit: Callable[[Dial], Awaitable[None]] | None = None,
        share: Callable[[], Share] | None = None,
        is_ours: Callable[[int], bool] = lambda _partition: True,
    ) -> None:
        """Bind the dependencies.

        Args:
            twilio: Sends requests to Twilio.
            outbox: Stores each job's outcome once, and what else must be recorded. A `LeaseLostError` from it drops the
                job.
            may_send: Whether this worker owns the partition; checked right before every request.
            clock: For deadlines.
            now_ms: Returns a partition's time, Unix milliseconds.
            metrics: Counts effects, attempts, and errors.
            policy: Timeouts and limits.
            rng: For jitter.
            sleep: Waits for a duration.
            checkpoint: Called at `before_request` and `after_request`, for tests that end the process there.
            acquire_dial_permit: Returns when a dial may be sent; None leaves the rate to Twilio's own queue.
            share: Returns this worker's current share of requests to Twilio; None allows the whole budget.
            is_ours: Whether, as far as this process knows, no other worker can own the partition; checked again once a
                request has a connection.
        """
        self.performed = self.given_up = self.retried = self.dropped = 0
        self._outbox, self._metrics, self._now_ms = outbox, metrics, now_ms
        self.adaptive_limit = AdaptiveLimit(
            share=share or (lambda: policy.budget),
            clock=clock,
            metrics=metrics,
            rng=rng,
        )
        self._context = ExecutionContext(
            twilio=twilio,
            outbox=outbox,
            may_send=may_send,
            is_ours=is_ours,
            limiter=PriorityLimiter(self.adaptive_limit, clock, sleep=sleep),
            clock=clock,
            now_ms=now_ms,
            metrics=metrics,
            policy=policy,
            rng=rng,
            sleep=sleep,
            checkpoint=checkpoint,
        )
        # The event loop holds only weak references to tasks; these keep them alive.
        self._executions: dict[_Task, Execution] = {}
        self._queues: dict[str, _SessionQueue] = {}
        #: By session: tasks outside its queue that become useless when the session ends.
        self._out_of_band: dict[str, set[_Task]] = {}
        self._acquire_dial_permit = acquire_dial_permit
        #: Dials that wait for a permit. They are in no session queue yet, so nothing waits behind them.
        self._waiting_dials: dict[asyncio.Task[Job], Job] = {}
        self._read_queue = ReadQueue(policy.requests_max)
        self._stopped = False

    def __repr__(self) -> str:
        return (
            f"<Executor in_flight={self.in_flight} waiting={self.waiting} performed={self.performed} "
            f"given_up={self.given_up} retried={self.retried} dropped={self.dropped}>"
        )

    @property
    def limiter(self) -> PriorityLimiter:
        """The limiter of concurrent requests to Twilio."""
        return self._context.limiter

    @property
    def in_flight(self) -> int:
        """Jobs in execution: with a request in flight, or between two attempts (count)."""
        return len(self._executions)

    @property
    def waiting(self) -> int:
        """Jobs queued behind another one of their session, dials without a permit, and unsent reads (count)."""
        return (
            len(self._waiting_dials)
            + len(self._read_queue)
            + sum(len(queue.waiting) for queue in self._queues.values())
        )

    @property
    def busy_partitions(self) -> set[int]:
        """Partitions with a started or queued job; dials without a permit do not count."""
        jobs = [execution.job for execution in self._executions.values()]
        jobs += [job for queue in self._queues.values() for job in queue.waiting]
        return {job.partition for job in jobs}

    def submit(self, job: Job) -> None:
        """Start or queue a job; return at once. After `drain` has begun, leave it to the next holder.

        An ending starts next to whatever is in flight. If its session is over, the session's unsent jobs are dropped; a
        stray leg of a live session is hung up without touching the rest.
        """
        effect = job.effect
        if self._stopped:
            self.dropped += 1
        elif effect.is_ending:
            if job.ends_session:
                self.cancel_session(effect.session_id)
            self._start(job)
        elif isinstance(effect, ReadCalls):
            self.dropped += self._read_queue.add(job)
            self._start_reads()
        elif isinstance(effect, FindCall):
            self._run_out_of_band(job)
        elif self._acquire_dial_permit is not None and isinstance(effect, Dial) and job.sent_at_ms is None:
            self._await_dial_permit(self._acquire_dial_permit, effect, job)
        else:
            self._enqueue(job)

    def cancel_session(self, session_id: str) -> None:
        """Drop the unsent jobs of an ended session. Endings still run.

        A request in flight continues, and is not repeated.
        """
        self._drop_waiting_dials(lambda order: order.effect.session_id == session_id)
        self.dropped += self._read_queue.drop(session_id)
        tasks = list(self._out_of_band.get(session_id, ()))
        if queue := self._queues.get(session_id):
            self.dropped += len(queue.waiting)
            queue.waiting.clear()
            tasks.append(queue.task)
        for task in tasks:
            execution = self._executions[task]
            execution.is_cancelled = True
            if execution.state is ExecutionState.UNSENT:
                task.cancel()

    def cancel_unwanted_dials(self, sessions: Mapping[str, Session]) -> None:
        """Cancel waiting dials that their changed sessions no longer want.

        Each is reported as failed at once: a party may stay on hold until the session knows that no one is dialed.
        """

        def is_unwanted(order: Job) -> bool:
            effect = order.effect
            session = sessions.get(effect.session_id) if isinstance(effect, Dial) else None
            return session is not None and not is_dial_wanted(session, effect.effect_id)

        unwanted = []
        for task in [task for task, order in self._waiting_dials.items() if is_unwanted(order)]:
            unwanted.append(self._waiting_dials.pop(task))
            task.cancel()
        for session_id in sessions:
            queue = self._queues.get(session_id)
            if queue is not None and queue.waiting:
                unwanted += filter(is_unwanted, queue.waiting)
                queue.waiting = deque(order for order in queue.waiting if not is_unwanted(order))
        for job in unwanted:
            self._run_out_of_band(replace(job, is_cancelled=True))

    def drop_partition(self, partition: int) -> None:
        """Drop the jobs of a partition whose lease is gone, except for requests in flight."""
        self._drop_waiting_dials(lambda order: order.partition == partition)
        self.dropped += self._read_queue.drop_all(lambda order: order.partition == partition)
        for queue in self._queues.values():
            remaining = deque(order for order in queue.waiting if order.partition != partition)
            self.dropped += len(queue.waiting) - len(remaining)
            queue.waiting = remaining
        for task, execution in self._executions.items():
            if execution.job.partition == partition and execution.state in (
                ExecutionState.UNSENT,
                ExecutionState.VERIFYING,
            ):
                task.cancel()

    async def drain_partition(self, partition: int, timeout_s: float) -> None:
        """Finish a partition's running jobs and drop the rest, which the next holder executes. It gets no new jobs.

        Args:
            partition: The partition.
            timeout_s: Maximum duration, seconds of the loop's clock.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while True:
            # Also drops jobs that came back for a retry.
            self.drop_partition(partition)
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
        """Finish the running jobs, then leave the rest to the next holders.

        Args:
            timeout_s: Maximum duration, seconds of the loop's clock.
        """
        self._stopped = True
        # The next holder requests its own dial permits.
        self.dropped += self._read_queue.drop_all(lambda _order: True)
        dials = self._drop_waiting_dials(lambda _order: True)
        if dials:
            await asyncio.wait(dials)
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while self._executions and (remaining_s := deadline_s - loop.time()) > 0:
            await asyncio.wait(self._executions, timeout=remaining_s, return_when=asyncio.FIRST_COMPLETED)
        self.dropped += self.waiting
        for queue in self._queues.values():
            queue.waiting.clear()
        rest = list(self._executions)
        for task in rest:
            task.cancel()
        if rest:
            await asyncio.wait(rest)
        self._context.limiter.close()

    # ---- scheduling -----------------------------------------------------------------------------------------------

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

    def _start_reads(self) -> None:
        while job := self._read_queue.pop():
            self._read_queue.started.add(self._run_out_of_band(job))

    def _enqueue(self, job: Job) -> None:
        session_id = job.effect.session_id
        if queue := self._queues.get(session_id):
            queue.waiting.append(job)
        else:
            self._queues[session_id] = _SessionQueue(self._start(job))

    def _await_dial_permit(self, acquire: Callable[[Dial], Awaitable[None]], dial: Dial, job: Job) -> None:
        clock = self._context.clock
        since_s = clock.monotonic_s()

        async def wait() -> Job:
            with self._boundary(job, LeaseLostError) as boundary:
                if job.may_have_been_sent:
                    status = await self._outbox.dial_status(dial)
                    if status.call_sid or not status.is_wanted:
                        return replace(job, is_cancelled=True)
                await acquire(dial)
            if boundary.unexpected is not None:
                return replace(job, internal_error=boundary.unexpected.reason)
            return replace(job, dial_wait_ms=round((clock.monotonic_s() - since_s) * 1000))

        task = asyncio.get_running_loop().create_task(wait(), name=f"turn-{dial.effect_id}")
        self._waiting_dials[task] = job
        task.add_done_callback(self._on_dial_permit)

    def _on_dial_permit(self, task: asyncio.Task[Job]) -> None:
        # The job may have been dropped at the very moment it got its permit.
        is_awaited = self._waiting_dials.pop(task, None) is not None
        if task.cancelled() or isinstance(task.exception(), LeaseLostError):
            self.dropped += is_awaited
        elif error := task.exception():
            self._report_task_error(task, error)
        elif is_awaited:
            job = task.result()
            (self._run_out_of_band if job.is_cancelled or job.internal_error else self._enqueue)(job)

    def _drop_waiting_dials(self, matches: Callable[[Job], bool]) -> list[asyncio.Task[Job]]:
        tasks = [task for task, job in self._waiting_dials.items() if matches(job)]
        for task in tasks:
            del self._waiting_dials[task]
            self.dropped += 1
            task.cancel()
        return tasks

    def _report_task_error(self, task: asyncio.Task[Any], error: BaseException) -> None:
        """Report a fatal error to the loop's exception handler. The effect stays in the outbox."""
        self.dropped += 1
        context = {"message": "carrying out an effect failed", "exception": error, "task": task}
        task.get_loop().call_exception_handler(context)

    def _on_done(self, task: _Task) -> None:
        job = self._executions.pop(task).job
        if job.on_attempted is not None:
            job.on_attempted()
        if task.cancelled():
            self.dropped += 1
        elif error := task.exception():
            self._report_task_error(task, error)
        self._read_queue.started.discard(task)
        self._start_reads()
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
        job, control = execution.job, (LeaseLostError, JobObsoleteError)
        try:
            with self._boundary(job, *control) as boundary:
                outcome = await execution.run()
            if boundary.unexpected is not None:
                outcome = execution.fail_internally(boundary.unexpected.reason)
            self._report(execution, outcome)
            with self._boundary(job, *control) as boundary:
                follow_up = await self._outbox.finish(job.effect, outcome)
                if follow_up is not None:
                    self._start(self._follow_up_job(job, follow_up))
            if boundary.unexpected is not None:
                await self._finish_after_error(execution, boundary.unexpected)
        except control:
            self.dropped += 1
        finally:
            self.retried += max(0, execution.attempts - 1)

    async def _finish_after_error(self, execution: Execution, unexpected: Unexpected) -> None:
        """Record a minimal outcome when the real one can't be written. Failing that, leave the effect in the outbox."""
        job = execution.job
        with self._boundary(job, LeaseLostError, JobObsoleteError) as boundary:
            await self._outbox.finish(job.effect, execution.fail_internally(unexpected.reason))
        self.dropped += boundary.unexpected is not None

    def _boundary(self, job: Job, *passing: type[BaseException]) -> contain:
        effect = job.effect
        return contain(
            ItemKind.EFFECT,
            self._metrics,
            passing=passing,
            effect=effect.kind,
            effect_id=effect.effect_id,
            session_id=effect.session_id,
            partition=job.partition,
        )

    def _follow_up_job(self, job: Job, effect: Effect) -> Job:
        return Job(
            effect=effect, partition=job.partition, committed_at_ms=self._now_ms(job.partition), ends_session=False
        )

    def _report(self, execution: Execution, outcome: JobOutcome) -> None:
        effect = execution.job.effect
        result = "unknown" if isinstance(outcome, EffectUnknown) else "succeeded"
        status = code = 0
        if isinstance(outcome, EffectFailed):
            result, status, code = "failed", outcome.http_status, outcome.code
        done = result == "succeeded" or (isinstance(outcome, EffectFailed) and outcome.gone)
        if done:
            self.performed += 1
        else:
            self.given_up += 1
        self._metrics.effects.labels(effect.kind, result).inc()
        fields = {
            "effect": effect.kind,
            "effect_id": effect.effect_id,
            "session_id": effect.session_id,
            "party": effect.party,
            "attempt": execution.attempts,
            # Measured from the commit, as a waiting caller experiences it.
            "duration_ms": max(0, self._now_ms(execution.job.partition) - execution.job.committed_at_ms),
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
