"""Dials, holds, and sentences as REST requests: every field sent to Twilio, and requests that are never sent."""

from dataclasses import replace
from typing import Any

import pytest

from conferral.runtime.errors import (
    ProviderRefusedError,
    ResultUnknownError,
)
from conferral.statemachine.effects import (
    CreateCall,
    CreateParticipant,
    Dial,
    FindCall,
    PlayAnnouncement,
    SayAndHangUp,
    UpdateParticipant,
)
from conferral.statemachine.parts import ConferenceAttributes, DialOptions
from conferral.statemachine.states import WaitAudio
from conferral.telephony.addresses import AllowList
from conferral.telephony.callback_urls import (
    Announcement,
    CallbackUrls,
    CallCallback,
    Gate,
    Wait,
)
from conferral.telephony.errors import from_status
from conferral.telephony.parameters import CallSetup, PlacedCall
from conferral.telephony.phrases import Phrase, sentence_in
from conferral.telephony.twiml import TwimlBuilder
from tests.support.people import NUMBER, TARGET
from tests.telephony.scripted_http import Answer, call, calls_with, page

URLS = CallbackUrls("https://example.com")
DOCUMENTS = TwimlBuilder(URLS, language="en-US", voice=None)
SETUP = CallSetup(URLS, DOCUMENTS, own_number=NUMBER, allowed=AllowList.from_setting(None, NUMBER))
GONE = from_status(404, 20404)
LATELY = "Fri, 20 Nov 2026 08:00:00 +0000"
EIGHT_O_CLOCK_MS = 1_795_161_600_000

PARTICIPANT = CreateParticipant(
    effect_id="d1", session_id="S1", party="target", to=TARGET, options=DialOptions(timeout_s=25), conference="CF1",
    label="target-3", early_media=True,
)  # fmt: skip
CALL = CreateCall(effect_id="d2", session_id="S1", party="agent", to="client:alice", options=DialOptions(timeout_s=30))
FIND = FindCall(
    effect_id="e3", session_id="S1", party="agent", dial_id="d2", to="client:alice", since_ms=EIGHT_O_CLOCK_MS
)
UPDATE = UpdateParticipant(
    effect_id="e4", session_id="S1", party="customer", call_sid="CA1", conference_sid="CF1", update="hold"
)
SAY = SayAndHangUp(effect_id="e5", session_id="S1", party="customer", call_sid="CA1")

TO_PARTICIPANTS, TO_CALLS = "POST Conferences/CF1/Participants", "POST Calls"
DIALS = [(PARTICIPANT, TO_PARTICIPANTS), (CALL, TO_CALLS)]
PLACED = {"sid": "CA7", "call_sid": "CA7", "queue_time": "1500"}


async def test_party_is_dialed_directly_into_the_conference() -> None:
    calls, http = calls_with({TO_PARTICIPANTS: PLACED}, SETUP)

    assert await calls.execute(PARTICIPANT) == PlacedCall("CA7", queue_ms=1500)

    assert http.requests == [
        (TO_PARTICIPANTS, {
            "From": NUMBER, "To": TARGET, "Label": "target-3", "Timeout": 25, "EarlyMedia": "true", "Beep": "false",
            "StartConferenceOnEnter": "true", "EndConferenceOnExit": "false", "WaitUrl": "",
            "StatusCallback": URLS.of(CallCallback("S1", "target", "d1")), "StatusCallbackMethod": "POST",
            "StatusCallbackEvent": ["initiated", "ringing", "answered", "completed"],
            "ConferenceStatusCallback": URLS.conference("S1"),
            "ConferenceStatusCallbackMethod": "POST",
            "ConferenceStatusCallbackEvent": [
                "start", "end", "join", "leave", "mute", "hold", "modify", "announcement",
            ],
        }),
    ]  # fmt: skip


