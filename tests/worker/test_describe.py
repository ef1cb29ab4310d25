"""Events in a few words for the session's log: enough to follow a transfer, and nobody's number."""

import dataclasses
from typing import get_type_hints

import pytest

from statemachine.events import (
    EVENTS,
    Call,
    CallProgressed,
    CallSeen,
    Cancel,
    ConferenceStarted,
    GateDecided,
    GateDecision,
    GateReached,
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
    StageOverdue,
    Transfer,
)
from statemachine.session import Party, Session
from worker.describe import detail_of

NUMBER = "+14155550123"
#: What is about a person, or lets somebody dial.
PRIVATE = frozenset({"customer_address", "agent_address", "address", "call_token", "to", "agent", "customer", "brief",
                     "digits"})  # fmt: skip


@pytest.mark.parametrize("event, words", [
    (Transfer(session_id="s", to=NUMBER, mode="blind"), "blind to 1 target"),
    (Transfer(session_id="s", to=f"{NUMBER},client:bob", mode="consult"), "consult to 2 targets"),
    (Transfer(session_id="s", to=NUMBER, mode=NUMBER), "unknown mode to 1 target"),
    (Call(session_id="s", agent="client:alice", customer=NUMBER), "agent first, then customer"),
    (Cancel(session_id="s"), ""),
    (GateReached(session_id="s", dial="d1", call_sid="CA3"), "CA3"),
    (GateDecided(session_id="s", dial="d1", call_sid="CA3", decision=GateDecision.TOO_LATE), "CA3 too-late"),
    (ParticipantChanged(session_id="s", conference_sid="CF1", call_sid="CA1", label="customer-1",
                        kind="participant-hold", held=True), "customer-1 participant-hold (held)"),
    (ParticipantJoined(session_id="s", conference_sid="CF1", call_sid="CA1"), "CA1"),
    (ParticipantChanged(session_id="s", conference_sid="CF1", call_sid="CA1", kind="participant-modify"),
     "CA1 participant-modify"),
    (ParticipantChanged(session_id="s", conference_sid="CF1", call_sid="CA1", label="agent-1", muted=True,
                        ends_conference=True), "agent-1 (muted, ends the conference)"),
    (ConferenceStarted(session_id="s", conference_sid="CF1"), ""),
    (StageOverdue(session_id="s", due_ms=5), ""),
])  # fmt: skip
def test_event_is_told_in_a_few_words(event, words):
    assert detail_of(event, Session("s")) == words


@pytest.mark.parametrize("call_sid, words", [
    ("CA1", "agent completed"),
    ("CA2", "target completed"),
    ("CA3", "call completed"),
], ids=["now-the-agent", "the-target", "gone-before"])  # fmt: skip
def test_call_is_told_under_the_name_that_its_party_has_now(call_sid, words):
    """Who was dialled as target and is agent now still reports as target."""
    parties = {name: Party(name, label, sid) for name, label, sid in
               [("agent", "target-1", "CA1"), ("target", "target-2", "CA2")]}  # fmt: skip
    event = CallProgressed(session_id="s", party="target", call_sid=call_sid, status="completed")
    assert detail_of(event, Session("s", parties=parties)) == words


ROOM = {"session_id": "s", "conference_sid": "CF1"}


@pytest.mark.parametrize("event, words", [
    (ParticipantJoined(**ROOM, call_sid="CA1", label="target-1"), "agent"),
    (ParticipantLeft(**ROOM, call_sid="CA1", label="target-1"), "agent"),
    (ParticipantChanged(**ROOM, call_sid="CA1", label="target-1", kind="participant-unhold"),
     "agent participant-unhold"),
    (ParticipantJoined(**ROOM, call_sid="CA9", label="target-3"), "target"),
    (ParticipantJoined(**ROOM, call_sid="CA2", label="agent-1"), "agent-1"),
    (ParticipantJoined(**ROOM, call_sid="CA3", label="target-2"), "target-2"),
], ids=["joins", "leaves", "changes", "call-not-known-yet", "former-agent", "stranger"])  # fmt: skip
def test_participant_is_told_under_the_name_that_the_party_has_now(event, words):
    """The label stays what it was when the leg was dialled, and tells strangers alone."""
    parties = {name: Party(name, label, sid) for name, label, sid in
               [("agent", "target-1", "CA1"), ("agent-1", "agent-1", "CA2"), ("target", "target-3", "")]}  # fmt: skip
    assert detail_of(event, Session("s", parties=parties)) == words


@pytest.mark.parametrize("kind", EVENTS)
def test_no_event_tells_whom_it_is_about(kind):
    """Every field that holds an address or a secret is filled with a number; the words hold none of it."""
    values = {}
    for field, hint in get_type_hints(kind).items():
        if field in PRIVATE:
            values[field] = NUMBER
        elif hint == tuple[CallSeen, ...]:
            values[field] = (CallSeen("CA1", "in-progress", to=NUMBER),)
        elif hint is str and field not in ("entry_id", "name", "timer"):
            values[field] = "word"
        elif hint is int:
            values[field] = 7
    needed = {field.name for field in dataclasses.fields(kind)}
    event = kind(**{name: value for name, value in values.items() if name in needed})
    assert "5550123" not in detail_of(event, Session("s"))
