"""Durations by the model of Twilio: who was in a conference, or on hold, and when, next to what outcomes report."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

from conferral.storage.codecs.text_codec import decode_fields, from_iso
from offhook.model.state import Call, State
from offhook.phones import phone_address
from tests.simulation.stored_values import entries_of

Span = tuple[float, float]


class Presence(NamedTuple):
    """What a call is to a conference."""

    conference_sid: str
    is_held: bool
    #: The base of its label, such as `target`.
    role: str


@dataclass(slots=True)
class Presences:
    """Notes of each call when it is in a conference; seconds."""

    by_call: dict[str, list[tuple[float, Presence | None]]] = field(default_factory=dict)
    _inside: dict[str, set[str]] = field(default_factory=dict)

    def note(self, state: State, touched: Iterable[str], now_s: float) -> None:
        """See `Audibility.update`."""
        conferences = {sid if sid in state.conferences else state.calls[sid].conference_sid
                       for sid in touched if sid in state.conferences or sid in state.calls}  # fmt: skip
        for sid in sorted(conferences - {""}):
            inside = {one.call_sid: one for one in state.conferences[sid].joined()}
            before = self._inside.get(sid, set())
            for call_sid in sorted(before | inside.keys()):
                one = inside.get(call_sid)
                found = Presence(sid, one.is_held, one.label.rpartition("-")[0]) if one is not None else None
                noted = self.by_call.setdefault(call_sid, [])
                if (noted[-1][1] if noted else None) != found:
                    noted.append((now_s, found))
            self._inside[sid] = {*inside}

    def spans(self, call_sid: str, of: Callable[[Presence], bool], until_s: float) -> list[Span]:
        """When a call's presence was of a kind."""
        noted = self.by_call.get(call_sid, [])
        ends = [*(at_s for at_s, _ in noted), until_s][1:]
        found = [(at_s, end_s) for (at_s, one), end_s in zip(noted, ends, strict=True) if one is not None and of(one)]
        return [(since_s, min(end_s, until_s)) for since_s, end_s in found if since_s < until_s]


def without(span: Span, others: Iterable[Span]) -> list[Span]:
    """What of a span is in none of the others.

    >>> without((0.0, 10.0), [(2.0, 3.0), (2.5, 5.0), (9.0, 20.0)])
    [(0.0, 2.0), (5.0, 9.0)]
    """
    at_s, end_s = span
    left = []
    for since_s, until_s in sorted(others):
        if since_s > at_s:
            left.append((at_s, min(since_s, end_s)))
        at_s = max(at_s, until_s)
        if at_s >= end_s:
            return [one for one in left if one[1] > one[0]]
    left.append((at_s, end_s))
    return [one for one in left if one[1] > one[0]]


def length_s(spans: Iterable[Span]) -> float:
    """How long all of them last together, seconds."""
    return sum(end_s - since_s for since_s, end_s in spans)


def spans_while(holds: Callable[[Callable[[str], int]], bool], kinds: Mapping[str, list[Span]]) -> list[Span]:
    """When a condition held on the numbers of open spans of each kind."""
    moments = sorted({at_s for spans in kinds.values() for span in spans for at_s in span})
    found: list[Span] = []
    for since_s, end_s in pairwise(moments):
        middle_s = (since_s + end_s) / 2

        def count(kind: str, at_s: float = middle_s) -> int:
            return sum(begins_s <= at_s < ends_s for begins_s, ends_s in kinds[kind])

        if holds(count):
            begin_s = found.pop()[0] if found and found[-1][1] == since_s else since_s
            found.append((begin_s, end_s))
    return found


