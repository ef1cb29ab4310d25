"""Recordings that other requests report: of a `<Dial>`, of a call by REST, and transcribed ones."""

import pytest

from model_scenario import APP, ModelScenario, bridge_twiml
from offhook.model.messages import PhoneSpeaks
from offhook.model.state import Recording

NAMES = ("RecordingUrl", "RecordingSid", "RecordingDuration")


def only(story: ModelScenario) -> Recording:
    (recording,) = story.model.state.recordings.values()
    return recording


@pytest.mark.parametrize(
    ("value", "channels", "since_s"),
    [
        ("true", 1, 4.0),
        ("record-from-answer", 1, 4.0),
        ("record-from-answer-dual", 2, 4.0),
        ("record-from-ringing", 1, 0.0),
        ("record-from-ringing-dual", 2, 0.0),
    ],
)
def test_recorded_dial_is_in_its_action_and_its_callback(
    story: ModelScenario, value: str, channels: int, since_s: float
) -> None:
    callback = "recordingStatusCallback='/recording' recordingStatusCallbackEvent='in-progress completed'"
    parent, child = story.bridging(attributes=f"action='/action' record='{value}' trim='do-not-trim' {callback}")
    began_s = story.now_s
    story.answers(child, 4.0)
    recording = only(story)
    assert (recording.started_at_s - began_s, recording.settings.channels) == (since_s, channels)
    assert story.event("recording-in-progress")["RecordingSource"] == "DialVerb"
    story.passes(10.0)
    story.hangs_up(child)

    action, completed = story.sent_to("/action"), story.event("recording-completed")
    assert {name: action[name] for name in NAMES} == {name: completed[name] for name in NAMES}
    assert (action["RecordingDuration"], completed["CallSid"]) == (str(int(14.0 - since_s)), parent)
    assert {parent, child} <= {sid for span in recording.spans for sid in span.sound.parties}


def test_dial_that_no_one_answers_or_that_is_not_recorded_reports_no_recording(story: ModelScenario) -> None:
    for attributes in ("record='record-from-answer'", "record='do-not-record'"):
        _, child = story.bridging(attributes=f"action='/action' {attributes}")
        story.hangs_up(child) if "answer" in attributes else story.passes(60.0)
        assert not set(NAMES) & set(story.sent_to("/action"))
    assert story.model.state.recordings == {}


@pytest.mark.parametrize("ending", ["caller hangs up", "redirected"])
def test_recording_of_a_dial_ends_with_it(story: ModelScenario, ending: str) -> None:
    parent, _ = story.bridged(attributes="action='/action' record='record-from-answer'")
    story.passes(5.0)
    if ending == "redirected":
        story.redirect(parent, "<Response><Pause length='60'/></Response>")
        story.passes(1.0)
    else:
        story.hangs_up(parent)
    assert (only(story).status, story.sent_to("/action")["RecordingDuration"]) == ("completed", "5")


def test_last_callback_of_a_recorded_call_reports_its_recording(story: ModelScenario) -> None:
    events = (("StatusCallback", f"{APP}/dial"), *(("StatusCallbackEvent", it) for it in ("answered", "completed")))
    twiml = ("Twiml", bridge_twiml("<Client>carol</Client>"))
    _, body = story.rest(
        "POST", "/Calls.json", ("To", "client:bob"), ("From", "+15550100"), twiml, ("Record", "true"), *events
    )
    story.answers(body["sid"])
    story.passes(7.0)
    assert not set(NAMES) & set(story.event("answered"))
    story.hangs_up(body["sid"])
    completed = story.event("completed")
    assert (completed["RecordingSid"], completed["RecordingDuration"]) == (only(story).sid, "7")
    assert completed["RecordingUrl"].endswith(f"/Recordings/{only(story).sid}")


