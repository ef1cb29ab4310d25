"""What is written can be read back, and what makes no sense is told by the field's name, never by its value."""

import contextlib
import dataclasses
from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statemachine.effects import EFFECTS
from statemachine.events import EVENTS, CallSeen, ParticipantSeen
from statemachine.seen import Seen
from statemachine.session import Party, Session
from statemachine.states import PartyStatus, Phase, State
from statemachine.step import CommandReport, CommandStatus
from streams import effect_codec, event_codec, session_codec
from streams.effect_codec import ForgetCalls, OutboxEntry, TellCommand
from streams.event_codec import BadEntryError
from streams.times import from_iso, to_iso

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
WORD = st.text("abcXYZ019-_", min_size=1, max_size=12)
MS = st.integers(0, 4_000_000_000_000)
BY_TYPE = {
    str: TEXT,
    int: st.integers(0, 2**53),
    bool: st.booleans(),
    int | None: st.one_of(st.none(), st.integers(0, 10**9)),
    tuple[CallSeen, ...]: st.lists(st.builds(CallSeen, TEXT, TEXT, TEXT, TEXT), max_size=3).map(tuple),
    tuple[ParticipantSeen, ...]: st.lists(st.builds(ParticipantSeen, TEXT, TEXT), max_size=3).map(tuple),
}


def built(kind):
    hints = get_type_hints(kind)
    fields = {field.name: BY_TYPE[hints[field.name]] for field in dataclasses.fields(kind)}
    if "occurred_at_ms" in fields:
        fields["occurred_at_ms"] = MS
    return st.builds(kind, **fields)


@given(st.one_of([built(event) for event in EVENTS]))
def test_every_event_can_be_read_back(event):
    entry = event_codec.encode(event)
    assert all(isinstance(name, str) and isinstance(value, str) for name, value in entry.items())
    assert event_codec.decode(entry, event.entry_id) == event


@given(st.one_of([built(effect) for effect in EFFECTS]), MS)
def test_every_effect_can_be_read_back(effect, ordered_at_ms):
    entry = OutboxEntry(effect, ordered_at_ms)
    assert effect_codec.decode(effect_codec.encode(entry)) == entry


@pytest.mark.parametrize("work", [
    TellCommand("s", CommandReport("c", CommandStatus.REJECTED, "nobody has answered yet")),
    ForgetCalls("s", ("CA1", "CA2")),
], ids=["tell", "forget"])  # fmt: skip
def test_every_chore_can_be_read_back(work):
    assert effect_codec.decode(effect_codec.encode(OutboxEntry(work, 5))) == OutboxEntry(work, 5)


def test_mark_of_a_done_effect_is_no_order():
    assert effect_codec.decode(b"done") is None


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"nonsense", b'{"kind":"redirect_call","ordered_at_ms":1}',
                                  b'{"kind":"unknown","ordered_at_ms":1}'])  # fmt: skip
def test_outbox_entry_that_makes_no_sense_is_told(body):
    with pytest.raises(BadEntryError):
        effect_codec.decode(body)


parties = st.builds(
    Party,
    name=WORD,
    label=TEXT,
    call_sid=TEXT,
    address=TEXT,
    status=st.sampled_from(PartyStatus),
    held=st.booleans(),
    muted=st.booleans(),
    left_reason=TEXT,
    in_room=st.booleans(),
    room_sequence=st.integers(-1, 10**6),
)
seen = st.builds(
    Seen,
    windows=st.dictionaries(WORD, st.tuples(st.integers(0, 10**6), st.integers(0, 2**64 - 1)), max_size=3),
    tokens=st.lists(TEXT, max_size=4).map(tuple),
)
sessions = st.builds(
    Session,
    id=WORD,
    state=st.sampled_from(State),
    phase=st.sampled_from(Phase),
    version=st.integers(1, 10**9),
    created_at_ms=MS,
    updated_at_ms=MS,
    ended_at_ms=MS,
    end_reason=TEXT,
    conference_sid=TEXT,
    parties=st.lists(parties, max_size=3, unique_by=lambda party: party.name).map(lambda p: {x.name: x for x in p}),
    first_left=TEXT,
    dial_call_status=TEXT,
    repaired=st.booleans(),
    redirecting=st.lists(WORD, max_size=3).map(tuple),
    moved_at_ms=MS,
    facts_version=st.integers(0, 10**9),
    converting_for=st.lists(WORD, max_size=3).map(tuple),
    ending_for=TEXT,
    ending_effects=st.lists(WORD, max_size=3).map(tuple),
    timers=st.dictionaries(st.sampled_from(["ring", "age", "lone"]), MS, max_size=3),
    seen=seen,
)


