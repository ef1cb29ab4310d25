"""Form bodies as Twilio sends them, each named after the moment; numbers, SIDs and places are made up."""

from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conferral.statemachine.events import (
    AnnouncementEnded,
    CallProgressed,
    CallReceived,
    ClientCallReceived,
    ConferenceEnded,
    ConferenceEventIgnored,
    ConferenceStarted,
    DialEnded,
    GateDecision,
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
)
from conferral.statemachine.parts import ConferenceAttributes
from conferral.statemachine.states import SessionMode
from conferral.telephony import callback_events
from conferral.telephony.callback_events import (
    FIELDS_READ,
    MalformedCallbackError,
    call_progressed,
    call_received,
    caller_callback,
    client_call_received,
    conference_event,
    dial_ended,
    digits_of,
    gate_decided,
    gate_reached,
    is_outbound_leg,
    recording_changed,
    session_id_of,
)
from conferral.telephony.callback_urls import (
    CallCallback,
    DialAction,
    DialKind,
    Gate,
)
from conferral.telephony.directory import InboundRoute
from tests.support.each import each

BODIES = Path(__file__).parent / "bodies"
CALLER, AGENT = "CA" + "1" * 32, "CA" + "2" * 32
SUPERVISOR, RECORDING = "CA" + "5" * 32, "RE" + "6" * 32
CONFERENCE = "CF" + "3" * 32
OWN_NUMBER = "+14155550100"
EIGHT_O_CLOCK_MS = 1_795_161_600_000
GATE = Gate(CALLER, "d1")


def fields(name, **changes):
    form = dict(parse_qsl((BODIES / f"{name}.txt").read_text(), keep_blank_values=True))
    form |= changes
    return {name: value for name, value in form.items() if value is not None}


def status(form):
    return caller_callback(form)


def progressed(form):
    return call_progressed(form, CallCallback(CALLER, "agent"), OWN_NUMBER)


def conference(form):
    return conference_event(form, CALLER)


def recording(form):
    return recording_changed(form, CALLER)


def client_call(form):
    return client_call_received(form, session_id=session_id_of(form), customer_address="+14155550177")


def call_to_bob(form):
    return call_received(form, InboundRoute(("client:bob",)), SessionMode.BRIDGE)


def test_a_call_that_arrives_is_a_session_of_its_own():
    event = call_received(fields("call_arrives"), InboundRoute(("+14155550123",)), SessionMode.BRIDGE)

    assert event == CallReceived(
        session_id=CALLER, token="call_received:", call_sid=CALLER, customer_address="+14155550199",
        agent_address="+14155550123", has_caller_id=True, call_token="%7B%22parentCallInfoToken%22%3A%22abc%22%7D",
    )  # fmt: skip


def test_waiting_conference_call_event_carries_attributes_and_other_agents():
    attributes = ConferenceAttributes(beep="onEnter", after_url="https://example.com/survey")

    route = InboundRoute(("client:bob", "client:carol", "+14155550123"), attributes=attributes)
    event = call_received(fields("call_arrives"), route, SessionMode.CONFERENCE)

    assert (event.mode, event.agent_address, event.other_agents, event.attributes) == (
        "conference", "client:bob", ("client:carol", "+14155550123"), attributes,
    )  # fmt: skip


@pytest.mark.parametrize("named, session_id", [("order-17", "order-17"), (None, CALLER), ("", CALLER)])
def test_browser_caller_is_the_agent_of_a_session_they_may_name(named, session_id):
    event = client_call(fields("browser_calls_somebody", SessionID=named))

    assert event == ClientCallReceived(
        session_id=session_id, token=f"client_call_received:{CALLER}", call_sid=CALLER,
        agent_address="client:alice", customer_address="+14155550177",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("direction", "expected"), [("inbound", False), (None, False), ("outbound-api", True), ("outbound-dial", True)]
)
def test_a_call_came_in_or_was_placed(direction, expected):
    assert is_outbound_leg(fields("call_arrives", Direction=direction)) is expected


@each("token, is_kept", [("a" * 4096, True), *((odd, False) for odd in (None, "", "a\nb", "\u00e9", "a" * 4097))])
def test_a_call_token_that_none_of_twilios_can_be_is_left_behind(token, is_kept):
    kept = call_to_bob(fields("call_arrives", CallToken=token)).call_token

    assert kept == (token if is_kept else "")


@pytest.mark.parametrize(
    ("moment", "customer"),
    [("call_from_browser_arrives", "client:alice"), ("call_with_withheld_number_arrives", "anonymous")],
)
def test_a_caller_need_not_have_a_number(moment, customer):
    assert call_to_bob(fields(moment)).customer_address == customer


