"""From stream entries to one batch: every event is decided in order, and what follows is gathered for the commit."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import orjson

from conferral.statemachine.effects import Effect
from conferral.statemachine.events import CallsRead, Command, ConferenceEvent, EffectOutcome, Event, RecordingChanged
from conferral.statemachine.machine import step
from conferral.statemachine.policy import Policy
from conferral.statemachine.session import Session
from conferral.statemachine.states import State
from conferral.statemachine.step import CommandStatus, Step
from conferral.storage import effect_codec, event_codec, session_codec
from conferral.storage.effect_codec import Chore, ForgetCalls, OutboxEntry, PublishOutcome, TellCommand
from conferral.storage.partition import Entry
from conferral.storage.store import Batch, SessionChange, Stored
from conferral.storage.times import to_iso
from conferral.worker.describe import command_of, detail_of

#: The field in which an outcome names its effect.
_EFFECT_ID = b"effect_id"


@dataclass(frozen=True, slots=True)
class Decision:
    """One entry and what was decided about it."""

    entry: Entry
    event: Event
    step: Step
    state_before: State


@dataclass(slots=True)
class Decided:
    """A batch that is ready to be committed, and what is done once it is."""

    batch: Batch = field(default_factory=Batch)
    decisions: list[Decision] = field(default_factory=list)
    orders: list[tuple[Effect, Event]] = field(default_factory=list)
    chores: list[Chore] = field(default_factory=list)
    #: Sessions that ended in this batch, with the calls whose index entries expire with them.
    ended: list[str] = field(default_factory=list)


def parse(entry: Entry) -> Event:
    """The event of an entry.

    Raises:
        BadEntryError: it is no event of ours.
    """
    return event_codec.decode(entry.text(), entry.entry_id)


def decide(
    events: list[tuple[Entry, Event]],
    sessions: dict[str, Stored],
    now_ms: int,
    policy: Policy,
    open_effects: Callable[[str], Mapping[str, Effect]],
) -> Decided:
    """Decides events in order.

    Args:
        events: Entries with their events, oldest first.
        sessions: The sessions concerned, as they stand in Redis.
        now_ms: Redis's time, Unix milliseconds.
        policy: The times by which sessions are driven.
        open_effects: The effects of a session that are in the outbox, by id.
    """
    decided = Decided()
    changes: dict[str, SessionChange] = {}
    for entry, event in events:
        session_id = event.session_id
        change = changes.get(session_id)
        before = change.after.session if change else sessions[session_id].session
        taken = step(before, event, now_ms, policy)
        decided.batch.entry_ids.append(entry.entry_id)
        decided.decisions.append(Decision(entry, event, taken, before.state))
        _gather(decided, event, taken, before, now_ms)
        if taken.session.version == before.version:
            continue  # a session that nobody knows: there is nothing to store
        if change is None:
            change = changes[session_id] = SessionChange(sessions[session_id], sessions[session_id])
            decided.batch.sessions.append(change)
        change.after = Stored(taken.session, change.after.fields)
        change.log.append(_log_entry(event, taken, before, now_ms))
        if taken.session.state is State.ENDED and before.state is not State.ENDED:
            _end(decided, taken, open_effects(session_id), now_ms)
    for change in changes.values():
        change.after = change.before.becoming(change.after.session)
    return decided


def set_aside(entries: Iterable[Entry]) -> Batch:
    """Take entries off the stream that nobody decides.

    An outcome takes its effect out of the outbox with it, even an outcome that can't be read.
    """
    batch = Batch()
    for entry in entries:
        batch.entry_ids.append(entry.entry_id)
        if effect_id := entry.fields.get(_EFFECT_ID):
            batch.outbox_del.append(effect_id.decode(errors="replace"))
    return batch


def _gather(decided: Decided, event: Event, taken: Step, before: Session, now_ms: int) -> None:
    batch = decided.batch
    if isinstance(event, EffectOutcome | CallsRead):
        batch.outbox_del.append(event.effect_id)
    if before.reading and taken.session.reading not in ("", before.reading):
        # Nobody waits for the earlier read any more; of reads that are not sent for long, each session has one.
        batch.outbox_put.pop(before.reading, None)
        batch.outbox_del.append(before.reading)
        decided.orders = [(effect, of) for effect, of in decided.orders if effect.effect_id != before.reading]
    for effect in taken.effects:
        batch.outbox_put[effect.effect_id] = effect_codec.encode(OutboxEntry(effect, now_ms))
        decided.orders.append((effect, event))
    for report in taken.reports:
        _put_chore(decided, TellCommand(event.session_id, report), now_ms)
    for conclusion in taken.conclusions:
        _put_chore(decided, PublishOutcome(conclusion), now_ms)
    for timer in taken.timers:
        batch.timers[f"{timer.timer}|{event.session_id}"] = timer.due_ms


def _put_chore(decided: Decided, chore: Chore, now_ms: int) -> None:
    decided.batch.outbox_put[chore.chore_id] = effect_codec.encode(OutboxEntry(chore, now_ms))
    decided.chores.append(chore)


def _end(decided: Decided, taken: Step, open_effects: Mapping[str, Effect], now_ms: int) -> None:
    """What was ordered before the end and not done yet is dropped; what the end orders stays.

    So does an earlier ending of something that the end does not reach: a leg that is nobody's any more.
    """
    session_id = taken.session.id
    of_the_end = {effect.effect_id for effect in taken.effects}
    reached = {effect.target for effect in taken.effects if effect.is_ending}
    earlier = dict(open_effects)
    earlier |= {effect.effect_id: effect for effect, event in decided.orders if event.session_id == session_id}
    dropped = {
        effect_id
        for effect_id, effect in earlier.items()
        if effect_id not in of_the_end and (not effect.is_ending or effect.target in reached)
    }
    for effect_id in dropped:
        decided.batch.outbox_put.pop(effect_id, None)
        decided.batch.outbox_del.append(effect_id)
    decided.orders = [(effect, event) for effect, event in decided.orders if effect.effect_id not in dropped]
    of_parties = (party.call_sid for party in taken.session.parties.values() if party.call_sid)
    call_sids = tuple(dict.fromkeys((*of_parties, *taken.session.former_calls)))
    _put_chore(decided, ForgetCalls(session_id, call_sids), now_ms)
    decided.ended.append(session_id)


def _log_entry(event: Event, taken: Step, before: Session, now_ms: int) -> dict[str, str]:
    entry = {
        "at": to_iso(now_ms),
        "event": event.name,
        "from": before.state.value,
        "to": taken.session.state.value,
        "outcome": taken.outcome.value,
        "version": str(taken.session.version),
        "reason": taken.reason,
        "effects": _effects_json(taken),
    }
    detail = detail_of(event, before)
    if detail:
        entry["detail"] = detail
    if isinstance(event, ConferenceEvent | RecordingChanged) and event.other:
        entry["other"] = event.other
    if isinstance(event, Command):
        entry["command"] = event.command_id
        if event.by:
            entry["by"] = event.by
    if isinstance(event, EffectOutcome | CallsRead):
        entry["effect"] = event.effect_id
        if event.attempts is not None:
            entry["attempts"] = str(event.attempts)
        if event.setbacks:
            entry["setbacks"] = orjson.dumps(event.setbacks).decode()
    if changed := session_codec.changes(taken.session, before):
        entry["changes"] = orjson.dumps(changed).decode()
    if reports := _reports(event, taken, before):
        entry["reports"] = orjson.dumps(reports).decode()
    return entry


def _reports(event: Event, taken: Step, before: Session) -> list[dict[str, str]]:
    """What came of commands by this event; that one was accepted is told by its own entry."""
    return [
        {
            "command": report.command_id,
            "type": command_of(report.command_id, event, before),
            "status": report.status.value,
            "reason": report.reason,
        }
        for report in taken.reports
        if report.status is not CommandStatus.ACCEPTED
    ]


def _effects_json(taken: Step) -> str:
    if not taken.effects:
        return "[]"
    return orjson.dumps(
        [
            {"id": effect.effect_id, "kind": effect.kind, "party": effect.party, "target": effect.target}
            | ({"detail": effect.detail} if effect.detail else {})
            for effect in taken.effects
        ]
    ).decode()
