"""Carries effects out: in order within a session, side by side between sessions, endings before everything else.

Looks at the world change nothing there and may come back in any order, so they stand in no line.
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
    """Whether somebody waits for that dial: its party has not left and is not to leave."""
    parties = session.parties.values()
    return any(party.dial_id == dial_id and not (party.is_gone or party.is_leaving) for party in parties)


async def no_checkpoint(_point: str, _detail: object) -> None:
    """A checkpoint where nothing happens."""


@dataclass(slots=True)
class _SessionQueue:
    """The orders of one session that are carried out one after the other."""

    task: _Task
    waiting: deque[Job] = field(default_factory=deque)


class Executor:
    """Carries committed effects out and reports what came of them.

    What is not reported stays in the outbox, where a successor finds it: so nothing is lost when an order is dropped
    here, be it that the lease is gone or the process stops.

    Attributes:
        performed: Orders done, or found to concern what is gone (count).
        given_up: Orders refused by Twilio, out of time, or of unknown outcome (count).
        retried: Requests beyond the first of an order (count).
        dropped: Orders left without an outcome (count).
        allowance: How much may be under way; has to be told of every answer of Twilio's.
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
        """Binds what is needed.

        Args:
            twilio: Asks Twilio.
            outbox: Is given each outcome, once for each order that has one, and what else has to be written down.
                A `LeaseLostError` from it drops the order.
            may_send: Whether this worker owns the partition; asked right before every request.
            clock: For deadlines.
            now_ms: The time of a partition, Unix milliseconds.
            metrics: Where is counted.
            policy: Bounds.
            rng: For jitter.
            sleep: How time is waited out.
            checkpoint: Called at `before_request` and `after_request`, for tests that end the process there.
            acquire_dial_permit: Returns when a dial may be sent; None where the pace is left to Twilio's own queue.
            share: What this worker may have under way at Twilio, now; None: all that the policy allows.
            is_ours: Whether nobody else can have the partition now, as far as is known here; asked once more when a
                request has its connection.
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
        # The loop holds tasks weakly: these are the references that keep them.
        self._executions: dict[_Task, Execution] = {}
        self._queues: dict[str, _SessionQueue] = {}
        #: By session, what runs beside its line and is of no use any more when the session ends.
        self._out_of_band: dict[str, set[_Task]] = {}
        self._acquire_dial_permit = acquire_dial_permit
        #: Dials that wait for their turn. They stand in no line yet, so that nothing waits behind them.
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
        """Who talks to Twilio, and who waits for it."""
        return self._context.limiter

    @property
    def in_flight(self) -> int:
        """Orders being carried out: those whose request is under way, and those between two tries (count)."""
        return len(self._executions)

    @property
    def waiting(self) -> int:
        """Orders behind another one of their session, and dials and reads whose turn has not come (count)."""
        return (
            len(self._waiting_dials)
            + len(self._read_queue)
            + sum(len(queue.waiting) for queue in self._queues.values())
        )

    @property
    def busy_partitions(self) -> set[int]:
        """Partitions with an order that has no outcome yet, those aside whose turn to dial has not come."""
        jobs = [execution.job for execution in self._executions.values()]
        jobs += [job for queue in self._queues.values() for job in queue.waiting]
        return {job.partition for job in jobs}

    def submit(self, job: Job) -> None:
        """Takes an order on; returns at once. After `drain` has begun it is left to the successor.

        An ending effect starts beside whatever is in flight. When its session is over, what that has not sent yet is
        dropped; a stray leg of a live session is hung up without touching the rest.
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
        """The session has ended: what it has not sent yet is of no use any more. Endings are carried out all the same.

        What is under way goes on, and is not repeated.
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
        """Sessions have changed: their dials that wait here and that nobody wants any more are taken back.

        Each is reported as failed, at once: somebody may be on hold until the session knows that nobody is dialled.
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
        """Forgets the orders of a partition whose lease is gone, but for requests under way."""
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
        """Leaves a partition that gets no more orders to its next holder: waits for what is under way, drops the rest.

        Args:
            partition: Which.
            timeout_s: How long at most, seconds of the loop's clock.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while True:
            # Also what has come back to be sent again.
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
        """Waits until everything begun has its outcome, then leaves the rest to the successor.

        Args:
            timeout_s: How long at most, seconds of the loop's clock.
        """
        self._stopped = True
        # The successor asks for a turn of its own.
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
                    standing = await self._outbox.dial_status(dial)
                    if standing.call_sid or not standing.is_wanted:
                        return replace(job, is_cancelled=True)
                await acquire(dial)
            if boundary.unexpected is not None:
                return replace(job, internal_error=boundary.unexpected.reason)
            return replace(job, dial_wait_ms=round((clock.monotonic_s() - since_s) * 1000))

        task = asyncio.get_running_loop().create_task(wait(), name=f"turn-{dial.effect_id}")
        self._waiting_dials[task] = job
        task.add_done_callback(self._on_dial_permit)

    def _on_dial_permit(self, task: asyncio.Task[Job]) -> None:
        # An order may have been dropped in the very moment in which its turn came.
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
        """Show an error that ends a process to the loop's handler. The order stays in the outbox."""
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
        """The outcome can't be written: writes the plainest one. What can't be written either stays in the outbox."""
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
            # From the commit, as whoever waits for it feels it.
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
