"""The Participants API: dialing into conferences, mute, hold, coaching, announcements, removal."""

import pytest

from conferral.sandbox.model.behavior import Behavior
from conferral.sandbox.model.messages import PhoneRefuses, PhoneRings
from tests.sandbox.model_scenario import APP, BUSINESS, ModelScenario


def test_create_answers_with_the_participant_as_twilio_describes_it(story: ModelScenario) -> None:
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


def test_participant_for_a_new_conference_creates_it_and_no_answer_ends_it(story: ModelScenario) -> None:
    sid = story.participant(
        "client:carol",
        ("ConferenceStatusCallback", f"{APP}/c"),
        ("ConferenceStatusCallbackEvent", "leave"),
        conference="new",
    )

    story.happens(PhoneRefuses(sid, 486))

    assert story.left() == ("participant_add_failed", "busy")
    assert story.exchange.state.conferences[story.conference("new")].status == "completed"


@pytest.mark.parametrize("events", [["ringing answered"], ["ringing", "answered"]], ids=["one field", "several"])
def test_participant_call_events_may_come_in_one_field_or_several(story: ModelScenario, events: list[str]) -> None:
    fields = [("StatusCallbackEvent", event) for event in events]
    sid = story.participant("client:carol", ("StatusCallback", f"{APP}/dial"), *fields)

    story.answers(sid)

    assert story.events("call") == ["ringing", "answered"]


@pytest.mark.parametrize(
    ("field", "code"), [(("Label", "target"), 16026), (("StatusCallback", "not-a-url"), 21609)], ids=["label", "url"]
)
def test_refused_participant_is_not_dialed(story: ModelScenario, field: tuple[str, str], code: int) -> None:
    carol = story.participant("client:carol", ("Label", "target"))

    assert story.refused(
        "POST", "/Conferences/room/Participants.json", ("To", "client:dan"), ("From", BUSINESS), field
    ) == (400, code)
    assert list(story.exchange.state.live_calls) == [carol]


@pytest.mark.parametrize("gone", ["call ended", "conference ended", "moved to other TwiML"])
def test_participant_that_is_gone_is_not_found(story: ModelScenario, gone: str) -> None:
    sid = story.member()
    story.member()
    path = story.participants(sid)

    match gone:
        case "call ended":
            story.hangs_up(sid)
        case "conference ended":
            story.update_conference(("Status", "completed"))
        case _:
            story.redirect(sid, "<Response><Pause length='9'/></Response>")

    for method in ("GET", "POST", "DELETE"):
        assert story.refused(method, path) == (404, 20404)


def test_repeated_hold_changes_nothing_and_says_nothing(story: ModelScenario) -> None:
    customer = story.member()
    story.member()

    for _ in range(2):
        story.update(customer, ("Hold", "true"))

    assert story.events().count("participant-hold") == 1


def test_removed_participant_with_twiml_continues_at_its_action(story: ModelScenario) -> None:
    stays, goes = story.member(), story.member()

    status, body = story.rest("DELETE", story.participants(goes))

    assert (status, body) == (204, {})
    assert story.event("participant-leave")["ReasonParticipantLeft"] == "participant_updated_via_api"
    assert (story.status(goes), story.asked_paths()) == ("in-progress", ["/after"])
    assert story.hears(stays) == "silence"


def test_last_member_removed_is_a_reason_of_its_own(story: ModelScenario) -> None:
    sid, other = story.member(), story.member()
    story.hangs_up(other)

    story.rest("DELETE", story.participants(sid))

    assert story.event("conference-end")["ReasonConferenceEnded"] == "last-participant-kicked"


def test_conference_completed_by_the_api_names_no_call(story: ModelScenario) -> None:
    twiml_leg = story.member()
    rest_leg = story.participant("client:carol")
    story.answers(rest_leg)
    ringing = story.participant("client:dan")
    story.happens(PhoneRings(ringing))

    body = story.update_conference(("Status", "completed"))

    assert (body["status"], body["reason_conference_ended"]) == ("completed", "conference-ended-via-api")
    params = story.event("conference-end")
    assert "CallSidEndingConference" not in params
    assert story.event("participant-leave")["ReasonParticipantLeft"] == "conference_ended_via_api"
    assert (story.status(twiml_leg), story.status(rest_leg)) == ("in-progress", "completed")
    assert story.status(ringing) == "ringing"


def test_participant_answering_after_the_end_can_open_a_new_conference() -> None:
    story = ModelScenario(Behavior(late_answer="new-conference"))
    story.member()
    story.member()
    ringing = story.participant("client:dan")
    old = story.conference()
    story.rest("POST", f"/Conferences/{old}.json", ("Status", "completed"))

    story.answers(ringing)

    assert (story.call(ringing).activity, story.conference() != old) == ("conference", True)
