"""Outage log: at most one line a minute, with the number of errors.

Everything that uses Redis hits the same outage, often a hundred times a second. A counter counts every failure.
"""

import asyncio
import math
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import structlog

from conferral.runtime.errors import StoreUnaskedError
from conferral.runtime.metrics import Metrics

log = structlog.get_logger()

#: Interval between two lines, seconds.
LOG_EVERY_S = 60.0


@dataclass(slots=True)
class _Failures:
    #: When a failure was last logged, seconds of the loop's clock.
    logged_s: float = -math.inf
    #: Failures since (count).
    unlogged: int = 0
    metrics: list[Metrics] = field(default_factory=list)


#: A process has one loop.
_failures: WeakKeyDictionary[asyncio.AbstractEventLoop, _Failures] = WeakKeyDictionary()


def count_outages(metrics: Metrics) -> None:
    """Count the running loop's failed Redis requests in these metrics."""
    _failures.setdefault(asyncio.get_running_loop(), _Failures()).metrics.append(metrics)


def log_unreachable(error: Exception, **fields: Any) -> None:
    """Count a failed Redis request; log the first, then one a minute."""
    if isinstance(error, StoreUnaskedError):
        return
    loop = asyncio.get_running_loop()
    failures, now_s = _failures.setdefault(loop, _Failures()), loop.time()
    for metrics in failures.metrics:
        metrics.store_failures.inc()
    failures.unlogged += 1
    if now_s - failures.logged_s >= LOG_EVERY_S:
        log.warning("store_unreachable", reason=str(error) or type(error).__name__, count=failures.unlogged, **fields)
        failures.logged_s, failures.unlogged = now_s, 0
