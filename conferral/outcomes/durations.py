"""Durations: what outcomes report in seconds, folded from a session's log.

Each entry says what an event changed, and when that happened, by Twilio's clock where a callback carries its time. So a
fact, such as "is on hold", has a beginning and an end. What the log does not have is unknown.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from conferral.statemachine.events import CallsOverdue
from conferral.statemachine.ids import split_label
from conferral.statemachine.session import AGENT, CUSTOMER, SUPERVISOR, TARGET
from conferral.statemachine.states import PartyStatus, Phase, State
from conferral.statemachine.step import Conclusion
from conferral.storage.codecs.log_codec import LogEntry

#: Names of a transfer's and a session's durations. In the outcomes stream, `_s` follows each.
DURATIONS = ("hold", "consult", "answer", "queued", "bridged", "conference", "participant", "held", "alone")
_AGENT, _CUSTOMER = f"party.{AGENT}", f"party.{CUSTOMER}"
_RINGS = frozenset({PartyStatus.DIALING, PartyStatus.RINGING, PartyStatus.CONFIRMING})
#: The logged fields that count.
_COUNTING = frozenset({
    "phase", "dial_call_status", "label", "status", "left_reason", "in_conference", "held", "waits_for_start",
    "muted", "is_muted_guest", "is_leaving",
})  # fmt: skip
#: The logged fields of the session, or a party.
_Fields = dict[str, Any]


class _Fact(NamedTuple):
    """What holds for a while of a leg, by its label, or of the session.

    `participant`: it is in the conference. `person`: it is, and is no supervisor. `held`: it is on hold there. `hold`:
    it is the customer, and held. `speaker`: it is an agent or a target there, and not held. `dialed`: it may still
    join. `over`: its call is. `talk`: this agent and the customer hear each other. `parked`: the call is. `queued`: the
    caller waits in a queue.
    """

    word: str
    label: str = ""


_PARKED, _QUEUED = _Fact("parked"), _Fact("queued")


class _Change(NamedTuple):
    at_ms: int
    fact: _Fact
    is_over: bool


@dataclass(slots=True)
class Timeline:
    """When the facts of a session began and ended; times in Unix ms."""

    changes: list[_Change] = field(default_factory=list)
    #: How often the customer was put on hold, by agent, in the order in which they took part (count).
    holds: dict[str, int] = field(default_factory=dict)
    #: The labels of agents' legs that were rung again, each with the next leg's.
    rung_again: dict[str, str] = field(default_factory=dict)

    @property
    def joined_ms(self) -> int:
        """When the first leg joined the conference; 0 for never."""
        return min(self._beginnings("participant"), default=0)

    @property
    def ended_ms(self) -> int:
        """When the last call whose end is known was over; 0 for never."""
        return max(self._beginnings("over"), default=0)

    def _beginnings(self, word: str) -> Iterator[int]:
        return (one.at_ms for one in self.changes if one.fact.word == word and not one.is_over)

    def totals(self, since_ms: int, until_ms: int) -> Counter[str]:
        """Return milliseconds by duration, and talk time by an agent's label."""
        totals, counts, at_ms = Counter[str](), Counter[str](), since_ms
        for then_ms, (word, label), is_over in (*sorted(self.changes), _Change(until_ms, _PARKED, is_over=True)):
            if (passed_ms := min(then_ms, until_ms) - at_ms) > 0:
                for name, rate in self._rates(counts):
                    totals[name] += rate * passed_ms
                at_ms += passed_ms
            counts[label if word == "talk" else word] += -1 if is_over else 1
        return totals

    def _rates(self, counts: Counter[str]) -> Iterator[tuple[str, int]]:
        """Yield how fast each total grows while so many facts hold."""
        yield "participant", counts["participant"]
        yield "held", counts["held"]
        yield "alone", counts["person"] == 1 and not (counts["dialed"] or counts["parked"] or counts["queued"])
        yield "queued", counts["queued"]
        yield "hold", counts["hold"] > 0
        yield "consult", counts["hold"] > 0 and counts["speaker"] > 1
        for label in self.holds:
            yield label, counts[label]


def durations_of(record: Conclusion, timeline: Timeline | None) -> dict[str, int]:
    """Return an outcome's milliseconds by duration, and by an agent's label.

    Those whose start was never reached are missing; without a timeline, all that need it.
    """
    answers = [one.answered_at_ms for one in record.attempts if one.result == "answered" and one.answered_at_ms]
    answered_ms = max(record.started_at_ms, min(answers, default=0))
    found = {"answer": answered_ms - record.started_at_ms} if answers else {}
    if timeline is None or record.kind not in ("transfer", "session"):
        return found
    totals = timeline.totals(record.started_at_ms, record.ended_at_ms)
    names = (
        ("hold", "consult")
        if record.kind == "transfer"
        else ("queued", "participant", "held", "alone", *timeline.holds)
    )
    found |= {name: totals[name] for name in names if totals[name]}
    if record.kind == "session":
        # The session may have learned later that its last call was over.
        joined_ms, ended_ms = timeline.joined_ms, min(timeline.ended_ms or record.ended_at_ms, record.ended_at_ms)
        ended_ms = max(ended_ms, joined_ms, answered_ms)
        if answers:
            found["bridged"] = max(0, (joined_ms or ended_ms) - answered_ms)
        if joined_ms:
            found["conference"] = ended_ms - joined_ms
    return found