@pytest.mark.parametrize(
    ("text", "status", "is_shown"),
    [("My order is late. Please call me back soon.", "completed", True), ("Hello.", "failed", False)],
)
def test_transcription_is_what_the_caller_said(story: ModelScenario, text: str, status: str, is_shown: bool) -> None:
    sid = story.call_in("<Response><Record transcribe='true' transcribeCallback='/text'/></Response>")
    story.happens(PhoneSpeaks(sid, text))
    story.passes(30.0)
    sent = story.event("transcription")
    assert (sent["TranscriptionStatus"], sent["TranscriptionText"]) == (status, text if is_shown else "")
    assert (sent["CallSid"], sent["RecordingSid"], sent["From"]) == (sid, only(story).sid, story.call(sid).from_)
    assert sent["TranscriptionUrl"].endswith(f"/Transcriptions/{sent['TranscriptionSid']}")


@pytest.mark.parametrize("attributes", ["transcribe='true'", "transcribe='false' transcribeCallback='/text'"])
def test_without_both_attributes_nothing_is_transcribed(story: ModelScenario, attributes: str) -> None:
    sid = story.call_in(f"<Response><Record {attributes}/></Response>")
    story.happens(PhoneSpeaks(sid, "My order is late. Please call me back soon."))
    story.passes(30.0)
    assert "transcription" not in story.events("recording")


def test_transcriptions_are_listed_read_and_deleted(story: ModelScenario) -> None:
    text = "My order is late. Please call me back soon."
    sid = story.call_in("<Response><Record transcribe='true'/></Response>")
    story.happens(PhoneSpeaks(sid, text))
    story.passes(30.0)
    recording = only(story).sid

    _, listed = story.rest("GET", f"/Recordings/{recording}/Transcriptions.json")
    (shown,) = listed["transcriptions"]
    assert (shown["transcription_text"], shown["status"], shown["recording_sid"]) == (text, "completed", recording)
    assert story.rest("GET", "/Transcriptions.json")[1]["transcriptions"] == [shown]
    path = f"/Transcriptions/{shown['sid']}.json"
    assert story.rest("GET", path)[1] == story.rest("GET", f"/Recordings/{recording}{path}")[1] == shown
    assert story.rest("DELETE", path)[0] == 204
    assert story.refused("GET", path) == (404, 20404)
    assert story.refused("GET", f"/Recordings/RE{'0' * 32}/Transcriptions.json") == (404, 20404)
    assert story.errors == []


def test_call_is_recorded_in_the_background_while_its_verbs_go_on(story: ModelScenario) -> None:
    noun = "<Recording recordingStatusCallback='/recorded' recordingStatusCallbackEvent='in-progress completed'/>"
    sid = story.call_in(f"<Response><Start>{noun}</Start><Say>The recording has started.</Say></Response>")
    assert story.said(sid) == "The recording has started."
    recording = only(story)
    assert (recording.settings.source, recording.settings.channels) == ("StartCallRecordingTwiML", 2)
    story.passes(60.0)
    assert [it for it in story.events("recording") if it.startswith("recording-")] == [
        "recording-in-progress", "recording-completed",
    ]  # fmt: skip
    assert story.event("recording-completed")["CallSid"] == sid
    assert story.errors == []


def test_participant_is_recorded_from_the_answer(story: ModelScenario) -> None:
    story.call_in("<Response><Dial><Conference>room</Conference></Dial></Response>")
    callback = ("RecordingStatusCallback", f"{APP}/recorded"), ("RecordingStatusCallbackEvent", "in-progress completed")
    sid = story.participant("+14155550166", ("Record", "true"), ("RecordingChannels", "dual"), *callback)
    assert not story.model.state.recordings
    story.answers(sid)
    assert (only(story).call_sid, only(story).settings.channels) == (sid, 2)
    story.passes(5.0)
    story.hangs_up(sid)
    story.passes(5.0)
    assert story.event("recording-completed")["CallSid"] == sid
    assert story.errors == []
