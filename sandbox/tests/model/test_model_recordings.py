"""Recordings of calls and conferences: what is on them, pauses, callbacks, refusals."""

from math import inf

import pytest

from model_scenario import APP, ModelScenario
from offhook.model.behavior import Behavior
from offhook.model.state import Recording

ALL_EVENTS = tuple(("RecordingStatusCallbackEvent", event) for event in ("in-progress", "completed", "absent"))
CALLBACK = (("RecordingStatusCallback", f"{APP}/recording"), *ALL_EVENTS)
RECORDED = f"record='record-from-start' recordingStatusCallback='{APP}/recording' "
EVENTS = "recordingStatusCallbackEvent='in-progress completed absent'"


SKIP = (("Status", "paused"), ("PauseBehavior", "skip"))


def record(story: ModelScenario, sid: str, *params: tuple[str, str]) -> Recording:
    status, body = story.rest("POST", f"/Calls/{sid}/Recordings.json", *CALLBACK, *params)
    assert status == 201, body
    return story.model.state.recordings[body["sid"]]


def dialed(story: ModelScenario, *params: tuple[str, str]) -> tuple[str, Recording]:
    """A call that was dialed and answered, and its recording."""
    sid = story.dial()
    story.answers(sid)
    return sid, record(story, sid, *params)


def has_voice_of(recording: Recording, sid: str, since_s: float = 0.0, until_s: float = inf) -> bool:
    heard = [(it.since_s, it.until_s or inf) for it in recording.spans if sid in it.sound.parties]
    return any(from_s < until_s and to_s > since_s for from_s, to_s in heard)


def only(story: ModelScenario) -> Recording:
    (recording,) = story.model.state.recordings.values()
    return recording


def spans(recording: Recording) -> list[tuple[float, float | None, frozenset[str]]]:
    """Times are seconds since the recording's start."""
    began_s = recording.started_at_s
    return [
        (it.since_s - began_s, None if it.until_s is None else it.until_s - began_s, it.sound.parties)
        for it in recording.spans
    ]


# ---- whose voices are on it --------------------------------------------------------------------------------------


def test_paused_conference_recording_has_nothing_of_the_pause(story: ModelScenario) -> None:
    customer = story.member(RECORDED + EVENTS)
    agent = story.member()
    recording = only(story)
    path = f"/Conferences/{story.conference()}/Recordings/Twilio.CURRENT.json"
    story.passes(5.0)

    assert story.rest("POST", path, *SKIP)[1]["status"] == "paused"
    target = story.participant()
    story.answers(target)
    story.passes(20.0)
    story.hangs_up(target)
    assert story.rest("POST", path, ("Status", "in-progress"))[1]["status"] == "in-progress"
    story.passes(3.0)
    story.update_conference(("Status", "completed"))

    assert not has_voice_of(recording, target)
    both = frozenset({customer, agent})
    assert spans(recording) == [(0.0, 5.0, both), (25.0, 28.0, both)]
    fields = story.event("recording-completed")
    assert (fields["RecordingChannels"], fields["RecordingDuration"]) == ("2", "8")
    assert (fields["ConferenceSid"], fields["RecordingSource"]) == (story.conference(), "Conference")


def test_conference_recording_excludes_muted_held_and_coaching_participants(story: ModelScenario) -> None:
    customer, agent = story.member(RECORDED), story.member()
    recording = only(story)
    lead = story.participant("client:lead", ("Coaching", "true"), ("CallSidToCoach", agent))
    story.answers(lead)
    story.passes(1.0)
    story.update(agent, ("Muted", "true"))
    story.passes(1.0)
    story.update(customer, ("Hold", "true"))
    story.passes(1.0)

    assert spans(recording) == [
        (0.0, 1.0, frozenset({customer, agent})), (1.0, 2.0, frozenset({customer})), (2.0, None, frozenset()),
    ]  # fmt: skip


