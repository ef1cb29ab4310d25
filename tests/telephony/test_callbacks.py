"""Form bodies as Twilio sends them, each named after the moment; numbers, SIDs and places are made up."""

from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statemachine.events import (
    CallProgressed,
    CallReceived,
    ConferenceEnded,
    ConferenceNoted,
    ConferenceStarted,
    DialEnded,
    ParticipantJoined,
    ParticipantLeft,
)
from telephony import callbacks
from telephony.callbacks import (
    FIELDS_READ,
    MalformedCallbackError,
    call_progressed,
    call_received,
    conference_event,
    customer_callback,
    dial_ended,
)
from telephony.urls import CallCallback, ConferenceCallback, DialAction, DialKind

BODIES = Path(__file__).parent / "bodies"
CALLER, AGENT = "CA" + "1" * 32, "CA" + "2" * 32
CONFERENCE = "CF" + "3" * 32
OWN_NUMBER = "+14155550100"
EIGHT_O_CLOCK_MS = 1_795_161_600_000


def fields(name, **changes):
    form = dict(parse_qsl((BODIES / f"{name}.txt").read_text(), keep_blank_values=True))
    form |= changes
    return {name: value for name, value in form.items() if value is not None}


def progressed(form):
    return call_progressed(form, CallCallback(CALLER, "agent"), OWN_NUMBER)


def conference(form):
    return conference_event(form, ConferenceCallback(CALLER))


def test_a_call_that_arrives_is_a_session_of_its_own():
    event = call_received(fields("call_arrives"), "+14155550123")

    assert event == CallReceived(
        session_id=CALLER, token="call_received", call_sid=CALLER, customer_address="+14155550199",
        agent_address="+14155550123",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("moment", "customer"),
    [("call_from_browser_arrives", "client:alice"), ("call_with_withheld_number_arrives", "anonymous")],
)
def test_a_caller_need_not_have_a_number(moment, customer):
    assert call_received(fields(moment), "client:bob").customer_address == customer


def test_an_agent_who_rings_is_told_by_party_sequence_and_time():
    event = progressed(fields("agent_rings"))

    assert event == CallProgressed(
        session_id=CALLER, source=AGENT, sequence=1, occurred_at_ms=EIGHT_O_CLOCK_MS + 1000, party="agent",
        call_sid=AGENT, status="ringing", address="+14155550123", customer_address="+14155550199",
    )  # fmt: skip


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


def test_our_own_number_shown_to_the_agent_is_not_the_customers():
    assert progressed(fields("agent_rings", From=OWN_NUMBER)).customer_address == ""


def test_the_numbers_status_callback_is_the_customers():
    form = fields("caller_has_hung_up")

    event = call_progressed(form, customer_callback(form), OWN_NUMBER)

    assert (event.session_id, event.party, event.call_sid) == (CALLER, "customer", CALLER)
    assert (event.address, event.customer_address) == ("+14155550199", "+14155550199")


def test_without_a_sequence_the_token_tells_the_event():
    event = progressed(fields("agent_rings", SequenceNumber=None))

    assert (event.sequence, event.token) == (None, f"call_progressed:{AGENT}:ringing")


def test_a_dial_that_ends_keeps_both_statuses():
    event = dial_ended(fields("dial_ends_answered"), DialAction(CALLER, "customer", DialKind.BRIDGE))

    assert event == DialEnded(
        session_id=CALLER, token=f"dial_ended:bridge:{CALLER}:1:in-progress", party="customer", call_sid=CALLER,
        dial="bridge", dial_call_status="completed", call_status="in-progress",
    )  # fmt: skip


def test_an_action_that_is_asked_again_tells_of_the_same_end():
    action = DialAction(CALLER, "customer", DialKind.BRIDGE)
    first = dial_ended(fields("dial_ends_answered"), action)

    again = dial_ended(fields("dial_ends_answered", DialCallStatus=None), action.asked_again("completed"))

    assert again == first


def test_a_second_try_of_a_dial_is_another_event():
    form = fields("dial_into_conference_ends")

    tokens = {dial_ended(form, DialAction(CALLER, "agent", DialKind.CONFERENCE, n)).token for n in (1, 2)}

    assert len(tokens) == 2


