"""Dead letters in the metrics and the log, also those that Redis refuses."""

import structlog

from conferral.runtime.metrics import Metrics

log = structlog.get_logger()


def count_dead_letter(metrics: Metrics, entry_id: str, reason: str, refusal: str) -> bool:
    """Count a dead letter; log a refused one; return whether it is kept.

    Args:
        reason: Why the entry is a dead letter.
        refusal: Why Redis refuses the letter; empty if it doesn't.
    """
    if refusal:
        metrics.writes_refused.labels("dead").inc()
        log.error("dead_letter_refused", entry_id=entry_id, reason=refusal)
    else:
        metrics.dead_letters.labels(reason).inc()
    return not refusal
