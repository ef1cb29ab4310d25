"""Twilio's callbacks about recordings."""

import pytest

from conferral.statemachine.events import RecordingChanged
from tests.telephony.test_callback_events import CALLER, CONFERENCE, RECORDING, fields, recording


def test_customer_call_recording_is_identified_by_its_call():
    assert recording(fields("customers_call_was_recorded")) == RecordingChanged(
        session_id=CALLER, token=f"recording_changed:{RECORDING}:completed", recording_sid=RECORDING,
        status="completed", call_sid=CALLER, duration_s=42,
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
