"""Recordings as REST requests, the search for one that may have begun, and the meaning of one that is gone."""

from dataclasses import replace
from typing import Any

import pytest
from twilio.rest import Client

from conferral.runtime.errors import (
    ProviderError,
    ProviderGoneError,
    ProviderRefusedError,
    ResultUnknownError,
)
from conferral.statemachine.effects import ChangeRecording, FindMessage, FindRecording, StartRecording
from conferral.telephony.callback_urls import CallbackUrls
from conferral.telephony.errors import from_status
from conferral.telephony.parameters import RecordingFound
from conferral.telephony.recordings import find_recordings
from tests.telephony.scripted_http import ACCOUNT, Answer, ScriptedHttp, calls_with, page

URLS = CallbackUrls("https://example.com")
GONE, OVER = from_status(404, 20404), from_status(400, 21220)

START = StartRecording(effect_id="e1", session_id="S1", party="customer", call_sid="CA1")
TO_CALL = "POST Calls/CA1/Recordings"
CALLBACK = {
    "RecordingStatusCallback": URLS.recording("S1"),
    "RecordingStatusCallbackMethod": "POST",
    "RecordingStatusCallbackEvent": ["in-progress", "completed", "absent"],
}
OF_CALL = ChangeRecording(effect_id="e2", session_id="S1", call_sid="CA1", status="stopped")
OF_CONFERENCE = ChangeRecording(effect_id="e3", session_id="S1", conference_sid="CF1", status="stopped")


async def test_a_call_is_recorded_in_two_channels_and_we_hear_of_it() -> None:
    calls, http = calls_with({TO_CALL: {"sid": "RE1"}})

    assert await calls.execute(START) == RecordingFound("RE1", status="in-progress")

    assert http.requests == [(TO_CALL, {"RecordingChannels": "dual", **CALLBACK})]


async def test_a_configuration_decides_how_a_call_is_recorded() -> None:
    calls, http = calls_with({TO_CALL: {"sid": "RE1"}})

    await calls.execute(replace(START, configuration="with-transcript"))

    assert http.requests == [(TO_CALL, {"RecordingConfigurationId": "with-transcript", **CALLBACK})]


SEARCH = FindMessage(effect_id="e4", session_id="S1", party="customer", call_sid="CA1")
KEPT = {"sid": "RE" + "1" * 32, "source": "RecordVerb", "status": "completed", "duration": "7"}


@pytest.mark.parametrize("recordings, found", [
    ([KEPT], RecordingFound(KEPT["sid"], "completed", 7)),
    ([KEPT | {"duration": None}], RecordingFound(KEPT["sid"], "completed", 0)),
    ([KEPT | {"source": "StartCallRecordingAPI"}], RecordingFound("")),
    ([KEPT | {"status": "absent"}], RecordingFound("")),
    ([], RecordingFound("")),
])  # fmt: skip
async def test_a_message_is_what_the_voicemail_recorded_and_twilio_keeps(
    recordings: Any, found: RecordingFound
) -> None:
    calls, _ = calls_with({"GET Calls/CA1/Recordings": page("recordings", *recordings)})

    assert await calls.execute(SEARCH) == found


async def test_a_message_that_twilio_still_processes_is_not_known_yet() -> None:
    unfinished = KEPT | {"status": "processing", "duration": "-1"}
    calls, _ = calls_with({"GET Calls/CA1/Recordings": page("recordings", unfinished)})

    with pytest.raises(ResultUnknownError):
        await calls.execute(SEARCH)


FIND = FindRecording(effect_id="e5", session_id="S1", recording_sid="RE1")
MEDIA = "https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1"
FINISHED = {
    "sid": "RE1", "source": "StartCallRecordingAPI", "status": "completed", "duration": "7", "channels": 2,
    "media_url": MEDIA, "start_time": "Fri, 20 Nov 2026 09:03:00 +0000",
}  # fmt: skip
FOUND = RecordingFound("RE1", "completed", 7, url=MEDIA, channels=2, started_at_ms=1_795_165_380_000)


