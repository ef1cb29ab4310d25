"""The check of live sessions after Redis was rolled back: each is compared with Twilio once, a few at a time.

A rollback loses what callbacks and commands told, and nothing tells it again. So the sessions ask Twilio, even those
in which no call is missing and no caller is alone.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from conferral.runtime.containment import Where, contain
from conferral.runtime.errors import StoreError, StoreUnreachableError
from conferral.runtime.metrics import Metrics
from conferral.runtime.outage import note_unreachable
from conferral.statemachine.events import AccountSwept

log = structlog.get_logger()

#: Sessions that one worker asks to check themselves in one go (count), and the pause before the next ones, seconds.
AT_ONCE_MAX = 5
PAUSE_S = 1.0
#: What these events name as their finding.
ROLLED_BACK = "rolled-back"


class CheckAccess(Protocol):
    """What a check needs of a partition's keys."""

    async def live_sessions(self, partition: int) -> list[str]:
        """Return the ids of the live sessions."""
        ...

    async def append(self, events: Sequence[AccountSwept]) -> None:
        """Append events to the streams of their sessions."""
        ...


@dataclass(frozen=True, slots=True)
class _Check:
    partition: int
    #: The lease's holder: the check of one rollback is taken once by a session, even if it is published twice.
    holder: str
    access: CheckAccess
    goes_on: Callable[[], bool]


class RollbackChecks:
    """The partitions of one worker whose sessions are to be checked, one partition after the other.

    The pace is the worker's, not a partition's: after an outage, all its partitions are rolled back together. The reads
    that follow wait for request slots like all reads, behind every request that changes something.
    """

    def __init__(self, metrics: Metrics) -> None:
        """Start with nothing to check."""
        self._metrics = metrics
        self._due: deque[_Check] = deque()
        self._working: asyncio.Task[None] | None = None

    def add(self, partition: int, holder: str, access: CheckAccess, goes_on: Callable[[], bool]) -> None:
        """Check the live sessions of a partition, for as long as its lease is held."""
        self._due.append(_Check(partition, holder, access, goes_on))
        if self._working is None or self._working.done():
            self._working = asyncio.get_running_loop().create_task(self._work(), name="rollback-checks")

    def stop(self) -> None:
        """Leave the rest unchecked."""
        self._due.clear()
        if self._working is not None:
            self._working.cancel()

    async def _work(self) -> None:
        while self._due:
            check = self._due.popleft()
            with contain(Where.TASK, self._metrics, task="rollback_checks", partition=check.partition):
                try:
                    await self._check(check)
                except StoreError as error:
                    log.error("chore_refused", partition=check.partition, reason=str(error))

    async def _check(self, check: _Check) -> None:
        names: list[str] | None = None
        told = 0
        while check.goes_on() and (names is None or told < len(names)):
            try:
                names = await check.access.live_sessions(check.partition) if names is None else names
                await check.access.append([
                    AccountSwept(session_id=name, token=f"{ROLLED_BACK}:{check.holder}", finding=ROLLED_BACK)
                    for name in names[told : told + AT_ONCE_MAX]
                ])  # fmt: skip
                told += AT_ONCE_MAX
            except StoreUnreachableError as error:
                note_unreachable(error, partition=check.partition)
            await asyncio.sleep(PAUSE_S)
        if names is not None and told >= len(names):
            self._metrics.sweep_findings.labels(ROLLED_BACK).inc(len(names))
            log.warning("rollback_checked", partition=check.partition, sessions=len(names))
