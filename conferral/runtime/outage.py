"""Outage log: one line at the start, one per minute, and one at the end.

Everything that uses Redis hits the same outage, often a hundred times a second. A counter counts every failure.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import structlog

from conferral.runtime.errors import StoreUnaskedError
from conferral.runtime.metrics import Metrics

_T = TypeVar("_T")


log = structlog.get_logger()

#: Interval between two lines of one outage, seconds.
LOG_EVERY_S = 60.0
#: An outage is over after this long without a failure, seconds. Anything that waits for Redis retries within 4 s.
QUIET_S = 5.0


@dataclass(slots=True)
class _Outage:
    #: When the outage began, was last logged, and last caused a failure, seconds of the loop's clock.
    since_s: float | None = None
    logged_s: float = 0.0
    failed_s: float = 0.0
    #: Failures of this outage, and those since the last line (counts).
    failures: int = 0
    unlogged: int = 0
    metrics: list[Metrics] = field(default_factory=list)


#: A process has one loop.
_outages: WeakKeyDictionary[asyncio.AbstractEventLoop, _Outage] = WeakKeyDictionary()


def count_outages(metrics: Metrics) -> None:
    """Count the running loop's failed Redis requests in these metrics."""
    _outages.setdefault(asyncio.get_running_loop(), _Outage()).metrics.append(metrics)


def log_unreachable(error: Exception, **fields: Any) -> None:
    """Count a failed Redis request; log an outage's first, then one a minute."""
    if isinstance(error, StoreUnaskedError):
        return
    loop = asyncio.get_running_loop()
    outage, now_s = _outages.setdefault(loop, _Outage()), loop.time()
    for metrics in outage.metrics:
        metrics.store_failures.inc()
    outage.failed_s = now_s
    outage.failures += 1
    outage.unlogged += 1
    if outage.since_s is None:
        outage.since_s = now_s
        loop.call_later(QUIET_S, _check_recovered, loop, outage)
    elif now_s - outage.logged_s < LOG_EVERY_S:
        return
    log.warning("store_unreachable", reason=str(error) or type(error).__name__, count=outage.unlogged, **fields)
    outage.logged_s, outage.unlogged = now_s, 0


def _check_recovered(loop: asyncio.AbstractEventLoop, outage: _Outage) -> None:
    """Log the outage's end after `QUIET_S` without a failure, or check later."""
    left_s = outage.failed_s + QUIET_S - loop.time()
    if left_s > 0:
        loop.call_later(left_s, _check_recovered, loop, outage)
        return
    lasted_s = outage.failed_s - (outage.since_s or 0.0)
    log.info("store_reachable", count=outage.failures, duration_ms=round(lasted_s * 1000))
    outage.since_s, outage.failures, outage.unlogged = None, 0, 0
