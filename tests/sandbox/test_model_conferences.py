"""Conferences by TwiML: who enters, what starts and ends a conference, and the callbacks about it."""

from conferral.sandbox.model.behavior import Behavior
from tests.sandbox.model_scenario import APP, ModelScenario, conference_twiml


def test_lone_caller_is_joined_but_the_conference_has_not_started() -> None:
    story = ModelScenario()

    sid = story.member("participantLabel='customer'")

    assert story.events() == ["participant-join"]
    fields = story.event("participant-join")
    assert fields["CallSid"] == sid
    assert (fields["ParticipantLabel"], fields["SequenceNumber"], fields["FriendlyName"]) == ("customer", "1", "room")
    assert (fields["Muted"], fields["Hold"], fields["Coaching"]) == ("false", "false", "false")
    assert (fields["StartConferenceOnEnter"], fields["EndConferenceOnExit"]) == ("true", "false")
    assert story.hears(sid) == "music"


def test_second_caller_starts_the_conference_and_both_talk() -> None:
    story = ModelScenario()
    first = story.member()
    second = story.member()

    assert story.events() == ["participant-join", "participant-join", "conference-start"]
    assert (story.hears(first), story.hears(second)) == ({second}, {first})


def test_conference_waits_until_a_participant_who_may_start_it_joins() -> None:
    story = ModelScenario()
    first = story.member("startConferenceOnEnter='false'")
    second = story.member("startConferenceOnEnter='false'")
    assert (story.hears(first), story.hears(second)) == ("music", "music")

    third = story.member()

    assert story.hears(first) == {second, third}


def test_last_participant_hears_silence_and_the_conference_stays_open() -> None:
    story = ModelScenario()
    first = story.member()
    second = story.member()

    story.hangs_up(second)

    assert (story.hears(first), story.call(first).activity) == ("silence", "conference")
    assert story.event("participant-leave")["ReasonParticipantLeft"] == "participant_hung_up"
    story.hangs_up(first)
    reported = story.event("conference-end")
    assert (reported["ReasonConferenceEnded"], reported["CallSidEndingConference"]) == ("last-participant-left", first)


def test_participant_with_end_conference_on_exit_takes_the_others_along_to_their_action() -> None:
    story = ModelScenario()
    stays = story.member("participantLabel='agent'")
    goes = story.member("endConferenceOnExit='true' participantLabel='customer'")

    story.hangs_up(goes)

    left = story.event("participant-leave", CallSid=stays)
    assert (left["ReasonParticipantLeft"], left["ParticipantCallStatus"]) == (
        "moderator_ended_conference",
        "in-progress",
    )
    ended = story.event("conference-end")
    assert ended["ReasonConferenceEnded"] == "participant-with-end-conference-on-exit-left"
    assert (ended["CallSidEndingConference"], ended["ParticipantLabelEndingConference"]) == (goes, "customer")
    action = next(dict(fetch.params) for fetch in story.fetches if dict(fetch.params)["CallSid"] == stays)
    assert (action["DialCallStatus"], action["CallStatus"]) == ("answered", "in-progress")
    assert "DialCallSid" not in action


def test_redirected_participant_leaves_and_its_flag_ends_the_conference() -> None:
    story = ModelScenario()
    stays = story.member()
    goes = story.member("endConferenceOnExit='true'")

    story.redirect(goes, "<Response><Pause length='60'/></Response>")

    left = story.event("participant-leave", CallSid=goes)
    assert (left["ReasonParticipantLeft"], left["ParticipantCallStatus"]) == (
        "participant_updated_via_api",
        "in-progress",
    )
    assert story.exchange.state.conferences[story.conference()].status == "completed"
    assert story.call(stays).activity == "fetching"


def test_old_action_of_a_redirected_member_is_requested_where_the_rules_say_so() -> None:
    story = ModelScenario(Behavior(old_action_on_conference_redirect=True))
    sid = story.member()

    story.rest("POST", f"/Calls/{sid}.json", ("Url", f"{APP}/target"))
    story.passes(1.0)

    assert story.asked_paths() == ["/after", "/target"]


def test_settings_of_the_first_participant_hold_for_all() -> None:
    story = ModelScenario()
    story.call_in("<Response><Dial><Conference>room</Conference></Dial></Response>")

    story.member()

    assert story.events() == []


def test_sequence_numbers_count_all_events_of_a_conference_from_one() -> None:
    story = ModelScenario()
    first = story.member()
    second = story.member()
    story.hangs_up(second)
    story.hangs_up(first)

    fields = [dict(callback.params) for callback in story.callbacks if callback.kind == "conference"]
    assert [it["SequenceNumber"] for it in fields] == ["1", "2", "3", "4", "5", "6"]


def test_same_name_after_the_end_is_a_new_conference() -> None:
    story = ModelScenario()
    first = story.member()
    old = story.conference()
    story.hangs_up(first)

    story.member()

    assert story.conference() != old
    assert story.event("participant-join")["SequenceNumber"] == "1"


def test_conference_sid_joins_the_live_conference() -> None:
    story = ModelScenario()
    first = story.member()

    second = story.member(name=story.conference())

    assert story.hears(first) == {second}
    assert len(story.exchange.state.conferences) == 1


