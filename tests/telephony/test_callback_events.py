"""Form bodies as Twilio sends them, each named after the moment; numbers, SIDs and places are made up."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conferral.statemachine.events import (
    AnnouncementEnded,
    CallProgressed,
    ClientCallReceived,
    ConferenceEnded,
    ConferenceEventIgnored,
    ConferenceStarted,
    DialEnded,
    GateDecision,
    ParticipantChanged,
    ParticipantJoined,
    ParticipantLeft,
    RecordingChanged,
)
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
from tests.support.people import NUMBER
from tests.webhooks.webhook_helpers import AGENT, BODIES, CALLER, CONFERENCE, fields

SUPERVISOR, RECORDING = "CA" + "5" * 32, "RE" + "6" * 32
EIGHT_O_CLOCK_MS = 1_795_161_600_000
GATE = Gate(CALLER, "d1")


def status(form):
    return caller_callback(form)


def progressed(form):
    return call_progressed(form, CallCallback(CALLER, "agent"), [NUMBER])


def conference(form):
    return conference_event(form, CALLER)


def recording(form):
    return recording_changed(form, CALLER)


def client_call(form):
    return client_call_received(form, session_id=session_id_of(form), customer_address="+14155550177")


def call_to_bob(form):
    return call_received(form, InboundRoute(("client:bob",)), SessionMode.BRIDGE)


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


def test_a_new_call_is_the_first_agents_and_a_sip_caller_has_the_number_in_the_address():
    route = InboundRoute(("client:bob", "client:carol", "client:dan"))
    form = fields("call_arrives", From="sip:4155550199@pbx.example.com")
    event = call_received(form, route, SessionMode.BRIDGE, "+14155550199")

    assert (event.agent_address, event.other_agents) == ("client:bob", ("client:carol", "client:dan"))
    assert (event.customer_address, event.has_caller_id) == ("+14155550199", True)


def test_ringing_agent_event_has_party_sequence_and_time():
    event = progressed(fields("agent_rings"))

    assert event == CallProgressed(
        session_id=CALLER, source=AGENT, sequence=1, occurred_at_ms=EIGHT_O_CLOCK_MS + 1000, party="agent",
        call_sid=AGENT, status="ringing", address="+14155550123", customer_address="+14155550199",
    )  # fmt: skip


def test_dialed_address_is_without_its_params():
    assert progressed(fields("agent_rings") | {"To": "client:alice?name=Ada"}).address == "client:alice"


def test_agents_leg_shows_the_customer_only_as_the_one_who_calls():
    phone = "sip:4155550123@pbx.example.com"
    event = progressed(fields("caller_has_hung_up") | {"From": phone})
    assert (event.address, event.customer_address) == (phone, "")
    assert progressed(fields("agent_rings") | {"From": NUMBER}).customer_address == ""


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


@each("to, sip, status", [
    ("client:alice",         "600", "rejected"),  # how a browser declines
    ("client:alice?order=7", "603", "rejected"),
    ("+14155550123",         "600", "busy"),      # busy everywhere
    ("sip:desk@example.com", "600", "busy"),
    ("+14155550123",         "603", "rejected"),
    ("sip:desk@example.com", "607", "rejected"),
    ("client:alice",         "486", "busy"),
])  # fmt: skip
def test_sip_response_distinguishes_a_refusal_from_a_busy_line(to, sip, status):
    assert progressed(fields("agent_is_busy") | {"To": to, "SipResponseCode": sip}).reported_status == status


def test_the_numbers_status_callback_is_the_callers():
    form = fields("caller_has_hung_up")

    event = call_progressed(form, caller_callback(form), [NUMBER])

    assert (event.session_id, event.party, event.call_sid) == (CALLER, "customer", CALLER)
    assert (event.address, event.customer_address) == ("+14155550199", "+14155550199")
    form["From"] = "sip:4155550199@pbx.example.com"  # as when the call came in
    own_numbers = [NUMBER, "+442079460100"]
    assert call_progressed(form, caller_callback(form), own_numbers).customer_address == "+14155550199"


def test_a_dial_that_ends_keeps_both_statuses_and_is_the_same_if_the_action_is_repeated():
    action = DialAction(CALLER, "customer", DialKind.BRIDGE)
    event = dial_ended(fields("dial_ends_answered"), action)

    assert event == DialEnded(
        session_id=CALLER, token=f"dial_ended:bridge:{CALLER}:1:in-progress", party="customer", call_sid=CALLER,
        dial_kind="bridge", dial_call_status="completed", call_status="in-progress", duration_s=295,
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


def in_conference(sequence):
    """What every event of a conference has."""
    return {
        "session_id": CALLER, "source": CONFERENCE, "conference_sid": CONFERENCE, "sequence": sequence,
        "occurred_at_ms": EIGHT_O_CLOCK_MS + 60_000,
    }  # fmt: skip


@each(
    "moment, expected",
    [
        ("agent_joins", ParticipantJoined(**in_conference(1), call_sid=AGENT, label="agent-1")),
        ("conference_starts", ConferenceStarted(**in_conference(3))),
        ("agent_leaves", ParticipantLeft(
            **in_conference(4), call_sid=AGENT, label="agent-1", call_status="completed",
            left_reason="participant_hung_up", left_s=EIGHT_O_CLOCK_MS // 1000 + 60)),
        ("customer_is_held", ParticipantChanged(
            **in_conference(5), call_sid=CALLER, label="customer-1", kind="participant-hold", held=True)),
        ("customer_waits", ParticipantJoined(
            **in_conference(1), call_sid=CALLER, label="customer-1", start_on_enter=False)),
        ("agent_carries_the_flag", ParticipantChanged(
            **in_conference(5), call_sid=AGENT, label="agent-1", kind="participant-modify", muted=True,
            end_on_exit=True)),
        ("conference_ends", ConferenceEnded(
            **in_conference(6), conference_reason="last-participant-left", call_sid_ending=CALLER,
            label_ending="customer-1")),
        ("announcement_ends", AnnouncementEnded(**in_conference(7), command="c1")),
        ("announcement_to_one_fails", AnnouncementEnded(
            **in_conference(8), call_sid=CALLER, url="https://example.com/a.wav", failed=True,
            reason="Internal error")),
        ("supervisor_whispers", ParticipantChanged(
            **in_conference(9), call_sid=SUPERVISOR, label="supervisor-3", kind="participant-modify", coaches=AGENT)),
        ("customer_speaks", ConferenceEventIgnored(
            **in_conference(10), kind="participant-speech-start", call_sid=CALLER)),
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
        (progressed, "agent_rings", {"CallSid": "{x}"}, "CallSid"),
        (progressed, "agent_rings", {"CallSid": "C" * 65}, "CallSid"),
        (progressed, "agent_rings", {"CallStatus": "in progress"}, "CallStatus"),
        (progressed, "agent_rings", {"SequenceNumber": "-1"}, "SequenceNumber"),
        (progressed, "agent_rings", {"SequenceNumber": "\u0661"}, "SequenceNumber"),
        (progressed, "agent_rings", {"SipResponseCode": "busy"}, "SipResponseCode"),
        (conference, "agent_joins", {"ConferenceSid": None}, "ConferenceSid"),
        (conference, "agent_joins", {"StatusCallbackEvent": None}, "StatusCallbackEvent"),
        (conference, "agent_joins", {"ParticipantLabel": "a\r\nb"}, "ParticipantLabel"),
        (recording, "customers_call_was_recorded", {"RecordingSid": "{x}"}, "RecordingSid"),
        (recording, "customers_call_was_recorded", {"RecordingStatus": "a b"}, "RecordingStatus"),
        (lambda form: gate_reached(form, GATE), "target_answers_at_the_gate", {"CallSid": "{x}"}, "CallSid"),
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


# ---- announcements -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "command", "played"),
    [
        ("https://example.com/voice/announcement?command=c1&session=CS1&v=1#rc=2", "c1", ""),
        ("https://example.com/a.wav#rc=2", "", "https://example.com/a.wav"),
        ("https://example.com/".ljust(2_001, "a"), "", "https://example.com/".ljust(2_000, "a")),
        ("https://example.com/voice/announcement?session=CS1&v=1", "", ""),
        ("", "", ""),
    ],
)
def test_announcement_is_identified_by_its_url(url, command, played):
    event = conference(fields("announcement_ends", AnnounceUrl=url))

    assert (event.command, event.url) == (command, played)


@each(
    "expected, kept",
    [
        (None, ""),
        ("", ""),
        ("HTTP error 11200 at wait", "HTTP error 11200 at wait"),
        ("could not fetch https://u:p@example.com/a.wav", "could not fetch \u2026"),
        ("call to +1 (415) 555-0123 failed", "call to +\u202623 failed"),
        ("a\nb\x00", "a\u2026b\u2026"),
        ("x" * 999, "x" * 200),
        ("x" * 194 + " +14155550123 failed", "x" * 194 + " +\u202623 "),
    ],
)
def test_why_an_announcement_failed_is_kept_without_what_must_not_be_shown(expected, kept):
    event = conference(fields("announcement_to_one_fails", ReasonAnnouncementFailed=expected))

    assert isinstance(event, AnnouncementEnded)
    assert event.reason == kept


# ---- recordings ----------------------------------------------------------------------------------------------------


def test_customer_call_recording_is_identified_by_its_call():
    assert recording(fields("customers_call_was_recorded")) == RecordingChanged(
        session_id=CALLER, token=f"recording_changed:{RECORDING}:completed", recording_sid=RECORDING,
        status="completed", call_sid=CALLER, duration_s=42, channels=2, started_at_ms=1_795_161_660_000,
        url=f"https://api.twilio.com/2010-04-01/Accounts/AC{'0' * 32}/Recordings/{RECORDING}",
    )  # fmt: skip


def test_conference_recording_is_identified_by_its_conference():
    event = recording(fields("conference_is_recorded"))

    assert (event.of_conference, event.conference_sid, event.call_sid) == (True, CONFERENCE, "")
    assert (event.status, event.duration_s) == ("in-progress", 0)


@pytest.mark.parametrize(
    ("moment", "changes", "of_conference"),
    [
        ("conference_is_recorded", {"RecordingSource": "StartConferenceRecordingAPI"}, True),
        ("conference_is_recorded", {"RecordingSource": None}, True),
        ("conference_is_recorded", {"RecordingSource": None, "CallSid": CALLER}, False),
        ("customers_call_was_recorded", {"RecordingSource": None}, False),
        ("customers_call_was_recorded", {"RecordingSource": None, "CallSid": None}, False),
        ("customers_call_was_recorded", {"RecordingSource": "OutboundAPI"}, False),
    ],
)
def test_recording_of_a_conference_is_recognized_by_source_or_sid(moment, changes, of_conference):
    assert recording(fields(moment, **changes)).of_conference is of_conference
