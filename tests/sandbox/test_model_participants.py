"""The Participants API: dialing into conferences, mute, hold, coaching, announcements, removal."""

import pytest

from conferral.sandbox.model.behavior import Behavior
from conferral.sandbox.model.inputs import PhoneBusy, PhoneRejects, PhoneRings
from tests.sandbox.model_scenario import APP, BUSINESS, ModelScenario, conference_twiml


def members(story: ModelScenario) -> str:
    return f"/Conferences/{story.conference()}/Participants"


def test_participant_is_listed_while_it_rings_and_connected_when_it_answers() -> None:
    story = ModelScenario()
    story.member()

    sid = story.participant("client:carol", ("Label", "target"))
    story.happens(PhoneRings(sid))

    _, listed = story.rest("GET", f"{members(story)}.json")
    assert [(it["label"], it["status"]) for it in listed["participants"]] == [
        (None, "connected"),
        ("target", "ringing"),
    ]
    story.answers(sid)
    assert story.rest("GET", f"{members(story)}/target.json")[1]["status"] == "connected"
    assert story.event("participant-join")["ParticipantLabel"] == "target"


def test_create_answers_with_the_participant_as_twilio_describes_it() -> None:
    story = ModelScenario()

    status, body = story.rest(
        "POST", "/Conferences/room/Participants.json", ("From", BUSINESS), ("To", "client:carol"), ("Label", "target")
    )

    assert status == 201
    assert set(body) == {
        "account_sid", "call_sid", "label", "call_sid_to_coach", "coaching", "conference_sid", "date_created",
        "date_updated", "end_conference_on_exit", "muted", "hold", "start_conference_on_enter", "status",
        "queue_time", "uri",
    }  # fmt: skip
    assert (body["status"], body["queue_time"], body["label"]) == ("queued", "0", "target")
    assert (body["muted"], body["start_conference_on_enter"], body["end_conference_on_exit"]) == (False, True, False)
    assert body["conference_sid"] == story.conference()


def test_participant_for_a_new_conference_creates_it_and_no_answer_ends_it() -> None:
    story = ModelScenario()
    sid = story.participant(
        "client:carol",
        ("ConferenceStatusCallback", f"{APP}/c"),
        ("ConferenceStatusCallbackEvent", "leave"),
        conference="new",
    )

    story.happens(PhoneBusy(sid))

    params = story.event("participant-leave")
    assert (params["ReasonParticipantLeft"], params["ParticipantCallStatus"]) == ("participant_add_failed", "busy")
    assert story.exchange.state.conferences[story.conference("new")].status == "completed"


def test_declining_participant_is_reported_as_busy_with_its_sip_code() -> None:
    story = ModelScenario()
    story.member()
    sid = story.participant("client:carol", ("StatusCallback", f"{APP}/dial"))

    story.happens(PhoneRejects(sid))

    reported = story.event("completed")
    assert (reported["CallStatus"], reported["SipResponseCode"], reported["CallDuration"]) == ("busy", "603", "0")
    left = story.event("participant-leave")
    assert (left["ReasonParticipantLeft"], left["ParticipantCallStatus"]) == ("participant_add_failed", "busy")


@pytest.mark.parametrize("events", [["ringing answered"], ["ringing", "answered"]], ids=["one field", "several"])
def test_participant_call_events_may_come_in_one_field_or_several(events: list[str]) -> None:
    story = ModelScenario()
    fields = [("StatusCallbackEvent", event) for event in events]
    sid = story.participant("client:carol", ("StatusCallback", f"{APP}/dial"), *fields)

    story.answers(sid)

    assert story.events("call") == ["ringing", "answered"]


