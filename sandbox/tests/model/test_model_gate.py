"""Calls made by the API that run a document before they join: keys, digits sent, callers' numbers, machines."""

import pytest

from model_scenario import APP, BUSINESS, CUSTOMER, ModelScenario
from offhook.model.behavior import Behavior
from offhook.model.messages import PhoneAnswers, PhoneKind


def dial_to_gate(story: ModelScenario, *params: tuple[str, str], to: str = "+14155550199") -> str:
    status, body = story.rest(
        "POST", "/Calls.json", ("To", to), ("From", BUSINESS), ("Url", f"{APP}/gate"),
        ("StatusCallback", f"{APP}/dial"), ("StatusCallbackEvent", "initiated"), ("StatusCallbackEvent", "ringing"),
        ("StatusCallbackEvent", "answered"), ("StatusCallbackEvent", "completed"), *params,
    )  # fmt: skip
    assert (status, body["status"]) == (201, "queued")
    return str(body["sid"])


def test_finishing_key_is_reported(story: ModelScenario) -> None:
    sid = dial_to_gate(story)
    story.answers(sid)
    story.serve("/gate", "<Response><Gather finishOnKey='#' action='/key'/></Response>")

    story.presses(sid, "12#")

    assert [story.sent_to("/key")[name] for name in ("Digits", "FinishedOnKey")] == ["12", "#"]


@pytest.mark.parametrize("digits", ["12a", "1" * 33, "1,2"])
def test_digits_that_cannot_be_sent_are_refused(story: ModelScenario, digits: str) -> None:
    assert story.refused(
        "POST", "/Calls.json", ("To", CUSTOMER), ("From", BUSINESS), ("Url", f"{APP}/gate"), ("SendDigits", digits)
    ) == (400, 20001)
    assert story.rings == []


@pytest.mark.parametrize(("accepted", "status", "code"), [(True, 201, None), (False, 400, 21210)])
@pytest.mark.parametrize("path", ["/Calls.json", "/Conferences/room/Participants.json"])
def test_callers_number_is_shown_with_its_token_where_that_is_accepted(
    path: str, accepted: bool, status: int, code: int | None
) -> None:
    story = ModelScenario(Behavior(verify_callers=True, accept_call_tokens=accepted))
    story.call_in()
    token = story.sent_to("/voice")["CallToken"]
    form = (("To", "+14155550199"), ("From", CUSTOMER), ("Url", f"{APP}/gate"))

    without, refusal = story.rest("POST", path, *form)
    answered, body = story.rest("POST", path, *form, ("CallToken", token))

    assert (without, refusal["code"]) == (400, 21210)
    assert (answered, body.get("code")) == (status, code)
    assert [ring.from_ for ring in story.rings] == ([CUSTOMER] if accepted else [])


# ---- machine detection ---------------------------------------------------------------------------------------------


DETECTS = ("MachineDetection", "Enable")


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
    sid = dial_to_gate(story, DETECTS)
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


def test_detection_is_ignored_for_digits_and_browsers(story: ModelScenario) -> None:
    story.answers(dial_to_gate(story, DETECTS, ("SendDigits", "1")))
    story.answers(dial_to_gate(story, DETECTS, to="client:bob"))
    story.passes(0.0)

    assert story.asked_paths() == ["/gate", "/gate"]
    form = (("To", "client:bob"), ("From", BUSINESS), ("Url", f"{APP}/gate"), ("MachineDetection", "Perhaps"))
    assert story.refused("POST", "/Calls.json", *form) == (400, 20001)


@pytest.mark.parametrize(
    ("kind", "answered_by", "after_s"),
    [
        ("person", "human", 3.0),
        ("mailbox", "machine_end_silence", 8.0),
        ("mailbox-with-beep", "machine_end_beep", 8.0),
        ("fax", "fax", 4.0),
    ],
)
def test_end_of_a_machines_greeting_is_awaited(
    story: ModelScenario, kind: PhoneKind, answered_by: str, after_s: float
) -> None:
    sid = dial_to_gate(story, ("MachineDetection", "DetectMessageEnd"))
    story.happens(PhoneAnswers(sid, kind))
    story.passes(after_s - 0.1)
    assert story.asked_paths() == []
    story.passes(0.1)
    assert story.sent_to("/gate")["AnsweredBy"] == answered_by


