"""Details of events in the session's log: enough to follow a transfer, and no one's number.

What is made of them in words is in `operations/test_timeline.py`.
"""

import dataclasses
import json
from typing import get_type_hints

import pytest

from conferral.operations.explain.timeline import build_timeline
from conferral.statemachine.events import (
    EVENTS,
    AccountSwept,
    Add,
    Announce,
    AnnouncementEnded,
    Call,
    CallProgressed,
    CallReceived,
    CallSeen,
    CallsRead,
    Cancel,
    Command,
    ConferenceEventIgnored,
    ConferenceFound,
    DialEnded,
    GateDecided,
    GateDecision,
    Hold,
    ParticipantChanged,
    ParticipantFound,
    ParticipantJoined,
    ParticipantLeft,
    ParticipantSeen,
    Record,
    RecordingChanged,
    Remove,
    Supervise,
    Transfer,
)
from conferral.statemachine.parts import PendingCommand, TransferState
from conferral.statemachine.session import Party, Session
from conferral.statemachine.states import Opening, PartyStatus, TransferMode
from conferral.storage.codecs.log_codec import LogEntry
from conferral.worker.partition.log_entry import command_type_of, details
from tests.support.each import each
from tests.support.people import CUSTOMER

#: What is about a person, or lets someone dial.
PRIVATE = frozenset({"customer_address", "agent_address", "address", "call_token", "to", "agent", "customer", "brief",
                     "digits", "url", "say", "reason", "mode", "action", "other_agents", "caller_id",
                     "called_number", "called", "params"})  # fmt: skip


@each("event, words", [
    (Transfer(session_id="s", to=(CUSTOMER,), mode="blind", ref="T-7"), {"mode": "blind", "ref": "T-7", "targets": 1}),
    (Transfer(session_id="s", to=(CUSTOMER, "client:bob"), mode="consult"), {"mode": "consult", "targets": 2}),
    (Transfer(session_id="s", to=(CUSTOMER,), mode=CUSTOMER), {"targets": 1}),
    (Call(session_id="s", agent="client:alice", customer=CUSTOMER, mode="conference"),
     {"mode": "conference"}),
    (Add(session_id="s", to=CUSTOMER, party="x14155550123"), {}),
    (Supervise(session_id="s", to=CUSTOMER, mode="whisper"), {"mode": "whisper"}),
    (Supervise(session_id="s", to=CUSTOMER, mode=CUSTOMER), {}),
    (Record(session_id="s", action="pause"), {"action": "pause"}),
    (Record(session_id="s", action=CUSTOMER), {}),
    (Announce(session_id="s", say=f"Call {CUSTOMER}"), {"audio": "text"}),
    (Announce(session_id="s", url=f"https://example.com/{CUSTOMER}"), {"audio": "url"}),
    (CallReceived(session_id="s", call_sid="CA1", customer_address=CUSTOMER, agent_address="client:alice"),
     {"mode": "bridge"}),
    (DialEnded(session_id="s", party="customer", call_sid="CA1", dial_kind="bridge", dial_call_status="busy",
               call_status="in-progress", agent_number=2),
     {"party": "customer", "dial_kind": "bridge", "status": "busy", "agent": 3}),
    (AnnouncementEnded(session_id="s", conference_sid="CF1", failed=True, reason=f"no answer: /{CUSTOMER}"),
     {"failed": True}),
    (ConferenceEventIgnored(session_id="s", conference_sid="CF1", kind="participant-speech-start", call_sid="CA1"),
     {"party": "CA1", "kind": "participant-speech-start"}),
    (ConferenceEventIgnored(session_id="s", conference_sid="CF1", kind="conference-odd"), {"kind": "conference-odd"}),
    (RecordingChanged(session_id="s", recording_sid="RE1", status="completed", of_conference=True, duration_s=12,
                      url="https://example.com/RE1"),
     {"recording_sid": "RE1", "status": "completed", "of_conference": True, "duration_s": 12}),
    (AccountSwept(session_id="s", finding="conference-live", conference_sid="CF1"),
     {"finding": "conference-live", "conference_sid": "CF1"}),
    (ConferenceFound(session_id="s", conference_sid="CF1",
                     participants=(ParticipantFound(call_sid="CA1", label="customer-1", address=CUSTOMER),)),
     {"conference_sid": "CF1", "participants": 1}),
    (GateDecided(session_id="s", dial="d1", call_sid="CA3", decision=GateDecision.TOO_LATE), {"decision": "too-late"}),
    (ParticipantChanged(session_id="s", conference_sid="CF1", call_sid="CA1", kind="participant-modify"),
     {"party": "CA1", "kind": "participant-modify"}),
    (ParticipantChanged(session_id="s", conference_sid="CF1", call_sid="CA1", label="agent-1", muted=True,
                        end_on_exit=True), {"party": "agent-1", "muted": True, "end_on_exit": True}),
])  # fmt: skip
def test_event_is_summarized_in_a_few_words(event, words):
    assert details(event, Session("s")) == words


