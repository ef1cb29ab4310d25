"""Effects as REST requests, over twilio-python with a scripted HTTP client instead of the network."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from twilio.rest import Client

from conferral.runtime.clock import RemoteClock, SystemClock
from conferral.runtime.errors import (
    ProviderError,
    ProviderGoneError,
    ProviderRefusedError,
    ProviderUnreachableError,
    RateLimitedError,
    ResultUnknownError,
)
from conferral.statemachine.effects import (
    Effect,
    EndConference,
    HangUpCall,
    ReadCalls,
    RedirectCall,
    RedirectToUrl,
    SayAndHangUp,
)
from conferral.statemachine.events import CallSeen, CallsRead, ParticipantSeen
from conferral.telephony.errors import from_status
from conferral.telephony.twilio_api import HangUpResult
from conferral.telephony.twilio_queries import RedirectSeen, twilio_now_ms
from tests.telephony.scripted_http import (
    ACCOUNT,
    BASE,
    FALLBACK,
    Answer,
    ScriptedHttp,
    call,
    calls_with,
    page,
    read_with,
)

GONE = from_status(404, 20404)
OVER = from_status(400, 21220)

REDIRECT = RedirectCall(
    effect_id="e1", session_id="S1", party="agent", call_sid="CA2", conference="S1", label="agent-1"
)
HANG_UP = HangUpCall(effect_id="e2", session_id="S1", party="agent", call_sid="CA2")
END = EndConference(effect_id="e3", session_id="S1", conference_sid="CF1")
AWAY = RedirectToUrl(
    effect_id="e6", session_id="S1", party="customer", call_sid="CA1", url="https://example.com/survey?x=1"
)
SAY = SayAndHangUp(effect_id="e7", session_id="S1", party="customer", call_sid="CA1")
READ = ReadCalls(effect_id="e4", session_id="S1", parent_call_sid="CA1", read_version=7)


@pytest.mark.parametrize(
    "effect, name, data",
    [
        (REDIRECT, "POST Calls/CA2", {"Twiml": "<Join>agent-1</Join>", **FALLBACK}),
        (HANG_UP, "POST Calls/CA2", {"Status": "completed"}),
        (END, "POST Conferences/CF1", {"Status": "completed"}),
        (AWAY, "POST Calls/CA1", {"Url": "https://example.com/survey?x=1", "Method": "POST", **FALLBACK}),
    ],
)
async def test_effect_is_one_request(effect: Effect, name: str, data: dict[str, str]) -> None:
    calls, http = calls_with({name: {"sid": "X"}})

    assert await calls.execute(effect) == (HangUpResult(was_over=False) if effect is HANG_UP else None)

    assert http.requests == [(name, data)]


@pytest.mark.parametrize("code", [16001, 16099])
async def test_everyone_but_guests_in_a_conference_that_can_not_be_ended_is_hung_up(code: int) -> None:
    """Twilio ends no conference that has not started. Another app owns the call of a guest, CA7."""
    labels = {"CA1": "customer-1", "CA7": None, "CA8": "supervisor-3", "CA9": "x-4"}
    inside = ({"call_sid": sid, "label": label, "status": "connected"} for sid, label in labels.items())
    calls, http = calls_with(
        {
            "POST Conferences/CF1": from_status(400, code),
            "GET Conferences/CF1/Participants": page("participants", *inside),
            "POST Calls/CA1": {"sid": "CA1"},
            "POST Calls/CA8": from_status(404, 20404),
            "POST Calls/CA9": {"sid": "CA9"},
        }
    )

    assert await calls.execute(END) is None

    assert [name for name, _ in http.requests] == [
        "POST Conferences/CF1",
        "GET Conferences/CF1/Participants",
        "POST Calls/CA1",
        "POST Calls/CA8",
        "POST Calls/CA9",
    ]


async def test_end_that_is_refused_for_another_reason_fails() -> None:
    calls, http = calls_with({"POST Conferences/CF1": from_status(403, 20403)})

    with pytest.raises(ProviderRefusedError):
        await calls.execute(END)

    assert len(http.requests) == 1


@pytest.mark.parametrize("error", [GONE, OVER])
@pytest.mark.parametrize(
    "effect, name",
    [
        (HANG_UP, "POST Calls/CA2"),
        (END, "POST Conferences/CF1"),
        (AWAY, "POST Calls/CA1"),
        (SAY, "POST Calls/CA1"),
    ],
)
async def test_ending_what_is_over_already_has_succeeded(effect: Effect, name: str, error: ProviderError) -> None:
    calls, _ = calls_with({name: error})

    assert await calls.execute(effect) == (HangUpResult(was_over=True) if effect is HANG_UP else None)


async def test_not_found_without_twilios_code_is_no_success_for_a_hang_up() -> None:
    calls, _ = calls_with({"POST Calls/CA2": from_status(404)})

    with pytest.raises(ProviderRefusedError) as caught:
        await calls.execute(HANG_UP)

    assert not isinstance(caught.value, ProviderGoneError)


CONFERENCE = {"sid": "CF1", "status": "in-progress", "friendly_name": "S1"}
PICTURE: dict[str, Answer] = {
    "GET Calls/CA1": call("CA1", "in-progress"),
    "GET Calls": page("calls", call("CA2", "ringing", "client:alice?name=Ada") | {"parent_call_sid": "CA1"}),
    "GET Conferences": page("conferences", CONFERENCE),
    "GET Conferences/CF1/Participants": page(
        "participants",
        {
            "call_sid": "CA1", "label": "customer-1", "hold": True, "muted": False, "end_conference_on_exit": True,
            "status": "connected", "coaching": False, "call_sid_to_coach": None,
        },
        {
            "call_sid": "CA8", "label": "supervisor-3", "hold": False, "muted": False, "end_conference_on_exit": False,
            "status": "connected", "coaching": True, "call_sid_to_coach": "CA2",
        },
        {
            "call_sid": "CA9", "label": "x-4", "hold": False, "muted": True, "end_conference_on_exit": False,
            "status": "ringing", "coaching": False, "call_sid_to_coach": "CA2",
        },
    ),
    # The session doesn't know these participants: only their calls show their addresses.
    "GET Calls/CA8": call("CA8", "in-progress", "client:carol"),
    "GET Calls/CA9": call("CA9", "ringing", "client:dave"),
}  # fmt: skip
UNKNOWN = (
    CallSeen(call_sid="CA8", status="in-progress", to="client:carol"),
    CallSeen(call_sid="CA9", status="ringing", to="client:dave"),
)


async def test_read_returns_calls_and_conference() -> None:
    calls, http = calls_with(PICTURE)

    read = await calls.execute(READ)

    assert read == CallsRead(
        session_id="S1",
        token="e4:outcome",
        effect_id="e4",
        read_version=7,
        calls=(
            CallSeen(call_sid="CA1", status="in-progress", to="+15550100001"),
            CallSeen(call_sid="CA2", status="ringing", parent_call_sid="CA1", to="client:alice"),
            *UNKNOWN,
        ),
        conference_sid="CF1",
        participants=(
            ParticipantSeen(call_sid="CA1", label="customer-1", held=True, end_on_exit=True),
            ParticipantSeen(call_sid="CA8", label="supervisor-3", coaches="CA2"),
            ParticipantSeen(call_sid="CA9", label="x-4", muted=True, is_ringing=True),
        ),
    )
    asked = dict(http.requests)
    assert asked["GET Calls"] == {"ParentCallSid": "CA1", "PageSize": 50}
    assert asked["GET Conferences"] == {"FriendlyName": "S1", "Status": "in-progress", "PageSize": 20}


async def test_read_returns_each_other_call_once() -> None:
    read, http = await read_with(
        PICTURE
        | {
            "GET Calls/CA3": call("CA3", "ringing", "client:bob?name=Ada"),
            "GET Calls/CA4": GONE,
            "GET Calls/CA5": call("CA5", "in-progress") | {"parent_call_sid": "CA9"},
            "GET Calls/CA6": call("CA6", "queued"),
        },
        replace(READ, call_sids=("CA1", "CA2", "CA3", "CA4", "CA3", "CA5", "CA6")),
    )

    assert read.calls[2:] == (
        CallSeen(call_sid="CA3", status="ringing", to="client:bob"),
        CallSeen(call_sid="CA4", status="completed"),
        CallSeen(call_sid="CA5", status="in-progress", parent_call_sid="CA9", to="+15550100001"),
        CallSeen(call_sid="CA6", status="queued", to="+15550100001"),
        *UNKNOWN,
    )
    asked = [name for name, _ in http.requests]
    assert (len(asked), len(set(asked))) == (11, 10)  # one list for each live status


SECOND = CONFERENCE | {"sid": "CF2"}
OURS = {"call_sid": "CA1", "label": "customer-1"}


@pytest.mark.parametrize(
    "listed, inside, expected",
    [
        pytest.param([CONFERENCE | {"status": "init"}], {}, "CF1", id="waiting"),
        pytest.param([CONFERENCE], {}, "CF1", id="started"),
        pytest.param([CONFERENCE | {"status": "completed"}], {}, "", id="over"),
        pytest.param(
            [SECOND, CONFERENCE],
            {"CF1": [{"call_sid": "CA1"}, {"call_sid": "CA2"}], "CF2": [{"call_sid": "CA3"}]},
            "CF1",
            id="fullest-of-two",
        ),
        pytest.param(
            [SECOND | {"status": "init"}, CONFERENCE],
            {"CF1": [OURS], "CF2": [OURS]},
            "CF1",
            id="started-one-of-two-equal",
        ),
    ],
)
async def test_live_conference_is_returned_of_two_the_fullest_or_started_one(
    listed: list[dict[str, Any]], inside: dict[str, list[dict[str, Any]]], expected: str
) -> None:
    participants = {f"GET Conferences/{sid}/Participants": page("participants", *who) for sid, who in inside.items()}

    read, _ = await read_with(PICTURE | {"GET Conferences": page("conferences", *listed)} | participants, READ)

    assert read.conference_sid == expected


@pytest.mark.parametrize(
    "inside, known, is_ours",
    [
        ({"call_sid": "CA9", "label": "lunch"}, "", False),
        ({"call_sid": "CA9", "label": None}, "", False),
        ({"call_sid": "CA9", "label": "lunch"}, "CF1", True),
        ({"call_sid": "CA1", "label": None}, "", True),
        ({"call_sid": "CA9", "label": "target-2"}, "", True),
    ],
    ids=["stranger", "without-label", "known-by-sid", "our-call", "our-label"],
)
async def test_conference_is_ours_by_its_sid_or_its_legs_and_never_by_its_name_alone(
    inside: dict[str, Any], known: str, is_ours: bool
) -> None:
    read, http = await read_with(
        PICTURE | {"GET Conferences/CF1/Participants": page("participants", inside)},
        replace(READ, conference_name="lunch-1", conference_sid=known),
    )

    assert (read.conference_sid, len(read.participants)) == (("CF1", 1) if is_ours else ("", 0))
    assert ("GET Conferences", {"FriendlyName": "lunch-1", "Status": "init", "PageSize": 20}) in http.requests


@pytest.mark.parametrize("name", list(PICTURE))
async def test_error_in_any_part_of_a_read_is_raised_unchanged(name: str) -> None:
    error = RateLimitedError(http_status=429, retry_after_s=3)
    calls, _ = calls_with(PICTURE | {name: error})

    with pytest.raises(RateLimitedError) as caught:
        await calls.execute(READ)

    assert caught.value is error


@pytest.mark.parametrize("error", [ResultUnknownError(http_status=500), ProviderUnreachableError()])
@pytest.mark.parametrize("name", list(PICTURE))
async def test_part_of_a_read_that_fails_once_is_read_again_alone(name: str, error: ProviderError) -> None:
    calls, http = calls_with(PICTURE)
    whole = await calls.execute(READ)
    asked = Counter(request for request, _ in http.requests)

    calls, http = calls_with(PICTURE)
    http.first_answers[name] = error
    assert await calls.execute(READ) == whole
    assert Counter(request for request, _ in http.requests) == asked + Counter([name])


async def test_part_of_a_read_is_not_read_again_before_the_time_that_twilio_names() -> None:
    name = next(iter(PICTURE))
    calls, http = calls_with(PICTURE)
    http.first_answers[name] = ResultUnknownError(http_status=503, retry_after_s=2)

    with pytest.raises(ResultUnknownError):
        await calls.execute(READ)

    assert [request for request, _ in http.requests].count(name) == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"calls": "none"},
        {"calls": ["CA2"]},
        {"calls": [{"sid": "CA2", "date_created": 5}]},
        {"calls": [{"sid": "CA2", "date_created": "Fri, 99 Feb 2011 21:07:19 +0000"}]},
        {"calls": [{"sid": "CA2", "date_created": "Fri, 18 Feb 99999999999 21:07:19 +0000"}]},
        {"calls": [], "unexpected": 1},
        {},
    ],
)
async def test_page_of_another_shape_is_an_unknown_outcome(answer: dict[str, Any]) -> None:
    calls, _ = calls_with(PICTURE | {"GET Calls": answer})

    with pytest.raises(ResultUnknownError):
        await calls.execute(READ)


async def test_paging_links_are_not_followed() -> None:
    endless = page("calls") | {"next_page_uri": "/2010-04-01/x.json?Page=1"}
    calls, http = calls_with({"GET Calls": endless})

    assert await calls.child_status("CA1") is None

    assert len(http.requests) == 1


@pytest.mark.parametrize(
    "inside, expected",
    [
        (["CA1"],        True),
        (["CA1", "CA2"], False),
        (["CA2"],        False),
        ([],             False),  # a list may lag
    ],
)  # fmt: skip
async def test_call_alone_in_a_conference_is_its_only_participant(inside: list[str], expected: bool) -> None:
    there = page("participants", *({"call_sid": sid, "label": "x-1"} for sid in inside))
    calls, _ = calls_with({"GET Conferences/CF1/Participants": there})

    assert await calls.is_alone("CF1", "CA1") is expected


@pytest.mark.parametrize(
    "participant, redirect, in_conference",
    [
        ({"call_sid": "CA9", "label": "agent-1"}, {}, True),
        ({"call_sid": "CA2", "label": None}, {}, True),
        ({"call_sid": "CA9", "label": "agent-2"}, {}, False),
        # A leg redirected to wait does not start its conference: this one is still where it was before.
        ({"call_sid": "CA2", "start_conference_on_enter": True}, {"wait_audio": "ringback"}, False),
        ({"call_sid": "CA2", "start_conference_on_enter": False}, {"wait_audio": "ringback"}, True),
        # It is still in the conference that it is to leave.
        ({"call_sid": "CA2"}, {"left_conference": "CF1"}, False),
        ({"call_sid": "CA2"}, {"left_conference": "CF0"}, True),
    ],
)
async def test_verification_finds_the_label_or_the_call_in_the_conference(
    participant: dict[str, Any], redirect: dict[str, str], in_conference: bool
) -> None:
    calls, _ = calls_with(
        {
            "GET Calls/CA2": call("CA2", "in-progress"),
            "GET Conferences": page("conferences", CONFERENCE),
            "GET Conferences/CF1/Participants": page("participants", participant),
        }
    )

    seen = await calls.check_redirect(replace(REDIRECT, **redirect))

    assert seen == RedirectSeen(call_status="in-progress", in_conference=in_conference)


# ---- what the action of a <Dial> reads -----------------------------------------------------------------------------


EARLY, LATE = "Fri, 20 Nov 2026 08:00:00 +0000", "Fri, 20 Nov 2026 08:00:30 +0000"


@pytest.mark.parametrize(
    "children, expected",
    [
        ([], None),
        ([call("CA2", "in-progress", created=EARLY)], "in-progress"),
        ([call("CA2", "busy", created=EARLY), call("CA3", "in-progress", created=LATE)], "in-progress"),
        ([call("CA3", "ringing", created=LATE), call("CA2", "busy", created=EARLY)], "ringing"),
        ([call("CA3", "ringing", created=LATE), call("CA2", "busy", created=LATE)], "ringing"),
        ([call("CA2", "completed")], "completed"),
    ],
)
async def test_child_status_is_that_of_the_newest_child(children: list[dict[str, Any]], expected: str | None) -> None:
    calls, _ = calls_with({"GET Calls": page("calls", *children)})

    assert await calls.child_status("CA1") == expected


@pytest.mark.parametrize(
    "statuses, expected", [([], False), (["init"], False), (["in-progress"], True), (["init", "completed"], True)]
)
async def test_conference_has_started_if_listed_as_in_progress_or_completed(
    statuses: list[str], expected: bool
) -> None:
    listed = [{"sid": f"CF{number}", "status": status} for number, status in enumerate(statuses)]
    calls, _ = calls_with({"GET Conferences": page("conferences", *listed)})

    assert await calls.has_started("CA1") is expected


@pytest.mark.parametrize("status", ["in-progress", "completed"])
async def test_child_that_a_list_lacks_is_asked_for_by_its_sid(status: str) -> None:
    calls, _ = calls_with({"GET Calls": page("calls"), "GET Calls/CA2": call("CA2", status)})

    assert await calls.child_status("CA1", "CA2") == status


@pytest.mark.parametrize(
    "status, expected",
    [
        (
            "in-progress",
            {"CallSid": "CA1", "From": "+1", "To": "+2", "Direction": "inbound", "AnsweredBy": "machine_start"},
        ),
        ("completed", {}),
    ],
)
async def test_live_call_is_read_as_a_voice_request_shows_it(status: str, expected: dict[str, str]) -> None:
    shown = {"from": "+1", "to": "+2", "direction": "inbound", "answered_by": "machine_start"}
    record = call("CA1", status) | shown
    calls, _ = calls_with({"GET Calls/CA1": record})

    assert await calls.live_call("CA1") == expected


@pytest.mark.parametrize(
    "answer, error",
    [
        ({}, ProviderUnreachableError),  # without a date
        (ProviderRefusedError(http_status=401, code=20003), ProviderRefusedError),
        (ResultUnknownError(), ProviderUnreachableError),
    ],
)
async def test_without_any_date_of_twilios_its_time_is_unknown(
    answer: dict[str, Any] | ProviderError, error: type[ProviderError]
) -> None:
    client = Client(ACCOUNT, "token", http_client=ScriptedHttp({f"GET {BASE.rstrip('/')}": answer}))

    with pytest.raises(error):
        await twilio_now_ms(RemoteClock(SystemClock()), client, ACCOUNT)
