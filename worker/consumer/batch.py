"""Batch of decisions: steps events in order, gathers one commit, logs it."""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from conferral.outcomes.durations import timeline_of
from conferral.outcomes.outcome import encode_outcome
from conferral.runtime import tracing
from conferral.runtime.metrics import Metrics
from conferral.statemachine.effects import Effect, RedirectToUrl
from conferral.statemachine.events import Event, LoneOverdue
from conferral.statemachine.machine import step
from conferral.statemachine.parts import is_url
from conferral.statemachine.policy import Policy
from conferral.statemachine.reasons import HOLD_LIMIT, EndReason
from conferral.statemachine.session import Session
from conferral.statemachine.states import Phase, Place, State, TransferMode
from conferral.statemachine.step import CommandReport, Conclusion, Outcome, Step
from conferral.storage.codecs import effect_codec
from conferral.storage.codecs.effect_codec import OutboxEntry
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.partition.partition_store import Entry, parse_entry_id
from conferral.storage.partition.session_store import LOG_ENTRIES_MAX, Commit, SessionChange
from conferral.worker.consumer.log_entry import log_entry

log = structlog.get_logger()

_MODES = frozenset(TransferMode)
_END_REASONS = frozenset(EndReason)
_UNTRACED: Mapping[str, str] = {}


@dataclass(slots=True)
class Decision:
    """One event and the step it led to."""

    event: Event
    step: Step
    before: Session

    @property
    def is_stored(self) -> bool:
        """Whether there is anything to store; not for an unknown session."""
        return self.step.session.version != self.before.version

    @property
    def ends_session(self) -> bool:
        """Whether the event ended the session."""
        return self.step.session.state is not self.before.state and self.step.session.state is State.ENDED


@dataclass(slots=True)
class Batch:
    """Decisions that are committed together."""

    decisions: list[Decision]
    commit: Commit = field(default_factory=Commit)
    #: The decisions' spans, by entry id; empty unless traces are sent.
    traceparents: Mapping[str, str] = field(default_factory=dict)

    def effects(self) -> Iterator[tuple[Effect, Event]]:
        """Yield the effects that no later decision dropped, with their events."""
        for decision in self.decisions:
            for effect in decision.step.effects:
                if effect.effect_id in self.commit.outbox_set:
                    yield effect, decision.event


def decide(events: Iterable[Event], sessions: Mapping[str, Session], now_ms: int, policy: Policy) -> list[Decision]:
    """Decide events in order, without I/O; `now_ms` is this worker's time."""
    sessions, decisions = dict(sessions), []
    for event in events:
        before = sessions[event.session_id]
        decision = Decision(event, step(before, event, now_ms, policy), before)
        decisions.append(decision)
        if decision.is_stored:
            sessions[event.session_id] = decision.step.session
    return decisions


def encode(
    decisions: list[Decision],
    sessions: Mapping[str, Session],
    now_ms: int,
    open_effects: Callable[[str], Mapping[str, Effect]],
    logs: Mapping[str, Sequence[LogEntry]],
    traceparents: Mapping[str, str] = _UNTRACED,
) -> Batch:
    """Encode decisions for one commit; `sessions` are as stored in Redis.

    `logs` are those of sessions that get an outcome, as stored, too.
    """
    batch = Batch(decisions, traceparents=traceparents)
    changes: dict[str, SessionChange] = {}
    for decision in decisions:
        batch.commit.entry_ids.append(decision.event.entry_id)
        _add_decision(batch, decision, now_ms)
        if decision.is_stored:
            session_id = decision.event.session_id
            change = changes.setdefault(session_id, SessionChange(sessions[session_id]))
            changed = change.add_version(decision.step.session)
            change.log.append(log_entry(decision.event, decision.step, decision.before, now_ms, changed))
            if decision.ends_session:
                _finish_session(batch, decision.step, open_effects(session_id))
    batch.commit.sessions += changes.values()
    batch.commit.outcomes += _outcome_entries(decisions, changes, logs)
    return batch


def needs_log(decisions: Iterable[Decision]) -> set[str]:
    """Return the ids of the sessions whose outcomes count from their logs.

    A log that has been trimmed is not read: it can be long, and says too little.
    """
    return {
        record.session_id
        for decision in decisions
        for record in decision.step.conclusions
        if record.kind != "voicemail" and decision.step.session.version <= LOG_ENTRIES_MAX
    }


def _outcome_entries(
    decisions: Iterable[Decision], changes: Mapping[str, SessionChange], logs: Mapping[str, Sequence[LogEntry]]
) -> Iterator[dict[str, str]]:
    """Yield the entries of the outcomes that decisions write, oldest first."""
    timelines = {name: timeline_of([*stored, *changes[name].log]) for name, stored in logs.items()}
    for decision in decisions:
        for record in decision.step.conclusions:
            addresses = _addresses_of(changes[record.session_id].after)
            yield encode_outcome(record, timelines.get(record.session_id), addresses)


def _addresses_of(session: Session) -> dict[str, str]:
    """Return addresses by label: an agent who was called back has a new one."""
    transfer = session.transfer
    attempts = (*session.attempts, *(transfer.attempts if transfer else ()))
    rung = {attempt.label: attempt.to for attempt in attempts}
    return rung | {party.label: party.address for party in session.parties.values()}


