"""Who speaks, and callbacks that no one knows yet."""

import pytest

from conferral.sandbox.model.messages import PhoneFallsSilent, PhoneSpeaks
from tests.sandbox.model_scenario import APP, CUSTOMER, ModelScenario
from tests.support.foreign_calls import NoSubscriberError


def test_speech_is_reported_from_start_to_stop(story: ModelScenario) -> None:
    first = story.member("participantLabel='customer'")
    story.member()

    for happened in (PhoneSpeaks, PhoneSpeaks, PhoneFallsSilent, PhoneFallsSilent):
        story.happens(happened(first))

    assert story.events()[-2:] == ["participant-speech-start", "participant-speech-stop"]
    params = story.event("participant-speech-stop")
    assert (params["CallSid"], params["ParticipantLabel"], params["Muted"], params["Hold"]) == (
        first, "customer", "false", "false",
    )  # fmt: skip
    assert story.events().count("participant-speech-start") == 1


@pytest.mark.parametrize("change", ["Muted", "Hold"])
def test_no_speech_is_reported_for_a_party_that_cannot_be_heard(story: ModelScenario, change: str) -> None:
    first = story.member()
    story.member()
    story.happens(PhoneSpeaks(first))
    story.update(first, (change, "true"))

    for happened in (PhoneFallsSilent, PhoneSpeaks):
        story.happens(happened(first))

    assert [it for it in story.events() if "speech" in it] == ["participant-speech-start"]


def test_unknown_event_goes_to_the_conference_status_callback(story: ModelScenario) -> None:
    sid = story.member("participantLabel='customer'")

    story.sends(story.conference(), "participant-sang", ("CallSid", sid), ("Song", "alto"), ("Muted", "maybe"))

    fields = story.event("participant-sang")
    assert (fields["ConferenceSid"], fields["SequenceNumber"], fields["ParticipantLabel"]) == (
        story.conference(),
        "2",
        "customer",
    )
    assert (fields["Song"], fields["Muted"], fields["StatusCallbackEvent"]) == ("alto", "maybe", "participant-sang")
    assert story.callbacks[-1].url == f"{APP}/conference"


def test_unknown_call_status_goes_to_the_call_status_callback(story: ModelScenario) -> None:
    sid = story.call_in("<Response><Pause length='9'/></Response>")

    story.sends(sid, "pondering", ("Mood", "calm"))

    reported = story.event("pondering")
    assert (reported["CallStatus"], reported["Mood"], reported["From"], reported["SequenceNumber"]) == (
        "pondering", "calm", CUSTOMER, "0",
    )  # fmt: skip
    assert story.callbacks[-1].url == f"{APP}/status"


def test_unknown_recording_status_goes_to_the_recording_callback(story: ModelScenario) -> None:
    sid = story.member()
    _, body = story.rest("POST", f"/Calls/{sid}/Recordings.json", ("RecordingStatusCallback", f"{APP}/recording"))

    story.sends(body["sid"], "failed", ("ErrorCode", "16103"))

    params = story.event("recording-failed")
    assert (params["RecordingStatus"], params["ErrorCode"], params["RecordingSid"]) == ("failed", "16103", body["sid"])


def test_event_without_a_subscriber_is_refused(story: ModelScenario) -> None:
    sid = story.dial()

    for unknown in (sid, "CF" + "0" * 32, "CA" + "0" * 32):
        with pytest.raises(NoSubscriberError, match=unknown):
            story.sends(unknown, "event")
