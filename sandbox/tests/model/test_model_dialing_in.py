"""Dialing someone into a conference by the Participants API: early media, and what their address carries."""

import pytest

from model_scenario import APP, BUSINESS, ModelScenario
from offhook.model.behavior import Behavior
from offhook.model.messages import PhoneRings
from offhook.model.numbers import Number


@pytest.mark.parametrize("early_media", ["true", "false"])
def test_join_may_come_before_the_answer_where_early_media_counts_as_one(early_media: str) -> None:
    story = ModelScenario(Behavior(early_media_counts_as_join=True))
    story.member()
    events = (("StatusCallbackEvent", event) for event in ("initiated", "ringing", "answered", "completed"))
    callback = ("StatusCallback", f"{APP}/dial")
    target = story.participant("client:carol", ("EarlyMedia", early_media), callback, *events)

    story.happens(PhoneRings(target))
    before_answer = [it.event for it in story.callbacks if it.call_sid == target]
    assert "conference-start" not in story.events()
    story.answers(target)

    early = early_media == "true"
    assert before_answer == ["initiated", "ringing", *(["participant-join"] if early else [])]
    reported = [it.event for it in story.callbacks if it.call_sid == target]
    assert (reported.count("participant-join"), reported.count("answered")) == (1, 1)
    assert story.events() == ["participant-join", "participant-join", "conference-start"]


@pytest.mark.parametrize("path", ["/Calls.json", "/Conferences/room/Participants.json"])
@pytest.mark.parametrize(
    ("to", "custom"),
    [
        ("client:bob?order=7&note=a%20%26%20b", (("order", "7"), ("note", "a & b"))),
        ("sip:bob@pbx.example.com;transport=tls?X-Order=7&X-Note=", (("X-Order", "7"), ("X-Note", ""))),
        ("client:bob", ()),
    ],
)
def test_query_of_an_address_goes_to_the_browser_or_the_sip_phone(
    story: ModelScenario, path: str, to: str, custom: tuple[tuple[str, str], ...]
) -> None:
    form = (("To", to), ("From", BUSINESS), ("Url", f"{APP}/gate"))
    status, body = story.rest("POST", path, *form)
    sid = body.get("call_sid") or body["sid"]

    assert (status, story.rings[-1].custom, story.call(sid).custom) == (201, custom, custom)
    assert (story.rings[-1].to, story.rest("GET", f"/Calls/{sid}.json")[1]["to"]) == (to, to)


def test_parameters_of_a_dialed_address_are_in_no_webhook(story: ModelScenario) -> None:
    _, body = story.rest(
        "POST", "/Calls.json", ("To", "client:bob?order=7"), ("From", BUSINESS), ("Url", f"{APP}/gate")
    )
    story.answers(body["sid"])

    sent = story.sent_to("/gate")
    assert (sent["To"], "order" in sent) == ("client:bob?order=7", False)


def test_parameters_of_a_dialed_client_are_its_query_and_its_elements(story: ModelScenario) -> None:
    story.bridging(to="<Client><Identity>bob?a=1</Identity><Parameter name='b' value='2'/></Client>")

    assert story.rings[-1].custom == (("a", "1"), ("b", "2"))


# ---- a number of the account's own -----------------------------------------------------------------------------------


def dials_itself(story: ModelScenario) -> tuple[str, str]:
    """Dials the account's own number: the SIDs of the leg that was dialed, and of the one that comes in."""
    dialed = story.rest("POST", "/Calls.json", ("To", BUSINESS), ("From", BUSINESS), ("Url", f"{APP}/gate"))[1]["sid"]
    incoming = story.sent_to("/voice")
    assert (incoming["Direction"], incoming["From"], incoming["To"]) == ("inbound", BUSINESS, BUSINESS)
    assert (incoming["CallSid"] != dialed, story.call(dialed).status) == (True, "ringing")
    return dialed, incoming["CallSid"]


def test_call_to_an_own_number_comes_in_there_and_is_answered_by_its_document(story: ModelScenario) -> None:
    dialed, incoming = dials_itself(story)
    story.serve("/voice", "<Response><Say>Hello.</Say><Pause length='60'/></Response>")
    assert [story.call(sid).status for sid in (dialed, incoming)] == ["in-progress", "in-progress"]
    assert story.sent_to("/gate")["CallSid"] == dialed
    story.hangs_up(dialed)
    assert [story.call(sid).status for sid in (dialed, incoming)] == ["completed", "completed"]


def test_call_to_an_own_number_that_rejects_it_is_busy(story: ModelScenario) -> None:
    dialed, incoming = dials_itself(story)
    story.serve("/voice", "<Response><Reject reason='busy'/></Response>")
    assert [story.call(sid).status for sid in (dialed, incoming)] == ["busy", "busy"]


def test_call_to_an_own_number_that_is_canceled_ends_there_too(story: ModelScenario) -> None:
    dialed, incoming = dials_itself(story)
    story.rest("POST", f"/Calls/{dialed}.json", ("Status", "canceled"))
    assert [story.call(sid).status for sid in (dialed, incoming)] == ["canceled", "no-answer"]


@pytest.mark.parametrize("path", ["/Calls.json", "/Conferences/room/Participants.json"])
def test_application_answers_with_the_parameters_of_its_address(story: ModelScenario, path: str) -> None:
    sid = "AP" + "1" * 32
    story.model.add_number(Number(sid, f"{APP}/app", application_sid=sid))
    twiml = (("Twiml", "<Response><Pause length='60'/></Response>"),) * (path == "/Calls.json")
    status, body = story.rest("POST", path, ("To", f"app:{sid}?order=7"), ("From", BUSINESS), *twiml)
    asked = story.sent_to("/app")
    expected = {"To": f"app:{sid}", "From": BUSINESS, "ApplicationSid": sid, "order": "7", "Direction": "inbound"}
    assert expected.items() <= asked.items()
    story.serve("/app", "<Response><Say>Hello.</Say><Pause length='60'/></Response>")
    dialed = body.get("call_sid") or body["sid"]
    assert (status, story.status(dialed), story.status(asked["CallSid"])) == (201, "in-progress", "in-progress")


def test_application_that_the_account_lacks_is_refused(story: ModelScenario) -> None:
    dial = ("To", f"app:AP{'9' * 32}"), ("From", BUSINESS), ("Twiml", "<Response/>")
    assert story.refused("POST", "/Calls.json", *dial) == (400, 21211)


@pytest.mark.parametrize(("buffer_s", "rings_s"), [(0.0, 15.0), (60.0, 70.0)])
def test_participant_rings_five_seconds_longer_than_its_timeout(buffer_s: float, rings_s: float) -> None:
    story = ModelScenario(Behavior(ring_buffer_s=buffer_s))
    target = story.participant("client:carol", ("Timeout", "10"))
    story.happens(PhoneRings(target))
    story.passes(rings_s - 0.1)
    assert story.status(target) == "ringing"
    story.passes(0.2)
    assert story.status(target) == "no-answer"