def timeline_of(log: Sequence[LogEntry]) -> Timeline | None:
    """Return the timeline of a session; None if its log lacks entries."""
    if not log or any(entry.version != number or not entry.at_ms for number, entry in enumerate(log, start=1)):
        return None
    timeline, records, facts = Timeline(), dict[str, _Fields](), set[_Fact]()
    latest_ms: dict[_Fact, int] = {}
    for entry in log:
        agent_label = records.get(_AGENT, {}).get("label", "")
        touched = _apply(records, entry.changes)
        if agent_label not in {party.get("label", "") for party in records.values()}:
            # A former agent keeps a record; one who is rung again has it overwritten.
            timeline.rung_again[agent_label] = records[_AGENT]["label"]
        if not touched and entry.state_before == entry.state_after:
            continue
        at_ms = max(log[0].at_ms, entry.happened_at_ms or entry.at_ms)
        before, facts = facts, _facts(records, entry)
        for fact in before ^ facts:
            # A callback may be late, after what followed; no fact ends before it began.
            latest_ms[fact] = max(at_ms, latest_ms.get(fact, 0))
            timeline.changes.append(_Change(latest_ms[fact], fact, is_over=fact in before))
        _note_agent(timeline.holds, records, facts, is_new_hold=any(fact.word == "hold" for fact in facts - before))
        if entry.is_end:
            break
    return timeline


def _apply(records: dict[str, _Fields], changed: Mapping[str, Any]) -> set[str]:
    """Apply what changed of the fields that count; return their names."""
    touched = set()
    for name, value in changed.items():
        prefix, _, attribute = name.rpartition(".")
        if attribute in _COUNTING:
            touched.add(name)
            # Another program may have written anything as a label.
            records.setdefault(prefix, {})[attribute] = str(value or "") if attribute == "label" else value or ""
    return touched


def _is(party: _Fields, attribute: str) -> bool:
    return bool(party.get(attribute))


def _facts(records: Mapping[str, _Fields], entry: LogEntry) -> set[_Fact]:
    """Return what holds of a session after an entry."""
    session, agent, customer = (records.get(prefix, {}) for prefix in ("", _AGENT, _CUSTOMER))
    if entry.state_after == State.BRIDGED:
        is_over = session.get("dial_call_status") or PartyStatus.LEFT in (agent.get("status"), customer.get("status"))
        talks = session.get("phase") == Phase.CONNECTED and not is_over
    else:
        talks = _is_heard(agent) and _is_heard(customer)
    facts = {_Fact("talk", agent.get("label", ""))} if talks else set()
    if session.get("phase") == Phase.PARKED:
        facts.add(_PARKED)
    if session.get("phase") == Phase.QUEUED:
        facts.add(_QUEUED)
    for party in records.values():
        if label := party.get("label"):
            facts.update(_Fact(word, label) for word in _words(party, split_label(label)[0]))
            # A bridge's other call ends with the first; a timer that says so comes 2 s later.
            is_inferred = party.get("left_reason") == "released" and entry.event == CallsOverdue.name
            if party.get("status") == PartyStatus.LEFT and not is_inferred:
                facts.add(_Fact("over", label))
    return facts


def _is_heard(party: _Fields) -> bool:
    return _is(party, "in_conference") and not (_is(party, "held") or _is(party, "waits_for_start"))


def _words(party: _Fields, role: str) -> Iterator[str]:
    """Yield the words of what holds of a leg."""
    if _is(party, "in_conference"):
        yield "participant"
        if not (role == SUPERVISOR or (_is(party, "is_muted_guest") and _is(party, "muted"))):
            yield "person"
        if _is(party, "held"):
            yield "held"
            if role == CUSTOMER:
                yield "hold"
        elif role in (AGENT, TARGET):
            yield "speaker"
    if party.get("status") in _RINGS and not (role == SUPERVISOR or _is(party, "is_leaving")):
        yield "dialed"


def _note_agent(holds: dict[str, int], records: Mapping[str, _Fields], facts: set[_Fact], *, is_new_hold: bool) -> None:
    """Note who takes part as an agent, and a new hold of the customer."""
    agent, phase = records.get(_AGENT, {}), records.get("", {}).get("phase")
    label = agent.get("label", "")
    if agent.get("status") != PartyStatus.CONNECTED:
        return
    if _Fact("participant", label) in facts or _Fact("talk", label) in facts:
        holds.setdefault(label, 0)
    # Parked callers, and those who wait for a blind transfer, are not on hold in this sense.
    if is_new_hold and label in holds and phase in (Phase.CONNECTED, Phase.CONSULT):
        holds[label] += 1