@pytest.mark.parametrize(
    ("field", "code"), [(("Label", "target"), 16026), (("StatusCallback", "not-a-url"), 21609)], ids=["label", "url"]
)
def test_refused_participant_is_not_dialed(field: tuple[str, str], code: int) -> None:
    story = ModelScenario()
    carol = story.participant("client:carol", ("Label", "target"))

    status, body = story.rest(
        "POST", "/Conferences/room/Participants.json", ("To", "client:dan"), ("From", BUSINESS), field
    )

    assert (status, body["code"]) == (400, code)
    assert list(story.exchange.state.live_calls) == [carol]


def test_conference_with_an_ended_sid_is_not_found() -> None:
    story = ModelScenario()
    story.hangs_up(story.member())

    status, body = story.rest("POST", f"{members(story)}.json", ("To", "client:carol"), ("From", BUSINESS))

    assert (status, body["code"]) == (400, 16022)


@pytest.mark.parametrize("gone", ["call ended", "conference ended", "moved to other TwiML"])
def test_participant_that_is_gone_is_not_found(gone: str) -> None:
    story = ModelScenario()
    sid = story.member()
    story.member()
    path = f"{members(story)}/{sid}.json"

    match gone:
        case "call ended":
            story.hangs_up(sid)
        case "conference ended":
            story.rest("POST", f"/Conferences/{story.conference()}.json", ("Status", "completed"))
        case _:
            story.redirect(sid, "<Response><Pause length='9'/></Response>")

    for method in ("GET", "POST", "DELETE"):
        status, body = story.rest(method, path)
        assert (status, body["code"]) == (404, 20404)


def test_muted_participant_is_heard_by_no_one() -> None:
    story = ModelScenario()
    loud, quiet = story.member(), story.member()

    story.rest("POST", f"{members(story)}/{quiet}.json", ("Muted", "true"))

    assert (story.hears(loud), story.hears(quiet)) == ("silence", {loud})
    assert story.event("participant-mute")["Muted"] == "true"
    story.rest("POST", f"{members(story)}/{quiet}.json", ("Muted", "nonsense"))
    assert story.events()[-1] == "participant-unmute"


def test_held_participant_hears_music_and_is_heard_by_no_one() -> None:
    story = ModelScenario()
    agent, customer = story.member(), story.member()

    status, body = story.rest("POST", f"{members(story)}/{customer}.json", ("Hold", "true"))

    assert (status, body["hold"]) == (200, True)
    assert (story.hears(agent), story.hears(customer)) == ("silence", "music")
    assert story.event("participant-hold")["Hold"] == "true"
    story.rest("POST", f"{members(story)}/{customer}.json", ("Hold", "false"))
    assert (story.hears(agent), story.hears(customer)) == ({customer}, {agent})


def test_hold_url_is_fetched_by_get_and_again_when_it_ends() -> None:
    story = ModelScenario()
    customer = story.member()
    story.member()
    story.rest("POST", f"{members(story)}/{customer}.json", ("Hold", "true"), ("HoldUrl", f"{APP}/hold"))
    assert (story.asked("/hold").method, story.hears(customer)) == ("GET", "silence")
    assert f"CallSid={customer}" in story.asked("/hold").url

    story.serve("/hold", "<Response><Play>tune.mp3</Play></Response>")
    assert story.hears(customer) == "music"
    story.passes(5.0)

    assert story.asked_paths() == ["/hold"]


def test_repeated_hold_changes_nothing_and_says_nothing() -> None:
    story = ModelScenario()
    customer = story.member()
    story.member()

    for _ in range(2):
        story.rest("POST", f"{members(story)}/{customer}.json", ("Hold", "true"))

    assert story.events().count("participant-hold") == 1


def test_coach_hears_all_and_is_heard_only_by_the_coached() -> None:
    story = ModelScenario()
    customer, agent = story.member(), story.member()
    coach = story.participant("client:lead", ("Coaching", "true"), ("CallSidToCoach", agent))
    story.answers(coach)

    assert story.hears(coach) == {customer, agent}
    assert story.hears(agent) == {customer, coach}
    assert story.hears(customer) == {agent}
    assert story.event("participant-join")["CallSidToCoach"] == agent


