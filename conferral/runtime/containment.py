"""Containment: an unexpected error costs one item, never the process.

An item is one effect, timer, sweep page, decision, webhook answer, or run of a task. Code inside an item catches the
errors it knows. The boundary logs and counts any other error, and hands it to the caller as a value. No other module
catches errors that it does not name.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from traceback import walk_tb
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

import structlog

from conferral.runtime.clock import SystemClock
from conferral.runtime.error_boundary import catch_unexpected
from conferral.runtime.lifecycle import wait_at_most
from conferral.runtime.log import LogRateLimit
from conferral.runtime.metrics import Metrics

log = structlog.get_logger()

#: Minimum interval between two log lines about unexpected errors of one place, seconds; each line has their count.
UNEXPECTED_LOG_EVERY_S = 60.0
#: The limits of these lines, by the process's metrics.
_limits: WeakKeyDictionary[Metrics, LogRateLimit] = WeakKeyDictionary()
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
    """Log and count an unexpected error that the caller has as a value.

    Each place has one line a minute: anyone might cause many.
    """
    metrics.unexpected_errors.labels(where.value).inc()
    frames = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    limit = _limits.setdefault(metrics, LogRateLimit(SystemClock().monotonic_s))
    if count := limit.count((type(error), *frames[-1:]), UNEXPECTED_LOG_EVERY_S):
        about = {"where": where.value, "error_type": type(error).__name__, "count": count, **fields}
        log.error("unexpected_error", exc_info=error, **about)


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
