"""Durations: what outcomes report in seconds, counted from a history.

The history is a timeline of facts about calls, such as "is on hold". Callbacks report when a fact began and ended, and
may come late, twice, or never. So `advance` notes a change of the session's facts at once, and corrects its time when
the callback comes. No duration is negative, and nothing counts twice.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from conferral.statemachine.events import (
    CallProgressed,
    ConferenceEnded,
    DialEnded,
    Event,
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
)
from conferral.statemachine.events.base import WHOLE_SECOND_MS
from conferral.statemachine.guards.waiting_party import is_being_dialed
from conferral.statemachine.parts import AGENTS_MAX, AgentShare, Attempt, Change, History
from conferral.statemachine.reasons import NOT_OURS, REDIRECTED_AWAY
from conferral.statemachine.record import replace
from conferral.statemachine.session import AGENT, CUSTOMER, SUPERVISOR, TARGET, Party, Session, bridge_dial, split_label
from conferral.statemachine.states import CallStatus, Phase
from conferral.statemachine.step import Draft, OutcomeRecord

#: Names of a transfer's and a session's durations. In the outcomes stream, `_s` follows each.
DURATIONS = ("hold", "consult", "answer", "bridged", "conference", "participant", "held", "alone")
#: So many changes are kept, and so many of them once there are more (count): their times may still be corrected.
_CHANGES_MAX, _CHANGES_KEPT = 48, 24
#: How far apart the times of one change may be: half of Twilio's second, and how exactly we know its clock.
_NEAR_MS = 700
_DIALED = ("line ", "dialing ")


def facts_of(session: Session) -> dict[str, str]:
    """Return what holds of a session: words, most with a SID, id, or number.

    `line`: the call was dialed and is connected. `gone`: the call was not dialed and is over. `in`: it is in that
    conference; its value is the party's role. `held`: it is on hold there. `dialing`: it may still join. `transfer`:
    that transfer is running. `talks`: that agent and the customer hear each other.
    """
    facts = {}
    for party in session.parties.values():
        if party.is_gone:
            if not _is_dialed(session, party):
                facts[f"gone {party.call_sid}"] = ""
        elif party.call_sid and (party.answered or party.is_connected) and _is_dialed(session, party):
            facts[f"line {party.call_sid}"] = ""
        if is_being_dialed(party):
            facts[f"dialing {party.dial_id}"] = ""
        if party.in_conference:
            participant = f"{party.call_sid} {session.conference_sid}"
            facts[f"in {participant}"] = _role_of(party)
            if party.held:
                facts[f"held {participant}"] = ""
    if (number := _talking_agent(session)) is not None:
        facts[f"talks {number}"] = ""
    if session.conference_sid:
        facts[f"conference {session.conference_sid}"] = ""
    if session.phase is Phase.PARKED:
        facts["parked"] = ""
    if session.running_transfer is not None:
        facts[f"transfer {session.running_transfer.number}"] = ""
    return facts


def _talking_agent(session: Session) -> int | None:
    """Return which agent hears the customer, and is heard; None for no one."""
    if not {AGENT, CUSTOMER} <= session.parties.keys():
        return None
    both = (session.agent, session.customer)
    if session.is_in_bridge and session.phase is Phase.CONNECTED:
        is_talking = not (session.dial_call_status or any(party.is_gone for party in both))
    else:
        is_talking = all(party.in_conference and not (party.held or party.waits_for_start) for party in both)
    return _number_of(session.agent, session.history.agents) if is_talking else None


def _number_of(agent: Party, agents: Sequence[AgentShare]) -> int | None:
    return next((number for number, one in enumerate(agents) if one.address == agent.address), None)


def _agents_after(before: Session, after: Session) -> tuple[AgentShare, ...]:
    """Return who took part as an agent, after an event: a new one, a new hold."""
    agents, agent, customer = after.history.agents, after.parties.get(AGENT), after.parties.get(CUSTOMER)
    if agent is None or customer is None or not agent.is_connected:
        return agents
    takes_part = agent.in_conference or (after.is_in_bridge and after.phase is Phase.CONNECTED)
    number = _number_of(agent, agents)
    if takes_part and number is None and len(agents) < AGENTS_MAX:
        number, agents = len(agents), (*agents, AgentShare(agent.address))
    was_held = CUSTOMER in before.parties and before.customer.held
    # Parked callers, and those who wait for a blind transfer, are not on hold in this sense.
    is_hold = customer.held and not was_held and after.phase in (Phase.CONNECTED, Phase.CONSULT)
    if is_hold and number is not None:
        held = replace(agents[number], holds=agents[number].holds + 1)
        agents = (*agents[:number], held, *agents[number + 1 :])
    return agents


def _is_dialed(session: Session, party: Party) -> bool:
    """Whether a call sends callbacks: Conferral, or a bridge, placed it."""
    return bool(party.dial_id) or _role_of(party) == (AGENT if session.customer_is_parent else CUSTOMER)


def _role_of(party: Party) -> str:
    """Return a participant's role, by its label."""
    # A muted guest only listens, as a supervisor does.
    return SUPERVISOR if party.is_muted_guest and party.muted else split_label(party.label)[0]


