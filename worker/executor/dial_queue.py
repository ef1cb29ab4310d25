"""Queue of dials that wait for permits: the pace of all workers (CPS)."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from conferral.runtime.clock import Clock
from conferral.runtime.containment import ItemKind, contain
from conferral.runtime.errors import StoreError
from conferral.runtime.metrics import Metrics
from conferral.runtime.outage import log_unreachable
from conferral.statemachine.effects import Dial
from conferral.worker.executor.job import Job

#: Pause after Redis was unreachable, seconds.
PAUSE_S = 0.2
#: Requests a permit, given whether a caller waits; returns 0.0, or the seconds to wait before asking again.
RequestPermit = Callable[[bool], Awaitable[float]]


class DialQueue:
    """Dials that wait for permits, in no session queue: they delay nothing.

    Urgent dials, for which a caller waits, go first, here and across workers.
    """

    def __init__(
        self,
        request_permit: RequestPermit,
        start: Callable[[Job], None],
        *,
        clock: Clock,
        metrics: Metrics,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._request_permit = request_permit
        #: Called with a job that has its permit.
        self._start = start
        self._clock = clock
        self._metrics = metrics
        self._sleep = sleep
        #: Jobs, and since when each waits, monotonic seconds; oldest first.
        self._waiting: list[tuple[Job, float]] = []
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, job: Job) -> None:
        """Start the job once it has its permit."""
        self._waiting.append((job, self._clock.monotonic_s()))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="dial-queue")

    def remove(self, matches: Callable[[Job], bool]) -> list[Job]:
        """Stop waiting for the permits of matching jobs, and return those jobs."""
        removed = [job for job, _ in self._waiting if matches(job)]
        self._waiting = [(job, since_s) for job, since_s in self._waiting if not matches(job)]
        return removed

    def close(self) -> None:
        """Drop all jobs: the next holder requests its own permits."""
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        """Request permits, one at a time, while dials wait."""
        try:
            while self._waiting:
                is_urgent, problem = _is_urgent(self._first()[0]), ""
                with contain(ItemKind.EFFECT, self._metrics, passing=(StoreError,), task="dial_rate") as boundary:
                    wait_s = await self._try_permit(is_urgent)
                if boundary.unexpected is not None:
                    wait_s, problem = 0.0, boundary.unexpected.reason
                if wait_s > 0:
                    await self._sleep(wait_s)
                elif self._waiting:  # else the dials were removed meanwhile
                    first = job, since_s = self._first()  # an urgent one may have come
                    self._waiting.remove(first)
                    waited_ms = round((self._clock.monotonic_s() - since_s) * 1000)
                    self._start(replace(job, dial_wait_ms=waited_ms, internal_error=problem))
        finally:
            self._task = None

    def _first(self) -> tuple[Job, float]:
        return min(self._waiting, key=lambda waiting: not _is_urgent(waiting[0]))

    async def _try_permit(self, is_urgent: bool) -> float:
        """Request a permit; return 0.0, or the seconds to wait for the next try."""
        try:
            return await self._request_permit(is_urgent)
        except StoreError as error:
            log_unreachable(error, task="dial_rate")
            return PAUSE_S


def _is_urgent(job: Job) -> bool:
    return isinstance(job.effect, Dial) and job.effect.is_urgent
