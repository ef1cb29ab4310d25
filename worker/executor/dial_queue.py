"""Queue of dials that wait for a permit."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from conferral.runtime.errors import LeaseLostError
from conferral.statemachine.effects import Dial
from conferral.worker.executor.execution import ExecutionContext
from conferral.worker.executor.job import Job
from conferral.worker.executor.job_outcomes import job_boundary, report_task_error


class DialQueue:
    """Dials that wait for permits, in no session queue: they delay nothing."""

    def __init__(self, context: ExecutionContext, start: Callable[[Job], None]) -> None:
        self._context = context
        #: Called with a job that has its permit, or is only to be reported.
        self._start = start
        self._waiting: dict[asyncio.Task[Job], Job] = {}

    def add(self, dial: Dial, job: Job, acquire: Callable[[Dial], Awaitable[None]]) -> None:
        """Start the job once `acquire` returns: the dial may then be sent."""
        task = asyncio.get_running_loop().create_task(self._wait(dial, job, acquire), name=f"turn-{dial.effect_id}")
        self._waiting[task] = job
        task.add_done_callback(self._on_permit)

    def remove(self, matches: Callable[[Job], bool]) -> list[Job]:
        """Stop waiting for the permits of matching jobs, and return those jobs."""
        removed = []
        for task in [task for task, job in self._waiting.items() if matches(job)]:
            removed.append(self._waiting.pop(task))
            task.cancel()
        return removed

    async def close(self) -> None:
        """Drop all jobs: the next holder requests its own permits."""
        tasks = list(self._waiting)
        self.remove(lambda _job: True)
        if tasks:
            await asyncio.wait(tasks)

    async def _wait(self, dial: Dial, job: Job, acquire: Callable[[Dial], Awaitable[None]]) -> Job:
        """Return the job with its permit, or at once if it is only to be reported."""
        context = self._context
        since_s = context.clock.monotonic_s()
        with job_boundary(job, context.metrics, LeaseLostError) as boundary:
            if job.may_have_been_sent:
                status = await context.outbox.dial_status(dial)
                if status.call_sid or not status.is_wanted:
                    return replace(job, is_cancelled=True)
            await acquire(dial)
        if boundary.unexpected is not None:
            return replace(job, internal_error=boundary.unexpected.reason)
        return replace(job, dial_wait_ms=round((context.clock.monotonic_s() - since_s) * 1000))

    def _on_permit(self, task: asyncio.Task[Job]) -> None:
        # The job may have been removed just as it got its permit.
        is_awaited = self._waiting.pop(task, None) is not None
        if task.cancelled() or isinstance(task.exception(), LeaseLostError):
            return
        if error := task.exception():
            report_task_error(task, error)
        elif is_awaited:
            self._start(task.result())
