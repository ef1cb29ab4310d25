"""What is written can be read back, and an invalid field is reported by name, never by value."""

import dataclasses
from collections.abc import Mapping
from typing import get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conferral.statemachine.effects import EFFECTS, CreateCall
from conferral.statemachine.events import (
    EVENTS,
    Automatic,
    CallSeen,
    CallsOverdue,
    Convert,
    ParticipantFound,
    ParticipantSeen,
)
from conferral.statemachine.parts import (
    DEFAULT_ATTRIBUTES,
    Attempt,
    ConferenceAttributes,
    DialOptions,
    PendingCommand,
    QueueOptions,
    Recording,
    SeenEvents,
    TransferState,
    Voicemail,
)
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import (
    Opening,
    PartyStatus,
    Phase,
    SessionMode,
    State,
    TransferMode,
    TransferStage,
    TransferStatus,
    WaitAudio,
)
from conferral.statemachine.step import Conclusion
from conferral.storage.codecs import effect_codec, event_codec, session_codec
from conferral.storage.codecs.effect_codec import OutboxEntry
from conferral.storage.codecs.event_codec import BadEntryError
from conferral.storage.codecs.log_codec import LogEntry
from conferral.storage.codecs.session_codec import CorruptHashError, for_readers, public
from conferral.storage.codecs.text_codec import from_iso, int_of, to_iso
from conferral.storage.partition.commit_store import SessionChange
from tests.support.each import each
from tests.support.flat_sessions import in_bytes
from tests.support.people import CUSTOMER

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
WORD = st.text("abcXYZ019-_", min_size=1, max_size=12)
MS = st.integers(0, 4_000_000_000_000)
WORDS = (
    State,
    Phase,
    PartyStatus,
    TransferMode,
    TransferStatus,
    TransferStage,
    WaitAudio,
    SessionMode,
    Opening,
)
BY_TYPE = {
    str: TEXT,
    int: st.integers(0, 10**15 - 1),
    bool: st.booleans(),
    int | None: st.none() | st.integers(0, 10**9),
    bool | None: st.none() | st.booleans(),
    tuple[str, ...]: st.lists(TEXT, max_size=3).map(tuple),
    Mapping[str, bool]: st.dictionaries(st.sampled_from(["RE1", "CF1", "CA1"]), st.booleans(), max_size=3),
    Mapping[str, int]: st.dictionaries(st.sampled_from(["calls", "age", "lone"]), MS, max_size=3),
    **{kind: st.sampled_from(kind) for kind in WORDS},
}


def built(kind, **given):
    """Any of a record class, made from the types of its fields, so that none that is added to it is forgotten here."""
    hints = get_type_hints(kind)
    fields = {
        field.name: MS if field.name.endswith("_ms") and hints[field.name] is int else BY_TYPE[hints[field.name]]
        for field in dataclasses.fields(kind)
        if field.name not in given
    }
    return st.builds(kind, **fields, **given)


for kind in (CallSeen, ParticipantSeen, ParticipantFound, Attempt):
    BY_TYPE[tuple[kind, ...]] = st.lists(built(kind), max_size=3).map(tuple)
BY_TYPE[DialOptions] = built(DialOptions)
BY_TYPE[QueueOptions] = built(QueueOptions)
BY_TYPE[ConferenceAttributes] = st.just(DEFAULT_ATTRIBUTES) | built(ConferenceAttributes)
BY_TYPE[tuple[PendingCommand, ...]] = st.lists(built(PendingCommand), max_size=3).map(tuple)
BY_TYPE[Recording | None] = st.none() | built(Recording)
BY_TYPE[Voicemail | None] = st.none() | built(Voicemail)
BY_TYPE[TransferState | None] = st.none() | built(TransferState)
BY_TYPE[SeenEvents] = st.builds(
    SeenEvents,
    numbers=st.dictionaries(WORD, st.lists(st.integers(0, 10**6), max_size=4).map(tuple), max_size=3),
    tokens=st.lists(TEXT, max_size=4).map(tuple),
)
parties = built(Party, name=WORD, conference_sequence=st.integers(-1, 10**6))
sessions = built(
    Session,
    id=WORD,
    version=st.integers(1, 10**9),
    parties=st.lists(parties, max_size=4).map(lambda some: {party.name: party for party in some}),
).map(lambda one: one if one.internal_transfer is not None else dataclasses.replace(one, earlier_transfer=None))