async def sent_for(effect: CreateParticipant, setup: CallSetup = SETUP) -> dict[str, object]:
    calls, http = calls_with({TO_PARTICIPANTS: PLACED}, setup)
    await calls.execute(effect)
    ((_, sent),) = http.requests
    return dict(sent)


async def test_dialed_conference_has_the_attributes_of_the_directory() -> None:
    attributes = ConferenceAttributes(
        record="true", beep="onExit", jitter_buffer_size="off", region="de1", trim="do-not-trim", max_participants=9,
        wait_url="https://example.com/a.wav", greeting="Hello", time_limit_s=60, hangup_on_star=True,
        after_url="https://example.com/b",
    )  # fmt: skip

    assert await sent_for(replace(PARTICIPANT, attributes=attributes)) == await sent_for(PARTICIPANT) | {
        "Beep": "onExit", "JitterBufferSize": "off", "Region": "de1", "MaxParticipants": 9, "ConferenceRecord": "true",
        "ConferenceTrim": "do-not-trim",
        "ConferenceRecordingStatusCallback": URLS.recording("S1"),
        "ConferenceRecordingStatusCallbackMethod": "POST",
        "ConferenceRecordingStatusCallbackEvent": ["in-progress", "completed", "absent"],
    }  # fmt: skip


async def test_configuration_decides_how_a_dialed_conference_is_recorded() -> None:
    attributes = ConferenceAttributes(record="true", trim="do-not-trim", recording_configuration="with-transcript")

    sent = await sent_for(replace(PARTICIPANT, attributes=attributes))
    assert (sent["ConferenceRecord"], sent["RecordingConfigurationId"]) == ("true", "with-transcript")
    assert "ConferenceTrim" not in sent
    for record in ("false", "customer"):
        sent = await sent_for(replace(PARTICIPANT, attributes=replace(attributes, record=record)))
        assert "RecordingConfigurationId" not in sent


async def test_party_is_dialed_to_the_gate() -> None:
    calls, http = calls_with({TO_CALLS: PLACED}, SETUP)

    assert await calls.execute(replace(CALL, options=replace(CALL.options, digits="ww12#"))) == PlacedCall(
        "CA7", queue_ms=1500
    )

    assert http.requests == [
        (TO_CALLS, {
            "From": NUMBER, "To": "client:alice", "Timeout": 30, "SendDigits": "ww12#",
            "Url": URLS.of(Gate("S1", "d2")), "Method": "POST",
            "FallbackUrl": URLS.fallback(), "FallbackMethod": "POST",
            "StatusCallback": URLS.of(CallCallback("S1", "agent", "d2")), "StatusCallbackMethod": "POST",
            "StatusCallbackEvent": ["initiated", "ringing", "answered", "completed"],
        }),
    ]  # fmt: skip


@pytest.mark.parametrize("effect, name", DIALS)
async def test_the_callers_number_is_shown_with_its_token(effect: Dial, name: str) -> None:
    calls, http = calls_with({name: PLACED}, SETUP)

    await calls.execute(
        replace(effect, options=replace(effect.options, caller_id="+14155550199"), call_token="%7B%22x%22%7D")
    )

    ((_, sent),) = http.requests
    assert (sent["From"], sent["CallToken"]) == ("+14155550199", "%7B%22x%22%7D")


@pytest.mark.parametrize("effect, name", DIALS)
@pytest.mark.parametrize("to, dialed", [
    ("client:alice", "client:alice?name=Ada%20L&id=7"),
    ("sip:bob@example.com;transport=tcp", "sip:bob@example.com;transport=tcp?X-name=Ada%20L&X-id=7"),
])  # fmt: skip
async def test_client_gets_params_and_a_sip_phone_headers(effect: Dial, name: str, to: str, dialed: str) -> None:
    allowed = AllowList.from_setting("client:,sip:example.com", NUMBER)
    calls, http = calls_with({name: PLACED}, replace(SETUP, allowed=allowed))

    await calls.execute(replace(effect, to=to, options=replace(effect.options, params="name=Ada%20L&id=7")))

    ((_, sent),) = http.requests
    assert sent["To"] == dialed


