"""Text messages: the resource, status callbacks, and the documents that answer them."""

import pytest

from model_scenario import APP, BUSINESS, CUSTOMER, ModelScenario
from offhook.model.messages import IncomingText
from offhook.model.numbers import Number

OWN = "+12025550100"
SEND = (("To", CUSTOMER), ("From", OWN), ("Body", "Your order has arrived."))


@pytest.fixture(autouse=True)
def own_number(story: ModelScenario) -> None:
    story.model.add_number(Number(OWN, sms_url=f"{APP}/sms", sms_fallback_url=f"{APP}/sms-fallback"))


def bodies(story: ModelScenario) -> list[tuple[str, str, str, str]]:
    return [(it.direction, it.from_, it.to, it.body) for it in story.model.state.messages.values()]


def test_message_is_sent_and_delivered_with_callbacks(story: ModelScenario) -> None:
    status, body = story.rest("POST", "/Messages.json", *SEND, ("StatusCallback", f"{APP}/text"))
    assert (status, body["status"], body["direction"], body["date_sent"]) == (201, "queued", "outbound-api", None)
    assert (body["num_segments"], body["num_media"], body["sid"][:2]) == ("1", "0", "SM")
    for expected in ("sent", "delivered"):
        assert story.events("message")[-1:] != [expected]
        story.passes(1.0)
        sent = story.event(expected)
        assert (sent["MessageStatus"], sent["SmsStatus"], sent["MessageSid"]) == (expected, expected, body["sid"])
        assert (sent["SmsSid"], sent["To"], sent["From"]) == (body["sid"], CUSTOMER, OWN)
        assert story.rest("GET", f"/Messages/{body['sid']}.json")[1]["status"] == expected
    assert story.events("message") == ["sent", "delivered"]


def test_messages_are_listed_redacted_and_deleted(story: ModelScenario) -> None:
    _, first = story.rest("POST", "/Messages.json", *SEND)
    picture = ("MediaUrl", "https://example.com/a.png")
    _, second = story.rest("POST", "/Messages.json", ("To", "+14155550199"), ("From", OWN), picture)
    assert (second["sid"][:2], second["num_media"]) == ("MM", "1")
    listed = story.rest("GET", "/Messages.json")[1]["messages"]
    assert [it["sid"] for it in listed] == [second["sid"], first["sid"]]
    listed = story.rest("GET", "/Messages.json", ("To", CUSTOMER))[1]["messages"]
    assert [it["sid"] for it in listed] == [first["sid"]]

    path = f"/Messages/{first['sid']}.json"
    assert story.refused("POST", path, ("Body", "other")) == (400, 20001)
    assert story.rest("POST", path, ("Body", ""))[1]["body"] == ""
    assert story.refused("DELETE", path) == (204, None)
    assert story.refused("GET", path) == (404, 20404)
    story.passes(5.0)


@pytest.mark.parametrize(
    ("form", "code"),
    [
        (SEND[1:], 21604),
        ((SEND[0], SEND[2]), 21603),
        (SEND[:2], 21602),
        ((*SEND[:2], ("Body", "a" * 1601)), 21617),
        ((("To", "ann"), *SEND[1:]), 21211),
        ((SEND[0], ("From", "+14155550188"), SEND[2]), 21606),
        ((*SEND, ("StatusCallback", "nonsense")), 21609),
    ],
)
def test_message_that_cannot_be_sent_is_refused(
    story: ModelScenario, form: tuple[tuple[str, str], ...], code: int
) -> None:
    assert story.refused("POST", "/Messages.json", *form) == (400, code)
    assert bodies(story) == []


@pytest.mark.parametrize("sender", [("From", "ACME"), ("From", "24365"), ("MessagingServiceSid", "MG" + "1" * 32)])
def test_other_senders_are_taken(story: ModelScenario, sender: tuple[str, str]) -> None:
    status, body = story.rest("POST", "/Messages.json", SEND[0], SEND[2], sender)
    assert (status, body["status"]) == (201, "queued" if sender[0] == "From" else "accepted")


