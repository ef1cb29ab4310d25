"""`<Record>`: when a message ends, what it contains, and what Twilio requests afterwards."""

import pytest

from model_scenario import APP, ModelScenario
from offhook.model.messages import PhoneSpeaks
from offhook.model.state import Recording

EVENTS = "recordingStatusCallbackEvent='in-progress completed absent'"
SENTENCE = "x" * 50  #: Takes 3 s.


def leave_message(story: ModelScenario, attributes: str = "", after: str = "<Say>Goodbye</Say>") -> str:
    """A caller who hears the tone."""
    record = f"<Record action='/recorded' recordingStatusCallback='{APP}/recording' {EVENTS} {attributes}/>"
    return story.call_in(f"<Response>{record}{after}</Response>")


def says(story: ModelScenario, sid: str, text: str = SENTENCE) -> None:
    story.happens(PhoneSpeaks(sid, text))


def only(story: ModelScenario) -> Recording:
    (recording,) = story.model.state.recordings.values()
    return recording


def test_message_ends_after_five_seconds_of_silence_and_its_silence_is_trimmed(story: ModelScenario) -> None:
    sid = leave_message(story)
    story.passes(2.0)
    says(story, sid)
    story.passes(7.9)
    assert story.call(sid).activity == "recording"
    story.passes(0.2)

    recording, sent = only(story), story.sent_to("/recorded")
    assert (recording.text, recording.status, recording.settings.source) == (SENTENCE, "completed", "RecordVerb")
    assert (sent["RecordingSid"], sent["RecordingDuration"], sent["Digits"]) == (recording.sid, "3", "")
    assert sent["RecordingUrl"].endswith(f"/Recordings/{recording.sid}")
    assert (sent["CallStatus"], story.event("recording-completed")["RecordingDuration"]) == ("in-progress", "3")
    story.serve("/recorded", "<Response><Hangup/></Response>")
    assert story.status(sid) == "completed"


def test_message_is_cut_at_its_maximum_length(story: ModelScenario) -> None:
    sid = leave_message(story, "maxLength='10'")
    for _ in range(4):
        says(story, sid)
        story.passes(2.9)

    assert story.sent_to("/recorded")["RecordingDuration"] == "10"


@pytest.mark.parametrize(("attribute", "pressed", "ends"), [("", "7", True), ("finishOnKey='#'", "7", False)])
def test_key_ends_the_message_if_it_is_one_of_those(
    story: ModelScenario, attribute: str, pressed: str, ends: bool
) -> None:
    sid = leave_message(story, attribute)
    says(story, sid)
    story.passes(1.0)

    story.presses(sid, pressed)

    assert story.asked_paths() == (["/recorded"] if ends else [])
    assert not ends or story.sent_to("/recorded")["Digits"] == pressed


def test_caller_who_hangs_up_is_reported_and_the_answer_is_ignored(story: ModelScenario) -> None:
    sid = leave_message(story)
    says(story, sid)
    story.passes(2.0)
    story.hangs_up(sid)

    sent = story.sent_to("/recorded")
    assert (sent["Digits"], sent["CallStatus"], sent["RecordingDuration"]) == ("hangup", "completed", "2")
    assert list(sent) == sorted(sent)
    story.serve("/recorded", "<Response><Say>Hello?</Say></Response>")
    assert (story.status(sid), only(story).status) == ("completed", "completed")


@pytest.mark.parametrize("ending", ["silence", "key", "hangup"])
def test_silent_message_is_absent_and_has_no_action(story: ModelScenario, ending: str) -> None:
    sid = leave_message(story)
    story.passes(2.0)
    if ending == "key":
        story.presses(sid, "#")
    elif ending == "hangup":
        story.hangs_up(sid)
    else:
        story.passes(3.0)

    assert story.asked_paths() == []
    assert story.event("recording-absent")["ErrorCode"] == "16102"
    assert story.hears(sid) == (None if ending == "hangup" else "speech")


def test_redirect_ends_the_message_without_its_action(story: ModelScenario) -> None:
    sid = leave_message(story)
    says(story, sid)
    story.passes(1.0)

    story.redirect(sid, "<Response><Say>Someone is here</Say></Response>")
    story.passes(0.5)

    assert (story.said(sid), story.asked_paths()) == ("Someone is here", [])
    assert story.event("recording-completed")["RecordingDuration"] == "1"


def test_message_is_listed_and_can_be_deleted_once(story: ModelScenario) -> None:
    sid = leave_message(story)
    says(story, sid)
    story.passes(1.0)
    story.presses(sid, "#")

    _, page = story.rest("GET", "/Recordings.json", ("CallSid", sid))
    (listed,) = page["recordings"]
    assert (listed["source"], listed["call_sid"], listed["status"]) == ("RecordVerb", sid, "completed")
    path = f"/Recordings/{listed['sid']}.json"
    assert [story.rest("DELETE", path)[0] for _ in range(2)] == [204, 404]
