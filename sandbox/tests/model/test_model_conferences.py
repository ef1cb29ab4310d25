"""Conferences by TwiML: who enters, what starts and ends a conference, and the callbacks about it."""

import pytest

from model_scenario import APP, BUSINESS, ModelScenario
from offhook.model.messages import PhoneFallsSilent, PhoneSpeaks


def test_settings_of_the_first_participant_hold_for_all(story: ModelScenario) -> None:
    story.call_in("<Response><Dial><Conference>room</Conference></Dial></Response>")

    story.member()

    assert story.events() == []


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        pytest.param("participantLabel='agent'", 16025, id="label in use"),
        pytest.param(f"participantLabel='CA{'0' * 32}'", 16023, id="label like a SID"),
        pytest.param(f"coach='CA{'0' * 32}'", 13240, id="coached call is absent"),
    ],
)
def test_member_that_cannot_join_continues_at_its_action(story: ModelScenario, attributes: str, code: int) -> None:
    story.member("participantLabel='agent'")

    story.member(attributes)

    assert (story.error_codes(), story.events()) == ([code], ["participant-join"])
    assert story.sent_to("/after")["DialCallStatus"] == "failed"


def test_full_conference_admits_no_one(story: ModelScenario) -> None:
    for _ in range(2):
        story.member("maxParticipants='2'")
    extra = story.member("maxParticipants='9'")

    added = (("To", "client:dan"), ("From", BUSINESS))
    assert story.refused("POST", story.participants(), *added) == (400, 16020)
    action = story.sent_to("/after")
    assert (story.error_codes(), action["CallSid"], action["DialCallStatus"]) == ([16020], extra, "failed")
    assert len(story.model.state.conferences[story.conference()].participants) == 2


def test_audio_as_wait_document_plays_on(story: ModelScenario) -> None:
    sid = story.member(f"waitUrl='{APP}/tune' waitMethod='GET'")

    story.serve("/tune", "RIFF", content_type="audio/wav")

    story.passes(100.0)
    assert (story.hears(sid), story.asked_paths()) == ("music", [])


def test_wait_document_may_not_dial(story: ModelScenario) -> None:
    story.member(f"waitUrl='{APP}/wait'")

    story.serve("/wait", "<Response><Dial>+15550111</Dial></Response>")

    assert story.error_codes() == [13238]
    assert story.asked_paths() == ["/after"]


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