def test_message_to_the_account_is_answered_by_its_document(story: ModelScenario) -> None:
    story.happens(IncomingText(CUSTOMER, OWN, "Where is it?"))
    asked = story.sent_to("/sms")
    expected = {"From": CUSTOMER, "To": OWN, "Body": "Where is it?", "SmsStatus": "received", "NumMedia": "0"}
    assert expected.items() <= asked.items()
    assert asked["MessageSid"] == asked["SmsSid"] == asked["SmsMessageSid"]
    assert {"FromCountry": "US", "ToCountry": "US"}.items() <= asked.items()
    story.serve(
        "/sms",
        "<Response><Message statusCallback='/status-of-reply'><Body>On its way.</Body></Message>"
        "<Message to='+14155550199'>He asked.</Message></Response>",
    )
    assert bodies(story) == [
        ("inbound", CUSTOMER, OWN, "Where is it?"),
        ("outbound-reply", OWN, CUSTOMER, "On its way."),
        ("outbound-reply", OWN, "+14155550199", "He asked."),
    ]
    story.passes(2.0)
    assert [it.url for it in story.callbacks if it.kind == "message"] == [f"{APP}/status-of-reply"] * 2
    assert story.errors == []


def test_redirect_and_plain_text_answer_too(story: ModelScenario) -> None:
    story.happens(IncomingText(CUSTOMER, OWN, "Hi"))
    story.serve("/sms", "<Response><Redirect>/other</Redirect></Response>")
    story.serve("/other", "Hello!", content_type="text/plain; charset=utf-8")
    assert bodies(story)[1:] == [("outbound-reply", OWN, CUSTOMER, "Hello!")]


def test_document_that_fails_leads_to_the_fallback_once(story: ModelScenario) -> None:
    story.happens(IncomingText(CUSTOMER, OWN, "Hi"))
    story.fail("/sms")
    assert story.sent_to("/sms-fallback")["ErrorCode"] == "11205"
    story.serve("/sms-fallback", "<Response>", status=500)
    assert (story.error_codes(), story.asked_paths()) == ([11205, 11200], [])


def test_what_is_ignored_of_an_answer_is_an_alert(story: ModelScenario) -> None:
    story.happens(IncomingText(CUSTOMER, OWN, "Hi"))
    story.serve(
        "/sms", "<Response><Say>Hi</Say><Message action='/a'><Media>http://x/a.png</Media></Message></Response>"
    )
    assert [(it.code, it.level) for it in story.errors] == [(12200, "error"), (0, "warning"), (0, "warning")]


def test_message_between_numbers_of_the_account_arrives(story: ModelScenario) -> None:
    story.rest("POST", "/Messages.json", ("To", OWN), ("From", BUSINESS), ("Body", "Ping"))
    story.passes(2.0)
    assert story.sent_to("/sms")["Body"] == "Ping"
    assert [it[0] for it in bodies(story)] == ["outbound-api", "inbound"]


def test_sms_of_a_call_goes_to_the_caller(story: ModelScenario) -> None:
    story.call_in("<Response><Sms action='/sent'>We missed you.</Sms><Say>Bye</Say></Response>")
    assert bodies(story) == [("outbound-call", BUSINESS, CUSTOMER, "We missed you.")]
    assert story.sent_to("/sent")["SmsStatus"] == "queued"
    sid = story.call_in("<Response><Sms to='+14155550199'>Missed call.</Sms><Say>Bye</Say></Response>")
    assert story.said(sid) == "Bye"
    assert bodies(story)[-1] == ("outbound-call", BUSINESS, "+14155550199", "Missed call.")
    assert story.errors == []


def test_media_of_a_message_are_listed_read_and_deleted(story: ModelScenario) -> None:
    media = (("MediaUrl", "https://a.example/cat.png"), ("MediaUrl", "https://a.example/cat"))
    _, sent = story.rest("POST", "/Messages.json", ("To", CUSTOMER), ("From", OWN), *media)
    path = f"/Messages/{sent['sid']}/Media"

    listed = story.rest("GET", f"{path}.json")[1]["media_list"]
    assert [(it["content_type"], it["parent_sid"]) for it in listed] == [
        ("image/png", sent["sid"]), ("application/octet-stream", sent["sid"]),
    ]  # fmt: skip
    one = f"{path}/{listed[0]['sid']}.json"
    assert story.rest("GET", one)[1] == listed[0]
    assert story.rest("DELETE", one)[0] == 204
    assert story.refused("GET", one) == (404, 20404)
    assert story.rest("GET", f"/Messages/{sent['sid']}.json")[1]["num_media"] == "1"
    assert story.refused("GET", f"/Messages/SM{'0' * 32}/Media.json") == (404, 20404)
