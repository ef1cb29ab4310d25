"""Machine detection: when a dialed call's document is requested, and what answered."""

import pytest

from conferral.sandbox.model.messages import PhoneAnswers, PhoneKind
from tests.sandbox.model_scenario import APP, BUSINESS, ModelScenario

DETECTS = ("MachineDetection", "Enable")


def dial(story: ModelScenario, *params: tuple[str, str], to: str = "+14155550199") -> str:
    form = (("To", to), ("From", BUSINESS), ("Url", f"{APP}/gate"), ("StatusCallback", f"{APP}/dial"))
    status, body = story.rest("POST", "/Calls.json", *form, *params)
    assert status == 201, body
    return str(body["sid"])


@pytest.mark.parametrize(
    ("kind", "answered_by", "after_s"),
    [
        ("person", "human", 3.0),
        ("silent-person", "unknown", 5.0),
        ("mailbox", "machine_start", 4.0),
        ("mailbox-with-beep", "machine_start", 4.0),
        ("fax", "fax", 4.0),
    ],
)
def test_document_is_requested_once_it_is_known_what_answered(
    story: ModelScenario, kind: PhoneKind, answered_by: str, after_s: float
) -> None:
    sid = dial(story, DETECTS)
    story.happens(PhoneAnswers(sid, kind))
    story.passes(after_s - 0.1)
    assert (story.asked_paths(), story.status(sid), story.hears(sid)) == ([], "in-progress", "silence")
    story.passes(0.1)

    assert story.sent_to("/gate")["AnsweredBy"] == answered_by
    assert story.rest("GET", f"/Calls/{sid}.json")[1]["answered_by"] == answered_by
    story.serve("/gate", "<Response><Gather action='/key'/></Response>")
    story.presses(sid, "1#")
    assert "AnsweredBy" not in story.sent_to("/key")
    story.hangs_up(sid)
    assert story.event("completed")["AnsweredBy"] == answered_by


@pytest.mark.parametrize(
    "params",
    [(), (DETECTS, ("AsyncAmd", "true")), (("MachineDetection", "DetectMessageEnd"),)],
    ids=["not asked", "in the background", "end of the greeting"],
)
def test_document_is_requested_at_once_without_detection(
    story: ModelScenario, params: tuple[tuple[str, str], ...]
) -> None:
    story.answers(dial(story, *params))

    assert "AnsweredBy" not in story.sent_to("/gate")


def test_detection_is_ignored_for_digits_and_browsers(story: ModelScenario) -> None:
    story.answers(dial(story, DETECTS, ("SendDigits", "1")))
    story.answers(dial(story, DETECTS, to="client:bob"))
    story.passes(0.0)

    assert story.asked_paths() == ["/gate", "/gate"]
    form = (("To", "client:bob"), ("From", BUSINESS), ("Url", f"{APP}/gate"), ("MachineDetection", "Perhaps"))
    assert story.refused("POST", "/Calls.json", *form) == (400, 20001)


def test_call_that_is_moved_or_hung_up_during_detection_requests_nothing(story: ModelScenario) -> None:
    moved, left = dial(story, DETECTS), dial(story, DETECTS)
    for sid in (moved, left):
        story.answers(sid)
    story.redirect(moved, "<Response><Pause length='60'/></Response>")
    story.hangs_up(left)
    story.passes(10.0)

    assert (story.asked_paths(), story.call(moved).activity, story.status(left)) == ([], "pausing", "completed")
