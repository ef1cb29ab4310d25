"""What is written can be read back, and an invalid field is reported by name, never by value."""

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import get_type_hints

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conferral.statemachine.conference_attributes import DEFAULT_ATTRIBUTES, ConferenceAttributes
from conferral.statemachine.deduplication import SeenEvents
from conferral.statemachine.effects import EFFECTS, CreateCall, CreateParticipant, RedirectCall
from conferral.statemachine.events import (
    EVENTS,
    Automatic,
    CallSeen,
    Convert,
    GateDecided,
    GateDecision,
    ParticipantFound,
    ParticipantSeen,
)
from conferral.statemachine.pending_command import PendingCommand, Recording
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
from conferral.statemachine.step import CommandReport, CommandStatus, OutcomeRecord
from conferral.statemachine.transfer import Attempt, DialOptions, TransferState
from conferral.storage.codecs import effect_codec, event_codec, hash_codec, session_codec
from conferral.storage.codecs.effect_codec import ExpireCalls, OutboxEntry, PublishOutcome, ReportCommand
from conferral.storage.codecs.event_codec import BadEntryError
from conferral.storage.codecs.hash_codec import CorruptHashError
from conferral.storage.codecs.timestamps import from_iso, to_iso
from conferral.storage.partition.partition_store import Entry
from conferral.storage.partition.session_store import SessionChange
from tests.support.each import each

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
NUMBER = "+14155550123"
WORD = st.text("abcXYZ019-_", min_size=1, max_size=12)
MS = st.integers(0, 4_000_000_000_000)
BY_TYPE = {
    str: TEXT,
    int: st.integers(0, 2**53),
    bool: st.booleans(),
    int | None: st.one_of(st.none(), st.integers(0, 10**9)),
    bool | None: st.one_of(st.none(), st.booleans()),
    tuple[str, ...]: st.lists(WORD, max_size=3).map(tuple),
    Mapping[str, int]: st.dictionaries(st.sampled_from(["ring", "age", "lone"]), MS, max_size=3),
    **{
        kind: st.sampled_from(kind)
        for kind in (
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
    },
}


def built(kind, **given):
    """Any of a dataclass, made from the types of its fields, so that none that is added to it is forgotten here."""
    hints = get_type_hints(kind)
    fields = {
        field.name: MS if field.name.endswith("_ms") else BY_TYPE[hints[field.name]]
        for field in dataclasses.fields(kind)
        if field.name not in given
    }
    return st.builds(kind, **fields, **given)


BY_TYPE[tuple[CallSeen, ...]] = st.lists(built(CallSeen), max_size=3).map(tuple)
BY_TYPE[tuple[ParticipantSeen, ...]] = st.lists(built(ParticipantSeen), max_size=3).map(tuple)
BY_TYPE[tuple[ParticipantFound, ...]] = st.lists(built(ParticipantFound), max_size=3).map(tuple)
BY_TYPE[tuple[Attempt, ...]] = st.lists(built(Attempt), max_size=3).map(tuple)
BY_TYPE[DialOptions] = built(DialOptions)
BY_TYPE[ConferenceAttributes] = st.just(DEFAULT_ATTRIBUTES) | built(ConferenceAttributes)
BY_TYPE[tuple[PendingCommand, ...]] = st.lists(built(PendingCommand), max_size=3).map(tuple)
BY_TYPE[Recording | None] = st.none() | built(Recording)
BY_TYPE[SeenEvents] = st.builds(
    SeenEvents,
    windows=st.dictionaries(WORD, st.tuples(st.integers(0, 10**6), st.binary(max_size=32)), max_size=3),
    tokens=st.lists(TEXT, max_size=4).map(tuple),
)


@given(st.one_of([built(event) for event in EVENTS]))
def test_every_event_can_be_read_back(event):
    entry = event_codec.encode(event)
    assert all(isinstance(name, str) and isinstance(value, str) for name, value in entry.items())
    assert event_codec.decode(entry, event.entry_id) == event
    text = event_codec.as_text(entry)
    assert event_codec.PACKED not in text
    assert event_codec.decode(text, event.entry_id) == event


@each("event", EVENTS)
def test_every_field_of_an_event_has_a_codec(event):
    fields = {field.name for field in dataclasses.fields(event)} - {"entry_id"}
    assert event_codec.codec_of(event.name).columns.keys() == fields


@given(st.one_of([built(effect) for effect in EFFECTS]), MS, st.none() | MS)
def test_every_effect_can_be_read_back(effect, committed_at_ms, lost_since_ms):
    entry = OutboxEntry(effect, committed_at_ms, lost_since_ms=lost_since_ms)
    assert effect_codec.decode(effect_codec.encode(entry)) == entry


@pytest.mark.parametrize("work", [
    ReportCommand("s", CommandReport("c", CommandStatus.REJECTED, "no one has answered yet")),
    ExpireCalls("s", ("CA1", "CA2")),
    PublishOutcome(OutcomeRecord("s:t1", "transfer", "s", "failed", "busy", "blind", NUMBER,
                              (Attempt("target", NUMBER, "d1", 2, ended_at_ms=8, result="busy"),), 1, 9)),
], ids=["tell", "forget", "outcome"])  # fmt: skip
def test_every_post_commit_write_can_be_read_back(work):
    assert effect_codec.decode(effect_codec.encode(OutboxEntry(work, 5))) == OutboxEntry(work, 5)


def test_words_of_closed_lists_are_written_as_their_text():
    event = GateDecided(session_id="s", dial="d", call_sid="CA1", decision=GateDecision.TAKEN)
    assert event_codec.as_text(event_codec.encode(event))["decision"] == "taken"
    effect = CreateParticipant(effect_id="e", session_id="s", to="client:a", timeout_s=30, conference="CF1",
                               label="target-1", early_media=True)  # fmt: skip
    assert b'"early_media":true' in effect_codec.encode(OutboxEntry(effect, 1))


def test_attributes_of_an_effect_are_nested_and_left_out_where_the_directory_says_nothing():
    effect = RedirectCall(effect_id="e", session_id="s", call_sid="CA1", conference="CF1", label="agent-1")
    assert "attributes" not in orjson.loads(effect_codec.encode(OutboxEntry(effect, 1)))
    special = dataclasses.replace(effect, attributes=ConferenceAttributes(beep="true"))
    assert orjson.loads(effect_codec.encode(OutboxEntry(special, 1)))["attributes"]["beep"] == "true"


@given(st.one_of([built(event) for event in EVENTS]))
def test_empty_field_that_is_not_text_counts_as_absent(event):
    entry = event_codec.as_text(event_codec.encode(event))
    for field in dataclasses.fields(event):
        if get_type_hints(type(event))[field.name] is not str and field.default is not dataclasses.MISSING:
            entry["at" if field.name == "occurred_at_ms" else field.name] = ""
            event = dataclasses.replace(event, **{field.name: field.default})
    assert event_codec.decode(entry, event.entry_id) == event


def test_automatic_table_rows_are_never_stored():
    with pytest.raises(KeyError):
        event_codec.encode(Automatic(session_id="s"))
    with pytest.raises(BadEntryError, match=r"^unknown type$"):
        event_codec.decode({"type": Automatic.name, "session": "s"}, "1-0")


def test_stored_types_hide_phone_numbers_when_shown():
    token = "%7B%22parentCallInfoToken%22%7D"
    effect = CreateCall(effect_id="e", session_id="s", to=NUMBER, timeout_s=30, caller_id=NUMBER, call_token=token)
    session = Session("s", version=1, call_token=token, parties={"customer": Party("customer", "c", address=NUMBER)},
                      agents=(NUMBER,), parked_by=NUMBER,
                      pending_commands=(PendingCommand("c", "add", to=NUMBER, url=NUMBER, say=NUMBER),))  # fmt: skip
    conclusion = OutcomeRecord("s:t1", "transfer", "s", "failed", to=NUMBER)
    shown = repr([OutboxEntry(effect, 5), SessionChange(session, session), PublishOutcome(conclusion)])
    assert "5550123" not in shown
    assert token not in shown


def test_mark_of_a_done_effect_is_no_order():
    assert effect_codec.decode(b"done") is None


@each("body", [b"", b"{}", b"[]", b"nonsense", b'{"kind":"redirect_call","committed_at_ms":1}',
                                  b'{"kind":"unknown","committed_at_ms":1}'])  # fmt: skip
def test_invalid_outbox_entry_is_reported(body):
    with pytest.raises(BadEntryError):
        effect_codec.decode(body)


parties = built(Party, name=WORD, conference_sequence=st.integers(-1, 10**6)).map(lambda party: {party.name: party})
sessions = built(
    Session,
    id=WORD,
    version=st.integers(1, 10**9),
    parties=st.lists(parties, max_size=4).map(
        lambda some: {name: party for one in some for name, party in one.items()}
    ),
    transfer=st.none() | built(TransferState),
)


@given(sessions, st.randoms())
def test_every_session_can_be_read_back(session, chance):
    fields = session_codec.encode(session)
    assert all(type(value) is str for value in fields.values())
    # Redis keeps no order of fields; what is decided goes through the parties in theirs.
    shuffled = dict(chance.sample(list(fields.items()), len(fields)))
    found = session_codec.decode(shuffled)
    assert found == session
    assert list(found.parties) == list(session.parties)


@given(sessions, sessions, st.data())
def test_changes_lead_from_one_hash_to_the_next(before, other, data):
    # Attributes not taken from the other session are the same objects, as after a decision.
    names = [field.name for field in dataclasses.fields(Session) if field.name not in {"id", "parties"}]
    taken = data.draw(st.lists(st.sampled_from(names), unique=True))
    if other.transfer is None:  # A session keeps its newest transfer.
        taken = [name for name in taken if name != "transfer"]
    parties = dict(before.parties)
    for name in data.draw(
        st.lists(st.sampled_from(sorted({*before.parties, *other.parties}) or ["nobody"]), max_size=4)
    ):
        parties.pop(name, None)
        if name in other.parties:
            parties[name] = other.parties[name]
    after = dataclasses.replace(before, parties=parties, **{name: getattr(other, name) for name in taken})
    changes = session_codec.changes(after, before).readable
    changed = {**session_codec.encode_readable(before), **changes}
    assert {name: value for name, value in changed.items() if value is not None} == session_codec.encode_readable(after)


def test_session_that_did_not_exist_is_encoded_whole():
    session = Session("CA1", version=1, parties={"agent": Party("agent", "agent-1")})
    assert session_codec.changes(session, Session("CA1")).readable == session_codec.encode_readable(session)


def test_only_what_has_changed_is_encoded_again():
    before = Session("CA1", version=1, parties={"agent": Party("agent", "agent-1"), "customer": Party("customer", "c")})
    after = dataclasses.replace(
        before, version=2, parties={**before.parties, "agent": dataclasses.replace(before.parties["agent"], held=True)}
    )
    assert session_codec.changes(after, before) == (
        {"version": "2", "party.agent.held": "true"},
        {"party.agent.held": "true"},
    )


def test_order_of_parties_is_stored_only_where_it_is_unusual():
    def fields_of(*names):
        return session_codec.encode(Session("s", version=1, parties={name: Party(name, name) for name in names}))

    assert "party_order" not in fields_of("customer", "agent", "target-1", "target-2")
    assert fields_of("agent", "customer")["party_order"] == "agent customer"


def test_session_reads_as_people_expect():
    session = Session(
        "CA1",
        version=3,
        created_at_ms=1_795_165_380_677,
        conference_name="CA1",
        by="desk 7",
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
        "conference_name": "CA1",
        "by": "desk 7",
        "party.agent.call_sid": "CA2",
        "party.agent.address": "client:alice",
        "party.agent.label": "agent-1",
        "party.agent.status": "ringing",
        "party.agent.held": "false",
        "party.agent.muted": "false",
        "party.agent.left_reason": "",
        "transfer.mode": "",
        "transfer.to": "",
        "transfer.by": "",
        "transfer.status": "",
        "transfer.reason": "",
    }


def test_transfer_reads_as_people_expect():
    transfer = TransferState(1, TransferMode.CONSULT, NUMBER, TransferStatus.RINGING, started_at_ms=1_795_165_380_677)
    target = Party(
        "target",
        "target-1",
        dial_id="d1",
        wait_audio=WaitAudio.MUSIC,
        answered=True,
        dial_check_at_ms=1_795_165_380_677,
    )
    session = Session("CA1", version=3, parties={"target": target}, transfer=transfer)
    fields = session_codec.encode(session)
    assert {name: value for name, value in fields.items() if name.startswith("transfer.")} == {
        "transfer.mode": "consult",
        "transfer.to": NUMBER,
        "transfer.by": "",
        "transfer.status": "ringing",
        "transfer.reason": "",
        "transfer.stage": "converting",
        "transfer.number": "1",
        "transfer.started_at": "2026-11-20T09:03:00.677Z",
    }
    inner = {"dial_id": "d1", "wait_audio": "music", "answered": "true", "dial_check_at": "2026-11-20T09:03:00.677Z"}
    assert {name: fields.get(f"party.target.{name}") for name in inner} == inner


def test_empty_worker_only_fields_are_omitted():
    fields = session_codec.encode(Session("CA1", version=1, transfer=TransferState(1, TransferMode.WARM, "client:a")))
    assert {"call_token", "options", "former_calls", "dials", "transfer.attempts", "transfer.options"}.isdisjoint(
        fields
    )


def test_attempts_and_options_are_json_of_their_attributes():
    options = DialOptions(brief="a caller", confirm=True, timeout_s=20, digits="12", caller_id=NUMBER)
    transfer = TransferState(1, TransferMode.WARM, "client:a", options=options,
                             attempts=(Attempt("target", "client:a", "d1", 5, result="busy"),))  # fmt: skip
    fields = session_codec.encode(Session("CA1", version=1, transfer=transfer, options=options))
    expected = {"brief": "a caller", "confirm": True, "timeout_s": 20, "digits": "12", "caller_id": NUMBER}
    assert orjson.loads(fields["options"]) == orjson.loads(fields["transfer.options"]) == expected
    (attempt,) = orjson.loads(fields["transfer.attempts"])
    assert attempt == {"party": "target", "to": "client:a", "dial_id": "d1", "started_at_ms": 5, "result": "busy"}


def test_recording_reads_as_people_expect():
    recording = Recording("RE1", "completed", of_conference=True, url="https://example.com/RE1", duration_s=62)
    fields = session_codec.encode(Session("CA1", version=1, recording=recording))
    assert {name: value for name, value in fields.items() if name.startswith("recording.")} == {
        "recording.sid": "RE1",
        "recording.status": "completed",
        "recording.url": "https://example.com/RE1",
        "recording.duration_s": "62",
        "recording.of_conference": "true",
    }


def test_conference_from_the_start_reads_as_people_expect():
    session = Session(
        "CA1", version=1, mode=SessionMode.CONFERENCE, opening=Opening.DIALING, agents=("client:alice", NUMBER),
        attributes=ConferenceAttributes(record="true", beep="onEnter", max_participants=5), parked_by="client:alice",
        parked_until_ms=1_795_165_380_677,
    )  # fmt: skip
    fields = session_codec.encode(session)
    inner = {"mode": "conference", "opening": "dialing-party", "agents": f"client:alice {NUMBER}",
             "parked_by": "client:alice", "parked_until": "2026-11-20T09:03:00.677Z"}  # fmt: skip
    assert {name: fields[name] for name in inner} == inner
    assert orjson.loads(fields["attributes"]) == {"record": "true", "beep": "onEnter", "max_participants": 5}


def test_orders_are_json_of_their_attributes():
    order = PendingCommand("c1", "add", "lawyer", NUMBER, DialOptions(confirm=True), effects=("e1",), due_ms=7)
    (written,) = orjson.loads(
        session_codec.encode(Session("CA1", version=1, pending_commands=(order,)))["pending_commands"]
    )
    assert written == {"command_id": "c1", "name": "add", "party": "lawyer", "to": NUMBER, "options": {"confirm": True},
                       "due_ms": 7, "effects": ["e1"]}  # fmt: skip


def test_newer_versions_parts_of_a_session_are_passed_over():
    fields = session_codec.encode(Session("CA1", version=1, recording=Recording("RE1")))
    fields["options"] = '{"brief":"x","colour":"blue"}'
    fields["pending_commands"] = (
        '[{"command_id":"c","name":"add","options":{"brief":"x","colour":"blue"},"colours":["blue"]}]'
    )
    fields["attributes"] = '{"record":"true","colour":"blue"}'
    fields["recording.colour"] = "blue"
    session = session_codec.decode(fields)
    assert session.options == DialOptions(brief="x")
    assert session.pending_commands == (PendingCommand("c", "add", options=DialOptions(brief="x")),)
    assert (session.attributes, session.recording) == (ConferenceAttributes(record="true"), Recording("RE1"))


def test_newer_versions_parts_of_events_and_effects_are_passed_over():
    fields = {"type": "call_received", "session": "s", "call_sid": "CA1", "customer_address": NUMBER,
              "agent_address": "client:a", "attributes": '{"beep":"true","colour":"blue"}'}  # fmt: skip
    assert event_codec.decode(fields, "1-0").attributes == ConferenceAttributes(beep="true")
    body = b"""{"kind":"redirect_call","committed_at_ms":1,"effect_id":"e","session_id":"s","call_sid":"CA1",
    "conference":"CF1",
               "label":"agent-1","attributes":{"beep":"true","colour":"blue"},"colour":"blue","shades":["dark"]}"""
    assert effect_codec.decode(body).work.attributes == ConferenceAttributes(beep="true")


def test_attributes_that_are_the_default_are_left_out_of_an_entry():
    fields = {"type": "call_received", "session": "s", "call_sid": "CA1", "customer_address": NUMBER,
              "agent_address": "client:a"}  # fmt: skip
    event = event_codec.decode(fields, "1-0")
    assert (event.mode, event.other_agents, event.attributes) == ("bridge", (), DEFAULT_ATTRIBUTES)
    assert event_codec.as_text(event_codec.encode(event)) == fields


def test_type_without_a_codec_is_detected_at_startup():
    @dataclasses.dataclass
    class Odd:
        weight: float = 0.0

    with pytest.raises(TypeError, match="no codec for"):
        hash_codec.HashCodec(Odd)


FULL = Session("CA1", version=1, parties={"agent": Party("agent", "a")},
               transfer=TransferState(1, TransferMode.WARM, "client:a"), recording=Recording("RE1"))  # fmt: skip


@each("field, value", [
    ("state", "flying"), ("version", "many"), ("created_at", "yesterday"), ("party.agent.status", "?"),
    ("seen", "{"), ("seen", '{"windows":{"CA1":[]},"tokens":[]}'), ("timers", "ring"), ("options", "[1]"),
    ("party.agent.wait_audio", "waltz"), ("transfer.mode", "cold"), ("transfer.stage", "?"),
    ("transfer.attempts", '[{"a":1}]'), ("transfer.number", "first"), ("pending_commands", "[{}]"),
    ("pending_commands", "[5]"),
    ("attributes", "[]"), ("recording.duration_s", "long"), ("mode", "cold"), ("opening", "?"),
    ("parked_until", "soon"), ("agent_number", "first"),
])  # fmt: skip
def test_broken_record_names_the_field_and_not_its_value(field, value):
    fields = session_codec.encode(FULL) | {field: value}
    with pytest.raises(CorruptHashError) as broken:
        session_codec.decode(fields)
    assert broken.value.field == field
    assert value not in str(broken.value)


@each("field", ["id", "state", "version", "created_at", "party.agent.label", "transfer.mode",
                                   "transfer.stage", "transfer.number"])  # fmt: skip
def test_record_without_a_field_that_is_always_there_is_broken(field):
    fields = session_codec.encode(FULL)
    del fields[field]
    with pytest.raises(CorruptHashError) as broken:
        session_codec.decode(fields)
    assert broken.value.field == field


@each("entry, reason", [
    ({}, "missing field type"),
    ({"type": ""}, "missing field type"),
    ({"type": "sneeze"}, "unknown type"),
    ({"type": "convert"}, "missing field session"),
    ({"type": "convert", "session": "s", "packed": "{"}, "invalid field packed"),
    ({"type": "convert", "session": "s", "packed": "{}"}, "invalid field packed"),
    ({"type": "convert", "session": "s", "packed": ""}, "invalid field packed"),
    ({"type": "participant_joined", "session": "s", "conference_sid": "CF"}, "missing field call_sid"),
    ({"type": "lone_overdue", "session": "s", "due_ms": "soon"}, "invalid field due_ms"),
    ({"type": "effect_failed", "session": "s", "effect_id": "e", "kind": "k", "gone": "maybe"}, "invalid field gone"),
    ({"type": "calls_read", "session": "s", "effect_id": "e", "read_version": "1", "calls": "{"}, "invalid field calls"),  # noqa: E501
    ({"type": "calls_read", "session": "s", "effect_id": "e", "read_version": "1", "calls": ""}, "missing field calls"),
    *(({"type": "call_received", "session": "s", "call_sid": "CA1", "customer_address": "x", "agent_address": "y",
        field: text}, f"invalid field {field}")
      for field, text in (("attributes", "{"), ("attributes", "[]"), ("other_agents", "{}"), ("other_agents", "[5]"))),
])  # fmt: skip
def test_invalid_entry_is_reported_with_its_field(entry, reason):
    with pytest.raises(BadEntryError) as bad:
        event_codec.decode(entry, "1-0")
    assert str(bad.value) == reason
    assert event_codec.as_text(entry) == entry


@given(
    st.dictionaries(st.sampled_from(["type", "session", "sequence", "at", "due_ms", "calls", "gone", "packed"]), TEXT)
)
def test_every_entry_decodes_to_an_event_or_is_reported(entry):
    with contextlib.suppress(BadEntryError):
        assert event_codec.decode(entry, "1-0").name == entry["type"]


def test_fields_that_this_version_does_not_know_are_passed_over():
    event = event_codec.decode({"type": "convert", "session": "s", "token": "c", "colour": "blue"}, "1-0")
    packed = {"type": "convert", "session": "s", "packed": '{"session_id":"s","token":"c","colour":"blue"}'}
    assert event == event_codec.decode(packed, "1-0") == Convert(session_id="s", token="c", entry_id="1-0")


def test_entry_may_have_64_kib():
    for size, is_read in ((65_536, True), (65_537, False)):
        entry = Entry("1-0", {b"type": b"convert", b"session": b"s", b"more": b"x" * (size - 23)})
        if is_read:
            assert entry.event() == Convert(session_id="s", entry_id="1-0")
        else:
            with pytest.raises(BadEntryError, match="larger than 64 KiB"):
                entry.event()


@given(MS)
def test_times_can_be_read_back(unix_ms):
    assert from_iso(to_iso(unix_ms)) == unix_ms
