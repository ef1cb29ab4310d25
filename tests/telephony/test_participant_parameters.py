"""Muting, supervising, and announcing as REST requests: every field sent to Twilio."""

from dataclasses import replace
from typing import Any

import pytest

from conferral.runtime.errors import ProviderRefusedError
from conferral.statemachine.effects import PlayAnnouncement, UpdateParticipant
from conferral.telephony.callback_urls import Announcement, CallbackUrls
from tests.telephony.scripted_http import calls_with

URLS = CallbackUrls("https://example.com")
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

    assert await calls.perform(replace(SUPERVISOR, **changes)) is False  # the response does not show it

    assert http.requests == [(TO_SUPERVISOR, sent)]


@pytest.mark.parametrize("mode", [
    pytest.param("whisper", id="whisper-without-someone-who-hears-it"), pytest.param("shout", id="of-a-newer-version"),
])  # fmt: skip
async def test_mode_that_can_not_be_is_refused(mode: str) -> None:
    calls, http = calls_with({})

    with pytest.raises(ProviderRefusedError):
        await calls.perform(replace(SUPERVISOR, update=mode))

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

    assert await calls.perform(replace(effect, url=url)) is None

    assert http.requests == [(name, sent)]
