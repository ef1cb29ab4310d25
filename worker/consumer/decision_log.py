"""Decision log: log lines and metrics of committed decisions."""

import logging
from collections import Counter
from collections.abc import Iterable

import structlog

from conferral.runtime.metrics import Metrics
from conferral.statemachine.events import LoneOverdue
from conferral.statemachine.reasons import EndReason
from conferral.statemachine.session import Session
from conferral.statemachine.states import TransferMode
from conferral.statemachine.step import Outcome, OutcomeRecord
from conferral.storage.partition.partition_store import parse_entry_id
from conferral.worker.consumer.batch import Decision

log = structlog.get_logger()

_MODES = frozenset(TransferMode)
_END_REASONS = frozenset(EndReason)


def log_decisions(decisions: Iterable[Decision], partition: int, metrics: Metrics, now_ms: int) -> None:
    """Log and count one commit's decisions; `now_ms` is Redis's time."""
    logs_all = log.is_enabled_for(logging.DEBUG)
    outcomes, waits_s = Counter[tuple[str, str]](), []
    for decision in decisions:
        step, event = decision.step, decision.event
        outcomes[event.name, step.outcome] += 1
        waits_s.append(max(0, now_ms - parse_entry_id(event.entry_id)[0]) / 1000)
        if isinstance(event, LoneOverdue) and step.outcome is Outcome.MOVED:
            metrics.lone_conferences_cleaned.inc()
        for outcome_record in step.outcome_records:
            if outcome_record.kind == "transfer":
                _log_transfer(outcome_record, partition, metrics)
            else:
                # A later version may have stored a reason that this one does not know.
                known = outcome_record.reason in _END_REASONS
                metrics.sessions_ended.labels(outcome_record.reason if known else "other").inc()
        if logs_all or step.outcome is Outcome.UNEXPECTED or step.session.state is not decision.before.state:
            _log_decision(decision, partition)
    for names, count in outcomes.items():
        metrics.events.labels(*names).inc(count)
    for wait_s in waits_s:
        metrics.callback_to_commit.observe(wait_s)


def _log_transfer(outcome_record: OutcomeRecord, partition: int, metrics: Metrics) -> None:
    # A later version may have stored a mode that this one does not know.
    mode = outcome_record.mode if outcome_record.mode in _MODES else "other"
    metrics.transfers.labels(mode, outcome_record.result).inc()
    for attempt in outcome_record.attempts:
        metrics.dial_attempts.labels(attempt.result or "cancelled").inc()
    log.info(
        "transfer_concluded",
        session_id=outcome_record.session_id,
        partition=partition,
        command=outcome_record.mode,
        outcome=outcome_record.result,
        reason=outcome_record.reason,
        attempt=len(outcome_record.attempts),
        duration_ms=outcome_record.ended_at_ms - outcome_record.started_at_ms,
    )


def _call_sids(session: Session) -> str:
    """Return the SIDs of the parties' calls, such as `agent=CA…`."""
    return " ".join(f"{name}={party.call_sid}" for name, party in session.parties.items() if party.call_sid)


def _log_decision(decision: Decision, partition: int) -> None:
    step = decision.step
    fields = {
        "session_id": decision.event.session_id,
        "partition": partition,
        "entry_id": decision.event.entry_id,
        "event_name": decision.event.name,
        "state_from": decision.before.state.value,
        "state_to": step.session.state.value,
        "version": step.session.version,
        "reason": step.reason,
    }
    if step.outcome is Outcome.UNEXPECTED:
        log.warning("event_unexpected", **fields)
    elif step.session.state is not decision.before.state:
        log.info("session_moved", **fields, call_sids=_call_sids(step.session))
    else:
        log.debug("event_decided", **fields, outcome=step.outcome.value)
