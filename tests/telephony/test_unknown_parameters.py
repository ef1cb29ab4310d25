"""Twilio's parameters with unknown names."""

import json

from hypothesis import given
from hypothesis import strategies as st

from conferral.telephony.callback_events import conference_event, recording_changed
from conferral.telephony.callback_fields import STORED_BYTES_MAX, summarize_unknown
from tests.support.each import each
from tests.webhooks.webhook_helpers import BODIES, CALLER, fields

KNOWN = frozenset({"CallSid"})


def kept(form):
    return json.loads(summarize_unknown(form, KNOWN) or "{}")


def test_only_unknown_parameters_are_kept():
    assert summarize_unknown({"CallSid": "CA1"}, KNOWN) == ""
    assert kept({"CallSid": "CA1", "Mood": "cheerful", "Altitude": "", "Ünit": "m"}) == {
        "Altitude": "", "Mood": "cheerful", "Ünit": "m",
    }  # fmt: skip


@each(
    "value, shown",
    [
        ("+14155550123", "+…23"),
        ("4155550123", "…23"),
        ("sip:+1 (415) 555-0123@example.com", "sip:+…23@example.com"),
        ("see https://user:secret@example.com/a?token=b now", "see … now"),
        ("a\x1b[31m\r\nb", "a…[31m……b"),
        ("CA" + "1" * 32, "CA" + "1" * 32),
        ("CA" + "1" * 31, "CA…11"),
        ("x" * 500, "x" * 200),
        ("x" * 195 + "+14155550123", "x" * 195 + "+…23"),
    ],
)
def test_numbers_and_secrets_are_not_carried_on_be_they_value_or_name(value, shown):
    assert kept({"Mood": value}) == {"Mood": shown}
    assert kept({value: "fine"}) == {shown: "fine"}


def test_what_fits_is_kept_and_the_rest_is_counted():
    first = dict.fromkeys("abcd", "x" * 200)
    whole = first | {"e": "x" * 164}

    assert kept(whole) == whole
    assert kept(first | {"e": "x" * 165, "f": "x"}) == first | {"…": "2 more"}


@given(st.dictionaries(st.text(), st.text(), max_size=30))
def test_whatever_comes_it_is_short_json_of_texts(form):
    found = summarize_unknown(form, KNOWN)
    assert len(found.encode()) <= STORED_BYTES_MAX
    assert bool(found) == bool(form.keys() - KNOWN)
    assert not found or all(isinstance(value, str) for value in json.loads(found).values())


def event_of(form):
    return conference_event(form, CALLER) if "StatusCallbackEvent" in form else recording_changed(form, CALLER)


@each("form", [form for body in sorted(BODIES.glob("*.txt"))
               if {"StatusCallbackEvent", "RecordingSid"} & (form := fields(body.stem)).keys()])  # fmt: skip
def test_every_callback_of_a_conference_or_recording_keeps_what_twilio_does_not_document(form):
    assert event_of(form).other == ""
    assert json.loads(event_of(form | {"Mood": "cheerful"}).other) == {"Mood": "cheerful"}
