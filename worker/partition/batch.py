"""Batch: decides events in order, and encodes one commit. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from conferral.outcomes.durations import timeline_of
from conferral.outcomes.outcome import encode_outcome
from conferral.statemachine.effects import Effect
from conferral.statemachine.events import Command, Event
from conferral.statemachine.machine import step
from conferral.statemachine.policy import Policy
from conferral.statemachine.presence import UNKNOWN_PRESENCE, Presence
from conferral.statemachine.session import Session
from conferral.statemachine.states import State
from conferral.statemachine.step import CommandReport, CommandStatus, Step
from conferral.storage.codecs import effect_codec
from conferral.storage.codecs.effect_codec import OutboxEntry
from conferral.storage.codecs.event_codec import BadEntryError
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.entries import Entry
from conferral.storage.partition.commit_store import LOG_ENTRIES_MAX, Commit, SessionChange
from conferral.worker.partition.agent_calls import ended_calls
from conferral.worker.partition.log_entry import log_entry

#: Without spans.
UNTRACED: Mapping[str, str] = {}


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
    #: What no later decision dropped, by id, each with its event.
    effects: dict[str, tuple[Effect, Event]] = field(default_factory=dict)


def decide(
    events: Iterable[Event],
    sessions: Mapping[str, Session],
    now_ms: int,
    policy: Policy,
    presence: Presence = UNKNOWN_PRESENCE,
) -> tuple[list[Decision], set[str]]:
    """Decide events in order, without I/O; `now_ms` is this worker's time.

    `presence` is that of the agents whom these sessions may ring next.

    Also return the ids of the sessions whose logs give the durations of their outcomes. A log that has been trimmed
    does not: it can be long, and says too little.
    """
    sessions, decisions, timed_session_ids = dict(sessions), [], set[str]()
    for event in events:
        before = sessions[event.session_id]
        decision = Decision(event, step(before, event, now_ms, policy, presence), before)
        decisions.append(decision)
        if decision.is_stored:
            sessions[event.session_id] = decision.step.session
        if decision.step.session.version <= LOG_ENTRIES_MAX:
            concluded = decision.step.conclusions
            timed_session_ids |= {one.session_id for one in concluded if one.kind in ("transfer", "session")}
    return decisions, timed_session_ids


def encode(
    decisions: list[Decision],
    sessions: Mapping[str, Session],
    now_ms: int,
    open_effects: Mapping[str, Effect],
    session_logs: Mapping[str, Sequence[LogEntry]],
    traceparents: Mapping[str, str] = UNTRACED,
) -> Batch:
    """Encode decisions for one commit; `sessions` are as stored in Redis.

    `open_effects` are those in the outbox, by id. `session_logs` are those of `decide`'s ids, as stored, too.
    """
    batch = Batch(decisions, traceparents=traceparents)
    changes: dict[str, SessionChange] = {}
    for decision in decisions:
        batch.commit.entry_ids.append(decision.event.entry_id)
        _add_decision(batch, decision, now_ms)
        if decision.is_stored:
            session_id = decision.event.session_id
            change = changes.setdefault(session_id, SessionChange(sessions[session_id]))
            change.after = decision.step.session
            change.log.append(log_entry(decision.event, decision.step, decision.before, now_ms))
            batch.commit.agent_calls += ended_calls(decision.before, decision.step.session)
            if decision.ends_session:
                _finish_session(batch, decision.step, open_effects)
    batch.commit.sessions += changes.values()
    batch.commit.outcomes += _outcome_entries(decisions, changes, session_logs)
    return batch


def _outcome_entries(
    decisions: Iterable[Decision], changes: Mapping[str, SessionChange], session_logs: Mapping[str, Sequence[LogEntry]]
) -> Iterator[dict[str, str]]:
    """Yield the entries of the outcomes that decisions write, oldest first."""
    timelines = {name: timeline_of([*stored, *changes[name].log]) for name, stored in session_logs.items()}
    for decision in decisions:
        for conclusion in decision.step.conclusions:
            addresses = _addresses_of(changes[conclusion.session_id].after)
            yield encode_outcome(conclusion, timelines.get(conclusion.session_id), addresses)


def _addresses_of(session: Session) -> dict[str, str]:
    """Return addresses by label: an agent who was called back has a new one."""
    transfer = session.transfer
    attempts = (*session.attempts, *(transfer.attempts if transfer else ()))
    rung = {attempt.label: attempt.to for attempt in attempts}
    return rung | {party.label: party.address for party in session.parties.values()}


def discard(entries: Iterable[Entry], status: CommandStatus, reason: str) -> Commit:
    """Return a commit that removes undecided entries; report commands."""
    commit = Commit()
    for entry in entries:
        commit.entry_ids.append(entry.entry_id)
        with suppress(BadEntryError):
            if isinstance(command := entry.event(), Command):
                commit.reports.append((command.session_id, CommandReport(command.command_id, status, reason)))
    return commit


def _add_decision(batch: Batch, decision: Decision, now_ms: int) -> None:
    """Add a decision's effects, reports, and timers to the commit."""
    commit, event, result, before = batch.commit, decision.event, decision.step, decision.before
    if (effect_id := getattr(event, "effect_id", None)) is not None:
        commit.outbox_remove.append(effect_id)
    if before.open_read_id and result.session.open_read_id not in ("", before.open_read_id):
        # A newer read replaces the earlier one: reads may wait long for a slot.
        _drop_effects(batch, {before.open_read_id})
    traceparent = batch.traceparents.get(event.entry_id, "")
    for number, effect in enumerate(result.effects):
        entry = OutboxEntry(effect, now_ms, place=(result.session.version, number), traceparent=traceparent)
        commit.outbox_set[effect.effect_id] = effect_codec.encode(entry)
        batch.effects[effect.effect_id] = effect, event
    commit.reports += [(event.session_id, report) for report in result.reports]
    for timer in result.timers:
        commit.timers[f"{timer.timer}|{event.session_id}"] = timer.due_ms


def _drop_effects(batch: Batch, effect_ids: set[str]) -> None:
    for effect_id in effect_ids:
        batch.effects.pop(effect_id, None)
        batch.commit.outbox_set.pop(effect_id, None)
        batch.commit.outbox_remove.append(effect_id)


def _finish_session(batch: Batch, result: Step, open_effects: Mapping[str, Effect]) -> None:
    """Let its calls expire; drop its open effects, but the final step's.

    Also keep a hang-up whose target the final step does not end: a leg that no longer belongs to a party.
    """
    session_id = result.session.id
    final_effect_ids = {effect.effect_id for effect in result.effects}
    ended_targets = {effect.target for effect in result.effects if effect.is_ending}
    earlier = (*open_effects.values(), *(effect for effect, _ in batch.effects.values()))
    dropped = {
        effect.effect_id
        for effect in earlier
        if effect.session_id == session_id
        and effect.effect_id not in final_effect_ids
        and (not effect.is_ending or effect.target in ended_targets)
    }
    _drop_effects(batch, dropped)
    party_calls = (party.call_sid for party in result.session.parties.values() if party.call_sid)
    batch.commit.calls_over[session_id] = tuple(dict.fromkeys((*party_calls, *result.session.former_calls)))