@pytest.mark.parametrize("call_sid, words", [
    ("CA1", "agent"),
    ("CA2", "target"),
    ("CA3", "call"),
], ids=["now-the-agent", "the-target", "gone-before"])  # fmt: skip
def test_call_is_logged_under_the_current_name_of_its_party(call_sid, words):
    """Who was dialed as target and is agent now still reports as target."""
    parties = {name: Party(name, label, sid) for name, label, sid in
               [("agent", "target-1", "CA1"), ("target", "target-2", "CA2")]}  # fmt: skip
    event = CallProgressed(session_id="s", party="target", call_sid=call_sid, status="completed")
    assert details(event, Session("s", parties=parties)) == {"party": words, "status": "completed"}


def test_read_results_are_described_with_party_names():
    parties = {name: Party(name, f"{name}-1", sid) for name, sid in [("customer", "CA1"), ("agent", "CA2")]}
    seen = CallsRead(
        session_id="s", effect_id="e", read_version=1, conference_sid="CF1",
        calls=(CallSeen("CA1", "in-progress"), CallSeen("CA2", "in-progress"), CallSeen("CA3", "ringing")),
        participants=(
            ParticipantSeen("CA1", held=True), ParticipantSeen("CA2"), ParticipantSeen("CA3", is_ringing=True)
        ),
    )  # fmt: skip

    found = details(seen, Session("s", parties=parties))

    assert found == {
        "conference_sid": "CF1",
        "calls": {"customer": "in-progress", "agent": "in-progress", "CA3": "ringing"},
        "participants": {"customer": ["held"], "agent": [], "CA3": ["ringing"]},
    }
    (moment,) = build_timeline([LogEntry.of("1-0", {"event": "calls_read", "details": json.dumps(found)})])
    assert (
        moment.what == "Twilio reports: customer and agent are in the conference, customer is on hold, CA3 is ringing"
    )
    without = dataclasses.replace(seen, conference_sid="", calls=seen.calls[:1], participants=())
    assert details(without, Session("s")) == {"calls": {"CA1": "in-progress"}, "participants": {}}


@pytest.mark.parametrize("command, words", [
    (Hold(session_id="s", party="customer"), {"party": "customer"}),
    (Hold(session_id="s", party="CA1"), {"party": "customer"}),
    (Remove(session_id="s", party="14155550123"), {}),
])  # fmt: skip
def test_command_about_a_party_names_it_however_it_was_given(command, words):
    session = Session("s", parties={"customer": Party("customer", "customer-1", "CA1")})
    assert details(command, session) == words


TRIED = Session("s", agents=("client:a", "client:b", "client:c"), agent_number=1, opening=Opening.DIALING,
                parties={"agent": Party("agent", "agent-3", dial_id="d2")})  # fmt: skip
PROGRESS = {"session_id": "s", "party": "agent", "call_sid": "CA2", "status": "busy"}


@each("event, words", [
    (CallProgressed(**PROGRESS, agent_number=1), {"party": "agent", "status": "busy", "agent": 2, "agents": 3}),
    (CallProgressed(**PROGRESS), {"party": "agent", "status": "busy", "agent": 1, "agents": 3}),
    (CallProgressed(**PROGRESS, dial="d2"), {"party": "agent", "status": "busy", "agent": 2, "agents": 3}),
    (CallProgressed(**PROGRESS, dial="d1"), {"party": "agent", "status": "busy"}),
    (CallProgressed(**PROGRESS, sip_response_code=603),
     {"party": "agent", "status": "rejected", "agent": 1, "agents": 3}),
    (CallProgressed(session_id="s", party="customer", call_sid="CA1", status="completed"),
     {"party": "customer", "status": "completed"}),
    (DialEnded(session_id="s", party="customer", call_sid="CA1", dial_kind="bridge", dial_call_status="busy",
               call_status="in-progress", agent_number=1),
     {"party": "customer", "dial_kind": "bridge", "status": "busy", "agent": 2, "agents": 3}),
])  # fmt: skip
def test_log_shows_which_of_several_agents_is_meant(event, words):
    assert details(event, TRIED) == words


@pytest.mark.parametrize(("agents", "words"), [(("a",), {}), (("a", "b"), {"agent": 1, "agents": 2})])
def test_log_numbers_an_agent_only_among_several(agents, words):
    session = dataclasses.replace(TRIED, agents=agents)
    assert details(CallProgressed(**PROGRESS), session) == {"party": "agent", "status": "busy"} | words


