"""Containment: an unexpected error costs one item, never the process.

An item is one effect, timer, sweep page, decision, webhook answer, or run of a task. Code inside an item catches the
errors it knows. The boundary logs and counts any other error, and hands it to the caller as a value. No other module
catches errors that it does not name.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from types import TracebackType
from typing import Any

import structlog

from conferral.runtime.error_boundary import catch_unexpected
from conferral.runtime.lifecycle import wait_at_most
from conferral.runtime.metrics import Metrics

log = structlog.get_logger()

#: Pause before a failed task restarts, seconds: shorter than a worker's lease.
RESTART_PAUSE_S = 1.0


class ItemKind(StrEnum):
    """Kinds of items; the metric's label `where`."""

    EFFECT = "effect"
    TIMER = "timer"
    SWEEP = "sweep"
    DECISION = "decision"
    WEBHOOK = "webhook"
    TASK = "task"


class contain(catch_unexpected):  # noqa: N801  # used as a `with` statement, like contextlib.suppress
    """The boundary of one item: logs and counts an unexpected error.

    The caller handles the errors in `passing`. `fields` are for the log line, under keys of `runtime.log.KEYS`.
    """

    def __init__(
        self, where: ItemKind, metrics: Metrics, *, passing: tuple[type[BaseException], ...] = (), **fields: Any
    ) -> None:
        self._passing = passing
        self._where = where
        self._metrics = metrics
        self._fields = fields

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if error is None:
            return False
        is_suppressed = super().__exit__(kind, error, traceback)
        if self.unexpected is not None:
            log_unexpected(self._where, self._metrics, self.unexpected, **self._fields)
        return is_suppressed


def log_unexpected(where: ItemKind, metrics: Metrics, error: BaseException, **fields: Any) -> None:
    """Log and count an unexpected error that the caller has as a value."""
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
    """Run a long-lived task; restart it after unexpected errors.

    It must be able to restart after a failure at any point. Errors in `passing` end it.
    """
    while True:
        with contain(ItemKind.TASK, metrics, passing=passing, task=name) as failure:
            await work()
        if not failure or stop.is_set():
            return
        await wait_at_most(stop, RESTART_PAUSE_S)
        if stop.is_set():
            return
