"""Batch of decisions: steps every event in order and gathers the changes for one commit."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from conferral.statemachine.effects import Effect
from conferral.statemachine.events import CallsRead, EffectOutcome, Event
from conferral.statemachine.machine import step
from conferral.statemachine.policy import Policy
from conferral.statemachine.session import Session
from conferral.statemachine.states import State
from conferral.statemachine.step import Step
from conferral.storage.codecs import effect_codec, event_codec
from conferral.storage.codecs.effect_codec import (
    ExpireCalls,
    OutboxEntry,
    PostCommitWrite,
    PublishOutcome,
    ReportCommand,
)
from conferral.storage.partition.partition_store import Entry
from conferral.storage.partition.session_store import Batch, SessionChange, StoredSession
from conferral.worker.consumer.log_entry import log_entry

#: The field in which an outcome entry names its effect.
_EFFECT_ID = b"effect_id"


@dataclass(frozen=True, slots=True)
class Decision:
    """One entry and the step it led to."""

    entry: Entry
    event: Event
    step: Step
    state_before: State


@dataclass(slots=True)
class DecidedBatch:
    """A batch that is ready to commit, and the work that follows the commit."""

    batch: Batch = field(default_factory=Batch)
    decisions: list[Decision] = field(default_factory=list)
    effects: list[tuple[Effect, Event]] = field(default_factory=list)
    post_commit_writes: list[PostCommitWrite] = field(default_factory=list)
    #: Sessions that ended in this batch.
    ended_session_ids: list[str] = field(default_factory=list)


def parse(entry: Entry) -> Event:
    """Decode an entry's event.

    Raises:
        BadEntryError: The entry is not a valid event.
    """
    return event_codec.decode(entry.text(), entry.entry_id)


def decide(
    events: list[tuple[Entry, Event]],
    sessions: dict[str, StoredSession],
    now_ms: int,
    policy: Policy,
    open_effects: Callable[[str], Mapping[str, Effect]],
) -> DecidedBatch:
    """Step the events in order.

    Args:
        events: Entries with their events, oldest first.
        sessions: The sessions concerned, as stored in Redis.
        now_ms: Redis's time, Unix milliseconds.
        policy: The timeouts and choices that drive sessions.
        open_effects: Returns a session's effects in the outbox, by effect id.
    """
    decided = DecidedBatch()
    changes: dict[str, SessionChange] = {}
    for entry, event in events:
        session_id = event.session_id
        change = changes.get(session_id)
        before = change.after.session if change else sessions[session_id].session
        result = step(before, event, now_ms, policy)
        decided.batch.entry_ids.append(entry.entry_id)
        decided.decisions.append(Decision(entry, event, result, before.state))
        _collect(decided, event, result, before, now_ms)
        if result.session.version == before.version:
            continue  # the event belongs to no known session: there is nothing to store
        if change is None:
            change = changes[session_id] = SessionChange(sessions[session_id], sessions[session_id])
            decided.batch.sessions.append(change)
        change.after = StoredSession(result.session, change.after.fields)
        change.log.append(log_entry(event, result, before, now_ms))
        if result.session.state is State.ENDED and before.state is not State.ENDED:
            _finish_session(decided, result, open_effects(session_id), now_ms)
    for change in changes.values():
        change.after = change.before.updated_to(change.after.session)
    return decided


def discard(entries: Iterable[Entry]) -> Batch:
    """Return a batch that removes entries from the stream without deciding them.

    An outcome also removes its effect from the outbox, even if the outcome can't be read.
    """
    batch = Batch()
    for entry in entries:
        batch.entry_ids.append(entry.entry_id)
        if effect_id := entry.fields.get(_EFFECT_ID):
            batch.outbox_del.append(effect_id.decode(errors="replace"))
    return batch


def _collect(decided: DecidedBatch, event: Event, result: Step, before: Session, now_ms: int) -> None:
    batch = decided.batch
    if isinstance(event, EffectOutcome | CallsRead):
        batch.outbox_del.append(event.effect_id)
    if before.open_read_id and result.session.open_read_id not in ("", before.open_read_id):
        # A newer read replaces the earlier one. Reads can be queued for long, so each session keeps only one.
        batch.outbox_put.pop(before.open_read_id, None)
        batch.outbox_del.append(before.open_read_id)
        decided.effects = [(effect, of) for effect, of in decided.effects if effect.effect_id != before.open_read_id]
    for effect in result.effects:
        batch.outbox_put[effect.effect_id] = effect_codec.encode(OutboxEntry(effect, now_ms))
        decided.effects.append((effect, event))
    for report in result.reports:
        _add_post_commit_write(decided, ReportCommand(event.session_id, report), now_ms)
    for outcome_record in result.outcome_records:
        _add_post_commit_write(decided, PublishOutcome(outcome_record), now_ms)
    for timer in result.timers:
        batch.timers[f"{timer.timer}|{event.session_id}"] = timer.due_ms


def _add_post_commit_write(decided: DecidedBatch, write: PostCommitWrite, now_ms: int) -> None:
    decided.batch.outbox_put[write.write_id] = effect_codec.encode(OutboxEntry(write, now_ms))
    decided.post_commit_writes.append(write)


def _finish_session(decided: DecidedBatch, result: Step, open_effects: Mapping[str, Effect], now_ms: int) -> None:
    """Drop effects emitted before the end and not finished; keep those of the final step.

    Also keep an earlier hang-up whose target the final step does not end: a leg that no longer belongs to a party.
    """
    session_id = result.session.id
    final_effect_ids = {effect.effect_id for effect in result.effects}
    ended_targets = {effect.target for effect in result.effects if effect.is_ending}
    earlier_effects = dict(open_effects)
    earlier_effects |= {effect.effect_id: effect for effect, event in decided.effects if event.session_id == session_id}
    dropped = {
        effect_id
        for effect_id, effect in earlier_effects.items()
        if effect_id not in final_effect_ids and (not effect.is_ending or effect.target in ended_targets)
    }
    for effect_id in dropped:
        decided.batch.outbox_put.pop(effect_id, None)
        decided.batch.outbox_del.append(effect_id)
    decided.effects = [(effect, event) for effect, event in decided.effects if effect.effect_id not in dropped]
    of_parties = (party.call_sid for party in result.session.parties.values() if party.call_sid)
    call_sids = tuple(dict.fromkeys((*of_parties, *result.session.former_calls)))
    _add_post_commit_write(decided, ExpireCalls(session_id, call_sids), now_ms)
    decided.ended_session_ids.append(session_id)
