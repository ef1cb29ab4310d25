"""What webhooks' answers depend on is read from any hash: a session's, an older version's, a broken one."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conferral.statemachine.conference_attributes import DEFAULT_ATTRIBUTES, ConferenceAttributes
from conferral.statemachine.pending_command import PendingCommand
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import Opening, PartyStatus, Phase, SessionMode, State
from conferral.storage.codecs import session_codec
from conferral.storage.ingest.port import PartyView, SessionView
from conferral.storage.ingest.session_view import view_of

NUMBER = "+14155550123"
SESSION = Session(
    "S1",
    State.CONFERENCED,
    Phase.RINGING,
    version=4,
    conference_sid="CF1",
    end_reason="agent-left",
    mode=SessionMode.CONFERENCE,
    opening=Opening.DIALING,
    attributes=ConferenceAttributes(record="true", greeting="Good day.", max_participants=5),
    agents=("client:alice", NUMBER),
    agent_number=1,
    pending_commands=(
        PendingCommand("c1", "announce", say="We close soon."),
        PendingCommand("c2", "announce", url="https://example.com/a.mp3"),
        PendingCommand("c3", "add", party="lawyer", to=NUMBER),
    ),
    parties={"supervisor": Party("supervisor", "supervisor-1", "CA3", NUMBER, PartyStatus.RINGING, supervises="barge")},
)


def hash_of(session: Session) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in session_codec.encode(session).items()}


def test_session_is_told_as_it_was_stored():
    facts = view_of(hash_of(SESSION))
    assert facts == SessionView(
        "conferenced", conference_sid="CF1", phase="ringing", end_reason="agent-left", mode="conference",
        opening="dialing", attributes=SESSION.attributes, agents=("client:alice", NUMBER),
        agent_number=1, announcements={"c1": "We close soon."},
        parties={"supervisor": PartyView("CA3", "supervisor-1", NUMBER, "ringing", supervises="barge")},
        conference_name="S1",
    )  # fmt: skip
    assert "0123" not in repr(facts)
    assert "close soon" not in repr(facts)


def test_what_was_left_out_is_what_the_session_says_it_is_at_first():
    facts = view_of(hash_of(Session("S1", version=1)))
    assert facts == SessionView("bridged", phase="ringing", conference_name="S1")
    told = {field.name: getattr(facts, field.name) for field in dataclasses.fields(facts)}
    first = Session("S1")
    same = ("mode", "opening", "attributes", "agents", "agent_number", "direction", "end_reason")
    assert {name: told[name] for name in same} == {name: getattr(first, name) for name in same}


def test_fields_and_values_in_turn_are_read_as_well():
    record = hash_of(SESSION)
    assert view_of([part for pair in record.items() for part in pair]) == view_of(record)


@pytest.mark.parametrize("record", [{}, [], {b"conference_sid": b"CF1"}])
def test_nobody_knows_a_session_without_state(record):
    assert view_of(record) is None


@pytest.mark.parametrize("field, text", [
    ("attributes", "{"), ("attributes", "[]"), ("attributes", "5"),
    ("pending_commands", "{"), ("pending_commands", "[5]"), ("pending_commands", "5"),
    ("pending_commands", "[{}]"), ("pending_commands", '[{"name":"announce","say":"x"}]'),
    ("agent_number", "-1"), ("agent_number", "two"),
    ("agent_number", "9" * 5_000), ("agent_number", "²"),
])  # fmt: skip
def test_what_makes_no_sense_counts_as_not_told(field, text):
    facts = view_of({b"state": b"bridged", field.encode(): text.encode()})
    assert (facts.attributes, facts.announcements, facts.agent_number) == (DEFAULT_ATTRIBUTES, {}, 0)


def test_attributes_of_a_newer_version_are_passed_over():
    facts = view_of({b"state": b"bridged", b"attributes": b'{"record":"true","colour":"blue"}'})
    assert facts.attributes == ConferenceAttributes(record="true")


@given(st.dictionaries(st.sampled_from([b"phase", b"mode", b"opening", b"attributes", b"agents", b"orders",
                                        b"agent_number", b"party.agent.supervises", b"party.agent.wait_audio",
                                        b"party.",
                                        b"\xff", b"party.\xff.tune"]),
                       st.binary(max_size=40)))  # fmt: skip
def test_any_hash_with_a_state_is_told(record):
    assert view_of({b"state": b"bridged", **record}).state == "bridged"
