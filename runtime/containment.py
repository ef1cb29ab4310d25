"""The boundaries of items: an error that no code foresaw costs one item, and never the process.

An item is one effect, one timer, one page of the sweep, one decision, one answer to a webhook, or one run of a
long-lived task. Code inside an item catches the errors that it knows. What is left is a mistake of ours or of a
library: the boundary logs it, counts it, and hands it to the caller as a value. The caller then decides what happens
to the item. No other module catches errors that it does not name.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from types import TracebackType
from typing import Any

import structlog

from conferral.runtime.error_boundary import catch_unexpected
from conferral.runtime.lifecycle import pause
from conferral.runtime.metrics import Metrics

log = structlog.get_logger()

#: Pause before a task that failed runs again, seconds: first, and at most.
RESTART_FIRST_S = 0.2
RESTART_MAX_S = 10.0
#: A task that ran for so long starts again with the first pause, seconds.
RESTART_RESET_S = 60.0


class ItemKind(StrEnum):
    """The kinds of items; the label `where` of the metric."""

    EFFECT = "effect"
    TIMER = "timer"
    SWEEP = "sweep"
    DECISION = "decision"
    WEBHOOK = "webhook"
    TASK = "task"


class contain(catch_unexpected):  # noqa: N801  # as above
    """The boundary of one item: what it keeps is logged with its traceback, and counted.

    >>> from runtime.metrics import Metrics
    >>> with contain(Where.EFFECT, Metrics()) as boundary:
    ...     outcome = "done"
    >>> boundary.unexpected is None
    True
    """

    def __init__(
        self,
        where: ItemKind,
        metrics: Metrics,
        *,
        passing: tuple[type[BaseException], ...] = (),
        **fields: Any,
    ) -> None:
        """Prepare the boundary.

        Args:
            where: The kind of item.
            metrics: Where the error is counted.
            passing: Errors that the caller handles itself.
            fields: What the log line says about the item, under keys of `runtime.log.KEYS`.
        """
        super().__init__(*passing)
        self._where = where
        self._metrics = metrics
        self._fields = fields

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        is_suppressed = super().__exit__(kind, error, traceback)
        if self.unexpected is not None:
            log_unexpected(self._where, self._metrics, self.unexpected.error, **self._fields)
        return is_suppressed


def log_unexpected(where: ItemKind, metrics: Metrics, error: BaseException, **fields: Any) -> None:
    """Log and count an error that no code foresaw, for callers that have it as a value."""
    metrics.unexpected_errors.labels(where.value).inc()
    log.error("unexpected_error", where=where.value, error_type=type(error).__name__, exc_info=error, **fields)


async def run_with_restarts(
    stop: asyncio.Event,
    name: str,
    work: Callable[[], Awaitable[None]],
    metrics: Metrics,
    *,
    passing: tuple[type[BaseException], ...] = (),
) -> None:
    """Run a long-lived task; after an unforeseen error run it again, after a growing pause, until the process stops.

    Args:
        stop: Set when the process is to stop.
        name: The task's, for the log.
        work: Starts the task; has to be able to start again after a failure at any of its points.
        metrics: Where errors are counted.
        passing: Errors that are to end the task.
    """
    loop = asyncio.get_running_loop()
    wait_s = RESTART_FIRST_S
    while True:
        started_s = loop.time()
        with contain(ItemKind.TASK, metrics, passing=passing, task=name) as boundary:
            await work()
        if boundary.unexpected is None or stop.is_set():
            return
        if loop.time() - started_s >= RESTART_RESET_S:
            wait_s = RESTART_FIRST_S
        await pause(stop, wait_s)
        if stop.is_set():
            return
        wait_s = min(2 * wait_s, RESTART_MAX_S)
