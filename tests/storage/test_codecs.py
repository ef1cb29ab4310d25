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
from conferral.statemachine.record import is_listed
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
from conferral.storage.codecs.session_codec import UNKNOWN_SESSION, CorruptHashError, stored_session
from conferral.storage.codecs.text_codec import decode_fields, from_iso, int_of, to_iso
from conferral.storage.partition.commit_store import SessionChange
from tests.support.each import each
from tests.support.people import CUSTOMER

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
WORD = st.text("abcXYZ019-_", min_size=1, max_size=12)
#: Without commas, which separate them.
PLACES = st.lists(WORD, max_size=3).map(tuple)
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
    int: st.integers(0, 2**53),
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
    listed = {name for name, hint in get_type_hints(kind, include_extras=True).items() if is_listed(hint)}
    fields = {
        field.name: PLACES
        if field.name in listed
        else MS
        if field.name.endswith("_ms") and hints[field.name] is int
        else BY_TYPE[hints[field.name]]
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


def record_of(session, **changes):
    """The hash as Redis returns it; a field that is changed to None is missing."""
    fields = {**session_codec.encode(session), **changes}
    return {name.encode(): text.encode() for name, text in fields.items() if text is not None}


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
    read = stored_session(session_codec.encode(session))
    shown = repr([OutboxEntry(effect, 5), SessionChange(session), conclusion, read])
    assert "5550123" not in shown
    assert token not in shown


# ---- sessions --------------------------------------------------------------------------------------------------------


@given(sessions, st.randoms())
def test_every_session_can_be_read_back(session, chance):
    record = record_of(session)
    # Redis keeps no order of fields; what is decided goes through the parties in theirs.
    shuffled = dict(chance.sample(list(record.items()), len(record)))
    found = session_codec.load(session.id, shuffled)
    assert found == session
    assert list(found.parties) == list(session.parties)
    read = stored_session(decode_fields(record))
    assert (read.damaged, read.is_known) == ("", True)
    assert all(getattr(read, name) == getattr(session, name) for name in Session.__struct_fields__)


def meant(stored):
    """Fields as they are read: a change of the order in a mapping means nothing, and is not written."""
    return {name: mapping_of(text) for name, text in stored.items()}


def mapping_of(text):
    """A text as the mapping that it is, or as it is."""
    try:
        return msgspec.json.decode(text) if text.startswith("{") else text
    except msgspec.DecodeError:
        return text


@given(sessions, sessions, st.data())
def test_changes_lead_from_one_hash_to_the_next(before, other, data):
    # Attributes not taken from the other session are the same objects, as after a decision.
    names = [field.name for field in dataclasses.fields(Session) if field.name not in {"id", "parties"}]
    taken = data.draw(st.lists(st.sampled_from(names), unique=True))
    parties = dict(before.parties)
    for name in data.draw(st.lists(st.sampled_from(sorted({*before.parties, *other.parties, "nobody"})), max_size=4)):
        parties.pop(name, None)
        if name in other.parties:
            parties[name] = other.parties[name]
    after = dataclasses.replace(before, parties=parties, **{name: getattr(other, name) for name in taken})
    stored, logged = session_codec.changes(after, before)
    changed = {**session_codec.encode(before), **stored}
    kept = {name: text for name, text in changed.items() if text is not None}
    assert meant(kept) == meant(session_codec.encode(after))
    pending_commands = {"pending_commands": logged.get("pending_commands")}  # without what is private
    assert logged == {
        name: text
        for name, text in (stored | pending_commands).items()
        if name in stored and session_codec.is_logged(name)
    }
    assert logged.keys() <= session_codec.encode(before).keys() | session_codec.encode(after).keys()


def test_only_what_has_changed_is_stored_again():
    before = Session("CA1", version=1, parties={"agent": Party("agent", "agent-1"), "customer": Party("customer", "c")})
    agent = dataclasses.replace(before.parties["agent"], held=True)
    after = dataclasses.replace(before, version=2, parties={**before.parties, "agent": agent})
    assert session_codec.changes(after, before) == (
        {"version": "2", "party.agent.held": "true"}, {"party.agent.held": "true"}
    )  # fmt: skip
    without = dataclasses.replace(after, parties={"agent": agent})
    removed = session_codec.changes(without, after).logged
    assert removed["party.customer.label"] is None


def test_logged_command_has_neither_destination_nor_message():
    command = PendingCommand("c1", "add", "bob", to=CUSTOMER, say="We close soon.", due_ms=9)
    logged = session_codec.changes(Session("CA1", version=1, pending_commands=(command,)), Session("CA1")).logged
    assert msgspec.json.decode(logged["pending_commands"]) == [{"command_id": "c1", "name": "add", "party": "bob"}]


def test_hash_reads_as_people_expect():
    agent = Party("agent", "agent-1", "CA2", "client:alice", PartyStatus.RINGING, dial_id="d1", answered_at_ms=1)
    session = Session("CA1", version=3, created_at_ms=1_795_165_380_677, conference_name="CA1", by="desk 7", ref="T-7",
                      number=CUSTOMER, parties={"agent": agent}, timers={"calls": 5})  # fmt: skip
    assert session_codec.encode(session) == {
        "id": "CA1", "state": "bridged", "phase": "ringing", "version": "3", "direction": "inbound",
        "created_at": "2026-11-20T09:03:00.677Z", "updated_at": "", "ended_at": "", "end_reason": "",
        "conference_sid": "", "conference_name": "CA1", "number": CUSTOMER, "by": "desk 7", "ref": "T-7",
        "party.agent.call_sid": "CA2", "party.agent.address": "client:alice", "party.agent.label": "agent-1",
        "party.agent.status": "ringing", "party.agent.since": "", "party.agent.held": "false",
        "party.agent.muted": "false", "party.agent.left_reason": "",
        "transfer.mode": "", "transfer.to": "", "transfer.by": "", "transfer.fallback": "", "transfer.status": "",
        "transfer.reason": "", "transfer.code": "",
        "timers": '{"calls":5}', "party_order": "agent",
        "party.agent.dial_id": "d1", "party.agent.answered_at": "1970-01-01T00:00:00.001Z",
    }  # fmt: skip


def test_transfer_and_recording_read_as_people_expect():
    attempt = Attempt("target", "client:a", "d1", 5, result="busy")
    transfer = TransferState(1, TransferMode.CONSULT, (CUSTOMER,), TransferStatus.RINGING, attempts=(attempt,))
    recording = Recording("RE1", "completed", of_conference=True, url="https://example.com/RE1", duration_s=62)
    fields = session_codec.encode(Session("CA1", version=3, transfer=transfer, recording=recording))
    assert {name: text for name, text in fields.items() if name.startswith(("transfer.", "recording."))} == {
        "transfer.mode": "consult", "transfer.to": CUSTOMER, "transfer.by": "", "transfer.status": "ringing",
        "transfer.reason": "", "transfer.code": "", "transfer.number": "1", "transfer.fallback": "",
        "transfer.attempts": '[{"party":"target","to":"client:a","dial_id":"d1","started_at_ms":5,"result":"busy"}]',
        "recording.sid": "RE1", "recording.status": "completed", "recording.url": "https://example.com/RE1",
        "recording.duration_s": "62", "recording.of_conference": "true",
    }  # fmt: skip


SESSION = Session(
    "S1", State.CONFERENCED, Phase.CONNECTED, version=4, timers={"age": 5},
    parties={"agent": Party("agent", "agent-1", held=True, dial_id="d1"), "customer": Party("customer", "customer-1")},
    transfer=TransferState(1, TransferMode.WARM, ("client:bob",)),
)  # fmt: skip


@pytest.mark.parametrize("field, text, damaged", [
    ("id", None, "id"), ("state", None, "state"), ("state", "flying", "state"), ("version", "x", "version"),
    ("version", "", "version"), ("created_at", "yesterday", "created_at"),
    ("party.agent.held", "perhaps", "party.agent.held"),
    ("party.agent.muted", None, "party.agent.muted"), ("transfer.mode", "sideways", "transfer.mode"),
    ("party_order", None, "party_order"), ("party_order", "agent", "party_order"), ("timers", "x", "timers"),
    ("party.agent.status", None, "party_order"), ("party.bob.status", "left", "party_order"),
    ("transfer.number", None, "transfer.number"),
])  # fmt: skip
def test_damaged_field_is_named_and_everything_else_is_read(field, text, damaged):
    record = record_of(SESSION, **{field: text})
    with pytest.raises(CorruptHashError) as error:
        session_codec.load("S1", record)
    assert error.value.field == damaged
    read = stored_session(decode_fields(record))
    assert read.damaged == damaged
    assert (read.parties["customer"].label, read.direction) == ("customer-1", "inbound")


def test_hash_of_another_session_is_not_loaded():
    with pytest.raises(CorruptHashError) as error:
        session_codec.load("S2", record_of(SESSION))
    assert error.value.field == "id"
    assert session_codec.load("S2", {}) == Session("S2")


def test_field_of_a_newer_version_is_shown_and_no_damage():
    record = record_of(SESSION, **{"party.agent.mood": "good", "mood": "better"})
    assert session_codec.load("S1", record) == SESSION
    fields = stored_session(decode_fields(record)).fields
    assert fields == {**session_codec.encode(SESSION), "party.agent.mood": "good", "mood": "better"}


@each("field, text", [
    ("attributes", "{"), ("attributes", "[]"), ("pending_commands", "[5]"), ("pending_commands", '[{"party":"x"}]'),
    ("agent_number", "two"), ("agent_number", ""), ("timers", "x = y=z"), ("created_at", "yesterday"),
    ("transfer.attempts", "{"), ("party.agent.address", CUSTOMER),  # a party has a status
])  # fmt: skip
def test_invalid_field_counts_as_missing(field, text):
    read = stored_session({"state": "bridged", field: text})
    assert dataclasses.replace(read, fields={}) == dataclasses.replace(stored_session({"state": "bridged"}), fields={})


@given(st.dictionaries(st.sampled_from(["phase", "mode", "opening", "attributes", "agents", "pending_commands", "seen",
                                        "agent_number", "party.agent.supervises", "party.agent.wait_audio", "party.",
                                        "party.agent.status", "transfer.mode", "transfer.attempts", "timers", "\ufffd",
                                        "recording.status", "recording.duration_s", "party_order", "."]),
                       st.text(max_size=40)))  # fmt: skip
def test_any_hash_with_a_state_is_shown(fields):
    assert stored_session({"state": "bridged", **fields}).state == State.BRIDGED


def test_unknown_words_stay():
    read = stored_session({"id": "S1", "state": "flying", "phase": "high", "party.agent.status": "singing"})
    assert (read.state, read.phase, read.parties["agent"].status, read.is_live) == ("flying", "high", "singing", True)
    assert (UNKNOWN_SESSION.state, UNKNOWN_SESSION.is_live, UNKNOWN_SESSION.is_known) == ("", False, False)


def test_parties_are_read_in_the_order_of_display():
    names = ["customer", "agent", "target", "target-2", "target-10", "ann", "ann-0", "ann-\u0663", "ann-2", "bob",
             "agent-1", "supervisor"]  # fmt: skip
    assert list(stored_session({f"party.{name}.status": "left" for name in reversed(names)}).parties) == names


@each("text", ["", "{", "[]", "5", '{"a": 5, "b": "c", "d": null}'])
def test_changes_of_a_log_by_hand_are_read_as_far_as_possible(text):
    assert LogEntry.of("1-0", {"changes": text}).changes == ({"b": "c", "d": None} if "a" in text else {})


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