@pytest.mark.parametrize(
    ("limit", "kind", "after_s"),
    [
        (("MachineDetectionTimeout", "6"), "mailbox", 6.0),
        (("MachineDetectionSilenceTimeout", "2500"), "silent-person", 2.5),
    ],
)
def test_detection_ends_at_its_limits(
    story: ModelScenario, limit: tuple[str, str], kind: PhoneKind, after_s: float
) -> None:
    sid = dial_to_gate(story, ("MachineDetection", "DetectMessageEnd"), limit)
    story.happens(PhoneAnswers(sid, kind))
    story.passes(after_s - 0.1)
    assert story.asked_paths() == []
    story.passes(0.1)
    assert story.sent_to("/gate")["AnsweredBy"] == "unknown"


def test_detection_in_the_background_is_reported_while_the_document_runs(story: ModelScenario) -> None:
    background = ("AsyncAmd", "true"), ("AsyncAmdStatusCallback", f"{APP}/amd")
    sid = dial_to_gate(story, DETECTS, *background)
    story.happens(PhoneAnswers(sid, "mailbox"))
    assert "AnsweredBy" not in story.sent_to("/gate")
    story.serve("/gate", "<Response><Say>Hello</Say><Pause length='60'/></Response>")
    story.passes(3.9)
    assert story.call(sid).answered_by == ""
    assert "machine-detection" not in story.events("call")
    story.passes(0.1)

    assert story.event("machine-detection") == {
        "CallSid": sid,
        "AccountSid": story.model.state.account_sid,
        "AnsweredBy": "machine_start",
        "MachineDetectionDuration": "4000",
    }
    assert (story.call(sid).activity, story.asked_paths()) == ("pausing", [])
    story.hangs_up(sid)
    assert story.event("completed")["AnsweredBy"] == "machine_start"


def test_detection_in_the_background_without_a_callback_is_a_warning(story: ModelScenario) -> None:
    sid = dial_to_gate(story, DETECTS, ("AsyncAmd", "true"))
    story.happens(PhoneAnswers(sid))
    story.hangs_up(sid)
    story.passes(60.0)
    assert [(it.code, it.level) for it in story.errors] == [(21262, "warning")]
    assert "AnsweredBy" not in story.event("completed")


@pytest.mark.parametrize("noun", ["Number", "Sip"])
def test_callee_of_a_dial_is_tested_in_the_background(story: ModelScenario, noun: str) -> None:
    to = "+14155550166" if noun == "Number" else "sip:bob@a.example"
    attributes = "machineDetection='Enable' amdStatusCallback='/amd' machineDetectionTimeout='20'"
    caller = story.call_in(f"<Response><Dial><{noun} {attributes}>{to}</{noun}></Dial></Response>")
    (callee,) = (it.sid for it in story.model.state.calls.values() if it.parent_sid)
    story.happens(PhoneAnswers(callee, "mailbox"))
    assert story.hears(caller) == frozenset({callee})
    story.passes(4.0)
    sent = story.event("machine-detection")
    assert (sent["CallSid"], sent["AnsweredBy"]) == (callee, "machine_start")
    assert story.errors == []


def test_participant_is_tested_in_the_background(story: ModelScenario) -> None:
    story.member()
    amd = (("AmdStatusCallback", f"{APP}/amd"),)
    sid = story.participant("+14155550166", DETECTS, *amd)
    story.happens(PhoneAnswers(sid, "fax"))
    assert story.call(sid).activity == "conference"
    story.passes(4.0)
    assert story.event("machine-detection")["AnsweredBy"] == "fax"
    assert story.rest("GET", f"/Calls/{sid}.json")[1]["answered_by"] == "fax"
    browser = story.participant("client:carol", DETECTS, *amd)
    story.answers(browser)
    story.passes(30.0)
    assert story.events("call").count("machine-detection") == 1


def test_callee_gets_its_digits_before_it_is_connected(story: ModelScenario) -> None:
    caller = story.call_in("<Response><Dial><Number sendDigits='ww12'>+14155550166</Number></Dial></Response>")
    (callee,) = (it.sid for it in story.model.state.calls.values() if it.parent_sid)
    story.answers(callee)
    assert (story.call(callee).activity, story.hears(caller)) == ("sending-digits", "ringback")
    story.passes(1.0)
    assert story.hears(caller) == frozenset({callee})
    assert story.call(callee).digits_sent == "ww12"


def test_callee_whose_keys_are_late_is_hung_up(story: ModelScenario) -> None:
    numbers = "<Number sendDigits='wwww1'>+14155550166</Number><Number>+14155550177</Number>"
    story.call_in(f"<Response><Dial>{numbers}</Dial></Response>")
    late, winner = (it.sid for it in story.model.state.calls.values() if it.parent_sid)
    story.answers(late)
    story.answers(winner)
    assert (story.status(late), story.status(winner)) == ("completed", "in-progress")
