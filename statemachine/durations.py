"""Durations: what outcomes report in seconds, counted from facts.

`advance` notes which facts an event changes, and when. A callback may be late, so the newest changes wait, in order of
time, before they are counted: none is negative, and nothing counts twice.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from conferral.statemachine.events import CallProgressed, Event, ParticipantChanged, ParticipantJoined, ParticipantLeft
from conferral.statemachine.events.base import WHOLE_SECOND_MS
from conferral.statemachine.guards.waiting_party import present_parties, someone_is_being_dialed
from conferral.statemachine.parts import Change, History
from conferral.statemachine.reasons import NOT_OURS, REDIRECTED_AWAY
from conferral.statemachine.record import replace
from conferral.statemachine.session import Session
from conferral.statemachine.states import CallStatus, Phase
from conferral.statemachine.step import Draft, OutcomeRecord

#: Names of a transfer's and a session's durations. In the outcomes stream, `_s` follows each.
DURATIONS = ("hold", "consult", "answer", "bridged", "conference", "participant", "held", "alone")
_OF_TRANSFER = ("hold", "consult")
#: So many of the newest changes wait (count).
_WAITING_MAX = 16
#: The fields of a session from which its facts and recordings follow.
_FACTS_FROM = ("parties", "phase", "transfer", "pending_commands", "recording")
#: Why parties left that Conferral hung up or moved: their leaving follows the event.
_RELEASED = frozenset({"released", NOT_OURS, REDIRECTED_AWAY})


def facts_of(session: Session) -> frozenset[str]:
    """Return the facts that durations count: words, some with a call SID.

    `in`, `held`, and `party` (one who is not a supervisor) are about participants. `hold` and `consult` are the running
    transfer's: the customer is on hold; agent and target talk meanwhile.
    """
    if not session.parties:
        return frozenset()
    inside = session.participants
    facts = {f"in {party.call_sid}" for party in inside}
    facts |= {f"held {party.call_sid}" for party in inside if party.held}
    facts |= {f"party {party.call_sid}" for party in present_parties(session)}
    if someone_is_being_dialed(session):
        facts.add("dialing")
    if session.phase is Phase.PARKED:
        facts.add("parked")
    if session.running_transfer is not None and session.customer.held:
        facts.add(f"hold {session.customer.call_sid}")
        talking = [party for party in inside if not party.held]
        if session.phase is Phase.CONSULT and session.agent in talking:
            facts |= {f"consult {party.call_sid}" for party in talking if party in session.targets}
    return frozenset(facts)


def _shown_by(event: Event) -> tuple[tuple[str, ...], bool] | None:
    """Return what facts about a call it reports, and whether they are over."""
    if isinstance(event, ParticipantJoined):
        return ("in", "party", "consult"), False
    if isinstance(event, ParticipantLeft):
        return ("in", "party", "consult", "held", "hold"), True
    held = {"participant-hold": False, "participant-unhold": True}
    is_over = held.get(event.kind) if isinstance(event, ParticipantChanged) else None
    return None if is_over is None else (("held", "hold"), is_over)


def _corrected(changes: Iterable[Change], event: Event, at_ms: int) -> Iterator[Change]:
    """Yield the changes, earlier if a read showed one before its callback."""
    shown, last_ms, is_first = _shown_by(event), dict[str, int](), set[str]()
    for change in changes:
        kind, _, call_sid = change.fact.partition(" ")
        if shown is not None and kind in shown[0] and call_sid == getattr(event, "call_sid", ""):
            is_earlier = (
                change.is_over is shown[1] and change.at_ms > at_ms + WHOLE_SECOND_MS and change.fact not in is_first
            )
            if is_earlier:
                is_first.add(change.fact)
                change = replace(change, at_ms=max(at_ms, last_ms.get(change.fact, 0)))
            last_ms[change.fact] = change.at_ms
        yield change


def advance(before: Session, after: Session, event: Event, now_ms: int) -> History:
    """Return the history after an event."""
    if _shown_by(event) is None and all(getattr(before, name) is getattr(after, name) for name in _FACTS_FROM):
        return after.history
    history, earlier, at_ms = after.history, facts_of(before), event.happened_at_ms(now_ms)
    counted_to_ms = history.counted_to_ms or now_ms
    changes = [*_corrected(history.changes, event, max(at_ms, counted_to_ms))]
    released = {one.call_sid for one in after.parties.values() if one.left_reason in _RELEASED}
    for fact in sorted(earlier ^ facts_of(after)):
        kind, _, call_sid = fact.partition(" ")
        follows = call_sid in released or (kind == "dialing" and fact not in earlier)
        least_ms = max([counted_to_ms, *(one.at_ms for one in changes if one.fact == fact)])
        changes.append(Change(max(least_ms, now_ms if follows else at_ms), fact, fact in earlier))
    changes.sort(key=lambda one: one.at_ms)
    joins_ms = [one.at_ms for one in changes if one.fact.startswith("in ") and not one.is_over]
    sid = after.recording.sid if after.recording is not None else ""
    history = replace(
        history,
        counted_to_ms=counted_to_ms,
        changes=tuple(changes),
        joined_at_ms=min(filter(None, (history.joined_at_ms, *joins_ms)), default=0),
        recordings=history.recordings + ((sid,) if sid and sid not in history.recordings else ()),
    )
    if _transfer_number(after) != _transfer_number(before):
        history = _counted(history, now_ms)
        history = replace(history, totals={name: ms for name, ms in history.totals.items() if name not in _OF_TRANSFER})
    return _counted(history, changes[-_WAITING_MAX].at_ms) if len(changes) > _WAITING_MAX else history


def _transfer_number(session: Session) -> int:
    return session.transfer.number if session.transfer is not None else 0


def _counted(history: History, until_ms: int) -> History:
    """Return the history with its changes counted up to a time."""
    facts, totals, at_ms = set(history.facts), dict(history.totals), history.counted_to_ms
    due = [one for one in history.changes if one.at_ms <= until_ms]
    for change in (*due, Change(max(until_ms, at_ms), "")):
        for name, rate in _rates(facts).items():
            if rate:
                totals[name] = totals.get(name, 0) + rate * (change.at_ms - at_ms)
        at_ms = change.at_ms
        facts = facts - {change.fact} if change.is_over else facts | {change.fact}
    return replace(
        history,
        totals=totals,
        counted_to_ms=at_ms,
        facts=tuple(sorted(facts - {""})),
        changes=history.changes[len(due) :],
    )


def _rates(facts: Iterable[str]) -> dict[str, int]:
    """Return how fast each total grows while these facts hold."""
    kinds = Counter(fact.partition(" ")[0] for fact in facts)
    return {
        "participant": kinds["in"],
        "held": kinds["held"],
        "alone": int(kinds["party"] == 1 and not (kinds["dialing"] or kinds["parked"])),
        **{name: kinds[name] for name in _OF_TRANSFER},
    }


def with_durations(record: OutcomeRecord, history: History, end_ms: int) -> OutcomeRecord:
    """Return an outcome record with the durations of its transfer or session.

    A session may have ended, at `end_ms`, before its last event arrived.
    """
    if record.kind == "voicemail":
        return record
    is_transfer, started_at_ms = record.kind == "transfer", record.started_at_ms
    totals = _counted(history, record.ended_at_ms).totals
    durations = {name: ms for name, ms in totals.items() if (name in _OF_TRANSFER) is is_transfer}
    answers = [one.answered_at_ms for one in record.attempts if one.result == "answered" and one.answered_at_ms]
    answered_at_ms = max(started_at_ms, min(answers, default=0))
    if answers:
        durations["answer"] = answered_at_ms - started_at_ms
    if not is_transfer:
        joined_at_ms = history.joined_at_ms
        end_ms = max(end_ms, joined_at_ms, answered_at_ms)
        if answers:
            durations["bridged"] = max(0, (joined_at_ms or end_ms) - answered_at_ms)
        if joined_at_ms:
            durations["conference"] = end_ms - joined_at_ms
    return replace(record, durations=durations)


def end_of(before: Session, after: Session, at_ms: int, now_ms: int) -> int:
    """Return when a session ended: with its last party, or as decided."""
    is_decided = any(one.left_reason in _RELEASED for name, one in after.parties.items() if name in before.present)
    return now_ms if is_decided else at_ms


def note_late_answer(draft: Draft, event: Event) -> None:
    """Correct when a party answered, if a read showed it before the callback."""
    if isinstance(event, CallProgressed) and event.status == CallStatus.IN_PROGRESS:
        party = draft.session.find_party(call_sid=event.call_sid)
        dial_id = draft.session.dial_of(party) if party is not None else ""
        transfer = draft.session.running_transfer
        for attempt in (*(transfer.attempts if transfer is not None else ()), *draft.session.history.attempts):
            if attempt.dial_id == dial_id and attempt.answered_at_ms > draft.at_ms:
                draft.change_attempt(dial_id, answered_at_ms=draft.at_ms)