@pytest.mark.parametrize("queue_time, expected", [
    ("0", 0), ("2000", 2000), (None, 0), ("", 0), ("soon", 0), (5, 0), ("\u0663", 0), ("9" * 12, 999_999_999),
])  # fmt: skip
async def test_time_in_the_queue_is_text_in_milliseconds(queue_time: Any, expected: int) -> None:
    calls, _ = calls_with({TO_CALLS: PLACED | {"queue_time": queue_time}}, SETUP)

    assert await calls.execute(CALL) == PlacedCall("CA7", queue_ms=expected)


@pytest.mark.parametrize("effect, name", DIALS)
@pytest.mark.parametrize("sid", [None, "", "{x}", 7])
async def test_a_dial_whose_answer_names_no_call_has_an_unknown_outcome(effect: Dial, name: str, sid: Any) -> None:
    calls, _ = calls_with({name: PLACED | {"sid": sid, "call_sid": sid}}, SETUP)

    with pytest.raises(ResultUnknownError):
        await calls.execute(effect)


# ---- the allow-list ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("effect, _name", DIALS)
@pytest.mark.parametrize("to", [
    "+4420794600", "+442079460018", "+18765550123", "911", "+19005550123", "alice", "", "sip:bob@example.com",
    "client:alice?admin=true", " +14155550177",
])  # fmt: skip
async def test_party_not_on_the_allow_list_is_never_dialed(effect: Dial, _name: str, to: str) -> None:
    calls, http = calls_with({}, SETUP)

    with pytest.raises(ProviderRefusedError) as caught:
        await calls.execute(replace(effect, to=to))

    assert (caught.value.http_status, caught.value.code) == (0, 0)
    assert http.requests == []


# ---- reads -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inside, expected", [
    (page("participants"), ""),
    (page("participants", {"call_sid": "CA1", "label": "customer-1"}), ""),
    (page("participants", {"call_sid": "CA1", "label": None},
          {"call_sid": "CA7", "label": "target-3", "status": "ringing"}), "CA7"),
    pytest.param(GONE, "", id="ended-conference"),
])  # fmt: skip
async def test_dial_is_searched_for_by_its_label(inside: Answer, expected: str) -> None:
    calls, http = calls_with({"GET Conferences/CF1/Participants": inside})

    assert await calls.find_dial(PARTICIPANT) == expected

    assert len(http.requests) == 1


def placed(sid: str, direction: str = "outbound-api", created: str = LATELY) -> dict[str, Any]:
    return call(sid, "ringing", "client:alice", created) | {"direction": direction, "from": NUMBER}


OLD, JUST_BEFORE = "Fri, 20 Nov 2026 07:59:56 +0000", "Fri, 20 Nov 2026 07:59:57 +0000"


@pytest.mark.parametrize("listed, expected", [
    ([], ""),
    ([placed("CA7")], "CA7"),
    ([placed("CA7", created=JUST_BEFORE)], "CA7"),
    ([placed("CA7", created=OLD)], ""),
    ([placed("CA7", created="")], ""),
    ([placed("CA7", direction="outbound-dial")], ""),
    ([placed("CA7", direction="inbound")], ""),
    ([placed("CA7"), placed("CA8")], ""),
    ([placed("CA8", direction="outbound-dial"), placed("CA7"), placed("CA6", created=OLD)], "CA7"),
])  # fmt: skip
async def test_a_call_is_found_where_it_can_only_be_this_one(listed: list[dict[str, Any]], expected: str) -> None:
    calls, http = calls_with({"GET Calls": page("calls", *listed)}, SETUP)

    assert await calls.execute(FIND) == PlacedCall(expected)

    assert http.requests == [("GET Calls", {"To": "client:alice", "From": NUMBER, "PageSize": 50})]