def test_monitor_becomes_coach_and_then_takes_part() -> None:
    story = ModelScenario()
    customer, agent = story.member(), story.member()
    lead = story.participant("client:lead", ("Muted", "true"))
    story.answers(lead)
    assert story.hears(agent) == {customer}

    path = f"{members(story)}/{lead}.json"
    story.rest("POST", path, ("Muted", "false"), ("Coaching", "true"), ("CallSidToCoach", agent))
    assert (story.hears(agent), story.hears(customer)) == ({customer, lead}, {agent})
    story.rest("POST", path, ("Muted", "false"), ("Coaching", "false"))

    assert story.hears(customer) == {agent, lead}
    assert story.events().count("participant-modify") == 2


def test_coaching_a_participant_outside_the_conference_is_refused() -> None:
    story = ModelScenario()
    sid = story.member()
    story.member()

    status, body = story.rest(
        "POST", f"{members(story)}/{sid}.json", ("Coaching", "true"), ("CallSidToCoach", "CA" + "0" * 32)
    )

    assert (status, body["code"]) == (400, 16028)


def test_exit_flag_can_be_cleared_before_the_member_goes() -> None:
    story = ModelScenario()
    stays, goes = story.member(), story.member("endConferenceOnExit='true'")

    story.rest("POST", f"{members(story)}/{goes}.json", ("EndConferenceOnExit", "false"))
    story.hangs_up(goes)

    assert story.event("participant-modify")["EndConferenceOnExit"] == "false"
    assert story.call(stays).activity == "conference"


def test_removed_participant_with_twiml_continues_at_its_action() -> None:
    story = ModelScenario()
    stays, goes = story.member(), story.member()

    status, body = story.rest("DELETE", f"{members(story)}/{goes}.json")

    assert (status, body) == (204, {})
    assert story.event("participant-leave")["ReasonParticipantLeft"] == "participant_updated_via_api"
    assert (story.status(goes), story.asked_paths()) == ("in-progress", ["/after"])
    assert story.hears(stays) == "silence"


def test_removed_member_without_twiml_is_hung_up() -> None:
    story = ModelScenario()
    story.member()
    sid = story.participant("client:carol", ("Label", "target"))
    story.answers(sid)

    story.rest("DELETE", f"{members(story)}/target.json")

    assert story.status(sid) == "completed"


def test_last_member_removed_is_a_reason_of_its_own() -> None:
    story = ModelScenario()
    sid, other = story.member(), story.member()
    story.hangs_up(other)

    story.rest("DELETE", f"{members(story)}/{sid}.json")

    assert story.event("conference-end")["ReasonConferenceEnded"] == "last-participant-kicked"


def test_conference_completed_by_the_api_names_no_call() -> None:
    story = ModelScenario()
    twiml_leg = story.member()
    rest_leg = story.participant("client:carol")
    story.answers(rest_leg)
    ringing = story.participant("client:dan")
    story.happens(PhoneRings(ringing))

    status, body = story.rest("POST", f"/Conferences/{story.conference()}.json", ("Status", "completed"))

    assert (status, body["status"], body["reason_conference_ended"]) == (200, "completed", "conference-ended-via-api")
    params = story.event("conference-end")
    assert "CallSidEndingConference" not in params
    assert story.event("participant-leave")["ReasonParticipantLeft"] == "conference_ended_via_api"
    assert (story.status(twiml_leg), story.status(rest_leg)) == ("in-progress", "completed")
    assert story.status(ringing) == "ringing"


def test_participant_who_answers_after_the_end_is_hung_up() -> None:
    story = ModelScenario()
    story.member()
    story.member()
    ringing = story.participant("client:dan")
    story.rest("POST", f"/Conferences/{story.conference()}.json", ("Status", "completed"))

    story.answers(ringing)

    assert story.status(ringing) == "completed"


