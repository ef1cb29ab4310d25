"""Dead letters in the metrics and the log, also those that Redis refuses."""

from typing import Any

import structlog

from conferral.runtime.metrics import Metrics

log = structlog.get_logger()


def note_dead_letter(metrics: Metrics, entry_id: str, reason: str, refusal: str, **fields: Any) -> None:
    """Count and log a dead letter.

    Args:
        entry_id: Of the entry, effect, or write.
        reason: Why it is a dead letter.
        refusal: Why Redis refuses the letter; empty if it doesn't.
        fields: For the log line, under keys of `runtime.log.KEYS`.
    """
    if refusal:
        metrics.writes_refused.labels("dead").inc()
        log.error("dead_letter_refused", entry_id=entry_id, reason=refusal)
    else:
        metrics.dead_letters.labels(reason).inc()
        log.error("entry_dead_lettered", entry_id=entry_id, reason=reason, **fields)