async def test_call_with_params_is_searched_for_by_the_address_with_and_without_them() -> None:
    searched = [{"To": to, "From": NUMBER, "PageSize": 50} for to in ("client:alice?name=Ada", "client:alice")]
    calls, http = calls_with({"GET Calls": page("calls")}, SETUP)
    assert await calls.execute(replace(FIND, options=DialOptions(params="name=Ada"))) == PlacedCall("")
    assert [sent for _, sent in http.requests] == searched

    calls, http = calls_with({"GET Calls": page("calls", placed("CA7"))}, SETUP)
    assert await calls.execute(replace(FIND, options=DialOptions(params="name=Ada"))) == PlacedCall("CA7")
    assert [sent for _, sent in http.requests] == searched[:1]


@pytest.mark.parametrize("conference, found", [("CF1", ("CA2", "CA3")), ("S1", ("CA1", "CA2", "CA3"))])
async def test_calls_without_a_participant_that_may_belong_to_a_dial_are_listed(
    conference: str, found: tuple[str, ...]
) -> None:
    """Live ones as well if only the conference's name is known: no list may show a conference that has not started."""
    listed = [
        placed("CA1"),
        placed("CA2") | {"status": "busy"},
        placed("CA3") | {"status": "completed"},
        placed("CA4", created=OLD) | {"status": "completed"},
        placed("CA5", direction="inbound") | {"status": "completed"},
    ]
    calls, http = calls_with({"GET Calls": page("calls", *listed)}, SETUP)

    dial = replace(PARTICIPANT, conference=conference)
    assert await calls.find_possible_calls(dial, EIGHT_O_CLOCK_MS) == found
    assert http.requests == [("GET Calls", {"To": TARGET, "From": NUMBER, "PageSize": 50})]


# ---- participants and sentences ----------------------------------------------------------------------------------


@pytest.mark.parametrize("changes, sent", [
    ({"update": "hold", "wait_audio": "ringback"}, {
        "Hold": "true", "HoldUrl": URLS.of(Wait("S1", "customer", WaitAudio.RINGBACK)), "HoldMethod": "POST",
    }),
    ({"update": "hold", "wait_audio": "of-a-newer-version"}, {
        "Hold": "true", "HoldUrl": URLS.of(Wait("S1", "customer", WaitAudio.MUSIC)), "HoldMethod": "POST",
    }),
    ({"update": "hold"}, {"Hold": "true"}),
    ({"update": "unhold"}, {"Hold": "false"}),
    ({"update": "set-end-on-exit"}, {"Hold": "false", "EndConferenceOnExit": "true"}),
    ({"update": "clear-end-on-exit"}, {"Hold": "false", "EndConferenceOnExit": "false"}),
])  # fmt: skip
async def test_participant_update_changes_only_named_attributes(changes: dict[str, Any], sent: dict[str, str]) -> None:
    calls, http = calls_with({"POST Conferences/CF1/Participants/CA1": {"call_sid": "CA1"}}, SETUP)

    assert await calls.execute(replace(UPDATE, **changes)) is False

    assert http.requests == [("POST Conferences/CF1/Participants/CA1", sent)]


@pytest.mark.parametrize("changes, shown, is_confirmed", [
    ({"update": "hold"}, {"hold": True}, True),
    ({"update": "hold"}, {"hold": False}, False),
    ({"update": "unhold"}, {"hold": False, "muted": True}, True),
    ({"update": "unhold"}, {"hold": "false"}, False),
    ({"update": "mute"}, {"hold": True, "muted": True}, True),
    ({"update": "unmute"}, {"hold": False}, False),
    # Twilio shows a flag even if the update had no effect.
    ({"update": "set-end-on-exit"}, {"hold": False, "end_conference_on_exit": True}, False),
    ({"update": "barge"}, {"muted": False, "coaching": False}, False),
])  # fmt: skip
async def test_response_to_an_update_confirms_a_hold_or_a_mute_alone(
    changes: dict[str, Any], shown: dict[str, Any], is_confirmed: bool
) -> None:
    calls, _ = calls_with({"POST Conferences/CF1/Participants/CA1": {"call_sid": "CA1"} | shown}, SETUP)

    assert await calls.execute(replace(UPDATE, **changes)) is is_confirmed