def test_bridge_rejected_by_its_agent_is_not_logged_as_busy():
    agent = Party("agent", "agent-1", "CA2", status=PartyStatus.LEFT, left_reason="rejected")
    event = DialEnded(session_id="s", party="customer", call_sid="CA1", dial_kind="bridge", dial_call_status="busy",
                      call_status="in-progress")  # fmt: skip
    assert details(event, Session("s", parties={"agent": agent}))["status"] == "rejected"


@each("command_id, name", [
    ("c1", "retrieve"), ("c2", "cancel"), ("c3", "convert"), ("c4", "call"), ("c5", "end"), ("c6", "add"),
    ("c7", "hold"), ("c8", ""),
])  # fmt: skip
def test_command_outcome_is_logged_with_the_command_name(command_id, name):
    transfer = TransferState(1, TransferMode.RETRIEVE, (CUSTOMER,), command_id="c1", step_command_id="c2",
                             step_name="cancel")  # fmt: skip
    pending = {"c3": "convert", "c4": "call", "c5": "end", "c6": "add"}
    session = Session("s", transfer=transfer, pending_commands=tuple(map(PendingCommand, pending, pending.values())))
    assert command_type_of(command_id, Hold(session_id="s", party="agent", token="c7"), session) == name


@pytest.mark.parametrize("mode, name", [("warm", "transfer"), ("park", "park")])
def test_command_of_a_transfer_is_named_by_its_way(mode, name):
    session = Session("s", transfer=TransferState(1, TransferMode(mode), (CUSTOMER,), command_id="c1"))
    assert command_type_of("c1", Cancel(session_id="s", token="c2"), session) == name


@pytest.mark.parametrize("coaches, words", [
    ("CA2", "agent"),
    ("CA9", "CA9"),
])  # fmt: skip
def test_coach_event_is_logged_with_the_coached_party(coaches, words):
    parties = {name: Party(name, f"{name}-1", sid) for name, sid in [("supervisor", "CA3"), ("agent", "CA2")]}
    event = ParticipantChanged(**CONFERENCE, call_sid="CA3", kind="participant-modify", coaches=coaches)
    found = details(event, Session("s", parties=parties))
    assert found == {"party": "supervisor", "kind": "participant-modify", "coaches": words}


CONFERENCE = {"session_id": "s", "conference_sid": "CF1"}


@each("event, words", [
    (ParticipantJoined(**CONFERENCE, call_sid="CA1", label="target-1"), "agent"),
    (ParticipantLeft(**CONFERENCE, call_sid="CA1", label="target-1"), "agent"),
    (ParticipantChanged(**CONFERENCE, call_sid="CA1", label="target-1", kind="participant-unhold"),
     "agent"),
    (ParticipantJoined(**CONFERENCE, call_sid="CA9", label="target-3"), "target"),
    (ParticipantJoined(**CONFERENCE, call_sid="CA2", label="agent-1"), "agent-1"),
    (ParticipantJoined(**CONFERENCE, call_sid="CA3", label="target-2"), "target-2"),
])  # fmt: skip
def test_participant_is_logged_under_the_current_party_name(event, words):
    """The label stays what it was when the leg was dialed, and identifies only unknown participants."""
    parties = {name: Party(name, label, sid) for name, label, sid in
               [("agent", "target-1", "CA1"), ("agent-1", "agent-1", "CA2"), ("target", "target-3", "")]}  # fmt: skip
    assert details(event, Session("s", parties=parties))["party"] == words


@each("kind", EVENTS)
def test_no_event_reveals_an_address_or_secret(kind):
    """Every field that holds an address or a secret is filled with a number; the words hold none of it."""
    values = {}
    for field, hint in get_type_hints(kind).items():
        # A party that a command names is whatever someone has typed; elsewhere it comes from our own URLs.
        if field in PRIVATE or (field == "party" and issubclass(kind, Command)):
            values[field] = (CUSTOMER,) if hint == tuple[str, ...] else CUSTOMER
        elif hint == tuple[CallSeen, ...]:
            values[field] = (CallSeen("CA1", "in-progress", to=CUSTOMER),)
        elif hint == tuple[ParticipantFound, ...]:
            values[field] = (ParticipantFound("CA1", label="customer-1", address=CUSTOMER),)
        elif hint is str and field not in ("entry_id", "name", "timer"):
            values[field] = "word"
        elif hint is int:
            values[field] = 7
    needed = {field.name for field in dataclasses.fields(kind)}
    event = kind(**{name: value for name, value in values.items() if name in needed})
    assert "5550123" not in json.dumps(details(event, Session("s")))