def record_of(session, /, **changes):
    """The hash as Redis returns it; a field that is changed to None is missing."""
    fields = {**session_codec.encode(session), **changes}
    return in_bytes({name: text for name, text in fields.items() if text is not None})


# ---- events and effects ----------------------------------------------------------------------------------------------


@given(st.one_of([built(event) for event in EVENTS]))
def test_every_event_can_be_read_back(event):
    entry = event_codec.encode(event)
    assert all(type(name) is type(value) is str for name, value in entry.items())
    assert event_codec.decode(entry, event.entry_id) == event


def test_event_is_shown_field_by_field():
    event = CallsOverdue(session_id="s", token="t", due_ms=5)
    assert event_codec.as_text(event_codec.encode(event)) == {
        "type": "calls_overdue", "session": "s", "token": "t", "due_ms": "5",
    }  # fmt: skip
    assert event_codec.as_text({"type": "x", "event": "{"}) == {"type": "x", "event": "{"}


def test_automatic_table_rows_are_never_stored():
    with pytest.raises(KeyError):
        event_codec.encode(Automatic(session_id="s"))
    with pytest.raises(BadEntryError, match=r"^unknown type$"):
        event_codec.decode({"type": Automatic.name, "event": '{"session_id":"s"}'}, "1-0")


@pytest.mark.parametrize("entry, problem", [
    ({}, "missing field type"),
    ({"type": "convert"}, "missing field event"),
    ({"type": "convert", "event": "{"}, "invalid field event"),
    ({"type": "convert", "event": "{}"}, "invalid field event"),
    ({"type": "convert", "event": f'{{"session_id":"{CUSTOMER}","token":5}}'}, "invalid field event"),
    ({"type": "dance", "event": "{}"}, "unknown type"),
])  # fmt: skip
def test_invalid_entry_is_reported_without_any_value(entry, problem):
    with pytest.raises(BadEntryError) as error:
        event_codec.decode(entry, "1-0")
    assert str(error.value) == problem


@given(st.dictionaries(st.sampled_from(["type", "session", "event"]), TEXT))
def test_any_entry_is_decoded_or_refused(entry):
    with pytest.raises(BadEntryError):
        event_codec.decode(entry, "1-0")
    assert event_codec.as_text(entry).keys() >= entry.keys() - {"event"}


def test_fields_of_a_newer_version_are_passed_over():
    entry = {"type": "convert", "session": "s", "mood": "good", "event": '{"session_id":"s","token":"c","mood":"good"}'}
    assert event_codec.decode(entry, "1-0") == Convert(session_id="s", token="c", entry_id="1-0")


@given(st.one_of([built(effect) for effect in EFFECTS]), MS, st.none() | MS)
def test_every_outbox_entry_can_be_read_back(effect, committed_at_ms, sent_at_ms):
    entry = OutboxEntry(effect, committed_at_ms, sent_at_ms, (3, 1))
    assert effect_codec.decode(effect_codec.encode(entry)) == entry


@each("body", [b"", b"{}", b"[]", b"nonsense", b'{"committed_at_ms":1}', b'{"committed_at_ms":1,"effect":{}}',
               b'{"committed_at_ms":1,"effect":{"kind":"redirect_call"}}',
               b'{"committed_at_ms":1,"effect":{"kind":"unknown"}}',
               b'{"committed_at_ms":1,"effect":{"kind":"\xff"}}'])  # fmt: skip
def test_invalid_outbox_entry_is_reported(body):
    with pytest.raises(BadEntryError):
        effect_codec.decode(body)


def test_stored_types_hide_phone_numbers_when_shown():
    token = "%7B%22parentCallInfoToken%22%7D"
    effect = CreateCall(
        effect_id="e", session_id="s", to=CUSTOMER, options=DialOptions(caller_id=CUSTOMER), call_token=token
    )
    session = Session("s", version=1, call_token=token, parties={"customer": Party("customer", "c", address=CUSTOMER)},
                      agents=(CUSTOMER,), parked_by=CUSTOMER, pending_commands=(
                          PendingCommand("c", "add", to=CUSTOMER, url=CUSTOMER, say=CUSTOMER),))  # fmt: skip
    conclusion = Conclusion("s:t1", "transfer", "s", "failed", to=(CUSTOMER,))
    read = for_readers(session_codec.load("s", in_bytes(session_codec.encode(session))))
    shown = repr([OutboxEntry(effect, 5), SessionChange(session), conclusion, read])
    assert "5550123" not in shown
    assert token not in shown