def discard(entries: Iterable[Entry], reports: Iterable[tuple[str, CommandReport]]) -> Commit:
    """Return a commit that removes undecided entries; reports by session."""
    return Commit([entry.entry_id for entry in entries], reports=[*reports])


def _add_decision(batch: Batch, decision: Decision, now_ms: int) -> None:
    """Add a decision's effects, reports, and timers to the commit."""
    commit, event, result, before = batch.commit, decision.event, decision.step, decision.before
    if (effect_id := getattr(event, "effect_id", None)) is not None:
        commit.outbox_remove.append(effect_id)
    if before.open_read_id and result.session.open_read_id not in ("", before.open_read_id):
        # A newer read replaces the earlier one: reads may wait long for a slot.
        _drop_effects(commit, {before.open_read_id})
    traceparent = batch.traceparents.get(event.entry_id, "")
    for number, effect in enumerate(result.effects):
        entry = OutboxEntry(effect, now_ms, place=(result.session.version, number), traceparent=traceparent)
        commit.outbox_set[effect.effect_id] = effect_codec.encode(entry)
    commit.reports += [(event.session_id, report) for report in result.reports]
    for timer in result.timers:
        commit.timers[f"{timer.timer}|{event.session_id}"] = timer.due_ms


def _drop_effects(commit: Commit, effect_ids: set[str]) -> None:
    for effect_id in effect_ids:
        commit.outbox_set.pop(effect_id, None)
        commit.outbox_remove.append(effect_id)


def _finish_session(batch: Batch, result: Step, open_effects: Mapping[str, Effect]) -> None:
    """Let its calls expire; drop its open effects, but the final step's.

    Also keep a hang-up whose target the final step does not end: a leg that no longer belongs to a party.
    """
    session_id = result.session.id
    final_effect_ids = {effect.effect_id for effect in result.effects}
    ended_targets = {effect.target for effect in result.effects if effect.is_ending}
    earlier_effects = dict(open_effects)
    earlier_effects |= {effect.effect_id: effect for effect, event in batch.effects() if event.session_id == session_id}
    dropped = {
        effect_id
        for effect_id, effect in earlier_effects.items()
        if effect_id not in final_effect_ids and (not effect.is_ending or effect.target in ended_targets)
    }
    _drop_effects(batch.commit, dropped)
    party_calls = (party.call_sid for party in result.session.parties.values() if party.call_sid)
    batch.commit.calls_over[session_id] = tuple(dict.fromkeys((*party_calls, *result.session.former_calls)))


def log_decisions(
    decisions: Collection[Decision],
    partition: int,
    metrics: Metrics,
    now_ms: int,
    traces: Mapping[str, str] = _UNTRACED,
) -> None:
    """Log and count one commit's decisions; `now_ms` is Redis's time."""
    for labels, count in Counter((one.event.name, one.step.outcome) for one in decisions).items():
        metrics.events.labels(*labels).inc(count)
    for decision in decisions:
        event = decision.event
        metrics.callback_to_commit.observe(max(0, now_ms - parse_entry_id(event.entry_id)[0]) / 1000)
        with tracing.within(traces.get(event.entry_id, "")):
            _log_results(decision, partition, metrics)


def _log_results(decision: Decision, partition: int, metrics: Metrics) -> None:
    """Log and count what a decision led to."""
    step, event = decision.step, decision.event
    if isinstance(event, LoneOverdue) and step.outcome is Outcome.MOVED:
        is_redirected = any(isinstance(effect, RedirectToUrl) for effect in step.effects)
        metrics.lone_conferences_cleaned.inc(not is_redirected)
    if step.reason == HOLD_LIMIT:
        kind = "consult" if decision.before.phase is Phase.CONSULT else "hold"
        metrics.hold_limits.labels(kind).inc()
        log.info("hold_limit_reached", session_id=event.session_id, partition=partition, command=kind)
    for conclusion in step.conclusions:
        if conclusion.kind == "transfer":
            _log_transfer(conclusion, partition, metrics)
        elif conclusion.kind == "voicemail":
            metrics.messages.inc()
            log.info(
                "message_recorded",
                session_id=conclusion.session_id,
                partition=partition,
                duration_ms=1000 * conclusion.duration_s,
            )
        else:
            # A later version may have stored a reason that this one does not know.
            known = conclusion.reason in _END_REASONS
            metrics.sessions_ended.labels(conclusion.reason if known else "other").inc()
    _log_fallback(decision, partition, metrics)
    is_notable = step.outcome is Outcome.UNEXPECTED or step.session.state is not decision.before.state
    if is_notable or log.is_enabled_for(logging.DEBUG):
        _log_decision(decision, partition)


def _log_transfer(conclusion: Conclusion, partition: int, metrics: Metrics) -> None:
    # A later version may have stored a mode that this one does not know.
    mode = conclusion.mode if conclusion.mode in _MODES else "other"
    metrics.transfers.labels(mode, conclusion.result).inc()
    for attempt in conclusion.attempts:
        metrics.dial_attempts.labels(attempt.result or "cancelled").inc()
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
        metrics.fallbacks.labels(place).inc()
        log.info("fallback_begun", session_id=decision.event.session_id, partition=partition, place=place)


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
        calls = ((name, party.call_sid) for name, party in step.session.parties.items())
        log.info("session_moved", **fields, call_sids=" ".join(f"{name}={sid}" for name, sid in calls if sid))
    else:
        log.debug("event_decided", **fields, outcome=step.outcome.value)
