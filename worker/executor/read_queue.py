"""Queue of unsent reads: one per session, first come, first served."""

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import islice

from conferral.worker.executor.job import Job


class ReadQueue:
    """A queue of reads that have not been sent.

    After an outage, every session may want a read. So a waiting read is only a job, not a task, and a newer one of its
    session replaces it. Each Redis node has its own limit, so that a silent node delays only its own sessions.
    """

    def __init__(self, started_max: int, node_of: Callable[[int], str]) -> None:
        """Create the queue; `started_max` limits each node's reads (count)."""
        self._started_max = started_max
        self._node_of = node_of
        #: By node, then by session.
        self._waiting: dict[str, dict[str, Job]] = {}
        #: With their nodes.
        self._started: dict[asyncio.Task[None], str] = {}

    def add(self, job: Job) -> None:
        """Add a read; it replaces an earlier one of its session."""
        session_id = job.effect.session_id
        for jobs in self._waiting.values():
            if session_id in jobs:
                jobs[session_id] = job  # an existing key keeps its place in the dict
                return
        self._waiting.setdefault(self._node_of(job.partition), {})[session_id] = job

    def start(self, execute: Callable[[Job], asyncio.Task[None]]) -> None:
        """Call `execute` with each read that may start, oldest first."""
        if not any(self._waiting.values()):
            return
        counts = Counter(self._started.values())
        for node, jobs in self._waiting.items():
            for session_id in list(islice(jobs, self._started_max - counts[node])):
                self._started[execute(jobs.pop(session_id))] = node

    def note_done(self, task: asyncio.Task[None]) -> None:
        """Free the place of a read that has ended; ignore other tasks."""
        self._started.pop(task, None)

    def drop(self, session_id: str) -> None:
        """Remove a session's read."""
        for jobs in self._waiting.values():
            jobs.pop(session_id, None)

    def drop_all(self, matches: Callable[[Job], bool]) -> None:
        """Remove matching reads."""
        for node, jobs in self._waiting.items():
            self._waiting[node] = {name: job for name, job in jobs.items() if not matches(job)}