def test_ringing_agent_event_has_party_sequence_and_time():
    event = progressed(fields("agent_rings"))

    assert event == CallProgressed(
        session_id=CALLER, source=AGENT, sequence=1, occurred_at_ms=EIGHT_O_CLOCK_MS + 1000, party="agent",
        call_sid=AGENT, status="ringing", address="+14155550123", customer_address="+14155550199",
    )  # fmt: skip


def test_dialed_address_is_without_its_params():
    assert progressed(fields("agent_rings") | {"To": "client:alice?name=Ada"}).address == "client:alice"


@pytest.mark.parametrize(
    ("moment", "status", "sequence", "sip", "final"),
    [
        ("agent_is_called", "initiated",   0, 0,   False),
        ("agent_answers",   "in-progress", 2, 0,   False),
        ("agent_is_busy",   "busy",        2, 486, True),
        ("agent_hangs_up",  "completed",   3, 200, True),
    ],
)  # fmt: skip
def test_each_step_of_the_agents_call_keeps_twilios_words(moment, status, sequence, sip, final):
    event = progressed(fields(moment))

    assert (event.status, event.sequence, event.sip_response_code, event.is_final) == (status, sequence, sip, final)


def test_the_numbers_status_callback_is_the_callers():
    form = fields("caller_has_hung_up")

    event = call_progressed(form, caller_callback(form), OWN_NUMBER)

    assert (event.session_id, event.party, event.call_sid) == (CALLER, "customer", CALLER)
    assert (event.address, event.customer_address) == ("+14155550199", "+14155550199")


def test_a_dial_that_ends_keeps_both_statuses_and_is_the_same_if_the_action_is_repeated():
    action = DialAction(CALLER, "customer", DialKind.BRIDGE)
    event = dial_ended(fields("dial_ends_answered"), action)

    assert event == DialEnded(
        session_id=CALLER, token=f"dial_ended:bridge:{CALLER}:1:in-progress", party="customer", call_sid=CALLER,
        dial="bridge", dial_call_status="completed", call_status="in-progress", duration_s=295,
    )  # fmt: skip
    repeated = fields("dial_ends_answered", DialCallStatus=None)
    assert dial_ended(repeated, action.next_request("completed")) == event


@each("sent, duration_s", [("14400", 14_400), ("0", 0), ("", 0), (None, 0), ("-1", 0), ("1.5", 0), ("1" * 10, 0)])
def test_duration_of_a_call_that_is_over_is_read_and_a_strange_one_is_ignored(sent, duration_s):
    call = progressed(fields("agent_hangs_up", CallDuration=sent))
    dial = dial_ended(
        fields("dial_ends_answered", DialCallDuration=sent), DialAction(CALLER, "customer", DialKind.BRIDGE)
    )

    assert (call.duration_s, dial.duration_s) == (duration_s, duration_s)