@dataclass(slots=True)
class Measured:
    """A session as the model saw it; times in seconds."""

    calls: list[Call]
    presences: Presences
    parked: list[Span]
    end_s: float

    def _role(self, call: Call) -> str:
        label = call.join_settings.label if call.join_settings is not None else ""
        roles = (one.role for _, one in self.presences.by_call.get(call.sid, []) if one is not None)
        return next(roles, label.rpartition("-")[0])

    def _inside(self, call: Call) -> list[Span]:
        return self.presences.spans(call.sid, lambda _: True, self.end_s)

    def _held(self, call: Call) -> list[Span]:
        return self.presences.spans(call.sid, lambda one: one.is_held, self.end_s)

    def _dialing(self, call: Call) -> list[Span]:
        """From the dial by REST to the join, or to the end."""
        is_over_s = self.end_s if call.ended_at_s is None else call.ended_at_s
        joins_s = min((since_s for since_s, _ in self._inside(call)), default=is_over_s)
        return [(call.created_at_s, min(joins_s, is_over_s))]

    def session(self, attempts: list[dict[str, Any]], started_s: float, ended_s: float) -> dict[str, list[Span]]:
        """What the durations of a session's outcome are made of.

        Its calls may last longer, for a message or in an app.
        """
        end_s = min(self.end_s, ended_s)
        found: dict[str, list[Span]] = {}
        took = {one["to"] for one in attempts if one["result"] == "answered"}
        dialed = [call for call in self.calls if call.direction != "inbound" and phone_address(call.to) in took]
        answered_s = min((call.answered_at_s for call in dialed if call.answered_at_s is not None), default=None)
        inside = {call.sid: self._inside(call) for call in self.calls}
        joined_s = min((spans[0][0] for spans in inside.values() if spans), default=None)
        if answered_s is not None:
            found["answer"] = [(started_s, answered_s)]
            found["bridged"] = [(answered_s, max(answered_s, end_s if joined_s is None else joined_s))]
        if joined_s is None:
            return found
        found["conference"] = [(joined_s, end_s)]
        found["participant"] = [span for spans in inside.values() for span in spans]
        found["held"] = [span for call in self.calls for span in self._held(call)]
        persons = [call for call in self.calls if self._role(call) != "supervisor"]
        found["alone"] = spans_while(
            lambda count: count("inside") == 1 and not (count("dialing") or count("parked")),
            {
                "inside": [span for call in persons for span in inside[call.sid]],
                "dialing": [
                    span for call in persons if call.direction == "outbound-api" for span in self._dialing(call)
                ],
                "parked": self.parked,
            },
        )
        return found

    def transfer(self, within: Span) -> dict[str, list[Span]]:
        """What the durations of a transfer's outcome are made of."""
        customers = [call for call in self.calls if self._role(call) == "customer"]
        held = [_cut(span, within) for call in customers for span in self._held(call)]
        legs = [call for call in self.calls if self._role(call) in ("agent", "target")]
        talking = [
            _cut(span, within) for call in legs
            for span in self.presences.spans(call.sid, lambda one: not one.is_held, self.end_s)
        ]  # fmt: skip
        consult = spans_while(
            lambda count: count("held") == 1 and count("talking") > 1, {"held": held, "talking": talking}
        )
        return {"hold": held, "consult": consult}


def _cut(span: Span, within: Span) -> Span:
    since_s = min(max(span[0], within[0]), within[1])
    return since_s, max(since_s, min(span[1], within[1]))


class Deviation(NamedTuple):
    """A duration that an outcome and the model give differently."""

    session_id: str
    name: str
    reported_s: float
    measured_s: float
    #: How many spans were measured: each begins and ends within one of Twilio's seconds.
    spans: int

    @property
    def by_s(self) -> float:
        """By how much, seconds."""
        return abs(self.reported_s - self.measured_s)


def deviations(outcome: Mapping[str, str], measured: Measured) -> list[Deviation]:
    """What an outcome reports of each duration, next to what the model measured."""
    started_s, ended_s = (from_iso(outcome[name]) / 1000 for name in ("started_at", "ended_at"))
    if outcome["kind"] == "session":
        found = measured.session(msgspec.json.decode(outcome["attempts"]), started_s, ended_s)
    else:
        found = measured.transfer((started_s, ended_s))
    names = ("hold", "consult") if outcome["kind"] == "transfer" else (
        "answer", "bridged", "conference", "participant", "held", "alone")  # fmt: skip
    measured_spans = {name: [span for span in found.get(name, ()) if span[1] > span[0]] for name in names}
    return [
        Deviation(outcome["session"], name, float(outcome[f"{name}_s"] or 0), length_s(spans), len(spans))
        for name, spans in measured_spans.items()
    ]


def compared(
    stream: Any,
    calls: Mapping[str, Call],
    session_of: Mapping[str, str],
    presences: Presences,
    parked: Mapping[str, list[Span]],
) -> Iterator[tuple[Mapping[str, str], Measured]]:
    """Each outcome of a session or transfer, once, with what the model saw of its session."""
    outcomes = map(decode_fields, entries_of(stream))
    for outcome in {one["id"]: one for one in outcomes if one["kind"] in ("transfer", "session")}.values():
        own = [calls[sid] for sid, session_id in session_of.items() if session_id == outcome["session"]]
        end_s = max((one.ended_at_s or 0.0 for one in own), default=0.0)
        if own:
            yield outcome, Measured(own, presences, parked.get(outcome["session"], []), end_s)