@pytest.mark.parametrize(
    ("moment", "expected"),
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
        ("customer_is_held", ConferenceNoted(
            session_id=CALLER, source=CONFERENCE, sequence=5, occurred_at_ms=EIGHT_O_CLOCK_MS + 60_000,
            conference_sid=CONFERENCE, call_sid=CALLER, kind="participant-hold")),
        ("conference_ends", ConferenceEnded(
            session_id=CALLER, source=CONFERENCE, sequence=6, occurred_at_ms=EIGHT_O_CLOCK_MS + 60_000,
            conference_sid=CONFERENCE, conference_reason="last-participant-left", call_sid_ending=CALLER)),
    ],
)  # fmt: skip
def test_each_conference_callback_is_an_event(moment, expected):
    assert conference(fields(moment)) == expected


def test_a_conference_event_of_a_later_day_is_kept_by_its_name():
    event = conference(fields("agent_joins", StatusCallbackEvent="participant-levitate"))

    assert isinstance(event, ConferenceNoted)
    assert event.kind == "participant-levitate"


def test_a_conference_event_without_sequence_is_told_by_its_token():
    tokens = {
        conference(fields(moment, SequenceNumber=None)).token
        for moment in ("agent_joins", "agent_leaves", "conference_starts", "conference_ends")
    }

    assert len(tokens) == 4
    assert "" not in tokens


@pytest.mark.parametrize(
    "timestamp", ["", "yesterday", "Fri, 99 Nov 2026 08:00:00 +0000", "Fri, 20 Nov 2026 25:00:00 +0000"]
)
def test_a_time_that_cannot_be_read_is_no_reason_to_refuse(timestamp):
    assert progressed(fields("agent_rings", Timestamp=timestamp)).occurred_at_ms == 0


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"CallSid": None}, "CallSid"),
        ({"CallSid": ""}, "CallSid"),
        ({"CallSid": "CA1\n"}, "CallSid"),
        ({"CallSid": "{x}"}, "CallSid"),
        ({"CallSid": "C" * 65}, "CallSid"),
        ({"CallStatus": None}, "CallStatus"),
        ({"CallStatus": "in progress"}, "CallStatus"),
        ({"SequenceNumber": "-1"}, "SequenceNumber"),
        ({"SequenceNumber": "1" * 10}, "SequenceNumber"),
        ({"SequenceNumber": "\u0661"}, "SequenceNumber"),
        ({"SipResponseCode": "busy"}, "SipResponseCode"),
    ],
)
def test_a_malformed_call_callback_names_the_field_and_not_its_value(changes, field):
    with pytest.raises(MalformedCallbackError) as caught:
        progressed(fields("agent_rings", **changes))

    assert caught.value.field == field
    assert str(caught.value) == "malformed field"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"ConferenceSid": None}, "ConferenceSid"),
        ({"StatusCallbackEvent": None}, "StatusCallbackEvent"),
        ({"CallSid": None}, "CallSid"),
        ({"CallSid": "a b"}, "CallSid"),
        ({"ParticipantLabel": "a\r\nb"}, "ParticipantLabel"),
        ({"SequenceNumber": "x"}, "SequenceNumber"),
    ],
)
def test_a_malformed_conference_callback_names_the_field(changes, field):
    with pytest.raises(MalformedCallbackError) as caught:
        conference(fields("agent_joins", **changes))

    assert caught.value.field == field


@given(st.dictionaries(st.sampled_from(sorted(FIELDS_READ)), st.text()))
def test_no_form_raises_anything_but_our_error(form):
    for read in (progressed, conference, lambda given: call_received(given, "client:bob"), customer_callback):
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
            progressed, conference, customer_callback, callbacks.error_url_of, callbacks.parent_call_sid_of,
            lambda form: call_received(form, "client:bob"),
            lambda form: dial_ended(form, DialAction(CALLER, "customer", DialKind.BRIDGE)),
        ):  # fmt: skip
            recorder = Recorder(fields(body.stem))
            with suppress(MalformedCallbackError):
                read(recorder)
            asked |= recorder.asked

    assert asked | {"AccountSid"} == FIELDS_READ