@given(sessions)
def test_every_session_can_be_read_back(session):
    fields = session_codec.encode(session)
    assert all(isinstance(value, str) for value in fields.values())
    assert session_codec.decode(fields) == session


def test_session_reads_as_people_expect():
    session = Session(
        "CA1",
        version=3,
        created_at_ms=1_795_165_380_677,
        parties={"agent": Party("agent", "agent-1", "CA2", "client:alice", PartyStatus.RINGING)},
    )
    assert session_codec.encode(session) == {
        "id": "CA1",
        "state": "bridged",
        "phase": "ringing",
        "version": "3",
        "direction": "inbound",
        "created_at": "2026-11-20T09:03:00.677Z",
        "updated_at": "",
        "ended_at": "",
        "end_reason": "",
        "conference_sid": "",
        "party.agent.call_sid": "CA2",
        "party.agent.address": "client:alice",
        "party.agent.label": "agent-1",
        "party.agent.status": "ringing",
        "party.agent.held": "false",
        "party.agent.muted": "false",
        "party.agent.left_reason": "",
    }


@pytest.mark.parametrize("field, value", [
    ("state", "flying"), ("version", "many"), ("created_at", "yesterday"), ("party.agent.status", "?"),
    ("seen", "{"), ("timers", "ring"),
])  # fmt: skip
def test_broken_record_names_the_field_and_not_its_value(field, value):
    fields = session_codec.encode(Session("CA1", version=1, parties={"agent": Party("agent", "a")})) | {field: value}
    with pytest.raises(session_codec.BrokenRecordError) as broken:
        session_codec.decode(fields)
    assert broken.value.field == field
    assert value not in str(broken.value)


@pytest.mark.parametrize("entry, reason", [
    ({}, "no type"),
    ({"type": ""}, "no type"),
    ({"type": "sneeze"}, "unknown type"),
    ({"type": "convert"}, "no session"),
    ({"type": "participant_joined", "session": "s", "conference_sid": "CF"}, "no call_sid"),
    ({"type": "lone_overdue", "session": "s", "due_ms": "soon"}, "due_ms makes no sense"),
    ({"type": "effect_failed", "session": "s", "effect_id": "e", "kind": "k", "gone": "maybe"}, "gone makes no sense"),
    ({"type": "calls_read", "session": "s", "effect_id": "e", "read_version": "1", "calls": "{"}, "calls makes no sense"),  # noqa: E501
])  # fmt: skip
def test_entry_that_makes_no_sense_is_told_by_its_field(entry, reason):
    with pytest.raises(BadEntryError) as bad:
        event_codec.decode(entry, "1-0")
    assert bad.value.reason == reason


@given(st.dictionaries(st.sampled_from(["type", "session", "sequence", "at", "due_ms", "calls", "gone"]), TEXT))
def test_any_entry_is_an_event_or_told(entry):
    with contextlib.suppress(BadEntryError):
        assert event_codec.decode(entry, "1-0").name == entry["type"]


def test_fields_that_this_version_does_not_know_are_passed_over():
    event = event_codec.decode({"type": "convert", "session": "s", "token": "c", "colour": "blue"}, "1-0")
    assert event.name == "convert"


@given(MS)
def test_times_can_be_read_back(unix_ms):
    assert from_iso(to_iso(unix_ms)) == unix_ms
