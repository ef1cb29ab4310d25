"""Queue of unsent reads: one per session, first come, first served."""

import asyncio
from collections.abc import Callable

from conferral.worker.executor.job import Job


class ReadQueue:
    """A queue of reads that have not been sent.

    A read changes nothing, and after an outage every session may want one at the same time. So a waiting read is only a
    job, not a task, and each session has at most one. A newer read replaces the earlier one, whose answer is no longer
    needed.
    """

    def __init__(self, started_max: int) -> None:
        self._by_session: dict[str, Job] = {}
        #: Reads in execution at the same time (count): as many as there are request slots.
        self._started_max = started_max
        #: Reads in execution; the executor adds and removes them.
        self.started: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._by_session)

    def add(self, job: Job) -> bool:
        """Add a read; return whether it replaced an earlier one of its session."""
        session_id = job.effect.session_id
        is_newer = session_id in self._by_session
        self._by_session[session_id] = job  # an existing key keeps its place in the dict
        return is_newer

    def pop(self) -> Job | None:
        """Remove and return the read that has waited longest; None if none waits, or no more may start."""
        if not self._by_session or len(self.started) >= self._started_max:
            return None
        return self._by_session.pop(next(iter(self._by_session)))

    def drop(self, session_id: str) -> int:
        """Remove a session's read; return the number removed."""
        return 0 if self._by_session.pop(session_id, None) is None else 1

    def drop_all(self, matches: Callable[[Job], bool]) -> int:
        """Remove matching reads; return the number removed."""
        remaining = {name: order for name, order in self._by_session.items() if not matches(order)}
        dropped = len(self._by_session) - len(remaining)
        self._by_session = remaining
        return dropped
