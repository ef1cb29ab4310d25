"""The REST API's Calls, Conferences, recordings: forms, refusals, filters, pages."""

from typing import Any

import pytest

from model_scenario import ACCOUNT_SID, APP, BUSINESS, CUSTOMER, ModelScenario
from offhook.model.behavior import Behavior
from offhook.model.messages import InboundCall, PhoneRefuses
from offhook.model.numbers import Number

CALL = (("To", "+15550111"), ("From", BUSINESS), ("Url", f"{APP}/agent"))


def without(name: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(pair for pair in CALL if pair[0] != name) + more


def test_call_is_shown_as_twilio_describes_it(story: ModelScenario) -> None:
    status, body = story.rest("POST", "/Calls.json", *CALL)

    assert status == 201
    assert set(body) == {
        "sid", "date_created", "date_updated", "parent_call_sid", "account_sid", "to", "to_formatted", "from",
        "from_formatted", "phone_number_sid", "status", "start_time", "end_time", "duration", "price", "price_unit",
        "direction", "answered_by", "api_version", "forwarded_from", "group_sid", "caller_name", "queue_time",
        "trunk_sid", "uri", "subresource_uris", "annotation",
    }  # fmt: skip
    assert (body["status"], body["direction"], body["queue_time"]) == ("queued", "outbound-api", "0")
    assert (body["start_time"], body["end_time"], body["duration"]) == (None, None, None)
    assert body["date_created"] == "Thu, 01 Jan 1970 00:16:40 +0000"
    assert body["uri"].endswith(f"/Calls/{body['sid']}.json")


def test_numbers_of_calls_are_shown_in_national_form_with_the_accounts_number() -> None:
    story = ModelScenario()
    story.model.add_number(Number("+14155550100", f"{APP}/voice"))
    sid = story.happens(InboundCall("+14155550123", "+14155550100")).call_sid

    _, body = story.rest("GET", f"/Calls/{sid}.json")
    _, numbers = story.rest("GET", "/IncomingPhoneNumbers.json", ("PhoneNumber", "+14155550100"))

    assert (body["from"], body["from_formatted"]) == ("+14155550123", "(415) 555-0123")
    assert (body["to"], body["to_formatted"]) == ("+14155550100", "(415) 555-0100")
    assert body["phone_number_sid"] == numbers["incoming_phone_numbers"][0]["sid"]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_participants_of_a_name_can_only_be_created(story: ModelScenario, method: str) -> None:
    sid = story.member()

    assert story.refused(method, "/Conferences/room/Participants.json") == (405, 20004)
    assert story.refused("GET", "/Conferences/elsewhere/Participants.json") == (405, 20004)
    assert [it["call_sid"] for it in story.rest("GET", story.participants())[1]["participants"]] == [sid]


@pytest.mark.parametrize(
    "form, code",
    [
        (without("To"), 21201),
        (without("From"), 21213),
        (without("Url"), 21205),
        (without("Url", ("Url", "not-a-url")), 21205),
        (without("Url", ("Url", "http://[")), 21205),
        (without("Url", ("Url", "http://under_score.example/")), 21205),
        (without("To", ("To", "(415) 555-12")), 21211),
        (without("From", ("From", "anonymous")), 21212),
        ((*CALL, ("Timeout", "601")), 20001),
        ((*CALL, ("Timeout", "9" * 5_000)), 20001),
        ((*CALL, ("Method", "PUT")), 20001),
        ((*without("Url"), ("Twiml", "x" * 4001)), 20001),
        ((*CALL, ("FallbackUrl", "not-a-url")), 21205),
        ((*CALL, ("StatusCallback", "not-a-url")), 21609),
    ],
)
def test_call_that_cannot_be_made_is_refused(form: tuple[tuple[str, str], ...], code: int) -> None:
    story = ModelScenario()

    status, body = story.rest("POST", "/Calls.json", *form)

    assert (status, body["code"], body["status"]) == (400, code, 400)
    assert body["more_info"] == f"https://www.twilio.com/docs/errors/{code}"
    assert story.model.state.calls == {}


def test_events_joined_by_spaces_are_no_subscription(story: ModelScenario) -> None:
    _, body = story.rest(
        "POST", "/Calls.json", *CALL, ("StatusCallback", f"{APP}/dial"), ("StatusCallbackEvent", "ringing answered")
    )

    story.answers(body["sid"])

    assert story.error_codes() == [21626]
    assert story.events("call") == []


def test_paths_that_are_not_modeled_say_so(story: ModelScenario) -> None:
    sid = story.dial()

    paths = (
        "/Siprec.json",
        *(f"/Calls/{sid}/{part}.json" for part in ("Streams", "Participants", "Recordings/RE1/Transcriptions")),
    )  # fmt: skip
    for path in paths:
        status, body = story.rest("GET", path)
        assert (status, body["code"], body["status"]) == (404, 20404, 404)
        whole = f"/2010-04-01/Accounts/{ACCOUNT_SID}{path}"
        said = f"the sandbox does not model GET {whole}"
        assert body["message"] == f"The requested resource {whole} was not found: {said}"
        assert (story.errors[-1].code, story.errors[-1].level) == (0, "warning")
        assert story.errors[-1].message == said
    assert len(story.errors) == len(paths)


def test_resource_that_is_not_there_is_no_alert_and_has_twilios_words(story: ModelScenario) -> None:
    path = f"/Calls/CA{'0' * 32}.json"
    status, body = story.rest("GET", path)
    assert (status, body["code"], body["more_info"]) == (404, 20404, "https://www.twilio.com/docs/errors/20404")
    assert body["message"] == f"The requested resource /2010-04-01/Accounts/{ACCOUNT_SID}{path} was not found"
    assert story.errors == []


def test_method_that_only_twilio_has_is_an_alert(story: ModelScenario) -> None:
    assert story.refused("POST", "/OutgoingCallerIds.json", ("PhoneNumber", "+14155550199")) == (404, 20404)
    assert story.refused("DELETE", "/OutgoingCallerIds.json") == (405, 20004)
    assert story.error_codes() == [0]


@pytest.mark.parametrize("status", ["completed", "canceled"])
def test_inbound_call_that_was_never_in_progress_ends_as_no_answer(story: ModelScenario, status: str) -> None:
    sid = story.call_in("<Response><Pause length='60'/></Response>")

    story.rest("POST", f"/Calls/{sid}.json", ("Status", status))

    assert (story.status(sid), story.event("completed", CallSid=sid)["CallStatus"]) == ("no-answer", "no-answer")


def test_calls_are_listed_newest_first_and_filtered(story: ModelScenario) -> None:
    parent, child = story.bridged()
    other = story.dial("client:bob")

    def sids(*query: tuple[str, str]) -> list[str]:
        return [it["sid"] for it in story.rest("GET", "/Calls.json", *query)[1]["calls"]]

    assert sids() == [other, child, parent]
    assert sids(("To", "client:bob")) == [other]
    assert sids(("From", CUSTOMER), ("To", BUSINESS)) == [parent]
    assert sids(("ParentCallSid", parent)) == [child]
    assert sids(("Status", "in-progress")) == [child, parent]


def test_list_comes_in_pages_that_link_to_each_other(story: ModelScenario) -> None:
    for _ in range(5):
        story.dial()

    _, first = story.rest("GET", "/Calls.json", ("PageSize", "2"), ("Status", "queued"))
    assert set(first) == {
        "calls", "end", "first_page_uri", "next_page_uri", "page", "page_size", "previous_page_uri", "start", "uri"
    }  # fmt: skip
    assert (len(first["calls"]), first["page"], first["start"], first["end"]) == (2, 0, 0, 1)
    assert "Status=queued&PageSize=2&Page=1&PageToken=" in first["next_page_uri"]
    assert first["previous_page_uri"] is None

    _, last = story.rest("GET", "/Calls.json", ("PageSize", "2"), ("Page", "2"))
    assert (len(last["calls"]), last["next_page_uri"]) == (1, None)


def test_conference_is_shown_as_twilio_describes_it_and_found_by_name(story: ModelScenario) -> None:
    story.member()
    story.member()

    _, found = story.rest("GET", "/Conferences.json", ("FriendlyName", "room"), ("Status", "in-progress"))

    (body,) = found["conferences"]
    assert set(body) == {
        "account_sid", "date_created", "date_updated", "api_version", "friendly_name", "region", "sid", "status",
        "uri", "subresource_uris", "reason_conference_ended", "call_sid_ending_conference",
    }  # fmt: skip
    assert body == story.rest("GET", f"/Conferences/{story.conference()}.json")[1]
    assert story.rest("GET", "/Conferences.json", ("FriendlyName", "roo"))[1]["conferences"] == []


def test_lists_may_lag_behind() -> None:
    story = ModelScenario(Behavior(list_delay_s=2.0))
    sid, _ = story.member(), story.member(from_="+14155550124")
    assert story.rest("GET", "/Conferences.json")[1]["conferences"] == []
    assert story.rest("GET", "/Calls.json")[1]["calls"] == []
    assert story.rest("GET", f"/Calls/{sid}.json")[0] == 200

    story.passes(2.0)

    assert len(story.rest("GET", "/Conferences.json")[1]["conferences"]) == 1


@pytest.mark.parametrize("behavior, listed", [
    (Behavior(), {"": ["started"], "init": [], "in-progress": ["started"], "completed": ["over"]}),
    (
        Behavior(conference_list="all", init_conference_list="all"),
        {"": ["over", "started", "room"], "init": ["room"], "in-progress": ["started"], "completed": ["over"]},
    ),
    (Behavior(init_conference_list="refused"), {"": ["started"], "init": (400, 20001)}),
])  # fmt: skip
def test_list_of_conferences_shows_one_status(behavior: Behavior, listed: dict[str, Any]) -> None:
    story = ModelScenario(behavior)
    story.member()
    names = {}
    for name in ("started", "over"):
        names[name] = story.add_foreign_conference(name)
    story.rest("POST", f"/Conferences/{names['over']}.json", ("Status", "completed"))

    for status, expected in listed.items():
        parameters = [("Status", status)] if status else []
        if isinstance(expected, tuple):
            assert story.refused("GET", "/Conferences.json", *parameters) == expected
            continue
        found = story.rest("GET", "/Conferences.json", *parameters)[1]["conferences"]
        assert [one["friendly_name"] for one in found] == expected


LIVE = ("Status", "in-progress")


def test_call_that_ends_between_two_pages_moves_no_other_out_of_sight(story: ModelScenario) -> None:
    sids = story.add_foreign_calls(6)

    _, first = story.rest("GET", "/Calls.json", LIVE, ("PageSize", "2"))
    for sid in sids[4:]:  # both are on the first page
        story.complete(sid)
    story.add_foreign_calls(3)
    token = first["next_page_uri"].rpartition("PageToken=")[2]
    _, second = story.rest("GET", "/Calls.json", LIVE, ("PageSize", "2"), ("Page", "1"), ("PageToken", token))

    assert [it["sid"] for it in second["calls"]] == [sids[3], sids[2]]
    assert story.rest("GET", "/Calls.json", ("PageToken", "x"))[1]["code"] == 20001


# ---- the Participants API ------------------------------------------------------------------------------------------


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
    assert story.model.state.conferences[story.conference("new")].status == "completed"


@pytest.mark.parametrize(
    ("field", "code"), [(("Label", "target"), 16026), (("StatusCallback", "not-a-url"), 21609)], ids=["label", "url"]
)
def test_refused_participant_is_not_dialed(story: ModelScenario, field: tuple[str, str], code: int) -> None:
    carol = story.participant("client:carol", ("Label", "target"))

    assert story.refused(
        "POST", "/Conferences/room/Participants.json", ("To", "client:dan"), ("From", BUSINESS), field
    ) == (400, code)
    assert list(story.model.state.live_calls) == [carol]


def test_participant_answering_after_the_end_can_open_a_new_conference() -> None:
    story = ModelScenario(Behavior(late_answer="new-conference"))
    story.member()
    story.member()
    ringing = story.participant("client:dan")
    old = story.conference()
    story.rest("POST", f"/Conferences/{old}.json", ("Status", "completed"))

    story.answers(ringing)

    assert (story.call(ringing).activity, story.conference() != old) == ("conference", True)