@pytest.mark.parametrize(("track", "own", "other"), [("inbound", 1, 0), ("outbound", 0, 1), ("both", 1, 1)])
def test_track_determines_which_side_is_recorded(story: ModelScenario, track: str, own: int, other: int) -> None:
    parent, child = story.bridged()
    recording = record(story, parent, ("RecordingTrack", track))
    story.passes(1.0)

    assert (has_voice_of(recording, parent), has_voice_of(recording, child)) == (bool(own), bool(other))


# ---- callbacks ---------------------------------------------------------------------------------------------------


def test_callbacks_report_start_and_end_with_twilio_parameters(story: ModelScenario) -> None:
    sid, recording = dialed(story, ("RecordingChannels", "dual"))
    story.passes(3.0)
    story.hangs_up(sid)

    started, ended = [dict(it.params) for it in story.callbacks if it.kind == "recording"]
    same = {
        "AccountSid", "CallSid", "RecordingSid", "RecordingUrl", "RecordingStatus", "RecordingChannels",
        "RecordingStartTime", "RecordingSource", "RecordingTrack", "ErrorCode",
    }  # fmt: skip
    assert (set(started), set(ended)) == (same, same | {"RecordingDuration"})
    assert (started["RecordingStatus"], ended["RecordingStatus"]) == ("in-progress", "completed")
    assert (ended["RecordingChannels"], ended["RecordingDuration"], ended["ErrorCode"]) == ("2", "3", "0")
    assert ended["RecordingUrl"].endswith(f"/Recordings/{recording.sid}")


def test_recording_that_is_too_short_is_absent() -> None:
    story = ModelScenario(Behavior(recording_min_s=1.0))
    sid, recording = dialed(story)
    story.passes(0.5)
    story.hangs_up(sid)

    reported = story.event("recording-absent")
    assert (reported["RecordingStatus"], reported["ErrorCode"]) == ("absent", "16101")
    assert story.rest("GET", f"/Calls/{sid}/Recordings/{recording.sid}.json")[1]["error_code"] == 16101


# ---- requests ----------------------------------------------------------------------------------------------------


def test_stopped_recording_can_be_followed_by_another_one(story: ModelScenario) -> None:
    customer, _agent = story.member(), story.member()
    first = record(story, customer)
    story.passes(1.0)
    path = f"/Calls/{customer}/Recordings"
    _, stopped = story.rest("POST", f"{path}/Twilio.CURRENT.json", ("Status", "stopped"))
    assert (stopped["status"], stopped["duration"]) == ("stopped", "1")
    assert story.rest("POST", f"{path}/Twilio.CURRENT.json", ("Status", "paused"))[0] == 404
    second = record(story, customer)

    assert story.rest("POST", f"{path}/{first.sid}.json", ("Status", "paused"))[0] == 404
    assert story.rest("POST", f"{path}/Twilio.CURRENT.json", ("Status", "paused"))[1]["sid"] == second.sid
    listed = story.rest("GET", f"{path}.json")[1]["recordings"]
    assert [(it["sid"], it["status"]) for it in listed] == [(second.sid, "paused"), (first.sid, "completed")]


@pytest.mark.parametrize(
    "form", [(("Status", "over"),), (("Status", "paused"), ("PauseBehavior", "sometimes"))], ids=["status", "behavior"]
)
def test_update_that_means_nothing_is_refused(story: ModelScenario, form: tuple[tuple[str, str], ...]) -> None:
    customer = story.member()
    record(story, customer)

    assert story.refused("POST", f"/Calls/{customer}/Recordings/Twilio.CURRENT.json", *form) == (400, 20001)
    assert only(story).status == "in-progress"


def test_conference_cannot_be_recorded_by_request(story: ModelScenario) -> None:
    story.member()

    assert story.rest("POST", f"/Conferences/{story.conference()}/Recordings.json")[0] == 405


def test_no_event_looks_at_recordings_that_have_ended(story: ModelScenario) -> None:
    for _ in range(3):
        story.complete(story.call_in("<Response><Record/></Response>"))
    story.call_in("<Response><Record/></Response>")
    assert len(story.model.state.recordings) == 4
    assert list(story.model.state.unfinished_recordings) == list(story.model.state.recordings)[-1:]