@each(
    "moment, expected",
    [
        ("agent_joins", ParticipantJoined(
            session_id=CALLER, source=CONFERENCE, sequence=1, occurred_at_ms=EIGHT_O_CLOCK_MS + 60_000,
            conference_sid=CONFERENCE, call_sid=AGENT, label="agent-1")),
        ("conference_starts", ConferenceStarted(
            session_id=CALLER, source=CONFERENCE, sequence=3, occurred_at_ms=EIGHT_O_CLOCK_MS + 60_000,
            conference_sid=CONFERENCE)),
        ("agent_leaves", ParticipantLeft(
            session_id=CALLER, source=CONFERENCE, sequence=4, occurred_at_ms=EIGHT_O_CLOCK_MS + 60_000,
            conference_sid=CONFERENCE, call_sid=AGENT, label="agent-1", call_status="completed",
            left_reason="participant_hung_up")),
        ("customer_is_held", ParticipantChanged(
            session_id=CALLER, source=CONFERENCE, sequence=5, occurred_at_ms=EIGHT_O_CLOCK_MS + 60_000,
            conference_sid=CONFERENCE, call_sid=CALLER, label="customer-1", kind="participant-hold", held=True)),
        ("customer_waits", ParticipantJoined(
            session_id=CALLER, source=CONFERENCE, sequence=1, occurred_at_ms=EIGHT_O_CLOCK_MS + 60_000,
            conference_sid=CONFERENCE, call_sid=CALLER, label="customer-1", start_on_enter=False)),
        ("agent_carries_the_flag", ParticipantChanged(
            session_id=CALLER, source=CONFERENCE, sequence=5, occurred_at_ms=EIGHT_O_CLOCK_MS + 60_000,
            conference_sid=CONFERENCE, call_sid=AGENT, label="agent-1", kind="participant-modify", muted=True,
            end_on_exit=True)),
        ("conference_ends", ConferenceEnded(
            session_id=CALLER, source=CONFERENCE, sequence=6, occurred_at_ms=EIGHT_O_CLOCK_MS + 60_000,
            conference_sid=CONFERENCE, conference_reason="last-participant-left", call_sid_ending=CALLER)),
        ("announcement_ends", AnnouncementEnded(
            session_id=CALLER, source=CONFERENCE, sequence=7, occurred_at_ms=EIGHT_O_CLOCK_MS + 60_000,
            conference_sid=CONFERENCE, command="c1")),
        ("announcement_to_one_fails", AnnouncementEnded(
            session_id=CALLER, source=CONFERENCE, sequence=8, occurred_at_ms=EIGHT_O_CLOCK_MS + 60_000,
            conference_sid=CONFERENCE, call_sid=CALLER, url="https://example.com/a.wav", failed=True,
            reason="Internal error")),
        ("supervisor_whispers", ParticipantChanged(
            session_id=CALLER, source=CONFERENCE, sequence=9, occurred_at_ms=EIGHT_O_CLOCK_MS + 60_000,
            conference_sid=CONFERENCE, call_sid=SUPERVISOR, label="supervisor-3", kind="participant-modify",
            coaches=AGENT)),
        ("customer_speaks", ConferenceEventIgnored(
            session_id=CALLER, source=CONFERENCE, sequence=10, occurred_at_ms=EIGHT_O_CLOCK_MS + 60_000,
            conference_sid=CONFERENCE, kind="participant-speech-start", call_sid=CALLER)),
    ],
)  # fmt: skip
def test_each_conference_callback_is_an_event(moment, expected):
    assert conference(fields(moment)) == expected


def test_joining_participant_starts_the_conference_unless_twilio_says_otherwise():
    event = conference(fields("agent_joins", StartConferenceOnEnter=None))

    assert isinstance(event, ParticipantJoined)
    assert event.start_on_enter


@pytest.mark.parametrize("flags", [{"Hold": None, "Muted": None}, {"Hold": "", "Muted": ""}])
@pytest.mark.parametrize(
    ("kind", "held", "muted"),
    [
        ("participant-hold",   True,  False),
        ("participant-unhold", False, False),
        ("participant-mute",   False, True),
        ("participant-unmute", False, False),
        ("participant-modify", False, False),
    ],
)  # fmt: skip
def test_participant_change_without_flags_uses_the_event_name(kind, held, muted, flags):
    event = conference(fields("customer_is_held", StatusCallbackEvent=kind, **flags))

    assert isinstance(event, ParticipantChanged)
    assert (event.kind, event.held, event.muted) == (kind, held, muted)


@pytest.mark.parametrize(
    ("coaching", "to_coach", "coaches"),
    [("true", AGENT, AGENT), (None, AGENT, AGENT), ("false", AGENT, ""), ("true", None, ""), ("true", "", "")],
)
def test_coached_party_is_reported_only_while_being_coached(coaching, to_coach, coaches):
    event = conference(fields("supervisor_whispers", Coaching=coaching, CallSidToCoach=to_coach))

    assert isinstance(event, ParticipantChanged)
    assert event.coaches == coaches


@pytest.mark.parametrize("kind", ["participant-speech-stop", "announcement-begin", "participant-levitate"])
def test_other_conference_events_are_noted(kind):
    event = conference(fields("agent_joins", StatusCallbackEvent=kind, Levitation="3 m"))

    assert isinstance(event, ConferenceEventIgnored)
    assert (event.kind, event.call_sid) == (kind, AGENT)


@each(
    "form, gate, digits",
    [
        ({"Digits": "1"}, GATE, "1"),
        ({"Digits": "#"}, GATE, "#"),
        ({"Digits": ""}, GATE, ""),
        ({}, GATE, ""),
        ({}, GATE.next_request("1"), "1"),
        ({}, GATE.next_request("*"), "other"),
    ],
)
def test_key_from_the_first_request_is_kept_in_later_ones(form, gate, digits):
    assert digits_of(form, gate) == digits


@pytest.mark.parametrize(
    "timestamp", ["", "yesterday", "Fri, 99 Nov 2026 08:00:00 +0000", "Fri, 20 Nov 2026 25:00:00 +0000"]
)
def test_a_time_that_cannot_be_read_is_no_reason_to_refuse(timestamp):
    assert progressed(fields("agent_rings", Timestamp=timestamp)).occurred_at_ms == 0