def test_participant_answering_after_the_end_can_open_a_new_conference() -> None:
    story = ModelScenario(Behavior(late_answer="new-conference"))
    story.member()
    story.member()
    ringing = story.participant("client:dan")
    old = story.conference()
    story.rest("POST", f"/Conferences/{old}.json", ("Status", "completed"))

    story.answers(ringing)

    assert (story.call(ringing).activity, story.conference() != old) == ("conference", True)


def test_early_media_lets_the_conference_hear_the_ringing() -> None:
    story = ModelScenario()
    agent, customer = story.member(), story.member()
    story.rest("POST", f"{members(story)}/{customer}.json", ("Hold", "true"))

    sid = story.participant("client:carol")
    story.happens(PhoneRings(sid))

    assert story.hears(agent) == "ringback"


def test_conference_hears_no_ringing_without_early_media() -> None:
    story = ModelScenario()
    agent, customer = story.member(), story.member()
    story.rest("POST", f"{members(story)}/{customer}.json", ("Hold", "true"))

    sid = story.participant("client:carol", ("EarlyMedia", "false"))
    story.happens(PhoneRings(sid))

    assert story.hears(agent) == "silence"


def test_early_media_may_count_as_a_join_once() -> None:
    story = ModelScenario(Behavior(early_media_counts_as_join=True))
    story.member()

    sid = story.participant("client:carol")
    story.happens(PhoneRings(sid))
    assert story.events() == ["participant-join", "participant-join"]
    story.answers(sid)

    assert story.events() == ["participant-join", "participant-join", "conference-start"]


def test_announcement_to_all_is_heard_by_all_and_its_end_is_reported() -> None:
    story = ModelScenario()
    first, second = story.member(), story.member()

    story.rest("POST", f"/Conferences/{story.conference()}.json", ("AnnounceUrl", f"{APP}/announce"))
    story.serve("/announce", "<Response><Say>We close soon</Say></Response>")
    assert (story.hears(first), story.hears(second)) == ("speech", "speech")
    story.passes(2.0)

    assert story.hears(first) == {second}
    assert story.event("announcement-end")["AnnounceUrl"] == f"{APP}/announce"


def test_failed_announcement_to_one_is_reported() -> None:
    story = ModelScenario()
    first = story.member()
    story.member()
    story.rest("POST", f"{members(story)}/{first}.json", ("AnnounceUrl", f"{APP}/announce"))

    story.fail("/announce")

    params = story.event("announcement-fail")
    assert (params["CallSid"], params["ReasonAnnouncementFailed"]) == (first, "HTTP retrieval failure")


def test_participants_are_listed_by_their_state() -> None:
    story = ModelScenario()
    story.member("muted='true'")
    held = story.member()
    story.rest("POST", f"{members(story)}/{held}.json", ("Hold", "true"))

    _, listed = story.rest("GET", f"{members(story)}.json", ("Hold", "true"))

    assert [it["call_sid"] for it in listed["participants"]] == [held]


def test_ringing_participant_does_not_keep_an_empty_conference_open() -> None:
    story = ModelScenario()
    only = story.member()
    story.happens(PhoneRings(story.participant("client:carol")))

    story.hangs_up(only)

    assert story.exchange.state.conferences[story.conference()].status == "completed"


def test_creates_queue_at_the_accounts_calls_a_second() -> None:
    story = ModelScenario(Behavior(calls_per_second=1.0))

    first, second = story.participant("client:carol"), story.participant("client:dan")

    assert [ring.call_sid for ring in story.rings] == [first]
    assert story.call(second).queue_ms == 1000
    story.passes(1.0)
    assert [ring.call_sid for ring in story.rings] == [first, second]


def test_redirected_call_frees_its_label_in_the_conference() -> None:
    story = ModelScenario()
    sid = story.member("participantLabel='agent'")
    story.member()
    story.redirect(sid, conference_twiml("participantLabel='agent'"))

    assert story.call(sid).activity == "conference"
    assert story.errors == []
