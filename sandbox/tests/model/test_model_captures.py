"""What public captures of Twilio's requests show."""

from dataclasses import replace
from typing import Any

import pytest

from model_scenario import APP, ModelScenario, bridge_twiml, conference_twiml
from offhook.model.behavior import Behavior
from offhook.model.messages import InboundCall, PhoneAnswers, PhoneRefuses
from offhook.model.numbers import Number


def names(story: ModelScenario, path: str) -> list[str]:
    return [name for name, _ in story.asked(path).params]


def test_form_of_a_dial_action_is_sorted_by_name(story: ModelScenario) -> None:
    _, child = story.bridged()
    story.hangs_up(child)

    assert names(story, "/action") == sorted(names(story, "/action"))
    assert names(story, "/action")[:5] == ["AccountSid", "ApiVersion", "CallSid", "CallStatus", "CallToken"]


def test_form_of_a_gather_action_is_sorted_and_says_that_it_has_ended(story: ModelScenario) -> None:
    sid = story.call_in("<Response><Gather action='/key' numDigits='1'/></Response>")
    story.presses(sid, "1")

    assert names(story, "/key") == sorted(names(story, "/key"))
    assert story.sent_to("/key")["msg"] == "Gather End"


def test_dial_to_sip_reports_its_response(story: ModelScenario) -> None:
    story.call_in(bridge_twiml("<Sip>sip:bob@pbx.example.com</Sip>"))
    ring = story.rings[-1]
    story.happens(PhoneAnswers(ring.call_sid))
    story.hangs_up(ring.call_sid)

    action = story.sent_to("/action")
    assert (action["DialSipResponseCode"], action["DialCallSid"]) == ("200", ring.call_sid)
    assert action["DialSipCallId"].endswith("@0.0.0.0")


@pytest.mark.parametrize(
    ("to", "attributes", "code"),
    [
        ("<Number>+14155550199</Number>", "callerId='+14155550177'", "13214"),
        ("<Number>no number</Number>", "", "13223"),
        ("<Number>+14155550199</Number>", "", "13224"),
    ],
)
def test_action_of_a_failed_dial_names_the_error(story: ModelScenario, to: str, attributes: str, code: str) -> None:
    story.call_in(bridge_twiml(to, f'action="/action" {attributes}'))
    for ring in story.rings:
        story.happens(PhoneRefuses(ring.call_sid, 404))

    action = story.sent_to("/action")
    assert action["DialCallStatus"] == "failed"
    assert action["ErrorCode"] == code
    assert "ErrorMessage" in action


def test_places_of_numbers_are_often_known_in_any_case(story: ModelScenario) -> None:
    cities = set()
    for last in range(4):
        story.call_in(from_=f"+1415555012{last}")
        cities.add(story.sent_to("/voice")["FromCity"])

    assert cities == {"NOVATO", "", "Vancouver"}


def test_wait_request_of_a_browser_has_no_addresses(story: ModelScenario) -> None:
    story.model.add_number(Number("AP1", f"{APP}/client", application_sid="AP1"))
    story.happens(InboundCall("client:alice", "AP1", (("To", "client:bob"),)))
    story.serve("/client", conference_twiml(f"waitUrl='{APP}/wait'"))

    sent = story.sent_to("/wait")
    assert [sent[name] for name in ("From", "To", "Caller", "Called")] == [""] * 4
    assert sent["ConferenceSid"] == story.conference()


def test_reason_of_the_end_names_the_call_that_ended_it(story: ModelScenario) -> None:
    story.member()
    sid = story.member("endConferenceOnExit='true'", from_="+14155550124")
    story.hangs_up(sid)

    sent = story.event("conference-end")
    assert sent["Reason"] == f"Participant {sid} with endConferenceOnExit left the conference"


def test_plain_text_with_valid_twiml_runs(story: ModelScenario) -> None:
    sid = story.call_in()
    story.serve("/voice", "<Response><Say>Hello</Say></Response>", content_type="text/plain")

    assert (story.hears(sid), story.error_codes()) == ("speech", [])


@pytest.mark.parametrize("shown", ["init", "in-progress"])
def test_two_who_do_not_start_a_conference_may_be_shown_in_progress(shown: Any) -> None:
    story = ModelScenario(replace(Behavior(), unstarted_conference=shown, init_conference_list="all"))
    first = story.member("startConferenceOnEnter='false'")
    path = f"/Conferences/{story.conference()}.json"
    assert story.rest("GET", path)[1]["status"] == "init"

    story.member("startConferenceOnEnter='false'", from_="+14155550124")

    assert story.rest("GET", path)[1]["status"] == shown
    listed = story.rest("GET", "/Conferences.json", ("FriendlyName", "room"), ("Status", shown))[1]["conferences"]
    assert [it["status"] for it in listed] == [shown]
    muted = story.refused("POST", story.participants(first), ("Muted", "true"))
    assert muted == ((200, None) if shown == "in-progress" else (400, 16099))
    assert "conference-start" not in story.events()
    assert story.hears(first) == "music"