# ---- sessions --------------------------------------------------------------------------------------------------------


@given(sessions)
def test_every_session_can_be_read_back(session):
    found = session_codec.load(session.id, record_of(session))
    assert found == session
    assert list(found.parties) == list(session.parties)
    read = for_readers(found)
    assert (read.call_token, read.parties) == ("", session.parties)


def test_hash_reads_as_people_expect():
    agent = Party("agent", "agent-1", "CA2", "client:alice", PartyStatus.RINGING, dial_id="d1", answered_at_ms=1)
    session = Session("CA1", version=3, created_at_ms=1_795_165_380_677, conference_name="CA1", by="desk 7", ref="T-7",
                      number=CUSTOMER, parties={"agent": agent}, timers={"calls": 5})  # fmt: skip
    found = session_codec.encode(session)
    assert msgspec.json.decode(found.pop("session")) == {
        "id": "CA1", "state": "bridged", "phase": "ringing", "version": 3, "direction": "inbound",
        "created_at_ms": 1_795_165_380_677, "conference_name": "CA1", "number": CUSTOMER,
        "by": "desk 7", "ref": "T-7", "timers": {"calls": 5},
        "parties": {"agent": {"name": "agent", "label": "agent-1", "call_sid": "CA2", "address": "client:alice",
                              "status": "ringing", "dial_id": "d1", "answered_at_ms": 1}},
    }  # fmt: skip
    assert found == {
        "state": "bridged", "phase": "ringing", "people": "agent ringing", "version": "3", "updated_at": "",
        "end_reason": "",
    }  # fmt: skip


def test_people_are_shown_as_they_are_without_numbers_and_without_those_who_left():
    people = {
        "customer": Party("customer", "customer-1", address=CUSTOMER, status=PartyStatus.CONNECTED, held=True),
        "agent": Party("agent", "agent-1", status=PartyStatus.CONNECTED, muted=True),
        "target": Party("target", "target-1", address=CUSTOMER, status=PartyStatus.RINGING),
        "ann": Party("ann", "ann-1", status=PartyStatus.LEFT),
    }
    session = Session("CA1", version=3, updated_at_ms=1, parties=people)
    shown = "customer connected, held; agent connected, muted; target ringing"
    assert session_codec.encode(session)["people"] == shown
    assert session_codec.encode(session)["updated_at"] == "1970-01-01T00:00:00.001Z"


def test_what_readers_rely_on_is_there_even_if_it_is_the_default():
    transfer = TransferState(1, TransferMode.WARM, ())
    session = Session("CA1", version=1, parties={"agent": Party("agent", "agent-1")}, transfer=transfer)
    found = msgspec.json.decode(session_codec.encode(session)["session"])
    assert found == {
        "id": "CA1", "state": "bridged", "phase": "ringing", "version": 1, "direction": "inbound", "created_at_ms": 0,
        "parties": {"agent": {"name": "agent", "label": "agent-1", "status": "dialing"}},
        "transfer": {"number": 1, "mode": "warm", "to": [], "status": "dialing"},
    }  # fmt: skip


INTERNAL = TransferState(2, TransferMode.LOSS, ("client:ann",))
EARLIER = TransferState(1, TransferMode.WARM, ("client:bob",), TransferStatus.COMPLETED)


@each("before, mode", [(None, None), (EARLIER, "warm")])
def test_recall_or_fallback_of_the_call_itself_is_stored_as_no_transfer(before, mode):
    session = Session("CA1", version=1, transfer=INTERNAL, earlier_transfer=before)
    record = record_of(session)
    found = msgspec.json.decode(record[b"session"])
    assert (found.get("transfer", {}).get("mode"), found["internal_transfer"]["mode"]) == (mode, "loss")
    assert session_codec.load("CA1", record) == session
    assert (public(session)["transfer"] or {}).get("mode") == mode


SESSION = Session(
    "S1", State.CONFERENCED, Phase.CONNECTED, version=4, timers={"age": 5},
    parties={"agent": Party("agent", "agent-1", held=True, dial_id="d1"), "customer": Party("customer", "customer-1")},
    transfer=TransferState(1, TransferMode.WARM, ("client:bob",)),
)  # fmt: skip


