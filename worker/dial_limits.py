"""Count and log what a limit of dials refuses."""

from typing import Any

import structlog

from conferral.runtime.metrics import Metrics

log = structlog.get_logger()


def report_dial_limit(metrics: Metrics, limit: str, **fields: Any) -> None:
    """Count and log what a limit refused: a command that dials, or a dial."""
    metrics.calls.dials_refused.labels(limit).inc()
    log.warning("dials_refused", reason=limit, **fields)