def _reported_by(event: Event, session: Session, at_ms: int) -> Iterator[Change]:
    """Yield the changes that an event reports.

    A call that Conferral had dialed reports its own end, after its answer.
    """
    call_sid = getattr(event, "call_sid", "")
    party = session.find_party(call_sid=call_sid) if call_sid else None
    latest = {one.fact: one for one in session.history.changes}
    open_facts = {fact for fact, one in latest.items() if not one.is_over}

    def change(fact: str, role: str = "", *, is_over: bool = True) -> Change:
        number = 0 if event.sequence is None else event.sequence + 1
        return Change(at_ms, fact, role, is_over, is_reported=True, number=number)

    if isinstance(event, ConferenceEnded):
        yield from map(change, {f"conference {event.conference_sid}"} & latest.keys())
    if party is None and call_sid not in session.former_calls:
        return
    role = _role_of(party) if party is not None else split_label(getattr(event, "label", ""))[0]
    is_dialed = party is None or _is_dialed(session, party)
    participant = f"{call_sid} {getattr(event, 'conference_sid', '')}"
    held, dialing = f"held {participant}", f"dialing {party.dial_id}" if party is not None else ""
    match event:
        case ParticipantJoined():
            yield change(f"in {participant}", role, is_over=False)
            yield from map(change, {dialing} & latest.keys())
        case ParticipantLeft():
            yield from map(change, [f"in {participant}", *({held} & open_facts)])
            if event.hung_up and not is_dialed:
                yield change(f"gone {call_sid}", is_over=False)
        case ParticipantChanged(kind="participant-hold" | "participant-unhold"):
            yield change(held, is_over=event.kind == "participant-unhold")
        case CallProgressed(status=CallStatus.IN_PROGRESS) if is_dialed:
            yield change(f"line {call_sid}", is_over=False)
        case CallProgressed(is_final=True) if is_dialed:
            yield from map(change, [f"line {call_sid}", *({dialing} & latest.keys())])
        case CallProgressed(is_final=True) | DialEnded(party_is_gone=True) if not is_dialed:
            yield change(f"gone {call_sid}", is_over=False)


def advance(before: Session, after: Session, event: Event, now_ms: int) -> History:
    """Return the history after an event."""
    agents = _agents_after(before, after)
    if agents != after.history.agents:
        after = replace(after, history=replace(after.history, agents=agents))
    history = after.history
    earlier, facts = facts_of(before), facts_of(after)
    at_ms = max(event.happened_at_ms(now_ms), after.created_at_ms, history.counted_to_ms)
    reported = [*_reported_by(event, after, at_ms)]
    sid = after.recording.sid if after.recording is not None else ""
    recordings = history.recordings + ((sid,) if sid and sid not in history.recordings else ())
    if facts == earlier and not reported and recordings == history.recordings:
        return history
    changes = [*history.changes]
    for change in reported:
        is_last = change.is_over and change.fact.startswith(("line ", "conference "))  # neither begins again
        _correct(changes, change, is_newest=is_last or change.is_over != (change.fact in facts))
    latest = {one.fact: one for one in changes}
    # What the event reports did not change only now.
    for fact in sorted({fact for fact, _ in earlier.items() ^ facts.items()} - {one.fact for one in reported}):
        is_over, was_over = fact not in facts, fact not in latest or latest[fact].is_over
        if is_over != was_over or (not is_over and latest[fact].role != facts[fact]):
            is_reported = (is_over or fact.startswith("gone ")) and _is_never_reported(after, fact)
            # What an event implies happened with it, but after what is known of it.
            implied_ms = max(at_ms, latest[fact].at_ms if fact in latest else 0)
            noted_ms = implied_ms if fact.startswith("talks ") else now_ms
            changes.append(Change(noted_ms, fact, facts.get(fact, ""), is_over, is_reported=is_reported))
    changes.sort(key=lambda one: (one.at_ms, one.number))
    history = replace(history, changes=tuple(changes), recordings=recordings)
    return history if len(changes) <= _CHANGES_MAX else _counted(history, changes[-_CHANGES_KEPT].at_ms)


