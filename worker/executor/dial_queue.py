"""Dials that wait for a permit."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from conferral.runtime.errors import LeaseLostError
from conferral.statemachine.effects import Dial
from conferral.worker.executor.execution import ExecutionContext
from conferral.worker.executor.job import Job
from conferral.worker.executor.job_outcomes import JobCounts, job_boundary, report_task_error


class DialQueue:
    """Waits for the permits of dials. They are in no session queue yet, so nothing waits behind them."""

    def __init__(
        self,
        acquire: Callable[[Dial], Awaitable[None]],
        context: ExecutionContext,
        counts: JobCounts,
        start: Callable[[Job], None],
    ) -> None:
        #: Returns when a dial may be sent.
        self._acquire = acquire
        self._context = context
        self._counts = counts
        #: Called with a job that has its permit, or can only be reported.
        self._start = start
        self._waiting: dict[asyncio.Task[Job], Job] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, dial: Dial, job: Job) -> None:
        """Wait for a dial's permit, then start its job."""
        task = asyncio.get_running_loop().create_task(self._wait(dial, job), name=f"turn-{dial.effect_id}")
        self._waiting[task] = job
        task.add_done_callback(self._on_permit)

    def take(self, matches: Callable[[Job], bool]) -> list[Job]:
        """Remove matching jobs, which no longer wait."""
        taken = []
        for task in [task for task, job in self._waiting.items() if matches(job)]:
            taken.append(self._waiting.pop(task))
            task.cancel()
        return taken

    async def close(self) -> None:
        """Drop all jobs: the next holder requests its own permits."""
        tasks = list(self._waiting)
        self._counts.dropped += len(self.take(lambda _job: True))
        if tasks:
            await asyncio.wait(tasks)

    async def _wait(self, dial: Dial, job: Job) -> Job:
        context = self._context
        since_s = context.clock.monotonic_s()
        with job_boundary(job, context.metrics, LeaseLostError) as boundary:
            if job.may_have_been_sent:
                status = await context.outbox.dial_status(dial)
                if status.call_sid or not status.is_wanted:
                    return replace(job, is_cancelled=True)
            await self._acquire(dial)
        if boundary.unexpected is not None:
            return replace(job, internal_error=boundary.unexpected.reason)
        return replace(job, dial_wait_ms=round((context.clock.monotonic_s() - since_s) * 1000))

    def _on_permit(self, task: asyncio.Task[Job]) -> None:
        # The job may have been dropped at the very moment it got its permit.
        is_awaited = self._waiting.pop(task, None) is not None
        if task.cancelled() or isinstance(task.exception(), LeaseLostError):
            self._counts.dropped += is_awaited
        elif error := task.exception():
            report_task_error(task, error, self._counts)
        elif is_awaited:
            self._start(task.result())