@pytest.mark.parametrize("found_by, request_, fields", [
    ({"recording_sid": "RE1"}, "GET Recordings/RE1", {}),
    ({"call_sid": "CA1"}, "GET Recordings", {"CallSid": "CA1", "PageSize": 50}),
    ({"conference_sid": "CF1"}, "GET Recordings", {"ConferenceSid": "CF1", "PageSize": 50}),
])  # fmt: skip
async def test_a_recording_is_found_by_its_sid_its_call_or_its_conference(
    found_by: dict[str, str], request_: str, fields: dict[str, Any]
) -> None:
    answer: Any = FINISHED if "recording_sid" in found_by else page("recordings", FINISHED)
    calls, http = calls_with({request_: answer})

    assert await calls.execute(replace(FIND, **{"recording_sid": "", **found_by})) == FOUND

    assert http.requests == [(request_, fields)]


@pytest.mark.parametrize("changes, found", [
    ({"status": "absent", "error_code": 16101, "media_url": None}, replace(FOUND, status="absent", code=16101, url="")),
    ({"status": "failed"}, replace(FOUND, status="failed")),
    ({"source": "Conference"}, replace(FOUND, of_conference=True)),
    ({"start_time": None, "duration": None}, replace(FOUND, started_at_ms=0, duration_s=0)),
    ({"status": "deleted"}, RecordingFound("")),
])  # fmt: skip
async def test_a_recording_that_is_over_is_described_as_twilio_has_it(
    changes: dict[str, Any], found: RecordingFound
) -> None:
    calls, _ = calls_with({"GET Recordings/RE1": FINISHED | changes})

    assert await calls.execute(FIND) == found


async def test_a_recording_that_twilio_does_not_know_is_not_searched_for_again() -> None:
    calls, _ = calls_with({"GET Recordings/RE1": GONE})

    assert await calls.execute(FIND) == RecordingFound("")


@pytest.mark.parametrize("status", ["in-progress", "paused", "stopped", "processing", "some-new-word"])
async def test_a_recording_that_is_not_over_is_not_known_yet(status: str) -> None:
    calls, _ = calls_with({"GET Recordings/RE1": FINISHED | {"status": status}})

    with pytest.raises(ResultUnknownError):
        await calls.execute(FIND)


async def test_a_recording_of_the_call_that_another_app_made_is_not_ours() -> None:
    others = page("recordings", FINISHED | {"source": "DialVerb"}, FINISHED | {"source": "RecordVerb"})
    calls, _ = calls_with({"GET Recordings": others})

    assert await calls.execute(replace(FIND, recording_sid="", call_sid="CA1")) == RecordingFound("")


@pytest.mark.parametrize("sid", [None, "", "{x}", 7])
async def test_a_recording_that_the_answer_does_not_name_has_an_unknown_outcome(sid: Any) -> None:
    calls, _ = calls_with({TO_CALL: {"sid": sid}})

    with pytest.raises(ResultUnknownError):
        await calls.execute(START)


async def test_a_call_that_cannot_be_recorded_need_not_be_over() -> None:
    calls, _ = calls_with({TO_CALL: OVER})

    with pytest.raises(ProviderRefusedError) as caught:
        await calls.execute(START)

    assert not isinstance(caught.value, ProviderGoneError)
    assert (caught.value.http_status, caught.value.code) == (400, 21220)


@pytest.mark.parametrize("effect, path", [(OF_CALL, "Calls/CA1"), (OF_CONFERENCE, "Conferences/CF1")])
@pytest.mark.parametrize("sid, named", [("RE1", "RE1"), ("", "Twilio.CURRENT")])
@pytest.mark.parametrize("status, sent", [
    ("stopped",     {"Status": "stopped"}),
    ("in-progress", {"Status": "in-progress"}),
    ("paused",      {"Status": "paused", "PauseBehavior": "skip"}),
])  # fmt: skip
async def test_a_recording_is_changed_by_its_sid_or_as_the_one_that_runs(
    effect: ChangeRecording, path: str, sid: str, named: str, status: str, sent: dict[str, str]
) -> None:
    name = f"POST {path}/Recordings/{named}"
    calls, http = calls_with({name: {"sid": "RE1"}})

    assert await calls.execute(replace(effect, recording_sid=sid, status=status)) is None

    assert http.requests == [(name, sent)]