def test_conference_sid_of_an_ended_conference_is_refused() -> None:
    story = ModelScenario()
    story.hangs_up(story.member())

    sid = story.member(name=story.conference())

    assert [error.code for error in story.errors] == [13236]
    assert dict(story.asked("/after").params)["DialCallStatus"] == "failed"
    assert story.status(sid) == "in-progress"


def test_label_in_use_is_refused() -> None:
    story = ModelScenario()
    story.member("participantLabel='agent'")

    story.member("participantLabel='agent'")

    assert [error.code for error in story.errors] == [16025]
    assert dict(story.asked("/after").params)["DialCallStatus"] == "failed"
    assert story.events() == ["participant-join"]


def test_label_resembling_a_call_sid_is_refused() -> None:
    story = ModelScenario()

    story.member(f"participantLabel='CA{'0' * 32}'")

    assert [error.code for error in story.errors] == [16023]


def test_coaching_an_absent_call_is_refused() -> None:
    story = ModelScenario()
    story.member()

    story.member(f"coach='CA{'0' * 32}'")

    assert [error.code for error in story.errors] == [13240]


def test_full_conference_admits_no_one() -> None:
    story = ModelScenario()
    for _ in range(2):
        story.member("maxParticipants='2'")

    story.member("maxParticipants='2'")

    assert dict(story.asked("/after").params)["DialCallStatus"] == "failed"
    assert len(story.exchange.state.conferences[story.conference()].participants) == 2


def test_wait_document_is_fetched_while_alone_and_again_when_it_ends() -> None:
    story = ModelScenario()
    sid = story.member(f"waitUrl='{APP}/wait'")
    assert story.hears(sid) == "silence"
    story.serve("/wait", "<Response><Say>Please wait</Say><Play>tune.mp3</Play></Response>")
    assert story.hears(sid) == "speech"

    story.passes(1.0)
    assert story.hears(sid) == "music"
    story.passes(5.0)

    assert story.asked_paths() == ["/wait"]


def test_wait_document_redirects_to_the_next_one() -> None:
    story = ModelScenario()
    sid = story.member(f"waitUrl='{APP}/greeting'")
    story.serve("/greeting", "<Response><Say>Hi</Say><Redirect>/music</Redirect></Response>")

    story.passes(1.0)
    story.serve("/music", "<Response><Play loop='0'>tune.mp3</Play></Response>")

    story.passes(600.0)
    assert (story.hears(sid), story.asked_paths()) == ("music", [])


def test_empty_wait_document_is_not_requested_without_pause() -> None:
    story = ModelScenario()
    story.member(f"waitUrl='{APP}/wait'")
    story.serve("/wait", "<Response/>")
    assert story.asked_paths() == []

    story.passes(1.0)

    assert story.asked_paths() == ["/wait"]


def test_empty_wait_url_is_silence_without_a_request() -> None:
    story = ModelScenario()

    sid = story.member("waitUrl=''")

    assert (story.hears(sid), story.asked_paths()) == ("silence", [])


def test_wait_document_that_fails_drops_the_call_out_to_its_action() -> None:
    story = ModelScenario()
    sid = story.member(f"waitUrl='{APP}/wait'")

    story.serve("/wait", "", status=500)

    assert dict(story.asked("/after").params)["DialCallStatus"] == "failed"
    assert story.call(sid).conference_sid == ""
    assert story.event("participant-leave")["ReasonParticipantLeft"] == "participant_add_failed"


def test_audio_as_wait_document_plays_on() -> None:
    story = ModelScenario()
    sid = story.member(f"waitUrl='{APP}/tune' waitMethod='GET'")

    story.serve("/tune", "RIFF", content_type="audio/wav")

    story.passes(100.0)
    assert (story.hears(sid), story.asked_paths()) == ("music", [])


def test_wait_document_may_not_dial() -> None:
    story = ModelScenario()
    story.member(f"waitUrl='{APP}/wait'")

    story.serve("/wait", "<Response><Dial>+15550111</Dial></Response>")

    assert [error.code for error in story.errors] == [13238]
    assert story.asked_paths() == ["/after"]


def test_time_limit_of_the_dial_takes_the_member_out() -> None:
    story = ModelScenario()
    sid = story.member(dial=f'timeLimit="30" action="{APP}/after"')

    story.passes(30.0)

    assert (story.call(sid).conference_sid, story.asked_paths()) == ("", ["/after"])


def test_conference_that_asks_for_a_recording_is_recorded_from_its_start() -> None:
    story = ModelScenario()
    first = story.member(f"record='record-from-start' recordingStatusCallback='{APP}/recording'")
    assert story.exchange.state.recordings == {}
    second = story.member()
    (recording,) = story.exchange.state.recordings.values()
    assert recording.status == "in-progress"

    story.passes(9.0)
    story.hangs_up(first)
    story.hangs_up(second)

    params = story.event("recording-completed")
    assert (params["RecordingStatus"], params["RecordingDuration"], params["RecordingSource"]) == (
        "completed",
        "9",
        "Conference",
    )


def test_conference_participation_follows_the_participants_own_twiml() -> None:
    """A document without a Conference leaves no one in the conference."""
    story = ModelScenario()
    sid = story.member()

    story.redirect(sid, conference_twiml(name="other"))

    assert [it.name for it in story.exchange.state.conferences.values() if it.status != "completed"] == ["other"]