def damaged(old: str, new: str) -> str:
    """The record of the session with another text in it."""
    text = session_codec.encode(SESSION)["session"]
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize("field, text, at", [
    ("session", None, "session"), ("session", "", "session"), ("session", "[]", "session"),
    ("session", "{", "session"), ("session", damaged('"conferenced"', '"flying"'), "session"),
    ("session", damaged('"label":"agent-1",', ""), "session"),
    ("session", damaged('"held":true', '"held":1'), "session"),
    ("session", damaged('"warm"', '"sideways"'), "session"), ("session", damaged('"age":5', '"age":"x"'), "session"),
    ("session", damaged('"age":5', f'"age":{"9" * 16}'), "session"), ("session", damaged('"S1"', '"S2"'), "id"),
    ("session", f'{{"more":{"[" * 10_000}{"]" * 10_000},{damaged("{", "")[1:]}', "session"),
    ("version", "3", "version"), ("version", None, "version"), ("version", "", "version"),
])  # fmt: skip
def test_record_that_can_not_be_read_is_refused_by_field_and_never_by_value(field, text, at):
    with pytest.raises(CorruptHashError, match=rf"^the session can't be read: {at}$"):
        session_codec.load("S1", record_of(SESSION, **{field: text}))


def test_key_of_another_type_is_refused_and_none_is_a_new_session():
    with pytest.raises(CorruptHashError):
        session_codec.load("S2", None)
    assert session_codec.load("S2", {}) == Session("S2")


def test_long_digits_in_a_text_are_no_damage():
    session = dataclasses.replace(SESSION, ref='"order\\":1234567890123456789012')
    assert session_codec.load("S1", record_of(session)) == session


def test_keys_of_a_newer_release_are_passed_over():
    record = record_of(SESSION, session=damaged('"held":true', '"held":true,"mood":{"is":["good"]}'), colour="red")
    assert session_codec.load("S1", record) == SESSION


def test_public_json_has_null_for_what_is_empty():
    agent = Party("agent", "agent-1", "CA2", "client:alice", PartyStatus.CONNECTED, since_ms=1, held=True)
    transfer = TransferState(1, TransferMode.WARM, (CUSTOMER, "client:bob"), reason="busy", code="21220")
    session = dataclasses.replace(SESSION, parties={"agent": agent}, transfer=transfer, created_at_ms=1)
    assert public(session) == {
        "id": "S1", "state": "conferenced", "phase": "connected", "version": 4, "direction": "inbound",
        "created_at": "1970-01-01T00:00:00.001Z", "updated_at": None, "ended_at": None, "end_reason": None,
        "number": None, "by": None, "ref": None, "conference": None,
        "parties": {"agent": {"label": "agent-1", "call_sid": "CA2", "address": "client:alice", "status": "connected",
                              "since": "1970-01-01T00:00:00.001Z", "held": True, "muted": False, "left_reason": None}},
        "transfer": {"mode": "warm", "to": f"{CUSTOMER},client:bob", "by": None, "fallback": None,
                     "status": "dialing", "reason": "busy", "code": 21220},
    }  # fmt: skip


def test_readers_get_the_parties_in_the_order_of_display():
    names = ["customer", "agent", "target", "target-2", "target-10", "ann", "ann-0", "ann-\u0663", "ann-2", "bob",
             "agent-1", "supervisor"]  # fmt: skip
    session = dataclasses.replace(SESSION, parties={name: Party(name, name) for name in reversed(names)})
    assert list(for_readers(session).parties) == names


@each("text", ["", "{", "[]", "5", '{"a": [5], "b": "c", "d": null, "e": true}'])
def test_changes_of_a_log_by_hand_are_read_as_far_as_possible(text):
    found = {"b": "c", "d": None, "e": True} if "a" in text else {}
    assert LogEntry.of("1-0", {"changes": text}).changes == found


# ---- numbers and times -----------------------------------------------------------------------------------------------


@each("raw, number", [(None, 0), (b"", 0), (b"7", 7), (b"-7", -7), (b"seven", 0)])
def test_number_of_another_program_counts_as_none(raw, number):
    assert int_of(raw) == number


@each("unix_ms, text", [(0, ""), (1, "1970-01-01T00:00:00.001Z"), (-5, "1970-01-01T00:00:00.000Z"),
                        (10**15, "9999-12-31T23:59:59.000Z")],
)  # fmt: skip
def test_time_out_of_range_is_shown_as_the_nearest(unix_ms, text):
    assert to_iso(unix_ms) == text


@each("text", ["yesterday", "0001-01-01T00:00:00"])
def test_text_that_is_no_time_is_refused(text):
    with pytest.raises(ValueError):
        from_iso(text)