@pytest.mark.parametrize("error", [GONE, OVER])
@pytest.mark.parametrize("effect, name", [
    (OF_CALL, "Calls/CA1/Recordings/Twilio.CURRENT"),
    (replace(OF_CALL, recording_sid="RE1"), "Calls/CA1/Recordings/RE1"),
    (replace(OF_CONFERENCE, recording_sid="RE1"), "Conferences/CF1/Recordings/RE1"),
])  # fmt: skip
async def test_stopping_what_is_over_already_has_succeeded(
    effect: ChangeRecording, name: str, error: ProviderError
) -> None:
    calls, _ = calls_with({f"POST {name}": error})

    assert await calls.execute(effect) is None


@pytest.mark.parametrize("effect, name, error, expected", [
    # It may not have begun, and would then still begin.
    (OF_CONFERENCE, "Conferences/CF1/Recordings/Twilio.CURRENT", GONE, ProviderGoneError),
    (replace(OF_CALL, status="paused"), "Calls/CA1/Recordings/Twilio.CURRENT", GONE, ProviderGoneError),
    (replace(OF_CALL, status="in-progress", recording_sid="RE1"), "Calls/CA1/Recordings/RE1", GONE, ProviderGoneError),
    (replace(OF_CONFERENCE, status="paused", recording_sid="RE1"), "Conferences/CF1/Recordings/RE1", GONE,
     ProviderGoneError),
    # A change that takes its time may have happened.
    (OF_CALL, "Calls/CA1/Recordings/Twilio.CURRENT", from_status(408), ResultUnknownError),
    (OF_CALL, "Calls/CA1/Recordings/Twilio.CURRENT", from_status(500), ResultUnknownError),
])  # fmt: skip
async def test_every_other_change_of_what_is_gone_has_not_succeeded(
    effect: ChangeRecording, name: str, error: ProviderError, expected: type[ProviderError]
) -> None:
    calls, _ = calls_with({f"POST {name}": error})

    with pytest.raises(expected):
        await calls.execute(effect)


def recording(sid: str, status: str, source: str | None = "StartCallRecordingAPI") -> dict[str, Any]:
    return {"sid": sid, "call_sid": "CA1", "status": status, "source": source}


@pytest.mark.parametrize("listed, expected", [
    (page("recordings"), ""),
    (page("recordings", recording("RE1", "in-progress")), "RE1"),
    (page("recordings", recording("RE1", "paused")), "RE1"),
    (page("recordings", *(recording(f"RE{number}", status)
                          for number, status in enumerate(("stopped", "processing", "completed")))), ""),
    (page("recordings", recording("RE2", "in-progress"), recording("RE1", "completed")), "RE2"),
    (page("recordings", recording("RE2", "in-progress"), recording("RE1", "in-progress")), "RE2"),
    (page("recordings", recording("RE1", "in-progress", "DialVerb"), recording("RE2", "in-progress", "OutboundAPI")),
     ""),
    (page("recordings", recording("RE1", "in-progress", None)), "RE1"),
    (page("recordings", recording("{x}", "in-progress")), ""),
    pytest.param(GONE, "", id="call-is-gone"),
    pytest.param(OVER, "", id="call-is-over"),
])  # fmt: skip
async def test_recording_is_searched_for_among_recordings_of_its_call(listed: Answer, expected: str) -> None:
    calls, http = calls_with({"GET Calls/CA1/Recordings": listed})

    assert await calls.find_recording(START) == expected

    assert http.requests == [("GET Calls/CA1/Recordings", {"PageSize": 50})]


async def test_recordings_of_calls_and_conferences_are_found_where_twilio_still_knows_them() -> None:
    http = ScriptedHttp({
        "GET Conferences/CF1/Recordings": page("recordings", {"sid": "RE1"}), "GET Calls/CA1/Recordings": GONE,
        "GET Calls/CA2/Recordings": page("recordings", {"sid": "RE2"}, {"sid": "RE3"}),
    })  # fmt: skip

    found = await find_recordings(Client(ACCOUNT, "token", http_client=http), ["CF1", "CA1", "CA2"])

    assert found == ["RE1", "RE2", "RE3"]
