"""Reads that wait for their turn: one for each session, in the order in which they came."""

import asyncio
from collections.abc import Callable

from conferral.worker.executor.job import Job


class ReadQueue:
    """A queue of reads that have not been sent.

    A read changes nothing, and it may be wanted by every session at the same time: after an outage, for instance. So a
    read that waits is no task but only its order, and a session has one at most: a newer one takes the place of the one
    before, whose answer nobody waits for.
    """

    def __init__(self, started_max: int) -> None:
        """Start empty.

        Args:
            started_max: Reads that are started at the same time (count): as many as there are request slots.
        """
        self._by_session: dict[str, Job] = {}
        self._started_max = started_max
        #: Those that have been started and have no outcome yet; the executor adds and removes them.
        self.started: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._by_session)

    def add(self, job: Job) -> bool:
        """Add a read; return whether it has taken the place of an earlier one of its session."""
        session_id = job.effect.session_id
        is_newer = session_id in self._by_session
        self._by_session[session_id] = job  # a dict keeps the place of a key
        return is_newer

    def pop(self) -> Job | None:
        """Remove and return the read that has waited longest; None if no more may be started, or none waits."""
        if not self._by_session or len(self.started) >= self._started_max:
            return None
        return self._by_session.pop(next(iter(self._by_session)))

    def drop(self, session_id: str) -> int:
        """Remove the read of a session; return how many that were."""
        return 0 if self._by_session.pop(session_id, None) is None else 1

    def drop_all(self, matches: Callable[[Job], bool]) -> int:
        """Remove reads by their order; return how many that were."""
        remaining = {name: order for name, order in self._by_session.items() if not matches(order)}
        dropped = len(self._by_session) - len(remaining)
        self._by_session = remaining
        return dropped
