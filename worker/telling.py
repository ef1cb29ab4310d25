"""Tells of decisions once they are committed: one line in the log for each, and the metrics."""

import logging
from collections import Counter

import structlog

from conferral.runtime.metrics import Metrics
from conferral.statemachine.states import TransferMode
from conferral.statemachine.step import Conclusion, Outcome
from conferral.worker.deciding import Decided, Decision

log = structlog.get_logger()

#: Outcomes that are told of at every level of the log; the others' lines are not even put together.
_SHOWN = frozenset({Outcome.MOVED, Outcome.UNEXPECTED})
_MODES = frozenset(TransferMode)


def tell(decided: Decided, partition: int, metrics: Metrics, now_ms: int) -> None:
    """Logs and counts what was decided.

    Args:
        decided: A batch that was committed.
        partition: Whose.
        metrics: Where is counted.
        now_ms: Redis's time, Unix milliseconds.
    """
    taken_as: Counter[tuple[str, str]] = Counter()
    shows_all = log.is_enabled_for(logging.DEBUG)
    for decision in decided.decisions:
        taken, event = decision.step, decision.event
        taken_as[event.name, taken.outcome.value] += 1
        stored_at_ms = int(decision.entry.entry_id.split("-", 1)[0])
        metrics.callback_to_commit.observe(max(0, now_ms - stored_at_ms) / 1000)
        if taken.let_lone_go:
            metrics.lone_conferences_cleaned.inc()
        for conclusion in taken.conclusions:
            if conclusion.kind == "transfer":
                _tell_transfer(conclusion, partition, metrics)
        if shows_all or taken.outcome in _SHOWN:
            _log(decision, partition)
    for names, count in taken_as.items():
        metrics.events.labels(*names).inc(count)


def _tell_transfer(conclusion: Conclusion, partition: int, metrics: Metrics) -> None:
    # A session that a later version has stored may carry a mode that this one does not know.
    metrics.transfers.labels(conclusion.mode if conclusion.mode in _MODES else "other", conclusion.result).inc()
    for attempt in conclusion.attempts:
        metrics.dial_attempts.labels(attempt.result or "cancelled").inc()
    log.info(
        "transfer_concluded",
        session_id=conclusion.session_id,
        partition=partition,
        command=conclusion.mode,
        outcome=conclusion.result,
        reason=conclusion.reason,
        attempt=len(conclusion.attempts),
        duration_ms=conclusion.ended_at_ms - conclusion.started_at_ms,
    )


def _log(decision: Decision, partition: int) -> None:
    taken = decision.step
    line = {
        "session_id": decision.event.session_id,
        "partition": partition,
        "entry_id": decision.entry.entry_id,
        "event_name": decision.event.name,
        "state_from": decision.state_before.value,
        "state_to": taken.session.state.value,
        "version": taken.session.version,
        "reason": taken.reason,
    }
    match taken.outcome:
        case Outcome.MOVED if taken.session.state is not decision.state_before:
            log.info("session_moved", **line)
        case Outcome.MOVED:
            log.debug("session_moved", **line)
        case Outcome.STAYED:
            log.debug("event_stayed", **line)
        case Outcome.REFUSED:
            log.debug("event_refused", **line)
        case Outcome.STALE:
            log.debug("event_stale", **line)
        case Outcome.UNEXPECTED:
            log.warning("event_unexpected", **line)
