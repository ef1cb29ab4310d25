"""What webhooks' answers depend on is read from any hash: a session's, an older version's, a broken one."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from conferral.statemachine.conference_attributes import ConferenceAttributes
from conferral.statemachine.pending_command import PendingCommand
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import Opening, PartyStatus, Phase, SessionMode, State
from conferral.statemachine.transfer import DialOptions
from conferral.storage.codecs import session_codec
from conferral.storage.codecs.session_view import PartyView, SessionView, TransferView, is_session, view_of
from tests.support.each import each

NUMBER = "+14155550123"
SESSION = Session(
    "S1",
    State.CONFERENCED,
    Phase.RINGING,
    version=4,
    conference_sid="CF1",
    conference_name="S1",
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


def test_session_is_returned_as_stored():
    facts = view_of(session_codec.encode(SESSION))
    assert facts == SessionView(
        "conferenced", conference_sid="CF1", phase="ringing", end_reason="agent-left", mode="conference",
        opening="dialing-party", attributes=SESSION.attributes, agents=("client:alice", NUMBER),
        agent_number=1, id="S1", version=4, conference_name="S1",
        pending_commands=(
            PendingCommand("c1", "announce", say="We close soon."),
            PendingCommand("c2", "announce"),
            PendingCommand("c3", "add", party="lawyer"),
        ),
        parties={"supervisor": PartyView("CA3", "supervisor-1", NUMBER, "ringing", supervises="barge")},
    )  # fmt: skip
    assert "0123" not in repr(facts)
    assert "close soon" not in repr(facts)


@each("names, expected", [({"id"}, False), ({"state"}, False), ({"id", "state"}, True)])
def test_session_has_an_id_and_a_state(names, expected):
    assert is_session(dict.fromkeys(names, "x")) is expected


def test_omitted_fields_have_the_initial_values_of_the_session():
    facts = view_of(session_codec.encode(Session("S1", version=1)))
    assert facts == SessionView("bridged", phase="ringing", id="S1", version=1)
    reported = {field.name: getattr(facts, field.name) for field in dataclasses.fields(facts)}
    first = Session("S1")
    same = ("mode", "opening", "attributes", "agents", "agent_number", "direction", "end_reason")
    assert {name: reported[name] for name in same} == {name: getattr(first, name) for name in same}


@each("field, text", [
    ("attributes", "{"), ("attributes", "[]"), ("attributes", "5"),
    ("pending_commands", "{"), ("pending_commands", "[5]"), ("pending_commands", "5"),
    ("pending_commands", "[{}]"), ("pending_commands", '[{"party":"x"}]'),
    ("agent_number", "-1"), ("agent_number", "two"), ("agent_number", ""), ("agent_number", "٣"),
    ("agent_number", "9" * 5_000), ("agent_number", "²"), ("timers", "x = y=z"), ("created_at", "yesterday"),
    ("transfer.attempts", "{"), ("transfer.attempts", "[7]"), ("transfer.attempts", "[[]]"),
    ("transfer.attempts", '{"party": 1}'), ("transfer.attempts", '[{"started_at_ms": "x"}]'),
    ("party.agent.address", NUMBER),  # a party has a status
])  # fmt: skip
def test_invalid_field_counts_as_missing(field, text):
    assert view_of({"state": "bridged", field: text}) == view_of({"state": "bridged"})


def test_attributes_of_a_newer_version_are_passed_over():
    facts = view_of({"state": "bridged", "attributes": '{"record":"true","colour":"blue"}'})
    assert facts.attributes == ConferenceAttributes(record="true")


@given(st.dictionaries(st.sampled_from(["phase", "mode", "opening", "attributes", "agents", "pending_commands",
                                        "agent_number", "party.agent.supervises", "party.agent.wait_audio", "party.",
                                        "party.agent.status", "transfer.attempts", "timers", "\ufffd", "."]),
                       st.text(max_size=40)))  # fmt: skip
def test_any_hash_with_a_state_is_shown(record):
    assert view_of({"state": "bridged", **record}).state == "bridged"


def test_repr_shows_nothing_confidential():
    party = PartyView(address=NUMBER, brief=NUMBER)
    view = SessionView(
        "bridged", agents=(NUMBER,), options=DialOptions(brief=NUMBER), parties={"agent": party},
        transfer=TransferView(to=NUMBER), fields={"call_token": NUMBER},
    )  # fmt: skip
    assert NUMBER not in repr(view)


def test_parties_are_in_the_order_of_display():
    names = ["customer", "agent", "target", "target-2", "target-10", "ann", "ann-0", "ann-\u0663", "ann-2", "bob",
             "agent-1", "supervisor"]  # fmt: skip
    assert list(view_of({f"party.{name}.status": "left" for name in reversed(names)}).parties) == names