@each(
    "read, moment, changes, field",
    [
        (progressed, "agent_rings", {"CallSid": None}, "CallSid"),
        (progressed, "agent_rings", {"CallSid": ""}, "CallSid"),
        (progressed, "agent_rings", {"CallSid": "CA1\n"}, "CallSid"),
        (progressed, "agent_rings", {"CallSid": "{x}"}, "CallSid"),
        (progressed, "agent_rings", {"CallSid": "C" * 65}, "CallSid"),
        (progressed, "agent_rings", {"CallStatus": None}, "CallStatus"),
        (progressed, "agent_rings", {"CallStatus": "in progress"}, "CallStatus"),
        (progressed, "agent_rings", {"SequenceNumber": "-1"}, "SequenceNumber"),
        (progressed, "agent_rings", {"SequenceNumber": "1" * 10}, "SequenceNumber"),
        (progressed, "agent_rings", {"SequenceNumber": "\u0661"}, "SequenceNumber"),
        (progressed, "agent_rings", {"SipResponseCode": "busy"}, "SipResponseCode"),
        (conference, "agent_joins", {"ConferenceSid": None}, "ConferenceSid"),
        (conference, "agent_joins", {"StatusCallbackEvent": None}, "StatusCallbackEvent"),
        (conference, "agent_joins", {"CallSid": None}, "CallSid"),
        (conference, "agent_joins", {"CallSid": "a b"}, "CallSid"),
        (conference, "agent_joins", {"ParticipantLabel": "a\r\nb"}, "ParticipantLabel"),
        (conference, "agent_joins", {"SequenceNumber": "x"}, "SequenceNumber"),
        (recording, "customers_call_was_recorded", {"RecordingSid": None}, "RecordingSid"),
        (recording, "customers_call_was_recorded", {"RecordingSid": "{x}"}, "RecordingSid"),
        (recording, "customers_call_was_recorded", {"RecordingStatus": None}, "RecordingStatus"),
        (recording, "customers_call_was_recorded", {"RecordingStatus": "a b"}, "RecordingStatus"),
        (recording, "customers_call_was_recorded", {"CallSid": "a b"}, "CallSid"),
        (recording, "customers_call_was_recorded", {"ConferenceSid": "a b"}, "ConferenceSid"),
        (lambda form: gate_reached(form, GATE), "target_answers_at_the_gate", {"CallSid": "{x}"}, "CallSid"),
        (lambda form: gate_decided(form, GATE, GateDecision.TAKEN), "target_answers_at_the_gate", {"CallSid": "{x}"},
         "CallSid"),
        *((session_id_of, "browser_calls_somebody", {"SessionID": named}, "SessionID")
          for named in ("a b", "{x}", "a" * 65, "\u0661")),
    ],
)  # fmt: skip
def test_a_malformed_callback_names_the_field_and_not_its_value(read, moment, changes, field):
    with pytest.raises(MalformedCallbackError) as caught:
        read(fields(moment, **changes))

    assert caught.value.field == field
    assert str(caught.value) == "malformed field"


@given(st.dictionaries(st.sampled_from(sorted(FIELDS_READ)), st.text()))
def test_no_form_raises_anything_but_our_error(form):
    for read in (progressed, conference, call_to_bob, status,
                 lambda given: gate_reached(given, GATE), recording, client_call):  # fmt: skip
        try:
            event = read(form)
        except MalformedCallbackError:
            continue
        assert event.session_id


class Recorder(dict):
    """Fields that remember which of them were asked for."""

    def __init__(self, form):
        super().__init__(form)
        self.asked = set()

    def get(self, name, default=None):
        self.asked.add(name)
        return super().get(name, default)


def test_the_list_of_fields_read_is_complete():
    asked = set()
    for body in BODIES.glob("*.txt"):
        for read in (
            progressed, conference, status, callback_events.error_url_of,
            call_to_bob, lambda form: digits_of(form, GATE),
            lambda form: gate_reached(form, GATE), lambda form: gate_decided(form, GATE, GateDecision.TAKEN),
            lambda form: dial_ended(form, DialAction(CALLER, "customer", DialKind.BRIDGE)), recording, client_call,
            callback_events.sip_domain_sid_of, callback_events.sip_domain_of,
        ):  # fmt: skip
            recorder = Recorder(fields(body.stem))
            with suppress(MalformedCallbackError):
                read(recorder)
            asked |= recorder.asked

    assert asked | {"AccountSid"} == FIELDS_READ
