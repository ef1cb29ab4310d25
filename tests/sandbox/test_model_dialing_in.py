"""Dialing someone into a conference by the Participants API: ringing heard or not, and every way it can fail."""

from collections.abc import Callable
from functools import partial

import pytest

from conferral.sandbox.model.behavior import Behavior
from conferral.sandbox.model.messages import Input, PhoneHangsUp, PhoneRefuses, PhoneRings
from tests.sandbox.model_scenario import APP, BUSINESS, ModelScenario

CALLBACKS = (
    ("StatusCallback", f"{APP}/dial"),
    *(("StatusCallbackEvent", event) for event in ("initiated", "ringing", "answered", "completed")),
)


def dialed(story: ModelScenario, *params: tuple[str, str]) -> str:
    """A target who is being dialed into the conference, by its SID, as an application would."""
    return story.participant("client:carol", ("Label", "target"), *CALLBACKS, *params, conference=story.conference())


def no_answer(story: ModelScenario, sid: str) -> None:
    story.happens(PhoneRings(sid))
    story.passes(20.0)


def phone(act: Callable[[str], Input]) -> Callable[[ModelScenario, str], None]:
    return lambda story, sid: (story.happens(act(sid)), None)[1]


@pytest.mark.parametrize(
    ("fails", "status", "sip_code"),
    [
        (phone(partial(PhoneRefuses, sip_code=486)), "busy", "486"),
        (phone(partial(PhoneRefuses, sip_code=603)), "busy", "603"),
        (phone(partial(PhoneRefuses, sip_code=404)), "failed", "404"),
        (phone(PhoneHangsUp), "no-answer", "487"),
        (no_answer, "no-answer", "487"),
    ],
    ids=["busy", "refused", "failed", "hung up", "timed out"],
)
def test_unanswered_dial_is_reported_by_the_call_and_by_the_conference(
    story: ModelScenario, fails: Callable[[ModelScenario, str], None], status: str, sip_code: str
) -> None:
    customer, agent = story.member(), story.member()
    target = dialed(story, ("Timeout", "20"))

    fails(story, target)

    ended = story.event("completed", CallSid=target)
    assert (ended["CallStatus"], ended["SipResponseCode"], ended["CallDuration"]) == (status, sip_code, "0")
    assert story.left(CallSid=target, ParticipantLabel="target") == ("participant_add_failed", status)
    assert "participant-join" not in [it.event for it in story.callbacks if it.call_sid == target]
    assert story.rest("GET", story.participants("target"))[0] == 404
    assert (story.hears(customer), story.hears(agent)) == ({agent}, {customer})


def test_ring_time_counts_from_the_ringing_and_may_have_twilios_buffer() -> None:
    story = ModelScenario(Behavior(ring_buffer_s=5.0))
    story.member()
    target = dialed(story, ("Timeout", "10"))
    story.passes(8.0)
    story.happens(PhoneRings(target))

    story.passes(14.9)
    assert story.status(target) == "ringing"
    story.passes(0.2)

    assert story.status(target) == "no-answer"


def test_participant_status_goes_from_queued_to_connected() -> None:
    story = ModelScenario(Behavior(calls_per_second=1.0))
    story.member()
    story.dial("client:bob")
    target = dialed(story)

    def shown() -> str:
        return str(story.rest("GET", story.participants("target"))[1]["status"])

    seen = [shown()]
    story.passes(1.0)
    seen.append(shown())
    story.happens(PhoneRings(target))
    seen.append(shown())
    story.answers(target)
    seen.append(shown())

    assert seen == ["queued", "connecting", "ringing", "connected"]


def test_queue_time_counts_calls_and_participants_together() -> None:
    story = ModelScenario(Behavior(calls_per_second=1.0))
    story.member()
    story.dial("client:bob")

    status, participant = story.rest("POST", story.participants(), ("To", "client:carol"), ("From", BUSINESS))
    _, call = story.rest(
        "POST", "/Calls.json", ("To", "client:dan"), ("From", BUSINESS), ("Url", f"{APP}/gate"), ("Timeout", "20")
    )

    assert (status, participant["queue_time"], call["queue_time"]) == (201, "1000", "2000")
    assert (participant["status"], call["status"]) == ("queued", "queued")


@pytest.mark.parametrize("early_media", ["true", "false"])
def test_join_may_come_before_the_answer_where_early_media_counts_as_one(early_media: str) -> None:
    story = ModelScenario(Behavior(early_media_counts_as_join=True))
    story.member()
    target = dialed(story, ("EarlyMedia", early_media))

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