def _is_never_reported(session: Session, fact: str) -> bool:
    """Whether no callback ends a fact: no call was placed, or it goes on."""
    parties = session.parties.values()
    if fact.startswith("dialing "):
        return not any(party.call_sid and fact == f"dialing {party.dial_id}" for party in parties)
    moved = (party.call_sid for party in parties if party.left_reason in (NOT_OURS, REDIRECTED_AWAY))
    return any(fact in (f"line {call_sid}", f"gone {call_sid}") for call_sid in moved)


def _correct(changes: list[Change], reported: Change, *, is_newest: bool) -> None:
    """Replace what was noted of a change by what a callback reports.

    `is_newest`: the session has the fact as reported, so what was noted of it since was wrong.
    """
    same = [one for one in changes if one.fact == reported.fact]
    reported = _in_order(same, reported)
    previous, is_noted = None, False
    for one in same:
        apart_ms, is_alike = one.at_ms - reported.at_ms, one.is_over == reported.is_over
        if is_alike and one.is_reported and 0 in (one.number, reported.number) and abs(apart_ms) <= WHOLE_SECOND_MS:
            return  # Twilio reports it by a callback, and by the request for a document
        if is_alike and not one.is_reported and abs(apart_ms) <= _NEAR_MS:
            changes.remove(one)
            reported, is_noted = replace(reported, at_ms=_happened_at_ms(reported.at_ms, one.at_ms)), True
            continue
        is_decided = is_newest and not (is_alike or one.number)
        if not is_noted and (apart_ms <= 0 or (is_decided and apart_ms <= _NEAR_MS)):
            previous = one
        elif one.is_reported or not (is_alike or is_newest):
            break
        else:
            changes.remove(one)
    if previous is not None:
        reported = replace(reported, at_ms=max(previous.at_ms + 1, reported.at_ms))
        if previous.is_over == reported.is_over and not previous.is_reported:
            changes.remove(previous)
    changes.append(reported)


def _happened_at_ms(reported_ms: int, noted_ms: int) -> int:
    """Return when a change happened, which we noted at another time.

    It is the middle of what of Twilio's second is before that.
    """
    half_ms = WHOLE_SECOND_MS // 2
    return (reported_ms - half_ms + max(reported_ms - half_ms, min(reported_ms + half_ms, noted_ms))) // 2


def _in_order(same: Iterable[Change], reported: Change) -> Change:
    """Return a change between those that Twilio numbers before and after.

    Its times are whole seconds.
    """
    for one in same:
        if one.number and abs(one.at_ms - reported.at_ms) <= WHOLE_SECOND_MS:
            limit, step_ms = (min, -1) if one.number > reported.number else (max, 1)
            reported = replace(reported, at_ms=limit(reported.at_ms, one.at_ms + step_ms))
    return reported


def _count(history: History, until_ms: int) -> tuple[dict[str, int], dict[str, str]]:
    """Return the totals up to a time, milliseconds, and what held then."""
    totals, facts, at_ms = dict(history.totals), dict[str, str](), history.counted_to_ms
    until_ms = max(until_ms, at_ms)
    for change in (*(one for one in history.changes if one.at_ms <= until_ms), Change(until_ms, "")):
        for name, rate in _rates(facts).items() if change.at_ms > at_ms else ():
            if rate:
                totals[name] = totals.get(name, 0) + rate * (change.at_ms - at_ms)
        at_ms = change.at_ms
        if change.is_over:
            facts.pop(change.fact, None)
        elif change.fact:
            facts[change.fact] = change.role
            if change.fact.startswith("in "):
                facts["joined"] = ""  # for good
    return totals, facts


def _counted(history: History, until_ms: int) -> History:
    """Return the history with its changes up to a time in its totals."""
    totals, facts = _count(history, until_ms)
    still = (Change(until_ms, fact, role, is_reported=True) for fact, role in facts.items())
    newer = (one for one in history.changes if one.at_ms > until_ms)
    return replace(history, totals=totals, counted_to_ms=until_ms, changes=(*still, *newer))


