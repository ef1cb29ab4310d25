"""Effect executor: changes in order per session; endings, reads anytime."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from weakref import WeakValueDictionary

import structlog

from conferral.runtime import tracing
from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import LeaseLostError
from conferral.statemachine.effects import Dial, Effect, FindCall, FindMessage, FindRecording, ReadCalls
from conferral.statemachine.events import EffectFailed, EffectUnknown
from conferral.statemachine.session import Session
from conferral.worker.executor.execution import Execution, ExecutionContext
from conferral.worker.executor.job import Job, JobObsoleteError, JobResult, log_fields
from conferral.worker.executor.outbox import DialStatus

log = structlog.get_logger()

#: Interval at which jobs that came back for a retry are left to the next owner, seconds.
DRAIN_POLL_S = 0.05
#: A job that raises these is the next owner's, or no one's.
_DROPS_JOB = (LeaseLostError, JobObsoleteError)


class Executor:
    """Executes committed effects and reports their results.

    Each is a task. Jobs without a recorded result stay in the outbox for the next owner, so canceling one here
    loses nothing. `limiter` must observe every answer from Twilio.
    """

    def __init__(self, context: ExecutionContext) -> None:
        self.context = context
        self.limiter = context.limiter
        #: By session, oldest first, with their tasks: the event loop holds only weak references to these.
        self._tasks: dict[str, dict[Execution, asyncio.Task[None]]] = {}
        #: By session: held by the change that runs. A lock serves those that wait in order.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._stopped = False

    @property
    def executions(self) -> list[Execution]:
        """All that run, or wait for their turn."""
        return [execution for tasks in self._tasks.values() for execution in tasks]

    @property
    def busy_partitions(self) -> set[int]:
        """Partitions with jobs."""
        return {one.job.partition for one in self.executions}

    def submit(self, job: Job) -> None:
        """Start or queue a job; once `drain` runs, leave it to the next owner."""
        effect = job.effect
        if self._stopped:
            return
        has_no_turn = effect.is_ending or isinstance(effect, ReadCalls | FindCall | FindMessage | FindRecording)
        turn = None if has_no_turn else self._turns.setdefault(effect.session_id, asyncio.Lock())
        self._start(Execution(job, self.context), turn or nullcontext())

    def withdraw(self, effect: Effect) -> None:
        """Drop the unsent job of an effect that the outbox no longer has."""
        self._cancel(effect.session_id, lambda one: one.job.effect.effect_id == effect.effect_id and one.is_unsent)

    def expedite_read(self, session_id: str) -> None:
        """Let a session's unsent read overtake those that no one waits for."""
        for job in self._cancel(session_id, lambda one: one.job.is_background and one.is_unsent):
            self.submit(replace(job, is_background=False))

    def cancel_session(self, session_id: str) -> None:
        """Drop an ending session's unsent jobs, except hang-ups; repeat none.

        Call it before the jobs of the end are submitted. A request in flight continues.
        """
        for execution in self._tasks.get(session_id, {}):
            execution.is_cancelled |= not execution.job.effect.is_ending
        self._cancel(session_id, lambda one: one.is_cancelled and one.is_unsent)

    def cancel_unwanted_dials(self, sessions: Mapping[str, Session]) -> None:
        """Cancel unsent dials that their changed sessions no longer want.

        Each fails immediately: a party may be on hold until the session knows that no one is dialed.
        """
        for session in sessions.values():
            for job in self._cancel(session.id, partial(_is_unwanted_dial, session)):
                self._start(Execution(job, self.context, is_cancelled=True), nullcontext())

    def drop_partition(self, partition: int) -> None:
        """Drop the jobs of a lost partition, except for requests in flight."""
        for session_id in [*self._tasks]:
            self._cancel(session_id, lambda one: one.job.partition == partition and one.is_between_requests)

    def leave_partition(self, partition: int) -> None:
        """Drop a partition's jobs that its next owner can execute immediately."""
        for session_id in [*self._tasks]:
            self._cancel(session_id, lambda one: one.job.partition == partition and one.can_be_handed_over)

    async def drain(self, timeout_s: float) -> None:
        """Accept no more jobs; wait for running ones as `drain_partition` does."""
        self._stopped = True
        await self.drain_partition(None, timeout_s)
        self.limiter.close()

    async def drain_partition(self, partition: int | None, timeout_s: float) -> None:
        """Wait for the running jobs of a partition (None: of all partitions).

        After `timeout_s`, cancel the rest: their effects stay in the outbox. Nothing may be submitted meanwhile.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while running := self._running(partition):
                    if partition is not None:
                        self.leave_partition(partition)  # again and again: a job may come back for a retry
                    await asyncio.wait(running, timeout=DRAIN_POLL_S, return_when=asyncio.FIRST_COMPLETED)
        running = self._running(partition)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _running(self, partition: int | None) -> list[asyncio.Task[None]]:
        of_all = [pair for tasks in self._tasks.values() for pair in tasks.items()]
        return [task for one, task in of_all if partition in (None, one.job.partition)]

    def _cancel(self, session_id: str, matches: Callable[[Execution], bool]) -> list[Job]:
        """Cancel matching executions of a session; return their jobs."""
        found = [(one, task) for one, task in self._tasks.get(session_id, {}).items() if matches(one)]
        for one, task in found:
            one.is_cancelled = True
            task.cancel()
        return [one.job for one, _ in found]

    def _start(self, execution: Execution, turn: AbstractAsyncContextManager[object]) -> None:
        job, loop = execution.job, asyncio.get_running_loop()
        task = loop.create_task(self._execute(execution, turn), name=f"effect-{job.effect.effect_id}")
        self._tasks.setdefault(job.effect.session_id, {})[execution] = task
        task.add_done_callback(lambda _: self._on_done(execution))

    def _on_done(self, execution: Execution) -> None:
        session_id = execution.job.effect.session_id
        task = self._tasks[session_id].pop(execution)
        if not self._tasks[session_id]:
            del self._tasks[session_id]
        if not task.cancelled() and (error := task.exception()):  # the effect stays in the outbox
            context = {"message": "executing an effect failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)

    async def _execute(self, execution: Execution, turn: AbstractAsyncContextManager[object]) -> None:
        """Execute a job, and record its result; that of an unexpected error, too."""
        effect = execution.job.effect
        about = {tracing.SESSION_ID: effect.session_id, "conferral.effect_id": effect.effect_id}
        parent = execution.job.traceparent or None
        with suppress(*_DROPS_JOB), tracing.span(f"execute {effect.kind}", about, parent=parent):
            with _contained(execution) as failure:
                async with turn:
                    await self._record(execution, await execution.run())
            if failure:
                with _contained(execution):  # failing that, the effect stays in the outbox
                    await self._record(execution, execution.fail_internally(failure.reason))

    async def _record(self, execution: Execution, result: JobResult) -> None:
        """Write a result; hang up a call that was placed for an ended session."""
        job, context = execution.job, execution.context
        stray = await context.outbox.finish(job.effect, result)
        log_result(execution, result)
        if stray is not None:
            follow_up = Job(effect=stray, partition=job.partition, committed_at_ms=context.core.store_clock.now_ms())
            self._start(Execution(follow_up, self.context), nullcontext())


def _is_unwanted_dial(session: Session, execution: Execution) -> bool:
    """Whether it is an unsent dial that its session no longer wants."""
    effect = execution.job.effect
    if not isinstance(effect, Dial) or not execution.is_unsent or execution.is_cancelled:
        return False
    return not DialStatus.of(session, effect.effect_id).is_wanted


def _contained(execution: Execution) -> contain:
    """Contain unexpected errors of one job."""
    job = execution.job
    fields = log_fields(job.effect) | {"partition": job.partition}
    return contain(ItemKind.EFFECT, execution.context.core.metrics, passing=_DROPS_JOB, **fields)


def log_result(execution: Execution, result: JobResult) -> None:
    """Count and log a result once."""
    core, effect = execution.context.core, execution.job.effect
    failure = result if isinstance(result, EffectFailed) else None
    word = "failed" if failure else "unknown" if isinstance(result, EffectUnknown) else "succeeded"
    core.metrics.effects.labels(effect.kind, word).inc()
    fields = {
        **log_fields(effect),
        "party": effect.party,
        "attempt": execution.attempts,
        # From the commit, as a waiting caller experiences it.
        "duration_ms": max(0, core.store_clock.now_ms() - execution.job.committed_at_ms),
        "outcome": word,
        "status": failure.http_status if failure else 0,
        "code": failure.code if failure else 0,
    }
    if execution.internal_error:
        fields["reason"] = execution.internal_error
    if word == "succeeded" or (failure and failure.gone):
        log.info("effect_executed", **fields)
    else:
        log.error("effect_abandoned", **fields)
