"""TwiML that a call runs: Say, Pause, Redirect, Reject, and what happens when it can't be run."""

import pytest

from model_scenario import APP, ModelScenario
from offhook.model.messages import InboundCall
from offhook.model.twilio_model import UnknownNumberError


def test_say_takes_time_by_its_length_and_then_the_call_ends(story: ModelScenario) -> None:
    sid = story.call_in(f"<Response><Say>{'x' * 100}</Say></Response>")
    assert (story.status(sid), story.hears(sid)) == ("in-progress", "speech")

    story.passes(5.9)
    assert story.status(sid) == "in-progress"
    story.passes(0.2)

    assert story.status(sid) == "completed"


def test_pause_at_the_start_keeps_the_caller_ringing(story: ModelScenario) -> None:
    sid = story.call_in("<Response><Pause length='3'/><Say>Hello</Say></Response>")
    assert (story.status(sid), story.hears(sid)) == ("ringing", "silence")

    story.passes(3.0)

    assert story.status(sid) == "in-progress"


@pytest.mark.parametrize(
    ("reason", "status", "sip_code"),
    [("", "no-answer", 603), ("reason='rejected'", "no-answer", 603), ("reason='busy'", "busy", 486)],
)
def test_rejected_caller_was_never_answered(story: ModelScenario, reason: str, status: str, sip_code: int) -> None:
    sid = story.call_in(f"<Response><Reject {reason}/></Response>")

    assert (story.status(sid), story.call(sid).answered_at_s, story.call(sid).sip_code) == (status, None, sip_code)


def test_redirect_asks_the_next_address_relative_to_the_document(story: ModelScenario) -> None:
    sid = story.call_in("<Response><Redirect method='GET'>../next?a=1</Redirect></Response>")

    fetch = story.asked("/next")
    assert fetch.method == "GET"
    assert fetch.url.startswith(f"{APP}/next?a=1&Called=")
    assert fetch.params == ()
    assert (story.status(sid), story.hears(sid)) == ("ringing", "silence")


def test_redirects_in_a_circle_are_reported_once_and_paced(story: ModelScenario) -> None:
    sid = story.call_in("<Response><Redirect>/a</Redirect></Response>")
    story.serve("/a", "<Response><Redirect>/b</Redirect></Response>")
    assert story.errors == []
    story.serve("/b", "<Response><Redirect>/a</Redirect></Response>")
    for path, after in (("/a", "/b"), ("/b", "/a"), ("/a", "/b")):
        assert (story.call(sid).activity, story.asked_paths()) == ("pausing", [])
        story.passes(0.9)
        assert story.asked_paths() == []
        story.passes(0.1)
        story.serve(path, f"<Response><Redirect>{after}</Redirect></Response>")
    assert [(it.code, it.url, it.call_sid) for it in story.errors] == [(0, f"{APP}/{one}", sid) for one in ("a", "b")]


def test_redirect_after_another_verb_is_no_circle(story: ModelScenario) -> None:
    story.call_in("<Response><Pause length='1'/><Redirect/></Response>")
    for _ in range(3):
        story.passes(1.0)
        story.serve("/voice", "<Response><Pause length='1'/><Redirect/></Response>")
    assert story.errors == []


@pytest.mark.parametrize(
    "body, content_type, code",
    [
        ("<Response><Nonsense/></Response>", "text/xml", 12200),
        ("<Response>", "text/xml", 12100),
        ("", "text/xml", 12100),
        ("<Nothing/>", "text/xml", 12100),
        ("<!DOCTYPE x><Response/>", "text/xml", 12100),
        ("{}", "application/json", 12300),
        ("<Response>" + " " * 65536 + "</Response>", "text/xml", 11750),
    ],
)
def test_document_that_cannot_be_run_leads_to_an_application_error(body: str, content_type: str, code: int) -> None:
    story = ModelScenario(strict=True)
    sid = story.call_in()

    story.serve("/voice", body, content_type=content_type)

    assert story.error_codes() == [code]
    assert story.hears(sid) == "speech"
    story.passes(10.0)
    assert story.status(sid) == "completed"


def test_number_that_was_never_added_cannot_be_called(story: ModelScenario) -> None:
    with pytest.raises(UnknownNumberError, match="no number"):
        story.happens(InboundCall("+14155550123", "+15559999"))