def _rates(facts: Mapping[str, str]) -> dict[str, int]:
    """Return how fast each total grows while these facts hold."""
    subjects: dict[str, list[str]] = {}
    for fact in facts:
        word, _, subject = fact.partition(" ")
        subjects.setdefault(word, []).append(subject)
    roles = {call_sid: facts[f"in {call_sid}"] for call_sid in subjects.get("in", ())}
    held = roles.keys() & subjects.get("held", ())
    persons = sum(role != SUPERVISOR for role in roles.values())
    customer_is_held = CUSTOMER in map(roles.get, held)
    talking = sum(role in (AGENT, TARGET) for call_sid, role in roles.items() if call_sid not in held)
    rates = {
        "participant": len(roles),
        "held": len(held),
        "conference": int("joined" in subjects),
        "alone": int(persons == 1 and not (subjects.keys() & {"dialing", "parked"})),
    }
    rates |= {f"talk {number}": 1 for number in subjects.get("talks", ())}
    for number in subjects.get("transfer", ()):
        rates[f"hold {number}"] = int(customer_is_held)
        rates[f"consult {number}"] = int(customer_is_held and talking > 1)
    return rates


def with_durations(record: OutcomeRecord, session: Session) -> OutcomeRecord:
    """Return a record with its durations and attempts as known by now."""
    if record.kind == "voicemail":
        return record
    history, transfer = session.history, session.transfer
    totals, facts = _count(history, record.ended_at_ms)
    if record.kind == "transfer":
        names = {"hold": f"hold {record.number}", "consult": f"consult {record.number}"}
        is_newest = transfer is not None and transfer.number == record.number
        attempts = transfer.attempts if transfer is not None and is_newest else record.attempts
    else:
        names, attempts = {name: name for name in ("participant", "held", "alone")}, history.attempts
    durations = {name: totals[key] for name, key in names.items() if key in totals}
    answers = [one.answered_at_ms for one in attempts if one.result == "answered" and one.answered_at_ms]
    answered_at_ms = max(record.started_at_ms, min(answers, default=0))
    if answers:
        durations["answer"] = answered_at_ms - record.started_at_ms
    if record.kind == "session":
        joined_at_ms = record.ended_at_ms - totals["conference"] if "conference" in totals else 0
        end_ms = max(_end_ms(history, facts, record.ended_at_ms), joined_at_ms, answered_at_ms)
        if answers:
            durations["bridged"] = max(0, (joined_at_ms or end_ms) - answered_at_ms)
        if joined_at_ms:
            durations["conference"] = end_ms - joined_at_ms
        talked_ms = (totals.get(f"talk {number}", 0) for number in range(len(history.agents)))
        agents = tuple(replace(one, talk_ms=ms) for one, ms in zip(history.agents, talked_ms, strict=True))
        record = replace(record, agents=agents)
    return replace(record, durations=durations, attempts=attempts)


def _end_ms(history: History, facts: Mapping[str, str], ended_at_ms: int) -> int:
    """Return when the last call ended: the session may have learned it late."""
    if any(fact.startswith(_DIALED) for fact in facts):
        return ended_at_ms
    ends = (one.at_ms for one in history.changes if one.is_over and one.fact.startswith(_DIALED))
    others = (one.at_ms for one in history.changes if one.fact.startswith("gone "))
    return min(ended_at_ms, max((*ends, *others), default=ended_at_ms))


def note_late_status(draft: Draft, event: Event) -> None:
    """Correct an attempt, as the late callback of its call says."""
    if not isinstance(event, CallProgressed):
        return
    transfer = draft.session.transfer
    attempts = (*(transfer.attempts if transfer is not None else ()), *draft.session.history.attempts)
    if event.status == CallStatus.IN_PROGRESS:
        _note_late_answer(draft, event, attempts)
    elif event.reported_status == "rejected":
        # A read, and the action of a `<Dial>`, only say that the line was busy.
        dial_id = event.dial or bridge_dial(event.agent_number)
        if any(one.dial_id == dial_id and one.result == CallStatus.BUSY for one in attempts):
            draft.change_attempt(dial_id, result=event.reported_status)


def _note_late_answer(draft: Draft, event: CallProgressed, attempts: Iterable[Attempt]) -> None:
    """Correct when a party answered."""
    party = draft.session.find_party(call_sid=event.call_sid)
    dial_id = draft.session.dial_of(party) if party is not None else ""
    for attempt in attempts:
        is_unknown = attempt.result == "answered" and not attempt.answered_at_ms
        noted_ms = attempt.answered_at_ms or draft.now_ms
        if attempt.dial_id == dial_id and (is_unknown or noted_ms > draft.at_ms):
            draft.change_attempt(dial_id, answered_at_ms=_happened_at_ms(draft.at_ms, noted_ms))