FALLBACK = {"FallbackUrl": URLS.fallback(), "FallbackMethod": "POST"}


async def test_a_sentence_is_sent_inline() -> None:
    calls, http = calls_with({"POST Calls/CA1": {"sid": "CA1"}}, SETUP)

    assert await calls.execute(SAY) is None

    document = DOCUMENTS.say_and_hang_up(Phrase.NOT_CONNECTED)
    assert sentence_in(Phrase.NOT_CONNECTED, "en-US") in document
    assert http.requests == [("POST Calls/CA1", {"Twiml": document, **FALLBACK})]


# ---- supervising, and announcing -----------------------------------------------------------------------------------


SUPERVISOR = UpdateParticipant(
    effect_id="e1", session_id="S1", party="supervisor", call_sid="CA5", conference_sid="CF1", update="monitor"
)
TO_SUPERVISOR = "POST Conferences/CF1/Participants/CA5"
TO_ALL = PlayAnnouncement(effect_id="e2", session_id="S1", conference_sid="CF1", command_id="c1")
TO_ONE = replace(TO_ALL, party="customer", call_sid="CA1")


@pytest.mark.parametrize("changes, sent", [
    ({"update": "mute"}, {"Muted": "true"}),
    ({"update": "unmute"}, {"Muted": "false"}),
    ({"update": "monitor"}, {"Muted": "true", "Coaching": "false"}),
    ({"update": "monitor", "coaches": "CA2"}, {"Muted": "true", "Coaching": "false"}),
    ({"update": "whisper", "coaches": "CA2"}, {"Muted": "false", "Coaching": "true", "CallSidToCoach": "CA2"}),
    ({"update": "barge"}, {"Muted": "false", "Coaching": "false"}),
])  # fmt: skip
async def test_supervisor_audibility_change_is_one_request(changes: dict[str, Any], sent: dict[str, str]) -> None:
    calls, http = calls_with({TO_SUPERVISOR: {"call_sid": "CA5"}})

    assert await calls.execute(replace(SUPERVISOR, **changes)) is False  # the response does not show it

    assert http.requests == [(TO_SUPERVISOR, sent)]


@pytest.mark.parametrize("mode", [
    pytest.param("whisper", id="whisper-without-someone-who-hears-it"), pytest.param("shout", id="of-a-newer-version"),
])  # fmt: skip
async def test_mode_that_can_not_be_is_refused(mode: str) -> None:
    calls, http = calls_with({})

    with pytest.raises(ProviderRefusedError):
        await calls.execute(replace(SUPERVISOR, update=mode))

    assert http.requests == []


OUR_DOCUMENT = URLS.of(Announcement("S1", "c1"))


@pytest.mark.parametrize("url, sent", [
    pytest.param("", {"AnnounceUrl": OUR_DOCUMENT, "AnnounceMethod": "POST"}, id="sentence"),
    pytest.param("https://example.com/a.wav", {"AnnounceUrl": "https://example.com/a.wav", "AnnounceMethod": "GET"},
                 id="external-audio"),
])  # fmt: skip
@pytest.mark.parametrize("effect, name", [
    (TO_ALL, "POST Conferences/CF1"), (TO_ONE, "POST Conferences/CF1/Participants/CA1"),
])  # fmt: skip
async def test_sentence_is_announced_by_a_document_of_ours_and_external_audio_by_a_get_request(
    effect: PlayAnnouncement, name: str, url: str, sent: dict[str, str]
) -> None:
    calls, http = calls_with({name: {"sid": "CF1"}})

    assert await calls.execute(replace(effect, url=url)) is None

    assert http.requests == [(name, sent)]
