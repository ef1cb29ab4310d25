"""Telemetry of a commit's decisions: log lines and metrics."""

import logging
from collections import Counter
from collections.abc import Collection, Mapping

import structlog

from conferral.runtime import tracing
from conferral.runtime.metrics import Metrics
from conferral.statemachine.effects import RedirectToUrl
from conferral.statemachine.events import Command
from conferral.statemachine.places import is_url
from conferral.statemachine.reasons import EndReason, Reason
from conferral.statemachine.session import AGENT, LOST
from conferral.statemachine.states import OutcomeKind, Phase, Place, State, TransferMode
from conferral.statemachine.step import Conclusion, DecisionKind
from conferral.storage.entries import parse_entry_id
from conferral.worker.partition.batch import UNTRACED, Decision

log = structlog.get_logger()

_MODES = frozenset(TransferMode)
_END_REASONS = frozenset(EndReason)


def emit_telemetry(
    decisions: Collection[Decision],
    partition: int,
    metrics: Metrics,
    now_ms: int,
    traces: Mapping[str, str] = UNTRACED,
) -> None:
    """Log and count one commit's decisions; `now_ms` is the workers' time."""
    for labels, count in Counter((one.event.name, one.step.kind) for one in decisions).items():
        metrics.events.labels(*labels).inc(count)
    for decision in decisions:
        event = decision.event
        metrics.callback_to_commit.observe(max(0, now_ms - parse_entry_id(event.entry_id)[0]) / 1000)
        with tracing.within(traces.get(event.entry_id, "")):
            _log_results(decision, partition, metrics)


def _log_results(decision: Decision, partition: int, metrics: Metrics) -> None:
    """Log and count what a decision led to: ends, fallbacks, another state."""
    step, event = decision.step, decision.event
    was_alone = 0 < decision.before.lone_until_ms <= step.session.updated_at_ms
    has_ended = step.kind is DecisionKind.MOVED and step.session.state is State.ENDED
    if was_alone and has_ended and not isinstance(event, Command):
        is_redirected = any(isinstance(effect, RedirectToUrl) for effect in step.effects)
        metrics.calls.lone_conferences_cleaned.inc(not is_redirected)
    if step.reason == Reason.HOLD_LIMIT:
        kind = "consult" if decision.before.phase is Phase.CONSULT else "hold"
        metrics.calls.hold_limits.labels(kind).inc()
        log.info("hold_limit_reached", session_id=event.session_id, partition=partition, command=kind)
    for report in step.reports:
        if report.reason == Reason.EXPIRED:
            metrics.commands_expired.labels(report.status).inc()
            about = {"command_id": report.command_id, "outcome": report.status.value}
            log.info("command_expired", session_id=event.session_id, partition=partition, **about)
    for conclusion in step.conclusions:
        if conclusion.kind == "transfer":
            _log_ended_transfer(conclusion, partition, metrics)
        elif conclusion.kind == "voicemail":
            metrics.calls.messages.inc()
            log.info(
                "message_recorded",
                session_id=conclusion.session_id,
                partition=partition,
                duration_ms=1000 * conclusion.duration_s,
            )
        elif conclusion.kind == OutcomeKind.RECORDING:
            metrics.calls.recordings.labels(conclusion.result).inc()
            log.info(
                "recording_finished",
                session_id=conclusion.session_id,
                partition=partition,
                outcome=conclusion.result,
                code=conclusion.code,
                duration_ms=1000 * conclusion.duration_s,
            )
        else:
            # A later version may have stored a reason that this one does not know.
            known = conclusion.reason in _END_REASONS
            metrics.calls.sessions_ended.labels(conclusion.reason if known else "other").inc()
    _log_fallback(decision, partition, metrics)
    _log_lost_agent(decision, partition, metrics)
    _log_skipped_agents(decision, partition, metrics)
    is_notable = step.kind is DecisionKind.UNEXPECTED or step.session.state is not decision.before.state
    if is_notable or log.is_enabled_for(logging.DEBUG):
        _log_decision(decision, partition)


def _log_ended_transfer(conclusion: Conclusion, partition: int, metrics: Metrics) -> None:
    """Log and count a transfer, by its conclusion: once, when it ends."""
    # A later version may have stored a mode that this one does not know.
    mode = conclusion.mode if conclusion.mode in _MODES else "other"
    metrics.calls.transfers.labels(mode, conclusion.result).inc()
    for attempt in conclusion.attempts:
        metrics.calls.dial_attempts.labels(attempt.result or "cancelled").inc()
    log.info(
        "transfer_concluded",
        session_id=conclusion.session_id,
        partition=partition,
        command=conclusion.mode,
        outcome=conclusion.result,
        reason=conclusion.reason,
        code=conclusion.code,
        attempt=len(conclusion.attempts),
        duration_ms=conclusion.ended_at_ms - conclusion.started_at_ms,
    )


def _log_fallback(decision: Decision, partition: int, metrics: Metrics) -> None:
    """Log and count the place of a fallback that a decision began."""
    before, after = decision.before.transfer, decision.step.session.transfer
    known = before.places_tried if before is not None and after is not None and before.number == after.number else 0
    if after is not None and after.places_tried > known:
        place = after.place if after.place in tuple(Place) else "url" if is_url(after.place) else "destination"
        metrics.calls.fallbacks.labels(place).inc()
        log.info("fallback_begun", session_id=decision.event.session_id, partition=partition, place=place)


def _log_lost_agent(decision: Decision, partition: int, metrics: Metrics) -> None:
    """Log and count an agent who is rung again after a loss."""
    before, after = decision.before.parties.get(AGENT), decision.step.session.parties.get(AGENT)
    if after is not None and after.rung_again_because == LOST and (before is None or before.label != after.label):
        metrics.calls.lost_agents.inc()
        log.info("lost_agent_rung", session_id=decision.event.session_id, partition=partition)


def _log_skipped_agents(decision: Decision, partition: int, metrics: Metrics) -> None:
    """Log and count agents who are away, and are not rung."""
    before, after = decision.before.attempts, decision.step.session.attempts
    if count := sum(one.result == Reason.AWAY for one in after[len(before) :]):
        metrics.calls.agents_skipped.inc(count)
        log.info("agents_skipped", session_id=decision.event.session_id, partition=partition, count=count)


def _log_decision(decision: Decision, partition: int) -> None:
    """Log an unexpected event, or a change of state; others at debug level."""
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
    if step.kind is DecisionKind.UNEXPECTED:
        log.warning("event_unexpected", **fields)
    elif step.session.state is not decision.before.state:
        calls = ((name, party.call_sid) for name, party in step.session.parties.items())
        log.info("session_moved", **fields, call_sids=" ".join(f"{name}={sid}" for name, sid in calls if sid))
    else:
        log.debug("event_decided", **fields, outcome=step.kind.value)
